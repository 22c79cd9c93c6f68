//! STOP: nothing begins for a person from the answer to it until the person says START, and
//! nothing is held back before the one and after the other.

use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};

use schemas::Message;

use crate::simulation::Simulation;
use crate::simulation::customers::Kind;
use crate::simulation::time::Time;

/// From STOP to START.
#[derive(Debug)]
struct Silence {
    /// When texts may be held back: from the first word on, and in the very instant of the last
    /// answer.
    may: RangeInclusive<u64>,
    /// When they must be: between the answers.
    must: Range<u64>,
}

/// Judges when every message to a person who said STOP began.
pub fn judge(simulation: &Simulation, messages: &[Message]) {
    let mut silences: BTreeMap<String, Silence> = BTreeMap::new();
    for errand in &simulation.customers.state().errands {
        if let Kind::Person(person) = &errand.kind
            && let Some(stopped) = person.said.first()
        {
            simulation.tally.count("a person said STOP");
            let start = person.said.get(1);
            let silence = Silence {
                may: stopped.asked_at
                    ..=start.map_or(u64::MAX, |start| start.heard_at.unwrap_or(u64::MAX)),
                must: stopped.heard_at.unwrap_or(u64::MAX)
                    ..start.map_or(u64::MAX, |start| start.asked_at),
            };
            silences.insert(person.number.clone(), silence);
        }
    }
    for message in messages {
        let Some(silence) = silences.get(message.envelope.to.as_str()) else {
            continue;
        };
        let is_skipped = message.reason.as_deref() == Some("opted_out");
        if is_skipped {
            simulation.tally.count("skipped after STOP");
        }
        if simulation.wall_jumped.get() {
            // Nobody can tell when something was by a clock that was wrong.
            continue;
        }
        // Nobody says STOP to a second sender, and what goes from one goes.
        let is_from_second = message.envelope.from.is_some();
        for entry in &message.timeline {
            let at = Time::of_true_wall(entry.at.0.unsigned_abs());
            let is_wrong = match entry.event.as_str() {
                "attempt_begun" if is_from_second => false,
                "attempt_begun" => (silence.must.start + 1..silence.must.end).contains(&at),
                "skipped" if is_skipped && is_from_second => true,
                "skipped" if is_skipped => !silence.may.contains(&at),
                _ => false,
            };
            if is_wrong {
                let (id, event) = (message.envelope.id, &entry.event);
                simulation.violated(format!("{id}: {event} at {at} µs, with {silence:?}"));
            }
        }
    }
}

/// Whether a person ever said STOP.
pub fn has_stopped(simulation: &Simulation, message: &Message) -> bool {
    let state = simulation.customers.state();
    let number = message.envelope.to.as_str();
    state.errands.iter().any(|errand| match &errand.kind {
        Kind::Person(person) => person.number == number && !person.said.is_empty(),
        Kind::Single(_) | Kind::Campaign(_) | Kind::Operator(_) | Kind::Account(_) => false,
    })
}
