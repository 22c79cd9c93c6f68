//! A node in a child process that can be killed at any moment.

use std::io::{BufRead, BufReader, Lines};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

/// How many provider accounts the child sends through; the sandbox has as many.
pub const PROVIDERS: usize = 3;

/// What the child's campaign says.
pub const TEMPLATE: &str = "Hi {{ first_name }}";

/// What a child is started with, each time anew.
#[derive(Clone, Debug)]
pub struct ChildSettings {
    /// The program: `src/bin/node.rs`.
    pub program: PathBuf,
    /// Its folder.
    pub folder: PathBuf,
    /// How many partitions its storage has.
    pub partitions: u16,
    /// Where the sandbox listens.
    pub sandbox: SocketAddr,
    /// How many recipients its campaign has.
    pub recipients: u32,
    /// Each provider account's rate, segments per second.
    pub rate: f64,
}

/// A running child. Dropping it kills it.
pub struct ChildNode {
    process: Child,
    said: Lines<BufReader<ChildStdout>>,
}

impl ChildNode {
    /// Starts it.
    pub fn start(settings: &ChildSettings) -> Self {
        let mut process = Command::new(&settings.program)
            .arg(Path::new(&settings.folder))
            .arg(settings.partitions.to_string())
            .arg(settings.sandbox.to_string())
            .arg(settings.recipients.to_string())
            .arg(settings.rate.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the node's program starts");
        let output = process.stdout.take().expect("its output is piped");
        Self {
            process,
            said: BufReader::new(output).lines(),
        }
    }

    /// Waits until it has started: how many attempts the process before it left open.
    pub fn open_at_start(&mut self) -> u64 {
        let line = self.next_line();
        let number = line.strip_prefix("open ").expect("it says `open N` first");
        number.parse().expect("a number")
    }

    /// Ends the test when the child has ended by itself.
    pub fn must_run(&mut self) {
        let ended = self.process.try_wait().expect("a child can be asked");
        assert!(ended.is_none(), "the node ended by itself: {ended:?}");
    }

    /// Kills it with SIGKILL and waits until it is gone.
    pub fn kill(mut self) {
        self.must_run();
        self.process.kill().expect("a child can be killed");
        self.process.wait().expect("a child can be waited for");
    }

    /// Waits until it has finished the campaign and ended well.
    pub fn finish(mut self) {
        assert_eq!(self.next_line(), "finished");
        let status = self.process.wait().expect("a child can be waited for");
        assert!(status.success(), "the node ended with {status}");
    }

    fn next_line(&mut self) -> String {
        let line = self.said.next().expect("the node has more to say");
        line.expect("its output can be read")
    }
}

impl Drop for ChildNode {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
