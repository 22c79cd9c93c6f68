//! The `volley` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    api::command::run()
}
