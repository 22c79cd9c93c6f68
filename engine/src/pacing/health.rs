//! What changed of a provider account's health and is not written down yet: what its breaker did,
//! how its rate fell and came back, and what operators ordered. Plain state, as all of pacing.

use std::collections::VecDeque;

use schemas::health::{HealthEvent, HealthState};

/// Changes that wait to be written down, at most: the writer looks once a second, and the
/// oldest are forgotten while it cannot write.
const WAITING: usize = 100;

/// A change.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Noted {
    /// When, in microseconds on the boot-time clock.
    pub at: u64,
    /// What.
    pub event: HealthEvent,
    /// Why: a stable word.
    pub cause: &'static str,
    /// The rate that is used from then on, in segments per second.
    pub rate: f64,
}

/// Changes in their order.
#[derive(Clone, Debug, Default)]
pub struct HealthNotes(VecDeque<Noted>);

impl HealthNotes {
    /// Adds a change.
    pub fn add(&mut self, noted: Noted) {
        if self.0.len() == WAITING {
            self.0.pop_front();
        }
        self.0.push_back(noted);
    }

    /// Takes all that are there.
    pub fn take(&mut self) -> Vec<Noted> {
        self.0.drain(..).collect()
    }

    /// Puts back what could not be written down, before what came since.
    pub fn put_back(&mut self, noted: Vec<Noted>) {
        for noted in noted.into_iter().rev() {
            if self.0.len() == WAITING {
                return;
            }
            self.0.push_front(noted);
        }
    }
}

/// What a breaker did, if its state is another than before, and why. `cause` is why it opened, if
/// it did.
pub fn change_of(
    before: HealthState,
    after: HealthState,
    cause: &'static str,
) -> Option<(HealthEvent, &'static str)> {
    let change = match after {
        HealthState::Resting => (HealthEvent::Opened, cause),
        HealthState::Probing => (HealthEvent::Probed, "rested"),
        HealthState::Working => (HealthEvent::Closed, "answered"),
    };
    (before != after).then_some(change)
}
