//! `volley demo`: a contacts file becomes delivered texts, and every one is accounted
//! for.
//!
//! ```text
//! contacts.csv ─▶ node (this process) ─HTTP─▶ sandbox (a process of its own)
//!      │              ▲ receipts ◀─────HTTP──────┘ │
//!      │              │ REST                       ▼
//!      └────────▶ witness ◀──────────────────── its book
//! ```
//! With `--cluster` the node keeps everything on servers, in a keyspace and topics of its own.
//!
//! The node is started by the function that `volley serve` starts it with, with default
//! settings but ports, rates and providers. Everything else goes through the REST API,
//! as a user would.

mod audit;
mod balance;
mod campaign;
mod codes;
mod folder;
mod follow;
pub mod generate;
#[cfg(feature = "cluster")]
mod ground;
mod memory;
mod options;
pub mod pacing;
mod providers;
mod regions;
mod run;
mod tail;
pub mod witness;

use std::process::ExitCode;

pub use options::DemoArguments;

use crate::exit::Exit;

/// How long tasks may take to end once everything is told.
const SHUTDOWN: std::time::Duration = std::time::Duration::from_secs(2);

/// Runs a demonstration to its end. The exit code is 0 only when the books balance.
pub fn run(arguments: DemoArguments) -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("error"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let tokio = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(tokio) => tokio,
        Err(error) => {
            tell(&format!("volley: cannot start threads: {error}"));
            return Exit::Failure.into();
        }
    };
    let runtime = engine::runtime::Runtime::of_machine(tokio.handle().clone());
    // Actors live on this thread, what waits and works on the shared runtime.
    let (exit, folder) = actix::System::new().block_on(run::demonstrate(arguments, runtime));
    // What still works on the store ends here; only then is the folder nobody's.
    tokio.shutdown_timeout(SHUTDOWN);
    if let Some(folder) = folder {
        let path = folder.path.display();
        match folder.remove() {
            Ok(()) => tell(&format!("the folder is removed: {path}")),
            Err(error) => tell(&format!("volley: cannot remove the folder: {error}")),
        }
    }
    exit.into()
}

/// Tells people something: standard error, so that standard output is JSON alone.
#[allow(clippy::print_stderr, reason = "the command's own output")]
fn tell(text: &str) {
    eprintln!("{text}");
}

/// Gives the balance to programs.
#[allow(clippy::print_stdout, reason = "the command's own output")]
fn give(text: &str) {
    println!("{text}");
}
