//! The journal: the commit point of everything that changes a message.
//!
//! One owner at a time writes a partition's journal. A group commit takes what waits
//! (attempts, outcomes, receipts, positions of sources, contacts), applies each change
//! to the rows, and makes the rows and one journal record for each partition durable
//! together. Whoever handed a change in hears of it only afterwards.
//!
//! ```text
//! commit(changes) ─▶ admit ─▶ apply ─▶ rows + record ─▶ fsync ─▶ verdicts
//!                                ▲
//!          recovery, rebuild ────┘ the same function
//! ```
//!
//! Applying is also where doubles are stopped: an attempt begins only for a message
//! that waits and has no attempt open. A cursor that is read again after a crash, a
//! retry that was overtaken by a receipt and a command given twice all end there.

mod apply;
mod attempts;
mod campaigns;
pub(crate) mod checkpoint;
mod consent;
mod held;
mod imports;
mod lives;
mod look_ups;
pub(crate) mod partition_count;
mod poison;
mod projector;
mod reads;
mod rebuild;
mod receipts;
pub(crate) mod records;
mod state;
mod unknown;
mod view;

#[cfg(test)]
mod tests;

use std::time::Duration;

use schemas::change::Change;
use schemas::due::DueKind;
use schemas::{Partition, PartitionCount, PartitionRange, UnixMicros};

pub use held::{CAMPAIGN_HELD, NO_PROVIDER};
pub use lives::TIMELINE_ENTRIES;
pub use poison::POISON;
#[cfg(feature = "servers")]
pub(crate) use projector::OWNERS;
pub(crate) use projector::{Projector, Reply, Request};
pub use rebuild::Difference;
pub(crate) use rebuild::compare_with_rebuilt;
pub use state::{EarlyReceipt, OpenAttempt};
pub use unknown::{CLOCK_TOLERANCE, SEARCH_WINDOW};

use crate::store::StoreError;
use crate::store::writer::{Admission, AnsweredWhen, Submitter};

/// What became of a change that was handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is in the journal and its rows are written.
    Done,
    /// So it is; the number was on the list already.
    Merged,
    /// So it is; the receipt fits no message yet and waits for one.
    Parked,
    /// It did not fit and left nothing behind.
    Refused(Refusal),
}

/// Why a change did not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The message is past it, or it was said before.
    AlreadyHandled,
    /// The message has an attempt open.
    AttemptOpen,
    /// The attempt is not open.
    NoOpenAttempt,
    /// The message does not exist.
    NoSuchMessage,
    /// Its campaign was canceled: nothing of it begins any more.
    Canceled,
    /// Its recipient said STOP.
    OptedOut,
    /// Its attempts bring down whoever makes them.
    Poison,
    /// Not the next chunk, attempt or position.
    OutOfOrder,
    /// Another node owns the partition.
    NotOwned,
}

/// A group could not be committed. Whether it was is unknown until the next start:
/// the journal takes nothing more, and the process must end.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the journal cannot commit")]
pub struct CommitError(#[from] pub StoreError);

/// The journal of the partitions that this process owns. Cloning is cheap.
#[derive(Clone)]
pub struct Journal {
    submitter: Submitter<Projector>,
    range: PartitionRange,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Journal")
    }
}

impl Journal {
    /// The journal behind a writer.
    pub(crate) fn new(submitter: Submitter<Projector>, range: PartitionRange) -> Self {
        Self { submitter, range }
    }

    /// How many partitions there are.
    pub fn partitions(&self) -> PartitionCount {
        self.range.all()
    }

    /// Which of them this is the journal of.
    pub fn range(&self) -> PartitionRange {
        self.range
    }

    /// How long it takes lately until what is handed in is durable, on servers. Zero in a data
    /// folder, whose disk is faster than what is planned with this.
    pub fn latency(&self) -> Duration {
        self.submitter.latency()
    }

    /// Commits changes, in order and together with what others hand in at the same
    /// time. Durable when it returns; one verdict for each change.
    ///
    /// # Errors
    /// [`CommitError`] when the group could not be made durable.
    pub async fn commit(
        &self,
        changes: Vec<(Partition, Change)>,
    ) -> Result<Vec<Verdict>, CommitError> {
        self.hand_in(Admission::Outcome, AnsweredWhen::Readable, changes)
            .await
    }

    /// As [`Journal::commit`], for attempts, which wait for nothing but that they are durable: on
    /// servers what they change may be seen by others a moment later.
    ///
    /// # Errors
    /// As there.
    pub async fn begin(
        &self,
        changes: Vec<(Partition, Change)>,
    ) -> Result<Vec<Verdict>, CommitError> {
        self.hand_in(Admission::Outcome, AnsweredWhen::Durable, changes)
            .await
    }

    /// As [`Journal::commit`], for changes that take something new in: refused while
    /// the disk is nearly full.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], and as [`Journal::commit`].
    pub async fn take_in(
        &self,
        changes: Vec<(Partition, Change)>,
    ) -> Result<Vec<Verdict>, CommitError> {
        self.hand_in(Admission::Intake, AnsweredWhen::Readable, changes)
            .await
    }

    async fn hand_in(
        &self,
        admission: Admission,
        when: AnsweredWhen,
        changes: Vec<(Partition, Change)>,
    ) -> Result<Vec<Verdict>, CommitError> {
        let request = Request::Commit(changes);
        match self.submitter.submit(admission, when, request).await? {
            Reply::Verdicts(verdicts) => Ok(verdicts),
            Reply::OpenAttempts(_) | Reply::Done => Ok(Vec::new()),
        }
    }

    /// After it returns, everything of this kind that falls due up to `to` is in the
    /// store, and nothing will be added there.
    ///
    /// # Errors
    /// As [`Journal::commit`].
    pub async fn raise_due_mark(
        &self,
        partition: Partition,
        kind: DueKind,
        to: UnixMicros,
    ) -> Result<(), CommitError> {
        self.submitter
            .submit(
                Admission::Outcome,
                AnsweredWhen::Readable,
                Request::RaiseDueMark {
                    partition,
                    kind,
                    to,
                },
            )
            .await?;
        Ok(())
    }

    /// The attempts that are open.
    ///
    /// # Errors
    /// As [`Journal::commit`].
    pub async fn open_attempts(&self) -> Result<Vec<OpenAttempt>, CommitError> {
        match self
            .submitter
            .submit(
                Admission::Outcome,
                AnsweredWhen::Readable,
                Request::OpenAttempts,
            )
            .await?
        {
            Reply::OpenAttempts(open) => Ok(open),
            Reply::Verdicts(_) | Reply::Done => Ok(Vec::new()),
        }
    }

    /// Writes a checkpoint of every partition, so that the next start reads little.
    ///
    /// # Errors
    /// As [`Journal::commit`].
    pub async fn checkpoint(&self) -> Result<(), CommitError> {
        self.submitter
            .submit(
                Admission::Outcome,
                AnsweredWhen::Readable,
                Request::Checkpoint,
            )
            .await?;
        Ok(())
    }
}
