//! The `volley` binary, where the tests of other packages find it: the same entry as
//! the one of `api`.

use std::process::ExitCode;

fn main() -> ExitCode {
    api::command::run()
}
