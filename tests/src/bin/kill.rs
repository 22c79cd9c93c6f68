//! Kills, freezes, stops and damages real nodes, and compares what they say with the
//! provider's book. `--kills 200` takes a quarter of an hour.

use std::process::ExitCode;

use tests::kill::{self, Options};

fn main() -> ExitCode {
    // The node is this same program, and so is who reads damaged folders: whoever
    // builds it has all.
    match std::env::args().nth(1).as_deref() {
        Some("serve") => return api::command::run(),
        Some(kill::READ) => return kill::read(std::env::args().skip(2)),
        _ => {}
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
