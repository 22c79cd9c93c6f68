//! `bench latency`: how long a text takes from the moment its sender knows that it was
//! accepted to its arrival at the provider, beside what one fsync takes on the same disk.

use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use engine::client::NodeClient;
use sandbox::book::{Book, Record};
use sandbox::{AccountConfig, FaultPlan, Sandbox, SandboxConfig};
use schemas::Body;
use schemas::http::messages::{MessageBody, MessageRequest, Recipient};
use serde::Serialize;
use tokio::task::JoinSet;

use crate::engine_run::Stores;
use crate::failure::{BenchError, machine, refused};
use crate::machine::{
    Machine, asking_thread, boot_micros, load_average, require_disk, wall_micros,
};
use crate::options::Place;
use crate::provider::book_folder;
use crate::report::{Verdict, Waits, print_json, say};
use crate::serving::Serving;

/// The median of the waits may be so many fsyncs, and so many milliseconds beside.
const MEDIAN_FSYNCS: f64 = 2.0;
const MEDIAN_BESIDE_MS: f64 = 1.0;

/// Milliseconds that all but one in a hundred may wait.
const CEILING_MS: f64 = 10.0;

/// Fsyncs that are timed before the texts, and as many after them.
const FSYNCS: usize = 200;

/// Bytes of each: what a group commit of a few texts writes.
const FSYNC_BYTES: usize = 4_096;

/// The provider account must not be the limit: so many times the rate that is offered.
const HEADROOM: f64 = 10.0;

/// How long the last texts may take until the book is read.
const LEAVES_WITHIN: Duration = Duration::from_secs(2);

/// What is measured.
#[derive(Args, Clone, Debug)]
pub struct LatencyOptions {
    /// Texts that are asked for in a second, each by a request of its own.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub rate: u32,
    /// Seconds.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=120))]
    pub seconds: u32,
    #[command(flatten)]
    pub place: Place,
}

#[derive(Debug, Serialize)]
struct Report {
    machine: Machine,
    load_average: f64,
    offered_per_second: u32,
    texts: usize,
    fsync: Waits,
    /// From the request to its 202.
    accepted: Waits,
    /// From the 202 to the arrival at the provider.
    arrived: Waits,
    verdicts: Vec<Verdict>,
}

/// Runs the benchmark and prints its report. Tells whether the floors were met.
///
/// # Errors
/// When the run fails, or a text did not arrive exactly once.
pub fn run(options: &LatencyOptions) -> Result<bool, BenchError> {
    require_disk(&options.place.folder)?;
    let stores = Stores::new(&options.place.folder);
    stores.prepare(1)?;
    let mut fsyncs = time_fsyncs(&options.place.folder)?;
    let (asked, arrivals) = measure(options, &stores)?;
    fsyncs.extend(time_fsyncs(&options.place.folder)?);
    stores.forget(1);
    let millis = |from: u64, to: u64| (to as f64 - from as f64).max(0.0) / 1e3;
    let accepted = asked.iter().map(|text| millis(text.asked, text.accepted));
    let accepted = Waits::of(accepted.collect());
    let arrived = asked.iter().map(|text| {
        let at = arrivals.get(text.number as usize).copied().flatten();
        let at = at.ok_or_else(|| BenchError::Invalid("a text has not arrived".to_owned()))?;
        Ok(millis(text.accepted, at))
    });
    let arrived = Waits::of(arrived.collect::<Result<_, BenchError>>()?);
    let fsync = Waits::of(fsyncs);
    say(&fsync.text("one fsync", 2));
    say(&accepted.text("request to 202", 2));
    say(&arrived.text("202 to provider", 2));
    let median = MEDIAN_FSYNCS * fsync.p50 + MEDIAN_BESIDE_MS;
    let verdicts = vec![
        Verdict::at_most("ms from 202 to provider, p50", arrived.p50, median),
        Verdict::at_most("ms from 202 to provider, p99", arrived.p99, CEILING_MS),
    ];
    verdicts.iter().for_each(|verdict| say(&verdict.text()));
    let met = verdicts.iter().all(|verdict| verdict.met);
    if options.place.json {
        print_json(&Report {
            machine: Machine::look(),
            load_average: load_average(),
            offered_per_second: options.rate,
            texts: asked.len(),
            fsync,
            accepted,
            arrived,
            verdicts,
        });
    }
    Ok(met)
}

