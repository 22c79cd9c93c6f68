//! Verifying what a node keeps while it serves: one moment of it, read beside the writer.

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use super::{Difference, Verified, VerifyError, count};
use crate::runtime::Runtime;
use crate::store::StoreError;
use crate::store::kv::{Kv, KvRead};

/// Verifies open storage, one moment after the other. Holding it keeps neither the writer
/// running nor the database open. Clones share their turn.
#[derive(Clone)]
pub struct Verifier {
    kv: Weak<dyn Kv>,
    runtime: Runtime,
    is_under_way: Arc<AtomicBool>,
}

/// What a verification found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verification {
    /// What was looked at; up to the difference, where there is one.
    pub verified: Verified,
    /// The first thing that does not agree; `None` when everything does.
    pub difference: Option<Difference>,
}

/// Why nothing was verified.
#[derive(Debug, thiserror::Error)]
pub enum VerifierError {
    /// Another one is under way.
    #[error("a verification is under way")]
    UnderWay,
    /// What is stored cannot be read, or the storage was closed meanwhile.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Verifier {
    pub(crate) fn new(kv: &Arc<dyn Kv>, runtime: Runtime) -> Self {
        Self {
            kv: Arc::downgrade(kv),
            runtime,
            is_under_way: Arc::default(),
        }
    }

    /// Verifies everything as it is now. It reads all there is, some 100,000 messages a
    /// second, beside the work of the node, and takes memory as [`super::folder`] does. It
    /// ends soon after the storage is closed, and not before when nobody waits for it any
    /// more.
    ///
    /// # Errors
    /// [`VerifierError::UnderWay`]: there is one at a time, which reads the whole disk, and
    /// who comes second learns that at once. [`StoreError::Closed`] also when the store has
    /// failed.
    pub async fn verify(&self) -> Result<Verification, VerifierError> {
        let turn = Turn::take(&self.is_under_way).ok_or(VerifierError::UnderWay)?;
        let kv = self.kv.clone();
        let verify = move || {
            let _turn = turn;
            // Taken on this thread: it may wait for the writer's disk.
            let snapshot = match kv.upgrade() {
                Some(kv) => kv.snapshot().map_err(StoreError::from)?,
                None => return Err(StoreError::Closed),
            };
            of_snapshot(&*snapshot)
        };
        let done = self.runtime.blocking(verify).await;
        Ok(done.map_err(StoreError::from)??)
    }
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Verifier")
    }
}

/// The right to verify, which ends with the work and not with whoever asked for it.
struct Turn(Arc<AtomicBool>);

impl Turn {
    fn take(is_under_way: &Arc<AtomicBool>) -> Option<Self> {
        let was_under_way = is_under_way.swap(true, Ordering::AcqRel);
        (!was_under_way).then(|| Self(Arc::clone(is_under_way)))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

fn of_snapshot(snapshot: &dyn KvRead) -> Result<Verification, StoreError> {
    let mut verified = Verified::default();
    let difference = match count(snapshot, &mut verified, &mut |_| {}) {
        Ok(()) => None,
        Err(VerifyError::Differs(difference)) => Some(difference),
        Err(VerifyError::Store(error)) => return Err(error),
        // It is open already.
        Err(VerifyError::Folder(error)) => {
            let detail = error.to_string();
            return Err(StoreError::Backend { detail });
        }
    };
    Ok(Verification {
        verified,
        difference,
    })
}
