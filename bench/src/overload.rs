//! `bench overload`: more callers than a node takes requests at once, for minutes, and many
//! times as many texts as its provider account takes. Whether what leaves, what is taken in
//! and the node's memory stay as they were.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use engine::client::NodeClient;
use schemas::Secret;
use serde::Serialize;

use crate::child::Process;
use crate::crowd::{self, Answers};
use crate::engine_run::{RunStore, Stores, start_counter};
use crate::failure::{BenchError, refused};
use crate::machine::{Machine, asking_thread, boot_micros, load_average, require_disk};
use crate::options::Place;
use crate::provider::{Counted, Reach};
use crate::report::{Verdict, mebibytes, print_json, say};
use crate::serving::Serving;

/// Callers of a node that is not overloaded.
const CALM_CALLERS: usize = 64;

/// How long they ask, before and after the overload.
const CALM: Duration = Duration::from_secs(15);

/// Accounts that call, each with one key: together they may ask more than a node on two
/// processors answers.
const ACCOUNTS: usize = 4;

/// The share of its rate that the provider account must get all through the overload.
const SENT_FLOOR: f64 = 0.98;

/// The share of what was taken in before that must be taken in during the overload: the callers
/// live on the same processors, and two thousand of them need a part of those.
const TAKEN_FLOOR: f64 = 0.5;

/// The same for afterwards.
const RECOVERED_FLOOR: f64 = 0.9;

/// MiB by which the second half of the overload may raise the node's peak, with all the texts
/// that wait by then.
const GROWTH_CEILING_MIB: f64 = 8.0;

/// MiB that the node may hold in all, with two thousand connections and their requests.
const MEMORY_CEILING_MIB: f64 = 256.0;

/// What is measured.
#[derive(Args, Clone, Debug)]
pub struct OverloadOptions {
    /// Callers, each with one request in flight: a worker of the node holds 1,024 connections.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=16_000))]
    pub callers: u32,
    /// Seconds of overload.
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u32).range(2..=3_600))]
    pub seconds: u32,
    /// Segments per second of the provider account.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub rate: u32,
    #[command(flatten)]
    pub place: Place,
}

/// A stretch of time in which so many callers asked.
#[derive(Clone, Debug, Serialize)]
struct Stretch {
    callers: usize,
    answers: Answers,
    taken_per_second: f64,
    sent_per_second: f64,
    /// The most memory that the node held from its start until the end of this.
    peak_memory_mib: f64,
}

#[derive(Debug, Serialize)]
struct Report {
    machine: Machine,
    load_average: f64,
    rate: u32,
    /// Before, the two halves of the overload, and after it.
    stretches: Vec<Stretch>,
    verdicts: Vec<Verdict>,
}

/// Runs the benchmark and prints its report. Tells whether the floors were met.
///
/// # Errors
/// When the run fails, or the node gave an answer that is none of 202, 429 and 503.
pub fn run(options: &OverloadOptions) -> Result<bool, BenchError> {
    require_disk(&options.place.folder)?;
    let stores = Stores::new(&options.place.folder);
    stores.prepare(1)?;
    let store = stores.copy(1)?;
    let runtime = asking_thread()?;
    let stretches = runtime.block_on(measure(options, &store))?;
    stores.forget(1);
    let verdicts = judge(options, &stretches);
    verdicts.iter().for_each(|verdict| say(&verdict.text()));
    let met = verdicts.iter().all(|verdict| verdict.met);
    if options.place.json {
        print_json(&Report {
            machine: Machine::look(),
            load_average: load_average(),
            rate: options.rate,
            stretches,
            verdicts,
        });
    }
    Ok(met)
}

