//! Kills, freezes, stops and damages real nodes, and compares what they say with the
//! provider's book. `--kills 200` takes a quarter of an hour.

use std::process::ExitCode;

use tests::kill::{self, Options};

fn main() -> ExitCode {
    // The node is this same program: whoever builds it has both.
    if std::env::args().nth(1).as_deref() == Some("serve") {
        return api::command::run();
    }
    match Options::read(std::env::args().skip(1)) {
        Ok(options) if kill::run(&options) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(problem) => {
            tests::world::say(&problem);
            ExitCode::from(2)
        }
    }
}
