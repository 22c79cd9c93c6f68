//! How far a source has been read, and how far of that is finished.

use std::collections::BTreeMap;

/// One minute in microseconds: due entries lie in buckets of a minute.
pub const IDLE_STEP: u64 = 60_000_000;

/// Positions of one source. Work finishes in any order; the cursor follows the lowest
/// position that is not finished. Several pieces of work may share a position: two
/// messages can be due at the same instant.
#[derive(Debug)]
pub struct PositionTracker {
    next: u64,
    outstanding: BTreeMap<u64, u32>,
    unfinished: usize,
    committed: u64,
    /// Whether work was read since the cursor was committed.
    touched: bool,
}

impl PositionTracker {
    /// A source whose committed cursor stands at `committed`.
    pub fn at(committed: u64) -> Self {
        Self {
            next: committed,
            outstanding: BTreeMap::new(),
            unfinished: 0,
            committed,
            touched: false,
        }
    }

    /// The next position to read.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// How many pieces of work were read and are not finished.
    pub fn unfinished(&self) -> usize {
        self.unfinished
    }

    /// Notes that these positions were read, and where to read on.
    pub fn read(&mut self, positions: impl IntoIterator<Item = u64>, next: u64) {
        for position in positions {
            *self.outstanding.entry(position).or_default() += 1;
            self.unfinished += 1;
            self.touched = true;
        }
        self.next = self.next.max(next);
    }

    /// Notes that one piece of work at this position is finished.
    pub fn finish(&mut self, position: u64) {
        let Some(count) = self.outstanding.get_mut(&position) else {
            return;
        };
        *count -= 1;
        self.unfinished -= 1;
        if *count == 0 {
            self.outstanding.remove(&position);
        }
    }

    /// Where the cursor may stand now, if that is further than it was committed. While
    /// nothing but time goes by, a cursor that is an instant follows in steps of
    /// [`IDLE_STEP`], so that an idle node commits next to nothing.
    pub fn advance(&mut self) -> Option<u64> {
        let cursor = self.outstanding.keys().next().copied().unwrap_or(self.next);
        let is_worth_it = self.touched || cursor >= self.committed.saturating_add(IDLE_STEP);
        (cursor > self.committed && is_worth_it).then(|| {
            self.committed = cursor;
            self.touched = self.unfinished > 0;
            cursor
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::PositionTracker;

    proptest! {
        /// In whatever order work finishes, the cursor never passes an unfinished
        /// position, never goes back, and ends at the end.
        #[test]
        fn the_cursor_follows_the_lowest_unfinished(
            order in Just((0_u64..200).collect::<Vec<_>>()).prop_shuffle(),
            chunk in 1_usize..50,
        ) {
            let mut tracker = PositionTracker::at(0);
            tracker.read(0..200, 200);
            let mut finished = std::collections::BTreeSet::new();
            let mut cursor = 0;
            for positions in order.chunks(chunk) {
                for position in positions {
                    tracker.finish(*position);
                    finished.insert(*position);
                }
                if let Some(to) = tracker.advance() {
                    prop_assert!(to > cursor);
                    cursor = to;
                }
                prop_assert!((0..cursor).all(|position| finished.contains(&position)));
            }
            prop_assert_eq!(cursor, 200);
            prop_assert_eq!(tracker.advance(), None);
        }
    }
}
