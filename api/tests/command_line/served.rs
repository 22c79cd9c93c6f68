//! The binary in a folder of its own, and a node that it serves.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};

use api::exit::Exit;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// A folder that is removed at the end of its test.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("volley-cli-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    pub fn data(&self) -> PathBuf {
        self.0.join("data")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// `volley` with an environment that holds nothing of ours.
pub fn volley(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_volley"));
    command.args(arguments).env_clear().stdin(Stdio::null());
    command
}

pub fn run(arguments: &[&str], data: &Path) -> Output {
    volley(arguments)
        .arg("--data")
        .arg(data)
        .output()
        .expect("it runs")
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}

#[track_caller]
pub fn given(output: &Output) -> String {
    assert_eq!(
        output.status.code(),
        Some(Exit::Success as i32),
        "{}",
        text(&output.stderr)
    );
    text(&output.stdout)
}

#[track_caller]
pub fn refused(output: &Output, exit: Exit, part: &str) {
    assert_eq!(
        output.status.code(),
        Some(exit as i32),
        "{}",
        text(&output.stderr)
    );
    assert!(
        text(&output.stderr).contains(part),
        "{}",
        text(&output.stderr)
    );
}

/// The key of a first account in this folder, which nobody serves yet.
#[track_caller]
pub fn first_key(data: &Path) -> String {
    let account = given(&run(&["account", "create", "acme"], data));
    given(&run(&["key", "create", &account], data))
}

/// A node that serves. It is killed when its test ends early.
pub struct Served {
    child: Child,
    pub url: String,
    /// What it said until it served.
    pub greeting: String,
    /// Kept open: what it says later must not fail.
    _errors: BufReader<ChildStderr>,
}

impl Served {
    pub fn start(data: &Path) -> Self {
        Self::start_with(data, &[])
    }

    /// With more in its environment.
    pub fn start_with(data: &Path, environment: &[(&str, &str)]) -> Self {
        let mut child = volley(&["serve", "--listen", "127.0.0.1:0"])
            .arg("--data")
            .arg(data)
            .envs(environment.iter().copied())
            .env("RUST_LOG", "off")
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut errors = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut greeting = String::new();
        let url = loop {
            let mut line = String::new();
            assert_ne!(
                errors.read_line(&mut line).expect("text"),
                0,
                "it ended: {greeting}"
            );
            greeting.push_str(&line);
            let address = line.strip_prefix("volley serves ");
            if let Some(url) = address.and_then(|rest| rest.split_whitespace().next()) {
                break url.to_owned();
            }
        };
        Self {
            child,
            url,
            greeting,
            _errors: errors,
        }
    }

    pub fn signal(&mut self, signal: Signal) -> Option<i32> {
        let id = Pid::from_child(&self.child);
        kill_process(id, signal).expect("it is there");
        self.child.wait().expect("it ends").code()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn post(url: &str, key: &str, body: &Value) -> (u16, Value) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(async {
        let client = reqwest::Client::builder()
            .no_proxy()
            .build()
            .expect("a client");
        let request = client.post(format!("{url}/v1/messages")).bearer_auth(key);
        let request = request.header("Idempotency-Key", "one").json(body);
        let response = request.send().await.expect("an answer");
        (
            response.status().as_u16(),
            response.json().await.expect("json"),
        )
    })
}