async fn measure(options: &OverloadOptions, store: &RunStore) -> Result<Vec<Stretch>, BenchError> {
    let (mut counter, listening) = start_counter()?;
    let reach = Reach {
        address: listening.address,
        connections: 64,
        rate: f64::from(options.rate),
        callbacks: true,
    };
    let node = Serving::start(store, &reach.settings())?;
    let (root, url) = node.root(store).await?;
    let keys = keys(&root).await?;
    let address = url
        .strip_prefix("http://")
        .and_then(|host| host.parse().ok());
    let address: SocketAddr =
        address.ok_or_else(|| BenchError::Invalid(format!("the node serves at {url}")))?;
    let half = Duration::from_secs(u64::from(options.seconds)) / 2;
    let overload = options.callers as usize;
    let plan = [
        (CALM_CALLERS, CALM),
        (overload, half),
        (overload, half),
        (CALM_CALLERS, CALM),
    ];
    let mut stretches = Vec::new();
    for (callers, span) in plan {
        let (sent_before, begun): (Counted, u64) = (counter.ask("count")?, boot_micros());
        let answers = crowd::ask(address, &keys, callers, span).await?;
        let stretch = stretch(
            &mut counter,
            &node,
            callers,
            answers,
            (sent_before.texts, begun),
        )?;
        say(&stretch.text());
        stretches.push(stretch);
    }
    Ok(stretches)
}

/// The keys of accounts that only this benchmark has.
async fn keys(root: &NodeClient) -> Result<Vec<Secret>, BenchError> {
    let mut keys = Vec::new();
    for number in 1..=ACCOUNTS {
        let account = root.create_account(&format!("caller {number}")).await;
        let account = account.map_err(refused("an account"))?;
        let key = root.create_key(account.id, "bench").await;
        keys.push(Secret::new(key.map_err(refused("a key"))?.secret));
    }
    Ok(keys)
}

fn stretch(
    counter: &mut Process,
    node: &Serving,
    callers: usize,
    answers: Answers,
    (sent_before, begun): (u64, u64),
) -> Result<Stretch, BenchError> {
    let (sent, ended): (Counted, u64) = (counter.ask("count")?, boot_micros());
    let seconds = (ended - begun) as f64 / 1e6;
    Ok(Stretch {
        callers,
        answers,
        taken_per_second: answers.taken as f64 / seconds,
        sent_per_second: (sent.texts - sent_before) as f64 / seconds,
        peak_memory_mib: mebibytes(node.peak_memory_bytes()),
    })
}

fn judge(options: &OverloadOptions, stretches: &[Stretch]) -> Vec<Verdict> {
    let [before, first, second, after] = stretches else {
        return Vec::new();
    };
    let taken = |stretch: &Stretch| stretch.taken_per_second / before.taken_per_second;
    let sent = |stretch: &Stretch| stretch.sent_per_second / f64::from(options.rate);
    let broken: u64 = stretches.iter().map(|stretch| stretch.answers.broken).sum();
    let growth = second.peak_memory_mib - first.peak_memory_mib;
    vec![
        Verdict::at_least(
            "of the rate sent in the overload",
            sent(first).min(sent(second)),
            SENT_FLOOR,
        ),
        Verdict::at_least(
            "of what was taken in, in the overload",
            taken(first).min(taken(second)),
            TAKEN_FLOOR,
        ),
        Verdict::at_least("the same afterwards", taken(after), RECOVERED_FLOOR),
        Verdict::at_most("MiB that its second half added", growth, GROWTH_CEILING_MIB),
        Verdict::at_most("MiB of the node", after.peak_memory_mib, MEMORY_CEILING_MIB),
        Verdict::at_most(
            "connections that ended without an answer",
            broken as f64,
            0.0,
        ),
    ]
}

impl Stretch {
    fn text(&self) -> String {
        let Self {
            callers,
            answers,
            taken_per_second,
            sent_per_second,
            peak_memory_mib,
        } = self;
        let Answers {
            taken,
            too_many,
            busy,
            broken,
        } = answers;
        format!(
            "{callers} callers: {taken} taken in ({taken_per_second:.0}/s), 429 {too_many}, \
             503 {busy}, broken {broken}; {sent_per_second:.1}/s sent; {peak_memory_mib:.0} MiB"
        )
    }
}
