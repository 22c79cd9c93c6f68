//! Who owns the journals, as the doors see it: this node, which commits what providers bring, or
//! another one, to which that is passed on. Nothing else that is asked at the doors needs an owner.

use std::sync::{Arc, OnceLock};

use actix_web::{HttpRequest, HttpResponse, web};
use engine::journal::Journal;
use engine::storage::Storage;
use engine::verify::Verifier;
use schemas::PartitionCount;

#[cfg(feature = "cluster")]
use crate::pass_on::PassOn;
use crate::problem::Problem;

/// What this node may do as the owner, and where the owner is while it is another. Cloning is
/// cheap.
#[derive(Clone)]
pub struct Ownership(Arc<Inner>);

struct Inner {
    partitions: PartitionCount,
    owned: OnceLock<Owned>,
    #[cfg(feature = "cluster")]
    owner: Option<PassOn>,
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

    /// This node waits for its turn, and knows of no owner.
    pub fn awaited(partitions: PartitionCount) -> Self {
        Self(Arc::new(Inner {
            partitions,
            owned: OnceLock::new(),
            #[cfg(feature = "cluster")]
            owner: None,
        }))
    }

    /// This node waits for its turn, and passes on to the owner what only that may do.
    #[cfg(feature = "cluster")]
    pub(crate) fn elsewhere(partitions: PartitionCount, owner: PassOn) -> Self {
        Self(Arc::new(Inner {
            partitions,
            owned: OnceLock::new(),
            owner: Some(owner),
        }))
    }

    /// It is this node's turn. That ends with the process.
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

    /// The owner's answer to a request that only the owner may answer.
    ///
    /// # Errors
    /// `unavailable` when no owner knows of it, `node_lost` when nobody knows what it did.
    pub(crate) async fn pass_on(
        &self,
        request: HttpRequest,
        payload: web::Payload,
    ) -> Result<HttpResponse, Problem> {
        #[cfg(feature = "cluster")]
        if let Some(owner) = &self.0.owner {
            return owner.pass_on(request, payload).await;
        }
        drop((request, payload));
        Err(Problem::unavailable(
            "this node waits for its turn, and knows of no owner",
        ))
    }
}
