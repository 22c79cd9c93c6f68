//! `bench takeover`: two nodes on the same servers, one of which owns all partitions. The owner
//! is killed, and the clock runs until the other's first text.

use clap::Args;
use serde::Serialize;

use super::{Servers, counted, draft};
use crate::child::Process;
use crate::customer;
use crate::engine_run::{RunStore, start_counter};
use crate::failure::BenchError;
use crate::machine::{Machine, boot_micros, load_average, require_disk};
use crate::options::Place;
use crate::provider::Reach;
use crate::report::{Verdict, percentile, print_json, say};
use crate::restart::until;
use crate::serving::Serving;

/// Seconds that the servers wait for a silent owner: the session of the owners' group.
const SESSION: f64 = 6.0;

/// Seconds that what comes after may take: reading the journals, the limiter's rest, the first
/// commit.
const BEYOND: f64 = 2.0;

/// Texts between two kills.
const TEXTS_BETWEEN: u64 = 100;

/// What is measured.
#[derive(Args, Clone, Debug)]
pub struct TakeoverOptions {
    /// Owners that are killed.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    kills: u32,
    /// Segments per second of the provider account.
    #[arg(long, default_value_t = 100.0)]
    rate: f64,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Serialize)]
struct Report {
    machine: Machine,
    load_average: f64,
    rate: f64,
    seconds: Vec<f64>,
    p50: f64,
    most: f64,
    verdicts: Vec<Verdict>,
}

/// Runs the benchmark and prints its report. Tells whether every floor was met.
///
/// # Errors
/// When the run fails.
pub fn run(options: &TakeoverOptions) -> Result<bool, BenchError> {
    require_disk(&options.place.folder)?;
    let servers = Servers::start()?;
    let (mut counter, listening) = start_counter()?;
    let reach = Reach {
        address: listening.address,
        connections: 64,
        rate: options.rate,
        callbacks: true,
    };
    // More than can leave, with what leaves while one node takes over from another.
    let between = TEXTS_BETWEEN + (options.rate * SESSION) as u64;
    let recipients = u64::from(options.kills + 2) * between;
    let mut owner = Member::start(&servers, &reach, options, 0)?;
    let root = servers.tasks.block_on(owner.node.root(&owner.store))?;
    servers.tasks.block_on(async {
        let (user, _) = customer::sign_up(&root).await?;
        let campaign = draft(&user, recipients).await?;
        customer::start(&user, campaign).await
    })?;
    let mut seconds = Vec::new();
    for kill in 1..=options.kills {
        let waiting = Member::start(&servers, &reach, options, kill)?;
        counter.ask::<()>("watch")?;
        counted(&mut counter, TEXTS_BETWEEN)?;
        let died = boot_micros();
        drop(owner);
        let first = first_text(&mut counter)?;
        let took = (first - died) as f64 / 1e6;
        say(&format!("kill {kill}: {took:.3} s"));
        seconds.push(took);
        owner = waiting;
    }
    seconds.sort_by(f64::total_cmp);
    let most = percentile(&seconds, 100);
    let report = Report {
        machine: Machine::look(),
        load_average: load_average(),
        rate: options.rate,
        p50: percentile(&seconds, 50),
        most,
        seconds,
        verdicts: vec![Verdict::at_most(
            "seconds from the kill to the next owner's first text",
            most,
            SESSION + BEYOND,
        )],
    };
    say(&format!("p50 {:.2} s, at most {most:.2} s", report.p50));
    report.verdicts.iter().for_each(|floor| say(&floor.text()));
    if options.place.json {
        print_json(&report);
    }
    Ok(report.verdicts.iter().all(|verdict| verdict.met))
}

/// A node with its folder. Dropping it kills it.
struct Member {
    node: Serving,
    store: RunStore,
}

impl Member {
    fn start(
        servers: &Servers,
        reach: &Reach,
        options: &TakeoverOptions,
        number: u32,
    ) -> Result<Self, BenchError> {
        let store = RunStore::empty(&options.place.folder.join(format!("node-{number}")))?;
        let node = servers.node(&store, reach)?;
        Ok(Self { node, store })
    }
}

/// When the next text comes to the counter, once it has read what a dead node wrote.
fn first_text(counter: &mut Process) -> Result<u64, BenchError> {
    until(counter, |before, now| before == now)?;
    counter.ask::<()>("watch")?;
    Ok(counted(counter, 1)?.first_at)
}