/// Milliseconds that appending and syncing a file takes, each time.
fn time_fsyncs(folder: &Path) -> Result<Vec<f64>, BenchError> {
    let failed = machine("a file cannot be synced");
    let path = folder.join("fsync");
    let mut file = File::create(&path).map_err(&failed)?;
    let mut took = Vec::with_capacity(FSYNCS);
    for _ in 0..FSYNCS {
        let begun = boot_micros();
        file.write_all(&[0; FSYNC_BYTES]).map_err(&failed)?;
        file.sync_data().map_err(&failed)?;
        took.push((boot_micros() - begun) as f64 / 1e3);
    }
    std::fs::remove_file(path).map_err(failed)?;
    Ok(took)
}

/// One text: its number, when it was asked for, and when its sender heard of it. Unix time in
/// microseconds.
struct Asked {
    number: u32,
    asked: u64,
    accepted: u64,
}

/// Asks for the texts; tells of each, and when it arrived by the sandbox's book, by number.
fn measure(
    options: &LatencyOptions,
    stores: &Stores,
) -> Result<(Vec<Asked>, Vec<Option<u64>>), BenchError> {
    let store = stores.copy(1)?;
    let book = book_folder(&store.folder);
    std::fs::create_dir_all(&book).map_err(machine("the folder of the book"))?;
    let account = AccountConfig::new(&format!("AC{:032x}", 1), &"0".repeat(32), &["+15005550001"]);
    let settings = settings(&account);
    let sandbox = Sandbox::start(SandboxConfig {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        accounts: vec![account],
        book_folder: book.clone(),
        seed: 1,
        faults: FaultPlan::none(),
        threads: 2,
    });
    let sandbox = sandbox.map_err(refused("the sandbox"))?;
    let limit = f64::from(options.rate) * HEADROOM;
    let settings = format!(
        "{settings}rate = {limit:.1}\nbase_url = \"http://{}\"\n",
        sandbox.address()
    );
    let node = Serving::start(&store, &settings)?;
    let runtime = asking_thread()?;
    let asked = runtime.block_on(async { ask(options, node.user(&store).await?).await })?;
    drop(node);
    sandbox.shutdown().map_err(refused("the sandbox's book"))?;
    let mut arrivals = vec![None; asked.len()];
    for record in Book::read(&book).map_err(refused("the sandbox's book"))? {
        if let Record::Text(text) = record.map_err(refused("the sandbox's book"))? {
            let number = text.body.parse::<usize>().ok();
            let arrival = number.and_then(|number| arrivals.get_mut(number));
            if arrival.is_none_or(|arrival| arrival.replace(text.at).is_some()) {
                let what = "a text arrived twice, or was asked for by nobody";
                return Err(BenchError::Invalid(what.to_owned()));
            }
        }
    }
    Ok((asked, arrivals))
}

/// The settings of a node with this account, all but its rate and address.
fn settings(account: &AccountConfig) -> String {
    let AccountConfig {
        account_sid,
        auth_token,
        senders,
        ..
    } = account;
    format!(
        "[http]\nlisten = \"127.0.0.1:0\"\n[[providers]]\nname = \"bench\"\nkind = \"twilio\"\n\
         senders = {senders:?}\naccount_sid = \"{account_sid}\"\nauth_token = \"{auth_token}\"\n"
    )
}

/// Asks for texts at the rate, whether earlier ones were answered or not.
async fn ask(options: &LatencyOptions, user: NodeClient) -> Result<Vec<Asked>, BenchError> {
    let user = Arc::new(user);
    let mut pace = tokio::time::interval(Duration::from_secs(1) / options.rate);
    let mut under_way = JoinSet::new();
    for number in 0..options.rate * options.seconds {
        pace.tick().await;
        let user = Arc::clone(&user);
        under_way.spawn(async move {
            let request = MessageRequest {
                to: Some(Recipient(format!("+1202{:07}", 2_000_000 + number))),
                body: Some(Body::new(number.to_string())),
                class: Some("transactional".to_owned()),
                ..MessageRequest::default()
            };
            let asked = wall_micros();
            let taken = user.post::<_, MessageBody>("/v1/messages", &request).await;
            taken.map(|_| Asked {
                number,
                asked,
                accepted: wall_micros(),
            })
        });
    }
    let mut asked = Vec::new();
    while let Some(ended) = under_way.join_next().await {
        let ended = ended.map_err(refused("a request"))?;
        asked.push(ended.map_err(refused("a text"))?);
    }
    tokio::time::sleep(LEAVES_WITHIN).await;
    Ok(asked)
}
