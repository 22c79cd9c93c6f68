//! Serves one account until its standard input closes, for load measurements:
//!
//! ```text
//! cargo run --release -p sandbox --example serve -- 127.0.0.1:8099 /tmp/book [bare]
//! ```
//!
//! With `bare` it is the bare counter instead. Account `AC1`, token `token`,
//! sender `+15005550001`. The load:
//!
//! ```text
//! wrk -t2 -c64 -d10s -s engine/sandbox/examples/post.lua http://127.0.0.1:8099
//! ```

use sandbox::{AccountConfig, BareCounter, FaultPlan, Sandbox, SandboxConfig};
use std::error::Error;
use std::io::{Read, Write};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let listen = arguments
        .next()
        .ok_or("usage: serve ADDRESS FOLDER [bare]")?
        .parse()?;
    let folder = arguments
        .next()
        .ok_or("usage: serve ADDRESS FOLDER [bare]")?;
    let mut output = std::io::stdout();
    let mut end = Vec::new();
    if arguments.next().is_some() {
        let counter = BareCounter::start(listen, 2)?;
        writeln!(output, "bare counter on {}", counter.address())?;
        std::io::stdin().read_to_end(&mut end)?;
        writeln!(output, "{} texts", counter.count())?;
        return Ok(());
    }
    let sandbox = Sandbox::start(SandboxConfig {
        listen,
        accounts: vec![AccountConfig::new("AC1", "token", &["+15005550001"])],
        book_folder: folder.into(),
        seed: 1,
        faults: FaultPlan::none(),
        threads: 2,
    })?;
    writeln!(output, "sandbox on {}", sandbox.address())?;
    std::io::stdin().read_to_end(&mut end)?;
    writeln!(output, "{:?}", sandbox.statistics())?;
    sandbox.shutdown()?;
    Ok(())
}
