//! `bench returns`: a server is killed under a campaign, is away for a while, and comes back.
//! Whether the node goes on by itself, how soon, and what it holds in memory meanwhile.

use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::{Servers, counted, draft, ended};
use crate::child::Process;
use crate::customer;
use crate::engine_run::{RunStore, start_counter};
use crate::failure::BenchError;
use crate::machine::{Machine, boot_micros, load_average, require_disk};
use crate::options::Place;
use crate::provider::{Counted, Reach};
use crate::report::{Verdict, mebibytes, print_json, say};
use crate::serving::Serving;

/// Seconds from the moment at which a server answers again to the next text.
const RESUMES_WITHIN: f64 = 10.0;

/// MiB that an outage may add to the node's peak.
const GROWTH_CEILING_MIB: f64 = 16.0;

/// Texts before each outage and after it.
const TEXTS_BETWEEN: u64 = 300;

/// What is measured.
#[derive(Args, Clone, Debug)]
pub struct ReturnsOptions {
    /// Seconds that each server is away.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    /// Segments per second of the provider account.
    #[arg(long, default_value_t = 200.0)]
    rate: f64,
    #[command(flatten)]
    place: Place,
}

/// What is away.
#[derive(Clone, Copy, Debug, Serialize)]
enum Server {
    Cassandra,
    Kafka,
}

/// One outage.
#[derive(Debug, Serialize)]
struct Outage {
    server: Server,
    /// From its first answer to the next text.
    seconds: f64,
    /// What it added to the node's peak.
    growth_mib: f64,
}

#[derive(Debug, Serialize)]
struct Report {
    machine: Machine,
    load_average: f64,
    rate: f64,
    away_seconds: u64,
    outages: Vec<Outage>,
    /// Recipients, and texts that the provider counted.
    recipients: u64,
    texts: u64,
    verdicts: Vec<Verdict>,
}

/// Runs the benchmark and prints its report. Tells whether every floor was met.
///
/// # Errors
/// When the run fails.
pub fn run(options: &ReturnsOptions) -> Result<bool, BenchError> {
    require_disk(&options.place.folder)?;
    let servers = Servers::start()?;
    let store = RunStore::empty(&options.place.folder)?;
    let (mut counter, listening) = start_counter()?;
    let reach = Reach {
        address: listening.address,
        connections: 64,
        rate: options.rate,
        callbacks: true,
    };
    let node = servers.node(&store, &reach)?;
    let root = servers.tasks.block_on(node.root(&store))?;
    let recipients = 5 * TEXTS_BETWEEN;
    let (user, campaign) = servers.tasks.block_on(async {
        let (user, _) = customer::sign_up(&root).await?;
        let campaign = draft(&user, recipients).await?;
        customer::start(&user, campaign).await?;
        Ok::<_, BenchError>((user, campaign))
    })?;
    let mut texts = 0;
    let mut outages = Vec::new();
    for server in [Server::Cassandra, Server::Kafka] {
        texts += TEXTS_BETWEEN;
        texts = counted(&mut counter, texts)?.texts;
        let (outage, seen) = outlive(options, &servers, &node, &mut counter, server)?;
        texts = texts.max(seen);
        say(&format!(
            "{server:?} was away: the next text {:.2} s after its return, {:.1} MiB more",
            outage.seconds, outage.growth_mib
        ));
        outages.push(outage);
    }
    let numbers = servers.tasks.block_on(ended(&user, campaign))?;
    let counted = counter.ask::<Counted>("count")?.texts;
    say(&format!(
        "{recipients} recipients, {counted} texts, {numbers:?}"
    ));
    let most = |figure: fn(&Outage) -> f64| outages.iter().map(figure).fold(0.0, f64::max);
    let off = counted.abs_diff(recipients) as f64;
    let verdicts = vec![
        Verdict::at_most(
            "seconds from a server's return to the next text",
            most(|outage| outage.seconds),
            RESUMES_WITHIN,
        ),
        Verdict::at_most(
            "MiB that an outage adds to the peak",
            most(|outage| outage.growth_mib),
            GROWTH_CEILING_MIB,
        ),
        Verdict::at_most("texts too many or too few", off, 0.0),
    ];
    verdicts.iter().for_each(|floor| say(&floor.text()));
    let met = verdicts.iter().all(|verdict| verdict.met);
    if options.place.json {
        print_json(&Report {
            machine: Machine::look(),
            load_average: load_average(),
            rate: options.rate,
            away_seconds: options.seconds,
            outages,
            recipients,
            texts: counted,
            verdicts,
        });
    }
    Ok(met)
}

/// One server is killed, is away, and is back. Tells too how many texts were counted by then.
fn outlive(
    options: &ReturnsOptions,
    servers: &Servers,
    node: &Serving,
    counter: &mut Process,
    server: Server,
) -> Result<(Outage, u64), BenchError> {
    let before = node.peak_memory_bytes();
    match server {
        Server::Cassandra => servers.cassandra.kill(),
        Server::Kafka => servers.kafka.kill(0),
    }
    std::thread::sleep(Duration::from_secs(options.seconds));
    match server {
        Server::Cassandra => servers.cassandra.restart(),
        Server::Kafka => servers.kafka.restart(0),
    }
    let back = boot_micros();
    let texts = counter.ask::<Counted>("count")?.texts;
    let seen = counted(counter, texts + 1)?.texts;
    let outage = Outage {
        server,
        seconds: (boot_micros() - back) as f64 / 1e6,
        growth_mib: mebibytes(node.peak_memory_bytes() - before),
    };
    Ok((outage, seen))
}
