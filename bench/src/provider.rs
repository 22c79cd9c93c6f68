//! The two providers that a benchmark sends to, each in a child process: the bare
//! counter, against which ratios are taken, and the sandbox with its book, which tells
//! text by text whether each was sent exactly once.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use api::demo::pacing::Arrivals;
use engine::provider::{ProviderAccount, ProviderSettings, SenderSettings, Specifics};
use sandbox::book::{Book, Record};
use sandbox::{AccountConfig, BareCounter, FaultPlan, Sandbox, SandboxConfig};
use serde::{Deserialize, Serialize};

use crate::child;
use crate::failure::{BenchError, machine, refused};
use crate::machine::boot_micros;

/// The name decides the provider account's id, which a restart must find again.
const NAME: &str = "bench";
const ACCOUNT_SID: &str = "AC00000000000000000000000000000001";
const AUTH_TOKEN: &str = "00000000000000000000000000000002";
const SENDER: &str = "+15005550006";

/// Where the sandbox would call us. Nobody listens there, and the counter never calls.
const PUBLIC_URL: &str = "http://127.0.0.1:9";

/// Threads that serve connections, in the counter and the sandbox alike.
const THREADS: usize = 2;

/// How exactly the first text's arrival is seen.
const FIRST_LOOK: Duration = Duration::from_micros(100);

/// What a provider process says first.
#[derive(Serialize, Deserialize)]
pub struct Listening {
    /// Where it listens.
    pub address: SocketAddr,
}

/// What the counter has counted since it was told to watch.
#[derive(Serialize, Deserialize)]
pub struct Counted {
    /// POSTs.
    pub texts: u64,
    /// When the first one came, in microseconds since boot.
    pub first_at: u64,
}

/// What the sandbox's book holds.
#[derive(Serialize, Deserialize)]
pub struct Booked {
    /// Texts taken.
    pub texts: u64,
    /// Of them, those with another recipient and body than every other.
    pub distinct: u64,
    /// The most segments that arrived in any second without a stall of the sandbox of
    /// 5 ms or more; `None` when less than half of the texts arrived in such seconds.
    pub most_in_any_second: Option<u64>,
}

/// The child process `counter`: `watch` begins to count at the next POST, `count`
/// tells how many came since.
///
/// # Errors
/// When it cannot listen or the parent is gone.
pub fn run_counter() -> Result<(), BenchError> {
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let counter = BareCounter::start(listen, THREADS).map_err(machine("the counter"))?;
    child::answer(&Listening {
        address: counter.address(),
    })?;
    let (mut base, mut first_at) = (0, 0);
    while let Some(line) = child::next_line() {
        if line == "watch" {
            base = counter.count();
            child::answer(&())?;
            while counter.count() == base {
                std::thread::sleep(FIRST_LOOK);
            }
            first_at = boot_micros();
        } else {
            child::answer(&Counted {
                texts: counter.count() - base,
                first_at,
            })?;
        }
    }
    Ok(())
}

/// The child process `sandbox`: `count` stops it and tells what its book holds.
///
/// # Errors
/// When it cannot listen, or its book cannot be written or read.
pub fn run_sandbox(folder: &Path) -> Result<(), BenchError> {
    let started = Sandbox::start(SandboxConfig {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        accounts: vec![AccountConfig::new(ACCOUNT_SID, AUTH_TOKEN, &[SENDER])],
        book_folder: folder.to_owned(),
        seed: 1,
        faults: FaultPlan::none(),
        threads: THREADS,
    });
    let sandbox = started.map_err(refused("the sandbox"))?;
    child::answer(&Listening {
        address: sandbox.address(),
    })?;
    if child::next_line().is_none() {
        return Ok(());
    }
    sandbox.shutdown().map_err(refused("the sandbox's book"))?;
    let (mut texts, mut distinct) = (0, BTreeSet::new());
    let mut arrivals = Arrivals::default();
    for record in Book::read(folder).map_err(refused("the sandbox's book"))? {
        let record = record.map_err(refused("the sandbox's book"))?;
        arrivals.read(&record);
        if let Record::Text(text) = record
            && text.took
        {
            texts += 1;
            distinct.insert((text.to.into_owned(), text.body.into_owned()));
        }
    }
    child::answer(&Booked {
        texts,
        distinct: distinct.len() as u64,
        most_in_any_second: arrivals.most_in_any_second(ACCOUNT_SID),
    })
}

/// How the engine reaches a provider process.
#[derive(Clone, Debug, clap::Args)]
pub struct Reach {
    /// Where it listens.
    #[arg(long)]
    pub address: SocketAddr,
    /// Requests open at once.
    #[arg(long)]
    pub connections: u32,
    /// Segments per second.
    #[arg(long)]
    pub rate: f64,
    /// Whether texts carry a callback URL.
    #[arg(long)]
    pub callbacks: bool,
}

impl Reach {
    /// The same on a command line.
    pub fn arguments(&self) -> Vec<String> {
        let mut arguments = vec![
            format!("--address={}", self.address),
            format!("--connections={}", self.connections),
            format!("--rate={}", self.rate),
        ];
        if self.callbacks {
            arguments.push("--callbacks".to_owned());
        }
        arguments
    }

    /// The settings file of a node that has this account alone, on a port of its own.
    pub fn settings(&self) -> String {
        let Self {
            address,
            connections,
            rate,
            callbacks,
        } = self;
        let public_url = match callbacks {
            true => format!("public_url = \"{PUBLIC_URL}\"\n"),
            false => String::new(),
        };
        format!(
            "[http]\nlisten = \"127.0.0.1:0\"\n{public_url}\
             [[providers]]\nname = \"{NAME}\"\nkind = \"twilio\"\nrate = {rate:?}\n\
             max_in_flight = {connections}\nsenders = [\"{SENDER}\"]\n\
             account_sid = \"{ACCOUNT_SID}\"\nauth_token = \"{AUTH_TOKEN}\"\n\
             base_url = \"http://{address}\"\n"
        )
    }

    /// The provider account, opened as `serve` opens one from its settings.
    ///
    /// # Errors
    /// When the settings are refused.
    pub fn open(&self) -> Result<ProviderAccount, BenchError> {
        let specifics = [
            ("account_sid", ACCOUNT_SID.to_owned()),
            ("auth_token", AUTH_TOKEN.to_owned()),
            ("base_url", format!("http://{}", self.address)),
        ];
        let specifics =
            specifics.map(|(name, value)| (name.to_owned(), toml::Value::String(value)));
        let settings = ProviderSettings {
            name: NAME.to_owned(),
            kind: "twilio".to_owned(),
            rate: self.rate,
            burst: None,
            max_in_flight: self.connections,
            senders: vec![SenderSettings::Named(SENDER.to_owned())],
            default_sender: None,
            // The defaults of the settings.
            connect_timeout_ms: 5_000,
            request_timeout_ms: 10_000,
            specifics: Specifics(toml::Table::from_iter(specifics)),
        };
        let public_url = self.callbacks.then_some(PUBLIC_URL);
        engine::provider::open(&settings, public_url).map_err(refused("the provider account"))
    }
}

/// The folder of a sandbox's book beside a store.
pub fn book_folder(store: &Path) -> PathBuf {
    store.with_extension("book")
}
