//! What can go wrong in a benchmark.

use std::io;

/// A benchmark cannot be run, or its run does not count.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The machine refused something.
    #[error("{what}: {cause}")]
    Machine {
        /// What was tried.
        what: &'static str,
        /// The system's reason.
        cause: io::Error,
    },
    /// A child process ended early or said something unexpected.
    #[error("the {role} process said: {said}")]
    Child {
        /// What the process is for.
        role: String,
        /// What it said instead.
        said: String,
    },
    /// The engine or the sandbox refused something.
    #[error("{what}: {cause}")]
    Refused {
        /// What was tried.
        what: &'static str,
        /// Its reason.
        cause: String,
    },
    /// The run ended, but its figures must not be used.
    #[error("the run does not count: {0}")]
    Invalid(String),
}

/// For `map_err`: the machine refused `what`.
pub fn machine(what: &'static str) -> impl Fn(io::Error) -> BenchError {
    move |cause| BenchError::Machine { what, cause }
}

/// For `map_err`: the engine or the sandbox refused `what`.
pub fn refused<E: std::fmt::Display>(what: &'static str) -> impl Fn(E) -> BenchError {
    move |cause| BenchError::Refused {
        what,
        cause: cause.to_string(),
    }
}
