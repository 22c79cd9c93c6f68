//! wrk, the customary load generator, where it is installed.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::failure::{BenchError, machine};
use crate::request::CapturedRequest;

/// Seconds of one run.
const SECONDS: u32 = 3;

/// Requests per second, or `None` where wrk is not installed.
///
/// # Errors
/// When its script cannot be written or its answer cannot be read.
pub fn requests_per_second(
    folder: &Path,
    address: SocketAddr,
    request: &CapturedRequest,
    connections: u32,
) -> Result<Option<f64>, BenchError> {
    let script = folder.join("post.lua");
    std::fs::write(&script, lua(request)).map_err(machine("the script of wrk"))?;
    let run = Command::new("wrk")
        .args(["--threads", "1", "--connections", &connections.to_string()])
        .args(["--duration", &format!("{SECONDS}s"), "--script"])
        .arg(&script)
        .arg(format!("http://{address}{}", request.path))
        .output();
    let output = match run {
        Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(machine("wrk")(error)),
    };
    if output.contains("Non-2xx") {
        return Err(BenchError::Invalid(
            "wrk met answers that are not 201".to_owned(),
        ));
    }
    let figure = output
        .lines()
        .find_map(|line| line.strip_prefix("Requests/sec:"));
    let figure = figure.and_then(|figure| figure.trim().parse().ok());
    figure.map(Some).ok_or(BenchError::Child {
        role: "wrk".to_owned(),
        said: output,
    })
}

/// wrk's script: the same request every time.
fn lua(request: &CapturedRequest) -> String {
    let mut script = format!("wrk.method = \"POST\"\nwrk.body = {:?}\n", request.body);
    for (name, value) in &request.headers {
        script.push_str(&format!("wrk.headers[{name:?}] = {value:?}\n"));
    }
    script
}
