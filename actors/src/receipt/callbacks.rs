//! Callbacks that providers brought to nodes which do not own the journals: the owner commits them,
//! each once. Those that were kept before its turn come before all it does, since a STOP may be
//! among them.

use engine::callbacks::{Callbacks, change_of};
use engine::journal::{CommitError, Journal};
use engine::log::{LogError, Offset};
use engine::store::StoreError;
use tokio::sync::watch;

use crate::supervision::Escalation;

/// Callbacks cannot be committed.
#[derive(Debug, thiserror::Error)]
pub enum CallbackError {
    /// It is not known which were.
    #[error("it cannot be read which callbacks are committed")]
    Store(#[from] StoreError),
    /// The log cannot be read.
    #[error("callbacks cannot be read")]
    Log(#[from] LogError),
    /// The journal takes nothing more.
    #[error("callbacks cannot be committed")]
    Commit(#[from] CommitError),
}

/// Commits what was kept.
pub struct CallbackReader {
    callbacks: Callbacks,
    journal: Journal,
    next: Offset,
    kept: watch::Receiver<u64>,
}

impl CallbackReader {
    /// Commits what was kept until now.
    ///
    /// # Errors
    /// [`CallbackError`].
    pub async fn begin(callbacks: Callbacks, journal: Journal) -> Result<Self, CallbackError> {
        let mut reader = Self {
            next: callbacks.position(journal.range()).await?,
            kept: callbacks.kept(),
            callbacks,
            journal,
        };
        reader.commit_all().await?;
        Ok(reader)
    }

    /// Commits what is kept from now on.
    pub async fn run(mut self, escalation: Escalation) {
        // The log is closed when the node ends.
        while self.kept.changed().await.is_ok() {
            if let Err(error) = self.commit_all().await {
                return escalation.raise(error.to_string());
            }
        }
    }

    async fn commit_all(&mut self) -> Result<(), CallbackError> {
        self.kept.mark_unchanged();
        while let Some(kept) = self.callbacks.read(self.next).await? {
            let range = self.journal.range();
            let changes = kept.callbacks.into_iter();
            let changes = changes.map(|callback| change_of(range.all(), callback));
            // The rest is about others' partitions, who read it too.
            let changes = changes.filter(|(partition, _)| range.holds(*partition));
            let passed = std::iter::once(Callbacks::passed(range, kept.next));
            self.journal.commit(changes.chain(passed).collect()).await?;
            self.next = kept.next;
        }
        Ok(())
    }
}
