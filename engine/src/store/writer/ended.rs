//! How the writer has ended, and who hears of it.

use std::sync::{Arc, OnceLock};

use tokio::sync::Notify;

use crate::store::StoreError;

/// Why the writer ended.
#[derive(Clone, Debug)]
pub enum WriterEnd {
    /// Nobody can submit any more: store, log and journal were dropped.
    Stopped,
    /// A write or sync failed. The process must end: a restart reads what is there.
    Failed(StoreError),
}

/// Tells when the writer has ended. Holding it does not keep the writer running. All who wait
/// hear it once, in the order in which they began to: those of a `watch` would in a random one,
/// and what a simulated node does as it ends would differ from run to run.
#[derive(Clone, Debug)]
pub struct WriterClosed(Arc<Ended>);

/// How the writer has ended, once it has.
#[derive(Debug, Default)]
struct Ended {
    end: OnceLock<WriterEnd>,
    told: Notify,
}

impl WriterClosed {
    /// Waits until the writer has ended and let go of the database.
    pub async fn wait(&mut self) -> WriterEnd {
        loop {
            // It hears what is told from now on.
            let told = self.0.told.notified();
            if let Some(end) = self.0.end.get() {
                return end.clone();
            }
            told.await;
        }
    }
}

/// The writer's side: tells of the end as it is dropped.
pub(super) struct Ending(Arc<Ended>);

impl Ending {
    /// A writer that runs, and who waits for its end.
    pub(super) fn new() -> (Self, WriterClosed) {
        let ended = Arc::<Ended>::default();
        (Self(Arc::clone(&ended)), WriterClosed(ended))
    }

    /// It has ended so.
    pub(super) fn is(self, end: WriterEnd) {
        self.0.end.get_or_init(|| end);
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        // Its thread may have ended without a word.
        self.0.end.get_or_init(|| {
            WriterEnd::Failed(StoreError::Backend {
                detail: "the writer panicked".to_owned(),
            })
        });
        self.0.told.notify_waiters();
    }
}
