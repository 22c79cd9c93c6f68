//! No more further attempts than a tenth of what a provider account is sent, and a few.

use std::ops::RangeInclusive;

use engine::retry::budget::{RESERVE, TEXTS_FOR_A_RETRY, WINDOW};
use schemas::Message;

use super::instant;
use super::wire::slack_of;
use crate::simulation::Simulation;
use crate::simulation::customers::commands::id_of;

/// Judges the attempts of every message against what left. By a clock that was set, nobody knows
/// when an attempt was begun.
pub fn judge(simulation: &Simulation, messages: &[Message]) {
    if simulation.wall_jumped.get() {
        return;
    }
    let entries = simulation.world.ledger.entries();
    for place in 0..simulation.world.providers().len() {
        let begun = messages.iter().flat_map(|message| &message.timeline);
        let begun = begun.filter(|entry| {
            let is_retry = entry.attempt.is_some_and(|attempt| attempt > 1);
            is_retry && entry.event == "attempt_begun" && entry.provider == Some(id_of(place))
        });
        let mut retries: Vec<u64> = begun.map(|entry| instant(entry.at)).collect();
        retries.sort_unstable();
        let calls = entries.calls.iter().filter(|call| call.provider == place);
        // A text over which its sender panics has left, and the provider has no call of it.
        let panicked = messages.iter().flat_map(|message| &message.timeline);
        let panicked = panicked.filter(|entry| {
            entry.detail.as_deref() == Some("panicked") && entry.provider == Some(id_of(place))
        });
        let left = calls.map(|call| call.at);
        let left = left.chain(panicked.map(|entry| instant(entry.at)));
        if let Some(wrong) = too_many(simulation, &retries, &left.collect::<Vec<_>>()) {
            simulation.violated(format!("provider {place}: {wrong}"));
        }
    }
}

/// The first window with too many. `retries` are in their order, `left` in any.
fn too_many(simulation: &Simulation, retries: &[u64], left: &[u64]) -> Option<String> {
    let (window, slack) = (WINDOW.as_micros() as u64, slack_of(simulation));
    let mut first = 0;
    for (last, until) in retries.iter().enumerate() {
        // From being given out to being begun there are some steps.
        while retries[first] + window <= until + slack {
            first += 1;
        }
        let window = until.saturating_sub(window + slack)..=until + slack;
        if stood_still(simulation, &window) {
            continue;
        }
        let texts = left.iter().filter(|at| window.contains(at)).count() as u64;
        // A process knows nothing of what others have sent.
        let begun = simulation.begun.borrow();
        let others = begun.iter().filter(|at| window.contains(at)).count() as u64;
        let is_shared = simulation
            .fleet
            .as_ref()
            .is_some_and(|fleet| fleet.is_shared());
        let others = others + u64::from(is_shared);
        let most = u64::from(RESERVE) * (1 + others) + texts / u64::from(TEXTS_FOR_A_RETRY);
        let many = (last + 1).saturating_sub(first) as u64;
        if many > most {
            let (from, until) = (retries[first] / 1_000, until / 1_000);
            return Some(format!(
                "{many} further attempts from {from} to {until} ms beside {texts} texts, {most} \
                 allowed"
            ));
        }
        if many == most {
            simulation.tally.count("W14: a retry budget was used up");
        }
    }
    None
}

/// What was given out before a process stood still is begun after it.
fn stood_still(simulation: &Simulation, window: &RangeInclusive<u64>) -> bool {
    let frozen = simulation.frozen.borrow();
    let mut frozen = frozen.iter();
    frozen.any(|(from, until)| until >= window.start() && from <= window.end())
}
