//! The most segments in any sliding second, exactly, over a stream of stamps.
//!
//! A window is half open, `(t - 1 s, t]`, and ends at a stamp: the sum over any
//! other second is not larger than over one of these. Stamps of several threads
//! arrive a little out of order, so the entries keep running totals, which make
//! every window's sum a subtraction, also for those that a late stamp changes.

use std::collections::VecDeque;

/// The window's length in microseconds.
const SECOND_US: u64 = 1_000_000;

/// How far behind the newest stamp an entry is kept, in microseconds: the window
/// itself and two seconds for a stamp whose request body came slowly. An older
/// stamp is counted in the totals, not in any window.
const KEPT_US: u64 = 3 * SECOND_US;

#[derive(Clone, Copy)]
struct Entry {
    at: u64,
    /// Segments of this entry and all before it.
    total: u64,
}

/// Running record of one account's stamps.
pub(crate) struct SlidingSecond {
    /// At least [`KEPT_US`].
    kept_us: u64,
    entries: VecDeque<Entry>,
    /// Running total just before the first kept entry.
    before: u64,
    most: u64,
}

impl Default for SlidingSecond {
    fn default() -> Self {
        Self::keeping(KEPT_US)
    }
}

impl SlidingSecond {
    /// A record that can also sum over longer windows, up to `window_us` microseconds.
    pub(crate) fn keeping(window_us: u64) -> Self {
        let kept_us = window_us.max(KEPT_US);
        Self {
            kept_us,
            entries: VecDeque::new(),
            before: 0,
            most: 0,
        }
    }

    /// Adds `segments` at `at` (Unix microseconds).
    pub(crate) fn add(&mut self, at: u64, segments: u32) {
        let newest = self.entries.back().map_or(0, |entry| entry.at);
        if at.saturating_add(self.kept_us) < newest {
            return;
        }
        let mut place = self.entries.len();
        while place > 0
            && self
                .entries
                .get(place - 1)
                .is_some_and(|entry| entry.at > at)
        {
            place -= 1;
        }
        let total = self.total_before(place) + u64::from(segments);
        self.entries.insert(place, Entry { at, total });
        for later in self.entries.iter_mut().skip(place + 1) {
            later.total += u64::from(segments);
        }
        for changed in place..self.entries.len() {
            let Some(entry) = self.entries.get(changed).copied() else {
                break;
            };
            // Only windows that end less than a second after the new stamp hold it.
            if entry.at >= at.saturating_add(SECOND_US) {
                break;
            }
            self.most = self
                .most
                .max(entry.total - self.total_until(entry.at, SECOND_US));
        }
        self.forget(newest.max(at));
    }

    /// Segments in the last `window_us` microseconds before and at `now`.
    pub(crate) fn sum_at(&self, now: u64, window_us: u64) -> u64 {
        let end = self.entries.partition_point(|entry| entry.at <= now);
        self.total_before(end)
            .saturating_sub(self.total_until(now, window_us))
    }

    /// The most segments in any window so far.
    pub(crate) fn most(&self) -> u64 {
        self.most
    }

    fn total_before(&self, place: usize) -> u64 {
        match place.checked_sub(1) {
            Some(last) => self
                .entries
                .get(last)
                .map_or(self.before, |entry| entry.total),
            None => self.before,
        }
    }

    /// Running total at the open start of the window of that length that ends at `end`.
    fn total_until(&self, end: u64, window_us: u64) -> u64 {
        let Some(start) = end.checked_sub(window_us) else {
            return self.before;
        };
        self.total_before(self.entries.partition_point(|entry| entry.at <= start))
    }

    fn forget(&mut self, newest: u64) {
        while let Some(first) = self.entries.front() {
            if first.at.saturating_add(self.kept_us) >= newest {
                break;
            }
            self.before = first.total;
            self.entries.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{SECOND_US, SlidingSecond};
    use proptest::prelude::*;

    fn most_by_hand(stamps: &[(u64, u32)]) -> u64 {
        let window = |end: u64| {
            let inside = |at: u64| at <= end && at + SECOND_US > end;
            stamps
                .iter()
                .filter(|(at, _)| inside(*at))
                .map(|(_, n)| u64::from(*n))
                .sum()
        };
        stamps.iter().map(|(at, _)| window(*at)).max().unwrap_or(0)
    }

    proptest! {
        #[test]
        fn equals_the_definition(
            steps in proptest::collection::vec((0_u64..400_000, 0_u64..900_000, 1_u32..5), 0..60)
        ) {
            let mut stamps = Vec::new();
            let mut window = SlidingSecond::default();
            let mut time = 10 * SECOND_US;
            for (step, lateness, segments) in steps {
                time += step;
                stamps.push((time - lateness, segments));
                window.add(time - lateness, segments);
                let sum: u64 = stamps
                    .iter()
                    .filter(|(at, _)| *at <= time && at + SECOND_US > time)
                    .map(|(_, n)| u64::from(*n))
                    .sum();
                prop_assert_eq!(window.sum_at(time, SECOND_US), sum);
            }
            prop_assert_eq!(window.most(), most_by_hand(&stamps));
        }
    }

    #[test]
    fn the_window_is_half_open() {
        let mut window = SlidingSecond::default();
        window.add(5_000_000, 3);
        window.add(6_000_000, 4);
        assert_eq!(window.most(), 4);
        window.add(5_999_999, 2);
        assert_eq!(window.most(), 6);
    }
}
