//! A Kafka broker and a Cassandra node on loopback, with the tables made, for whoever wants to
//! run a node on them: it prints the sections of the node's settings and runs until its input
//! ends.
//!
//! ```text
//! cargo run -p tests --features cluster --bin servers > servers.toml
//! ```

use std::io::{Read, Write};
use std::process::ExitCode;

use engine::runtime::Runtime;
use tests::backends::cassandra::Cassandra;
use tests::backends::ground::Ground;
use tests::backends::kafka::Kafka;
use tests::fixture;

fn main() -> ExitCode {
    let (Some(kafka), Some(cassandra)) = (Kafka::start(1), Cassandra::start()) else {
        // What is missing was said.
        return ExitCode::FAILURE;
    };
    let tasks = fixture::tasks();
    let runtime = Runtime::of_machine(tasks.handle().clone());
    let ground = tasks.block_on(Ground::make(&cassandra, &kafka, "volley", &runtime));
    let mut output = std::io::stdout();
    let written = output.write_all(ground.sections().as_bytes());
    if written.and_then(|()| output.flush()).is_err() {
        return ExitCode::FAILURE;
    }
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    ExitCode::SUCCESS
}
