//! How far ahead sources are read: what the partitions of one lane, or of all campaigns
//! together, may hold, shared among those that have something.

use schemas::MessageClass;
use schemas::position::SourceId;

/// What shares one read-ahead: a thousand campaigns read no further together than one, so
/// that neither memory nor the time until the last one's first text grows with them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Pool {
    /// A lane of the work log.
    Work(MessageClass),
    /// All campaigns.
    Audiences,
    /// What was scheduled or is tried again.
    Due,
}

impl Pool {
    /// Every pool, in the order of [`Pool::index`].
    pub const ALL: [Self; 4] = [
        Self::Work(MessageClass::Transactional),
        Self::Work(MessageClass::Marketing),
        Self::Audiences,
        Self::Due,
    ];

    /// Its place in an array with one entry for each pool.
    pub const fn index(self) -> usize {
        match self {
            Self::Work(MessageClass::Transactional) => 0,
            Self::Work(MessageClass::Marketing) => 1,
            Self::Audiences => 2,
            Self::Due => 3,
        }
    }

    /// That of a source; imports and callbacks are not sent from.
    pub fn of(source: SourceId) -> Option<Self> {
        match source {
            SourceId::Work(class) => Some(Self::Work(class)),
            SourceId::Audience(_) => Some(Self::Audiences),
            SourceId::Due(_) => Some(Self::Due),
            SourceId::Import(_) | SourceId::Callbacks => None,
        }
    }
}

/// How many positions of a pool may be read and not finished, over all partitions: at some
/// 500 bytes an item, 2 MiB. It covers what is on its way through two commits and a provider's
/// answer at 40,000 messages a second for 100 ms.
pub const READ_AHEAD: usize = 4_096;

/// What every partition of a campaign or lane may hold, however many there are, so that none
/// waits for the others: with a hundred campaigns in eight partitions, 25 MiB.
pub const MIN_READ_AHEAD: usize = 64;

/// The partitions of one pool, as they stand.
#[derive(Debug)]
pub struct ReadAhead {
    /// Positions of the whole pool.
    most: usize,
    /// Partitions that have something to read, or something that is not finished.
    active: usize,
    /// Positions that were read, or are being read, and are not finished.
    unfinished: usize,
}

impl ReadAhead {
    /// A pool of so many positions, [`READ_AHEAD`] or less.
    pub fn of(most: usize) -> Self {
        Self {
            most,
            active: 0,
            unfinished: 0,
        }
    }

    /// Counts a partition with so many positions unfinished.
    pub fn count(&mut self, unfinished: usize, has_more: bool) {
        self.unfinished += unfinished;
        self.active += usize::from(has_more || unfinished > 0);
    }

    /// Grants a partition with so many unfinished a read of so many positions; none while
    /// more than half of its share is still unfinished, so that reads are not small ones.
    pub fn grant(&mut self, unfinished: usize) -> Option<usize> {
        let least = MIN_READ_AHEAD.min(self.most);
        let share = (self.most / self.active.max(1)).max(least);
        if unfinished > share / 2 {
            return None;
        }
        let left = self.most.saturating_sub(self.unfinished);
        let granted = (share - unfinished)
            .min(left)
            .max(least.saturating_sub(unfinished));
        self.unfinished += granted;
        (granted > 0).then_some(granted)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{MIN_READ_AHEAD, READ_AHEAD, ReadAhead};

    fn counted(partitions: &[(usize, bool)]) -> ReadAhead {
        let mut read_ahead = ReadAhead::of(READ_AHEAD);
        for (unfinished, has_more) in partitions {
            read_ahead.count(*unfinished, *has_more);
        }
        read_ahead
    }

    #[test]
    fn a_lone_partition_gets_all_of_it() {
        let mut read_ahead = counted(&[(0, true), (0, false), (0, false)]);
        assert_eq!(read_ahead.grant(0), Some(READ_AHEAD));
    }

    #[test]
    fn partitions_share_it() {
        let mut read_ahead = counted(&[(0, true), (100, true), (0, false), (300, false)]);
        assert_eq!(read_ahead.grant(0), Some(READ_AHEAD / 3));
        assert_eq!(read_ahead.grant(100), Some(READ_AHEAD / 3 - 100));
    }

    #[test]
    fn what_is_more_than_half_full_is_not_read() {
        let mut read_ahead = counted(&[(READ_AHEAD / 4 + 1, true), (0, true)]);
        assert_eq!(read_ahead.grant(READ_AHEAD / 4 + 1), None);
    }

    proptest! {
        #[test]
        fn no_more_than_the_whole_and_the_least_of_each(
            partitions in prop::collection::vec((0_usize..3_000, any::<bool>()), 1..100),
        ) {
            let mut read_ahead = counted(&partitions);
            let before: usize = partitions.iter().map(|(unfinished, _)| unfinished).sum();
            let mut after = before;
            for (unfinished, _) in partitions.iter().filter(|(_, has_more)| *has_more) {
                let granted = read_ahead.grant(*unfinished);
                if *unfinished < MIN_READ_AHEAD / 2 {
                    prop_assert!(granted.unwrap_or(0) + unfinished >= MIN_READ_AHEAD);
                }
                after += granted.unwrap_or(0);
            }
            let least = MIN_READ_AHEAD * partitions.len();
            prop_assert!(after <= before.max(READ_AHEAD) + least, "{after}");
        }
    }
}
