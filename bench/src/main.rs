//! Benchmarks of the whole engine, each with its verdict; see the README beside this
//! package for what they measure and what not.

mod child;
mod codes;
mod crowd;
mod customer;
mod dispatch;
mod engine_run;
mod failure;
mod fairness;
mod hyper_client;
mod instructions;
mod latency;
mod machine;
mod node;
mod options;
mod outage;
mod overload;
mod pacing;
mod provider;
mod raw;
mod recipients;
mod report;
mod request;
mod restart;
#[cfg(feature = "cluster")]
mod servers;
mod serving;
mod stamps;
mod wrk;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tikv_jemallocator::Jemalloc;

use crate::codes::CodesOptions;
use crate::dispatch::DispatchOptions;
use crate::failure::BenchError;
use crate::fairness::FairnessOptions;
use crate::instructions::InstructionsOptions;
use crate::latency::LatencyOptions;
use crate::outage::OutageOptions;
use crate::overload::OverloadOptions;
use crate::pacing::PacingOptions;
use crate::provider::Reach;
use crate::restart::RestartOptions;

/// The allocator of `volley`.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// Exit code when a floor is missed: the run itself is fine.
const MISSED: u8 = 2;

#[derive(Parser)]
#[command(
    name = "bench",
    about = "Measures the engine beside what this machine allows"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Messages per second, CPU time and memory of whole campaigns.
    Dispatch(DispatchOptions),
    /// How well a set rate is used, and whether it is kept.
    Pacing(PacingOptions),
    /// From the restart of a killed node to its first text, with a campaign pending.
    Restart(RestartOptions),
    /// How long one-time codes wait beside a campaign that takes a provider's whole rate.
    Codes(CodesOptions),
    /// What the death of one of three provider accounts costs a campaign.
    Outage(OutageOptions),
    /// Whether accounts that share a provider account get their shares.
    Fairness(FairnessOptions),
    /// More callers than a node takes at once, and many times what its provider takes.
    Overload(OverloadOptions),
    /// How long texts take from their 202 to the provider.
    Latency(LatencyOptions),
    /// Instructions that a text costs, counted by valgrind: the same on a busy machine.
    Instructions(InstructionsOptions),
    /// Campaigns and Kafka's records through a node on real servers, and what they cost there.
    #[cfg(feature = "cluster")]
    Servers(servers::figures::FiguresOptions),
    /// From the death of a node on servers to the first text of the one that waited.
    #[cfg(feature = "cluster")]
    Takeover(servers::takeover::TakeoverOptions),
    /// From the return of a server that was killed under a campaign to the next text.
    #[cfg(feature = "cluster")]
    Returns(servers::returns::ReturnsOptions),
    #[command(hide = true)]
    Prepare {
        #[arg(long)]
        data: PathBuf,
        #[arg(long)]
        recipients: u64,
    },
    #[command(hide = true)]
    Node {
        #[arg(long)]
        data: PathBuf,
        #[command(flatten)]
        reach: Reach,
    },
    #[command(hide = true)]
    HotPath {
        #[arg(long)]
        folder: PathBuf,
        #[arg(long)]
        recipients: u64,
    },
    #[command(hide = true)]
    Counter,
    #[command(hide = true)]
    Sandbox {
        #[arg(long)]
        data: PathBuf,
    },
}

fn main() -> ExitCode {
    // A node as people run it is this same program.
    if std::env::args().nth(1).as_deref() == Some("serve") {
        return api::command::run();
    }
    match run(Cli::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(MISSED),
        Err(error) => {
            report::say(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<bool, BenchError> {
    match command {
        Command::Dispatch(options) => dispatch::run(&options),
        Command::Pacing(options) => pacing::run(&options),
        Command::Restart(options) => restart::run(&options),
        Command::Codes(options) => codes::run(&options),
        Command::Outage(options) => outage::run(&options),
        Command::Fairness(options) => fairness::run(&options),
        Command::Overload(options) => overload::run(&options),
        Command::Latency(options) => latency::run(&options),
        Command::Instructions(options) => instructions::run(&options),
        #[cfg(feature = "cluster")]
        Command::Servers(options) => servers::figures::run(&options),
        #[cfg(feature = "cluster")]
        Command::Takeover(options) => servers::takeover::run(&options),
        #[cfg(feature = "cluster")]
        Command::Returns(options) => servers::returns::run(&options),
        Command::Prepare { data, recipients } => {
            node::run_prepare(&data, recipients).map(|()| true)
        }
        Command::Node { data, reach } => node::run_node(&data, &reach).map(|()| true),
        Command::HotPath { folder, recipients } => {
            instructions::run_hot_path(&folder, recipients).map(|()| true)
        }
        Command::Counter => provider::run_counter().map(|()| true),
        Command::Sandbox { data } => provider::run_sandbox(&data).map(|()| true),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
