//! How far a source has been read, and how far of that is finished.

use std::collections::BTreeSet;

use schemas::MessageId;

/// One minute in microseconds: due entries lie in buckets of a minute.
pub const IDLE_STEP: u64 = 60_000_000;

/// Positions of one source. Work finishes in any order; the cursor follows the lowest
/// position that is not finished. Several messages may share a position: two can be due
/// at the same instant. One that is said to be finished twice counts once: what a
/// dispatcher that failed gave out ends while the next one has read it again.
#[derive(Debug)]
pub struct PositionTracker {
    next: u64,
    unfinished: BTreeSet<(u64, MessageId)>,
    committed: u64,
    /// Whether work was read since the cursor was committed.
    touched: bool,
}

impl PositionTracker {
    /// A source whose committed cursor stands at `committed`.
    pub fn at(committed: u64) -> Self {
        Self {
            next: committed,
            unfinished: BTreeSet::new(),
            committed,
            touched: false,
        }
    }

    /// The next position to read.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// How many messages were read and are not finished.
    pub fn unfinished(&self) -> usize {
        self.unfinished.len()
    }

    /// Notes that these messages were read, and where to read on.
    pub fn read(&mut self, messages: impl IntoIterator<Item = (u64, MessageId)>, next: u64) {
        for message in messages {
            self.unfinished.insert(message);
            self.touched = true;
        }
        self.next = self.next.max(next);
    }

    /// Notes that the message read at this position is finished.
    pub fn finish(&mut self, position: u64, message: MessageId) {
        self.unfinished.remove(&(position, message));
    }

    /// Where the cursor may stand now, if that is further than it was committed. While
    /// nothing but time goes by, a cursor that is an instant follows in steps of
    /// [`IDLE_STEP`], so that an idle node commits next to nothing.
    pub fn advance(&mut self) -> Option<u64> {
        let lowest = self.unfinished.first().map(|(position, _)| *position);
        let cursor = lowest.unwrap_or(self.next);
        let is_worth_it = self.touched || cursor >= self.committed.saturating_add(IDLE_STEP);
        (cursor > self.committed && is_worth_it).then(|| {
            self.committed = cursor;
            self.touched = !self.unfinished.is_empty();
            cursor
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use schemas::MessageId;

    use super::PositionTracker;

    fn message(number: u8) -> MessageId {
        MessageId::from_bytes([number; 16])
    }

    /// A dispatcher that failed had given out one of two messages that are due at the same
    /// instant; the next one reads both again.
    #[test]
    fn one_message_that_is_finished_twice_does_not_count_for_its_neighbour() {
        let mut tracker = PositionTracker::at(0);
        tracker.read([(7, message(1)), (7, message(2))], 8);
        tracker.finish(7, message(1));
        tracker.finish(7, message(1));
        assert_eq!(
            tracker.advance(),
            Some(7),
            "the other one is still to be sent"
        );
        tracker.finish(7, message(2));
        assert_eq!(tracker.advance(), Some(8));
    }

    proptest! {
        /// In whatever order work finishes, the cursor never passes an unfinished
        /// position, never goes back, and ends at the end.
        #[test]
        fn the_cursor_follows_the_lowest_unfinished(
            order in Just((0_u64..200).collect::<Vec<_>>()).prop_shuffle(),
            chunk in 1_usize..50,
        ) {
            let mut tracker = PositionTracker::at(0);
            tracker.read((0..200).map(|position| (position, message(0))), 200);
            let mut finished = std::collections::BTreeSet::new();
            let mut cursor = 0;
            for positions in order.chunks(chunk) {
                for position in positions {
                    tracker.finish(*position, message(0));
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
