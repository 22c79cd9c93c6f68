//! Who owns the journals, as the doors see it: this node, which commits what providers tell, or
//! another one, for which that is kept. Nothing else that is asked at the doors needs an owner.

use std::sync::{Arc, OnceLock};

use engine::journal::Journal;
use engine::storage::Storage;
use engine::verify::Verifier;
use schemas::PartitionCount;

use crate::problem::Problem;

/// What this node may do as the owner. Cloning is cheap.
#[derive(Clone)]
pub struct Ownership(Arc<Inner>);

struct Inner {
    partitions: PartitionCount,
    owned: OnceLock<Owned>,
}

/// What only the owner has.
struct Owned {
    journal: Journal,
    verifier: Verifier,
}

impl Ownership {
    /// This node owns, from its start to its end.
    pub fn of(storage: &Storage) -> Self {
        let ownership = Self::awaited(storage.journal.partitions());
        ownership.begins(storage);
        ownership
    }

    /// This node waits for its turn.
    pub fn awaited(partitions: PartitionCount) -> Self {
        Self(Arc::new(Inner {
            partitions,
            owned: OnceLock::new(),
        }))
    }

    /// It is this node's turn, and it has committed what was kept before. That ends with the
    /// process.
    pub fn begins(&self, storage: &Storage) {
        let owned = Owned {
            journal: storage.journal.clone(),
            verifier: storage.verifier.clone(),
        };
        // A second turn would be of the same journals.
        let _ = self.0.owned.set(owned);
    }

    /// How many partitions there are, whoever owns them.
    pub fn partitions(&self) -> PartitionCount {
        self.0.partitions
    }

    /// Where changes are committed, if this node may.
    pub fn journal(&self) -> Option<&Journal> {
        Some(&self.0.owned.get()?.journal)
    }

    /// Who verifies everything, if this node may.
    pub(crate) fn verifier(&self) -> Result<&Verifier, Problem> {
        let owned = self.0.owned.get();
        let waits = || Problem::unavailable("this node waits for its turn: ask the one that owns");
        Ok(&owned.ok_or_else(waits)?.verifier)
    }
}
