//! When servers did not answer: what was to be done within some time gets as much longer.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How long whoever asks waits for an answer that does not come, and before it asks again, in
/// microseconds.
const WAITED_FOR: u64 = 1_800_000;

/// When a request was lost, or its answer, and until when its sender may have waited. Clones are
/// the same.
#[derive(Clone, Default)]
pub(super) struct Trouble(Arc<Mutex<Vec<(u64, u64)>>>);

impl Trouble {
    /// Whoever asks now waits.
    pub(super) fn begins(&self, now: u64) {
        let mut troubled = self.lock();
        match troubled.last_mut() {
            Some((_, until)) if *until >= now => *until = now + WAITED_FOR,
            Some(_) | None => troubled.push((now, now + WAITED_FOR)),
        }
    }

    /// How much longer something takes that would last from one instant to another.
    pub(super) fn takes_longer(&self, from: u64, until: u64) -> u64 {
        let mut ends = until;
        for (began, over) in self.lock().iter() {
            if *began < ends && *over > from {
                ends += over - (*began).max(from);
            }
        }
        ends - until
    }

    /// Whether anybody may have waited between two instants.
    pub(super) fn was_between(&self, from: u64, until: u64) -> bool {
        let is_between = |(began, over): &(u64, u64)| *began < until && *over > from;
        self.lock().iter().any(is_between)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(u64, u64)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
