//! `volley sandbox`: a provider that exists only on this machine. It ends when its
//! standard input closes, so that none outlives the process that started it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use engine::runtime::Runtime;
use futures::future::select;
use sandbox::{AccountConfig, FaultPlan, Outage, OutageError, Sandbox, SandboxConfig};

use super::{complain, give, tokio_runtime};
use crate::exit::Exit;
use crate::signal::StopSignals;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Address and port to listen on; port 0 takes any free port.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The folder of the book, which tells text by text what was taken.
    #[arg(long, value_name = "DIR")]
    book: PathBuf,
    /// A provider account: its id, its token, its limit in segments per second (0 is
    /// none), its senders. May be given several times.
    #[arg(
        long = "account",
        value_name = "SID:TOKEN:RATE:SENDER[,SENDER]",
        required = true
    )]
    accounts: Vec<AccountArgument>,
    /// When an account is out of order, in milliseconds from its first text on.
    #[arg(long = "outage", value_name = "SID:refuses|hangs:AFTER_MS:FOR_MS")]
    outages: Vec<OutageArgument>,
    /// What goes wrong: none, realistic or harsh.
    #[arg(long, value_name = "PLAN", default_value = "none")]
    faults: FaultPlan,
    /// The seed of everything that goes wrong, and of every delay.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Threads that serve connections.
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

/// One `--account`.
#[derive(Clone, Debug)]
struct AccountArgument(AccountConfig);

impl FromStr for AccountArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.splitn(4, ':').collect();
        let [sid, token, rate, senders] = parts.as_slice() else {
            return Err("write SID:TOKEN:RATE:SENDER".to_owned());
        };
        let rate: f64 = rate
            .parse()
            .map_err(|_| "the rate is not a number".to_owned())?;
        let senders: Vec<&str> = senders.split(',').collect();
        let mut account = AccountConfig::new(sid, token, &senders);
        account.segments_per_second = (rate != 0.0).then_some(rate);
        Ok(Self(account))
    }
}

/// One `--outage`.
#[derive(Clone, Debug)]
struct OutageArgument {
    sid: String,
    outage: Outage,
}

impl FromStr for OutageArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (sid, outage) = text.split_once(':').unwrap_or((text, ""));
        Ok(Self {
            sid: sid.to_owned(),
            outage: outage
                .parse()
                .map_err(|error: OutageError| error.to_string())?,
        })
    }
}

/// The accounts with their outages.
fn accounts_of(arguments: &Arguments) -> Result<Vec<AccountConfig>, String> {
    let accounts = arguments.accounts.iter();
    let mut accounts: Vec<AccountConfig> = accounts.map(|one| one.0.clone()).collect();
    for OutageArgument { sid, outage } in &arguments.outages {
        let account = accounts.iter_mut().find(|one| one.account_sid == *sid);
        let account = account.ok_or_else(|| format!("--outage: there is no account {sid}"))?;
        account.outage = Some(*outage);
    }
    Ok(accounts)
}

pub(super) fn run(arguments: Arguments) -> Exit {
    let accounts = match accounts_of(&arguments) {
        Ok(accounts) => accounts,
        Err(error) => {
            complain(&error);
            return Exit::Usage;
        }
    };
    let tokio = match tokio_runtime() {
        Ok(tokio) => tokio,
        Err(exit) => return exit,
    };
    let runtime = Runtime::of_machine(tokio.handle().clone());
    let started = Sandbox::start(SandboxConfig {
        listen: arguments.listen,
        accounts,
        book_folder: arguments.book,
        seed: arguments.seed,
        faults: arguments.faults,
        threads: arguments.threads,
    });
    let sandbox = match started {
        Ok(sandbox) => sandbox,
        Err(error) => {
            complain(&error);
            return Exit::Failure;
        }
    };
    // The first and only line: whoever started this with port 0 reads it.
    give(&format!("http://{}", sandbox.address()));
    tokio.block_on(wait(&runtime));
    // A thread still waits for standard input when a signal came first.
    tokio.shutdown_background();
    match sandbox.shutdown() {
        Ok(()) => Exit::Success,
        Err(error) => {
            complain(&error);
            Exit::Failure
        }
    }
}

/// Waits until standard input closes, or a signal comes.
async fn wait(runtime: &Runtime) {
    let input = runtime.blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
    match StopSignals::listen() {
        Ok(mut signals) => {
            let stopped = std::pin::pin!(signals.received());
            select(std::pin::pin!(input), stopped).await;
        }
        Err(_) => {
            let _ = input.await;
        }
    }
}
