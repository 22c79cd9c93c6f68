//! Group commit: one writer takes what has been submitted, applies it in order, and
//! makes all of it durable with one fsync before anybody hears an answer.
//!
//! While one group is on its way to the disk the next one collects, so groups grow
//! with the load by themselves and nobody waits for a timer. The [`GroupCommit`] is a
//! state machine over a [`Kv`]; a thread of its own merely executes it, because a
//! write may block. A failed write or sync closes it for good: after a failed fsync
//! nobody knows what is on the disk, and only a restart, which reads it, does.

mod ended;

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::commit_times::CommitTimes;
use super::error::StoreError;
use super::fail_stop::FailStop;
use super::kv::{Kv, KvBatch, KvError, Settling};
use super::latest;
use super::overlay::Overlay;
use super::submit::{Submission, Waiting};
use crate::runtime::Runtime;
use ended::Ending;

pub(crate) use super::submit::{Admission, AnsweredWhen, Operations, Submitter};
#[cfg(feature = "testkit")]
pub(crate) use super::submit::{Inbox, Operation};
pub use ended::{WriterClosed, WriterEnd};

/// Submissions that wait for the writer. More than two full groups, so that it never
/// runs dry; beyond it those who submit wait, which is how they learn to slow down.
const QUEUE_SUBMISSIONS: usize = 4_096;

/// Submissions in one group. With one fsync of some milliseconds for each group, more
/// would only make the first of them wait longer.
const GROUP_SUBMISSIONS: usize = 1_024;

/// Bytes of changes in one group, over all spaces: what one space's memtable takes. The
/// submission that passes the bound is the group's last.
const GROUP_BYTES: usize = 2 << 20;

/// Free space below which nothing new is taken in. It leaves room for the outcomes of
/// what is in flight and for the merging of files.
const RESERVED_BYTES: u64 = 64 << 20;

/// What takes part in every group commit beside the single operations: the journal.
/// Its own state must change only by [`GroupParticipant::apply`]s that succeed, and
/// go back to the last [`GroupParticipant::committed`] when the group is aborted.
pub(crate) trait GroupParticipant: Send + 'static {
    /// What can be asked of it.
    type Request: Send + 'static;
    /// What it answers.
    type Reply: Send + 'static;

    /// A group begins.
    fn begin(&mut self);

    /// The keys of the rows that a request will most likely read, for stores that are far away.
    fn reads(&self, _request: &Self::Request) -> Vec<Vec<u8>> {
        Vec::new()
    }

    /// Applies one request. After an error the overlay is rolled back to where it was;
    /// the participant leaves its own state as it was.
    fn apply(
        &mut self,
        overlay: &mut Overlay<'_>,
        request: Self::Request,
    ) -> Result<Self::Reply, StoreError>;

    /// Everything was applied: writes what belongs to the group as a whole. After an
    /// error nothing of the group is written.
    fn seal(&mut self, overlay: &mut Overlay<'_>) -> Result<(), StoreError>;

    /// The group is durable.
    fn committed(&mut self);

    /// Nothing of the group was written.
    fn aborted(&mut self);
}

/// A participant that has nothing to add, where only rows and logs are written.
#[cfg(test)]
#[derive(Debug)]
pub(crate) struct NoParticipant;

#[cfg(test)]
impl GroupParticipant for NoParticipant {
    type Request = std::convert::Infallible;
    type Reply = ();

    fn begin(&mut self) {}

    fn apply(&mut self, _: &mut Overlay<'_>, request: Self::Request) -> Result<(), StoreError> {
        match request {}
    }

    fn seal(&mut self, _: &mut Overlay<'_>) -> Result<(), StoreError> {
        Ok(())
    }

    fn committed(&mut self) {}

    fn aborted(&mut self) {}
}

/// Tells those who wait for news of the announced subjects, one bit each.
pub(crate) type Announce = Box<dyn Fn(u32) + Send>;

/// The state machine of group commit.
pub(super) struct GroupCommit<P: GroupParticipant> {
    kv: Arc<dyn Kv>,
    runtime: Runtime,
    participant: P,
    announce: Announce,
    times: CommitTimes,
    /// What was taken and did not fit a group: fewer than [`GROUP_SUBMISSIONS`].
    taken: VecDeque<Submission<P>>,
}

