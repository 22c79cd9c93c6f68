//! `bench pacing`: one provider account at a set rate while work is always waiting.
//! How much of the rate is used, and whether any second holds more than it, by our send
//! stamps and by the arrivals in the sandbox's book.

use clap::Args;
use serde::Serialize;

use crate::engine_run::{Stores, start_node, start_sandbox};
use crate::failure::BenchError;
use crate::machine::{Machine, load_average, require_disk};
use crate::node::Dispatched;
use crate::options::Place;
use crate::provider::{Booked, Reach};
use crate::report::{Verdict, print_json, say};
use crate::stamps::Rhythm;

/// The share of the rate that must be used while work waits.
const USED_FLOOR: f64 = 0.98;

/// How much more than the rate may arrive in a second: the network, and both processes'
/// turns on the processors, shift single texts by milliseconds.
const ARRIVED_CEILING: f64 = 1.02;

/// Seconds of work beyond the span that is judged, so that work waits to its end.
const MORE_SECONDS: u32 = 3;

/// What is measured.
#[derive(Args, Clone, Debug)]
pub struct PacingOptions {
    /// Segments per second.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub rate: u32,
    /// Seconds that are judged.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    pub seconds: u32,
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
    rate: u32,
    seconds: u32,
    rhythm: Rhythm,
    arrived_in_any_second: u64,
    used: f64,
    verdicts: Vec<Verdict>,
}

/// Runs the benchmark and prints its report. Tells whether every floor was met.
///
/// # Errors
/// When the run fails or does not count.
pub fn run(options: &PacingOptions) -> Result<bool, BenchError> {
    require_disk(&options.place.folder)?;
    let recipients = u64::from(options.rate) * u64::from(options.seconds + MORE_SECONDS);
    let stores = Stores::new(&options.place.folder);
    stores.prepare(recipients)?;
    let rhythm = measure(options, &stores, recipients);
    stores.forget(recipients);
    let (rhythm, arrived_in_any_second) = rhythm?;
    let rate = f64::from(options.rate);
    let wanted = rate * f64::from(options.seconds);
    let used = rhythm.in_span as f64 / wanted;
    let most = rhythm.most_in_any_second as f64;
    let verdicts = vec![
        Verdict::at_least("share of the rate used", used, USED_FLOOR),
        Verdict::at_most("segments sent in any second", most, rate),
        Verdict::at_most(
            "segments arrived in any second",
            arrived_in_any_second as f64,
            rate * ARRIVED_CEILING,
        ),
    ];
    let load_average = load_average();
    say(&format!(
        "{} segments/s for {} s, load average {load_average:.1}",
        options.rate, options.seconds
    ));
    verdicts.iter().for_each(|verdict| say(&verdict.text()));
    let met = verdicts.iter().all(|verdict| verdict.met);
    if options.place.json {
        let (machine, rate, seconds) = (Machine::look(), options.rate, options.seconds);
        print_json(&Report {
            machine,
            load_average,
            rate,
            seconds,
            rhythm,
            arrived_in_any_second,
            used,
            verdicts,
        });
    }
    Ok(met)
}

/// The rhythm by our stamps, and the most that arrived in any second.
fn measure(
    options: &PacingOptions,
    stores: &Stores,
    recipients: u64,
) -> Result<(Rhythm, u64), BenchError> {
    let store = stores.copy(recipients)?;
    let (mut sandbox, listening) = start_sandbox(&store)?;
    let reach = Reach {
        address: listening.address,
        connections: options.connections,
        rate: f64::from(options.rate),
        callbacks: false,
    };
    let mut node = start_node(&store, &reach)?;
    let dispatched: Dispatched = node.ask("start")?;
    let rhythm: Rhythm = node.ask(&format!("stamps {}", options.seconds))?;
    drop(node);
    let booked: Booked = sandbox.ask("count")?;
    if [dispatched.accepted, rhythm.segments, booked.texts]
        .iter()
        .any(|n| *n != recipients)
    {
        return Err(BenchError::Invalid(format!(
            "{recipients} contacts, {} accepted, {} stamps, {} texts arrived",
            dispatched.accepted, rhythm.segments, booked.texts
        )));
    }
    let arrived = booked.most_in_any_second.ok_or_else(|| {
        let why = "the sandbox stood still too often to tell when texts arrived";
        BenchError::Invalid(why.to_owned())
    })?;
    Ok((rhythm, arrived))
}
