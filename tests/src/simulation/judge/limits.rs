//! Limits of accounts and of senders: no sliding second holds more than they may go, whichever
//! provider account carries it and over restarts; of an account from a second after a change
//! was acknowledged, and until it was asked for.

use std::collections::BTreeMap;
use std::ops::Range;

use engine::pacing::Pace;
use schemas::{AccountId, Message};

use super::kept_from;
use super::wire::{calls_of, excess, slack_of};
use crate::fixture::default_sender;
use crate::simulation::Simulation;
use crate::simulation::customers::Kind;
use crate::simulation::ledger::Call;
use crate::simulation::world::second_sender;

/// Judges every request.
pub fn judge(simulation: &Simulation, messages: &[Message]) {
    let entries = simulation.world.ledger.entries();
    let calls = calls_of(simulation, &entries);
    senders(simulation, &calls);
    let messages = messages.iter().map(|message| &message.envelope);
    let owners: BTreeMap<String, AccountId> = messages
        .map(|envelope| (envelope.id.to_string(), envelope.account))
        .collect();
    let accounts = simulation.customers.state().accounts.clone();
    for (place, (account, _)) in accounts.iter().enumerate() {
        let calls = calls.iter().copied().filter(|call| {
            let message = call.attempt.as_ref().map(|(message, _)| message);
            message.and_then(|message| owners.get(message)) == Some(account)
        });
        let calls: Vec<&Call> = calls.collect();
        for (kept, rate) in rules(simulation, place) {
            let calls = calls.iter().copied();
            let calls: Vec<&Call> = calls.filter(|call| kept.contains(&call.at)).collect();
            if !calls.is_empty() {
                simulation.tally.count("an account was limited");
            }
            if let Some(wrong) = too_fast(simulation, rate, &calls) {
                simulation.violated(format!("account {place}: {wrong}"));
            }
        }
    }
}

/// What held of an account, and when.
fn rules(simulation: &Simulation, place: usize) -> Vec<(Range<u64>, f64)> {
    let state = simulation.customers.state();
    let changed = state.errands.iter().find_map(|errand| match &errand.kind {
        Kind::Account(change) if errand.account == place => change.ordered.zip(Some(change.rate)),
        Kind::Account(_)
        | Kind::Single(_)
        | Kind::Campaign(_)
        | Kind::Person(_)
        | Kind::Operator(_) => None,
    });
    let until = changed.map_or(u64::MAX, |(ordered, _)| ordered.asked_at);
    let first = simulation.plan.accounts[place].rate;
    let mut rules: Vec<_> = first.map(|rate| (0..until, rate)).into_iter().collect();
    if let Some((ordered, Some(rate))) = changed
        && let Some(heard) = ordered.heard_at
    {
        rules.push((kept_from(simulation, heard)..u64::MAX, rate));
    }
    rules
}

fn senders(simulation: &Simulation, calls: &[&Call]) {
    for (place, plan) in simulation.world.providers().iter().enumerate() {
        let names = [default_sender(place + 1), second_sender(place + 1)];
        for (name, rate) in names.iter().zip(plan.sender_rates) {
            let calls = calls.iter().copied();
            let own = calls.filter(|call| call.provider == place && call.from == *name);
            let own: Vec<&Call> = own.collect();
            if let Some(rate) = rate.filter(|_| !own.is_empty()) {
                simulation.tally.count("a sender was limited");
                if let Some(wrong) = too_fast(simulation, rate, &own) {
                    simulation.violated(format!("sender {name}: {wrong}"));
                }
            }
        }
    }
}

/// Whether more left in a window than the rate allows.
fn too_fast(simulation: &Simulation, rate: f64, calls: &[&Call]) -> Option<String> {
    let pace = Pace::new(rate, None).expect("a rate");
    let (segments, from, to) = excess(&pace, calls, slack_of(simulation))?;
    let (from, to, most) = (from.at, to.at, pace.segments_in_window());
    Some(format!(
        "{segments} segments from {from} to {to} µs, {most} allowed by its own limit"
    ))
}