/// A database with its writer.
pub(crate) struct Opened<P: GroupParticipant> {
    /// For reading beside the writer.
    pub(crate) kv: Arc<dyn Kv>,
    /// The way to the participant of the writer's groups.
    pub(crate) participant: Submitter<P>,
    /// Tells when the writer has ended.
    pub(crate) closed: WriterClosed,
}

/// Starts the writer of a database. `recover` makes the participant from what is stored; it
/// only reads. Blocks.
///
/// # Errors
/// What `recover` finds, and when the database cannot be read.
pub(crate) fn open<P: GroupParticipant>(
    kv: Arc<dyn Kv>,
    runtime: &Runtime,
    announce: Announce,
    recover: impl FnOnce(&mut Overlay<'_>) -> Result<P, StoreError>,
) -> Result<Opened<P>, StoreError> {
    let kv: Arc<dyn Kv> = Arc::new(FailStop::over(kv));
    let participant = recover(&mut Overlay::new(&*kv))?;
    if let Some(instant) = latest::read(&*kv)? {
        runtime.not_before(instant);
    }
    let (participant, closed) = start(Arc::clone(&kv), runtime, participant, announce);
    Ok(Opened {
        kv,
        participant,
        closed,
    })
}

/// Starts the writer on a thread of its own. It ends when every [`Submitter`] and
/// [`Operations`] is gone, or after a failed write.
pub(crate) fn start<P: GroupParticipant>(
    kv: Arc<dyn Kv>,
    runtime: &Runtime,
    participant: P,
    announce: Announce,
) -> (Submitter<P>, WriterClosed) {
    let (inbox, submissions) = mpsc::channel(QUEUE_SUBMISSIONS);
    let (ending, closed) = Ending::new();
    let group_commit = GroupCommit::new(kv, runtime, participant, announce);
    let latency = group_commit.times.latency.clone();
    runtime.spawn_dedicated("store-writer", async move {
        let end = group_commit.run(submissions).await;
        if let WriterEnd::Failed(error) = &end {
            tracing::error!(%error, "the store is closed");
        }
        ending.is(end);
    });
    (Submitter::new(inbox, latency), closed)
}

impl<P: GroupParticipant> GroupCommit<P> {
    pub(super) fn new(
        kv: Arc<dyn Kv>,
        runtime: &Runtime,
        participant: P,
        announce: Announce,
    ) -> Self {
        Self {
            kv,
            runtime: runtime.clone(),
            participant,
            announce,
            times: CommitTimes::new(),
            taken: VecDeque::new(),
        }
    }

    async fn run(mut self, mut submissions: mpsc::Receiver<Submission<P>>) -> WriterEnd {
        loop {
            let first = match self.taken.pop_front() {
                Some(first) => Some(first),
                None => submissions.recv().await,
            };
            let Some(first) = first else {
                return WriterEnd::Stopped;
            };
            if let Err(error) = self.commit(first, &mut submissions).await {
                return WriterEnd::Failed(error);
            }
        }
    }

    /// Takes what waits, where rows are far away, and fetches what all of it will read.
    async fn fetch_ahead(
        &mut self,
        first: Submission<P>,
        submissions: &mut mpsc::Receiver<Submission<P>>,
    ) -> Option<Submission<P>> {
        let Some(far) = self.kv.far() else {
            return Some(first);
        };
        self.taken.push_front(first);
        while self.taken.len() < GROUP_SUBMISSIONS {
            let Ok(next) = submissions.try_recv() else {
                break;
            };
            self.taken.push_back(next);
        }
        let reads = self.taken.iter().flat_map(|submission| match submission {
            Submission::Request { request, .. } => self.participant.reads(request),
            Submission::Operation(_) => Vec::new(),
        });
        far.fetch(reads.collect()).await;
        self.taken.pop_front()
    }

    /// Commits a group that begins with `first` and takes what else is there.
    ///
    /// # Errors
    /// The write failed: nothing may be written any more.
    pub(super) async fn commit(
        &mut self,
        first: Submission<P>,
        submissions: &mut mpsc::Receiver<Submission<P>>,
    ) -> Result<(), StoreError> {
        let begun = self.runtime.boot();
        let kv = Arc::clone(&self.kv);
        let mut overlay = Overlay::new(&*kv);
        let full = self.full();
        let mut waiting = Vec::new();
        let mut next = self.fetch_ahead(first, submissions).await;
        let mut taken = 0;
        self.participant.begin();
        while let Some(submission) = next.take() {
            taken += 1;
            waiting.extend(self.apply(&mut overlay, submission, full.as_ref()));
            if taken < GROUP_SUBMISSIONS && overlay.bytes() < GROUP_BYTES {
                let taken = self.taken.pop_front();
                next = taken.or_else(|| submissions.try_recv().ok());
            }
        }
        let sealed = self.participant.seal(&mut overlay);
        if overlay.bytes() > 0 {
            latest::write(&mut overlay, self.runtime.now());
        }
        let announced = overlay.announced();
        let batch = overlay.into_batch();
        let records = batch.changes.len();
        let written = match &sealed {
            Ok(()) => write(&*kv, batch).await,
            Err(_) => Ok(None),
        };
        let (mut closing, settling) = match written {
            Ok(settling) => (Ok(()), settling),
            Err(error) => (Err(StoreError::from(error)), None),
        };
        let mut outcome = sealed.and(closing.clone());
        match outcome {
            Ok(()) => {
                self.participant.committed();
                (self.announce)(announced);
            }
            Err(_) => self.participant.aborted(),
        }
        let mut durable = None;
        if let Some(settling) = settling {
            durable = Some(self.runtime.boot().saturating_sub(begun));
            for prompt in waiting.extract_if(.., |submission| submission.is_prompt()) {
                prompt.answer(outcome.clone());
            }
            closing = settling.await.map_err(StoreError::from);
            outcome = closing.clone();
        }
        for submission in waiting {
            submission.answer(outcome.clone());
        }
        let settled = self.runtime.boot().saturating_sub(begun);
        self.times.note(settled, records, durable);
        closing
    }

    /// Applies one submission. One that fails leaves nothing of itself and is answered
    /// at once; the others wait for the disk.
    fn apply(
        &mut self,
        overlay: &mut Overlay<'_>,
        submission: Submission<P>,
        full: Option<&StoreError>,
    ) -> Option<Waiting<P>> {
        let refusal = |admission| full.filter(|_| admission == Admission::Intake);
        let savepoint = overlay.savepoint();
        match submission {
            Submission::Operation(mut operation) => {
                if let Some(full) = refusal(operation.admission()) {
                    operation.answer(Err(full.clone()));
                    return None;
                }
                if operation.apply(overlay) {
                    return Some(Waiting::Operation(operation));
                }
                overlay.rollback(savepoint);
                operation.answer(Ok(()));
            }
            Submission::Request {
                admission,
                request,
                reply,
            } => {
                let result = match refusal(admission) {
                    Some(full) => Err(full.clone()),
                    None => self.participant.apply(overlay, request),
                };
                match result {
                    Ok(result) => return Some(Waiting::Request(result, reply)),
                    Err(error) => {
                        overlay.rollback(savepoint);
                        let _ = reply.sender.send(Err(error));
                    }
                }
            }
        }
        None
    }

    /// The error for intakes while there is too little space.
    fn full(&self) -> Option<StoreError> {
        match self.kv.free_bytes() {
            Ok(free) if free < RESERVED_BYTES => Some(StoreError::DiskFull {
                folder: self.kv.folder(),
            }),
            Ok(_) => None,
            Err(KvError::DiskFull { folder }) => Some(StoreError::DiskFull { folder }),
            // What cannot be asked now shows when it is written.
            Err(KvError::Damaged { .. } | KvError::Io { .. } | KvError::Failed { .. }) => None,
            #[cfg(feature = "servers")]
            Err(KvError::Servers { .. } | KvError::Away { .. }) => None,
        }
    }
}

/// Makes a batch durable. On servers its rows follow.
async fn write(kv: &dyn Kv, batch: KvBatch) -> Result<Option<Settling<'_>>, KvError> {
    if batch.changes.is_empty() {
        return Ok(None);
    }
    if let Some(far) = kv.far() {
        return far.commit(batch).await.map(Some);
    }
    kv.write(batch).and_then(|()| kv.sync())?;
    Ok(None)
}
