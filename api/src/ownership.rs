//! Who owns the journals, as the doors see it: this node, which commits what providers tell, or
//! others, for which that is kept. Nothing else that is asked at the doors needs an owner.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use engine::journal::Journal;
use engine::storage::Storage;
use engine::verify::Verifier;
use schemas::{Partition, PartitionCount, PartitionRange};

use crate::problem::Problem;

/// What this node may do as an owner. Cloning is cheap.
#[derive(Clone)]
pub struct Ownership(Arc<Inner>);

struct Inner {
    ranges: Vec<PartitionRange>,
    owned: RwLock<BTreeMap<PartitionRange, Owned>>,
}

/// What only the owner of a range has.
struct Owned {
    journal: Journal,
    verifier: Verifier,
}

impl Ownership {
    /// This node owns everything, from its start to its end.
    pub fn of(storage: &Storage) -> Self {
        let ownership = Self::awaited(storage.journal.partitions(), PartitionCount::ONE);
        ownership.begins(storage);
        ownership
    }

    /// This node waits for its turns; the partitions are divided among so many owners.
    pub fn awaited(partitions: PartitionCount, owners: PartitionCount) -> Self {
        Self(Arc::new(Inner {
            ranges: PartitionRange::divide(partitions, owners).collect(),
            owned: RwLock::default(),
        }))
    }

    /// It is this node's turn to own a range, and it has committed what was kept for that.
    pub fn begins(&self, storage: &Storage) {
        let owned = Owned {
            journal: storage.journal.clone(),
            verifier: storage.verifier.clone(),
        };
        let mut all = self.0.owned.write().unwrap_or_else(PoisonError::into_inner);
        all.insert(storage.journal.range(), owned);
    }

    /// The turn is another's.
    pub fn ends(&self, range: PartitionRange) {
        let mut all = self.0.owned.write().unwrap_or_else(PoisonError::into_inner);
        all.remove(&range);
    }

    /// Among how many owners the partitions are divided.
    pub fn owners(&self) -> u16 {
        self.0.ranges.len() as u16
    }

    /// How many partitions there are, whoever owns them.
    pub fn partitions(&self) -> PartitionCount {
        self.0
            .ranges
            .first()
            .map_or(PartitionCount::ONE, |range| range.all())
    }

    /// The range that a partition is in.
    pub fn range_of(&self, partition: Partition) -> PartitionRange {
        let ranges = &self.0.ranges;
        let place = ranges.iter().position(|range| range.holds(partition));
        place.map_or(PartitionRange::whole(self.partitions()), |place| {
            ranges[place]
        })
    }

    /// Where changes to a range are committed, if this node may.
    pub fn journal(&self, range: PartitionRange) -> Option<Journal> {
        let all = self.0.owned.read().unwrap_or_else(PoisonError::into_inner);
        Some(all.get(&range)?.journal.clone())
    }

    /// Whether this node owns the first range, and does what only one may.
    pub fn is_first(&self) -> bool {
        let first = self.0.ranges.first();
        first.is_some_and(|first| self.journal(*first).is_some())
    }

    /// Who verifies what this node owns.
    pub(crate) fn verifier(&self) -> Result<Verifier, Problem> {
        let all = self.0.owned.read().unwrap_or_else(PoisonError::into_inner);
        let owned = all.values().next();
        let waits = || Problem::unavailable("this node waits for its turn: ask one that owns");
        Ok(owned.ok_or_else(waits)?.verifier.clone())
    }
}
