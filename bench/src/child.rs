//! Processes of this same program: each measures its own CPU time and memory. They are
//! told what to do by lines on their standard input and answer with lines of JSON; one
//! whose input closes has nobody left and ends.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::failure::{BenchError, machine};

/// A running child. Dropping it ends it.
pub struct Process {
    role: String,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Process {
    /// Starts this program again with the hidden subcommand `role`.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn start(role: &str, arguments: &[String]) -> Result<Self, BenchError> {
        let failed = machine("a child process cannot be started");
        let program = std::env::current_exe().map_err(&failed)?;
        let mut command = Command::new(program);
        command
            .arg(role)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().map_err(&failed)?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(failed(std::io::ErrorKind::BrokenPipe.into()));
        };
        Ok(Self {
            role: role.to_owned(),
            child,
            input,
            output: BufReader::new(output),
        })
    }

    /// Says a line and waits for nothing.
    ///
    /// # Errors
    /// When the child has ended.
    pub fn tell(&mut self, line: &str) -> Result<(), BenchError> {
        let written = writeln!(self.input, "{line}").and_then(|()| self.input.flush());
        written.map_err(machine("a child process does not listen"))
    }

    /// Waits for the next answer.
    ///
    /// # Errors
    /// When the child has ended or says something else.
    pub fn hear<T: DeserializeOwned>(&mut self) -> Result<T, BenchError> {
        let mut said = String::new();
        self.output
            .read_line(&mut said)
            .map_err(machine("a child process cannot be heard"))?;
        serde_json::from_str(&said).map_err(|_| BenchError::Child {
            role: self.role.clone(),
            said: if said.is_empty() {
                "nothing, it ended".to_owned()
            } else {
                said
            },
        })
    }

    /// Says a line and waits for the answer.
    ///
    /// # Errors
    /// As [`Process::tell`] and [`Process::hear`].
    pub fn ask<T: DeserializeOwned>(&mut self, line: &str) -> Result<T, BenchError> {
        self.tell(line)?;
        self.hear()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// In the child: the next line from the parent, or `None` when it is gone. Blocks.
pub fn next_line() -> Option<String> {
    let mut line = String::new();
    match std::io::stdin().read_line(&mut line) {
        Ok(0) | Err(_) => None,
        Ok(_) => Some(line.trim().to_owned()),
    }
}

/// In the child: answers with a line.
///
/// # Errors
/// When the parent is gone.
pub fn answer<T: Serialize>(value: &T) -> Result<(), BenchError> {
    let failed = machine("nobody listens");
    let mut line = serde_json::to_vec(value).map_err(|error| failed(error.into()))?;
    line.push(b'\n');
    let mut output = std::io::stdout().lock();
    output
        .write_all(&line)
        .and_then(|()| output.flush())
        .map_err(failed)
}
