//! Benchmarks of the whole engine, each with its verdict; see the README beside this
//! package for what they measure and what not.

mod child;
mod codes;
mod dispatch;
mod engine_run;
mod failure;
mod hyper_client;
mod machine;
mod node;
mod outage;
mod pacing;
mod provider;
mod raw;
mod recipients;
mod report;
mod request;
mod restart;
mod serving;
mod stamps;
mod wrk;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::codes::CodesOptions;
use crate::dispatch::DispatchOptions;
use crate::failure::BenchError;
use crate::outage::OutageOptions;
use crate::pacing::PacingOptions;
use crate::provider::Reach;
use crate::restart::RestartOptions;

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
    Dispatch {
        /// Sizes of campaigns, such as 10k,100k,1M.
        #[arg(long, value_delimiter = ',', value_parser = count, default_value = "10k,100k,1M")]
        recipients: Vec<u64>,
        /// Connections to the provider, one request in flight on each.
        #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1024))]
        connections: u32,
        /// Rounds, in which the engine and the clients take turns.
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
        rounds: u16,
        #[command(flatten)]
        place: Place,
    },
    /// How well a set rate is used, and whether it is kept.
    Pacing {
        /// Segments per second.
        #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        rate: u32,
        /// Seconds that are judged.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=3_600))]
        seconds: u32,
        /// Connections to the provider, one request in flight on each.
        #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1024))]
        connections: u32,
        #[command(flatten)]
        place: Place,
    },
    /// From the restart of a killed node to its first text, with a campaign pending.
    Restart {
        /// Recipients that are pending at each kill, such as 100k.
        #[arg(long, value_parser = count, default_value = "100k")]
        pending: u64,
        /// Kills.
        #[arg(long, default_value_t = 25, value_parser = clap::value_parser!(u32).range(1..))]
        rounds: u32,
        /// Connections to the provider, one request in flight on each.
        #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1024))]
        connections: u32,
        #[command(flatten)]
        place: Place,
    },
    /// How long one-time codes wait beside a campaign that takes a provider's whole rate.
    Codes {
        /// Recipients of the campaign, such as 1M.
        #[arg(long, value_parser = count, default_value = "1M")]
        recipients: u64,
        /// Segments per second of the provider account.
        #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        rate: u32,
        /// Codes, with and without the campaign each.
        #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(100..=5_000))]
        codes: u32,
        /// Connections to the provider, one request in flight on each.
        #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1024))]
        connections: u32,
        #[command(flatten)]
        place: Place,
    },
    /// What the death of one of three provider accounts costs a campaign.
    Outage {
        /// Recipients of the campaign, such as 60k.
        #[arg(long, value_parser = count, default_value = "60k")]
        recipients: u64,
        /// Segments per second of each account.
        #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(100..=10_000))]
        rate: u32,
        #[command(flatten)]
        place: Place,
    },
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
    Counter,
    #[command(hide = true)]
    Sandbox {
        #[arg(long)]
        data: PathBuf,
    },
}

#[derive(Args)]
struct Place {
    /// Prints the report as one line of JSON to standard output too.
    #[arg(long)]
    json: bool,
    /// Where the stores are kept meanwhile: on a disk, with 4 GB free for a million.
    #[arg(long, default_value = "target/bench-stores")]
    folder: PathBuf,
}

/// `10k`, `1M` or plain digits.
fn count(text: &str) -> Result<u64, String> {
    let (digits, factor) = match text.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1_000),
        None => text
            .strip_suffix('M')
            .map_or((text, 1), |digits| (digits, 1_000_000)),
    };
    let number = digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(factor));
    let most = recipients::MOST_RECIPIENTS;
    let fits = number.filter(|number| (1..=most).contains(number));
    fits.ok_or_else(|| format!("a number from 1 to {most}, such as 250, 10k or 1M"))
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
        Command::Dispatch {
            recipients,
            connections,
            rounds,
            place,
        } => {
            let Place { json, folder } = place;
            let rounds = usize::from(rounds);
            dispatch::run(&DispatchOptions {
                recipients,
                connections,
                rounds,
                json,
                folder,
            })
        }
        Command::Pacing {
            rate,
            seconds,
            connections,
            place,
        } => {
            let Place { json, folder } = place;
            pacing::run(&PacingOptions {
                rate,
                seconds,
                connections,
                json,
                folder,
            })
        }
        Command::Restart {
            pending,
            rounds,
            connections,
            place,
        } => {
            let Place { json, folder } = place;
            restart::run(&RestartOptions {
                pending,
                rounds,
                connections,
                json,
                folder,
            })
        }
        Command::Codes {
            recipients,
            rate,
            codes,
            connections,
            place,
        } => {
            let Place { json, folder } = place;
            codes::run(&CodesOptions {
                recipients,
                rate,
                codes,
                connections,
                json,
                folder,
            })
        }
        Command::Outage {
            recipients,
            rate,
            place,
        } => {
            let Place { json, folder } = place;
            outage::run(&OutageOptions {
                recipients,
                rate,
                json,
                folder,
            })
        }
        Command::Prepare { data, recipients } => {
            node::run_prepare(&data, recipients).map(|()| true)
        }
        Command::Node { data, reach } => node::run_node(&data, &reach).map(|()| true),
        Command::Counter => provider::run_counter().map(|()| true),
        Command::Sandbox { data } => provider::run_sandbox(&data).map(|()| true),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::{Cli, count};

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn sizes_are_written_short() {
        assert_eq!(count("250"), Ok(250));
        assert_eq!(count("10k"), Ok(10_000));
        assert_eq!(count("1M"), Ok(1_000_000));
        for wrong in ["", "0", "k", "9M", "1.5k", "-3"] {
            assert!(count(wrong).is_err(), "{wrong}");
        }
    }
}
