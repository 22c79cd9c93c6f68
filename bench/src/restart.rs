//! `bench restart`: from the start of a process whose predecessor was killed, with a
//! whole campaign pending, to the first text at the provider.

use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::child::Process;
use crate::engine_run::{Stores, start_counter, start_node};
use crate::failure::BenchError;
use crate::machine::{Machine, boot_micros, load_average, require_disk};
use crate::options::{Place, count};
use crate::provider::{Counted, Reach};
use crate::report::{Verdict, percentile, print_json, say};
use crate::serving::Serving;

/// Seconds to the first text that all but one in a hundred restarts must keep to.
const P99_CEILING: f64 = 3.0;

/// Segments per second. It decides how long a limiter rests after a restart.
const RATE: f64 = 3_000.0;

/// Texts that leave before the kill, the least and the most: rounds go through this
/// range evenly, so that write-ahead files of every length are read back.
const LEFT_BEFORE: (u64, u64) = (2_000, 20_000);

/// How often the counter is asked, and for how long it must stay as it is to count as
/// having read everything that a dead node wrote.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A run in which nothing happens for this long has failed.
const STANDSTILL_MICROS: u64 = 60_000_000;

/// What is measured.
#[derive(Args, Clone, Debug)]
pub struct RestartOptions {
    /// Recipients that are pending at each kill, such as 100k.
    #[arg(long, value_parser = count, default_value = "100k")]
    pub pending: u64,
    /// Kills.
    #[arg(long, default_value_t = 25, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    /// Connections to the provider, one request in flight on each.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub connections: u32,
    #[command(flatten)]
    pub place: Place,
}

#[derive(Debug, Serialize)]
struct Report {
    machine: Machine,
    load_average: f64,
    pending: u64,
    seconds: Vec<f64>,
    p50: f64,
    p99: f64,
    verdicts: Vec<Verdict>,
}

/// Runs the benchmark and prints its report. Tells whether every floor was met.
///
/// # Errors
/// When the run fails.
pub fn run(options: &RestartOptions) -> Result<bool, BenchError> {
    require_disk(&options.place.folder)?;
    let recipients = options.pending + LEFT_BEFORE.1;
    let stores = Stores::new(&options.place.folder);
    stores.prepare(recipients)?;
    let mut seconds = Vec::new();
    for round in 0..options.rounds {
        let part = f64::from(round) / f64::from(options.rounds);
        let left = LEFT_BEFORE.0 + (part * (LEFT_BEFORE.1 - LEFT_BEFORE.0) as f64) as u64;
        let took = one_kill(options, &stores, recipients, left)?;
        say(&format!("killed after {left} texts: {took:.3} s"));
        seconds.push(took);
    }
    stores.forget(recipients);
    seconds.sort_by(f64::total_cmp);
    let (p50, p99) = (percentile(&seconds, 50), percentile(&seconds, 99));
    let verdicts = vec![Verdict::at_most(
        "p99 of seconds from exec to the first text",
        p99,
        P99_CEILING,
    )];
    let (load_average, pending) = (load_average(), options.pending);
    say(&format!(
        "{pending} pending, {} kills, load average {load_average:.1}: p50 {p50:.3} s, p99 {p99:.3} s",
        options.rounds
    ));
    verdicts.iter().for_each(|verdict| say(&verdict.text()));
    let met = verdicts.iter().all(|verdict| verdict.met);
    if options.place.json {
        print_json(&Report {
            machine: Machine::look(),
            load_average,
            pending,
            seconds,
            p50,
            p99,
            verdicts,
        });
    }
    Ok(met)
}

/// Lets a campaign run until so many texts left, kills the node, and gives the seconds
/// from the start of the next one to its first text.
fn one_kill(
    options: &RestartOptions,
    stores: &Stores,
    recipients: u64,
    left: u64,
) -> Result<f64, BenchError> {
    let store = stores.copy(recipients)?;
    let (mut counter, listening) = start_counter()?;
    let reach = Reach {
        address: listening.address,
        connections: options.connections,
        rate: RATE,
        callbacks: true,
    };
    let mut node = start_node(&store, &reach)?;
    node.tell("start")?;
    until(&mut counter, |_, now| now >= Some(left))?;
    // Dropping it is `kill -9`, and waits until it is gone.
    drop(node);
    until(&mut counter, |before, now| before == now)?;
    counter.ask::<()>("watch")?;
    let begun = boot_micros();
    let node = Serving::start(&store, &reach.settings())?;
    let counted: Counted = counter.ask("count")?;
    drop(node);
    Ok((counted.first_at - begun) as f64 / 1e6)
}

/// Asks the counter until what it counted the last time and now is as wanted.
///
/// # Errors
/// When that is not so within a minute.
pub(crate) fn until(
    counter: &mut Process,
    is_there: impl Fn(Option<u64>, Option<u64>) -> bool,
) -> Result<(), BenchError> {
    let (mut before, standstill) = (None, boot_micros() + STANDSTILL_MICROS);
    while boot_micros() < standstill {
        let now = Some(counter.ask::<Counted>("count")?.texts);
        if is_there(before, now) {
            return Ok(());
        }
        before = now;
        std::thread::sleep(LOOK_EVERY);
    }
    let what = "the counter does not get there".to_owned();
    Err(BenchError::Invalid(what))
}
