//! Group commit: one writer takes what has been submitted, applies it in order, and
//! makes all of it durable with one fsync before anybody hears an answer.
//!
//! While one group is on its way to the disk the next one collects, so groups grow
//! with the load by themselves and nobody waits for a timer. The [`GroupCommit`] is a
//! state machine over a [`Kv`]; a thread of its own merely executes it, because a
//! write may block. A failed write or sync closes it for good: after a failed fsync
//! nobody knows what is on the disk, and only a restart, which reads it, does.

use std::sync::Arc;

use futures::future::BoxFuture;
use metrics::Histogram;
use tokio::sync::{mpsc, oneshot, watch};

use super::error::StoreError;
use super::kv::{Kv, KvError};
use super::overlay::Overlay;
use crate::runtime::Runtime;

/// Submissions that wait for the writer. More than two full groups, so that it never
/// runs dry; beyond it those who submit wait, which is how they learn to slow down.
const QUEUE_SUBMISSIONS: usize = 4_096;

/// Submissions in one group. With one fsync of some milliseconds for each group, more
/// would only make the first of them wait longer.
const GROUP_SUBMISSIONS: usize = 1_024;

/// Bytes of changes in one group. A memtable takes 4 MiB or more, so a group never
/// fills one by more than once over.
const GROUP_BYTES: usize = 4 << 20;

/// Free space below which nothing new is taken in. It leaves room for the outcomes of
/// what is in flight and for the merging of files.
const RESERVED_BYTES: u64 = 64 << 20;

/// Whether a submission may be refused when the disk is nearly full.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Admission {
    /// Takes in something new: refused while there is too little space.
    Intake,
    /// Says what became of something that was taken in, or frees space: never refused.
    Outcome,
}

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
#[derive(Debug)]
pub(crate) struct NoParticipant;

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

/// One operation: a piece of work over the overlay and who waits for its result.
pub(crate) trait Operation: Send {
    fn admission(&self) -> Admission;
    /// Works on the overlay and keeps the result; false when it failed.
    fn apply(&mut self, overlay: &mut Overlay<'_>) -> bool;
    /// Tells who waits: the kept result, or the error that took the whole group.
    fn answer(self: Box<Self>, group: Result<(), StoreError>);
}

struct TypedOperation<F, T> {
    admission: Admission,
    work: Option<F>,
    result: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<F, T> Operation for TypedOperation<F, T>
where
    F: FnOnce(&mut Overlay<'_>) -> Result<T, StoreError> + Send,
    T: Send,
{
    fn admission(&self) -> Admission {
        self.admission
    }

    fn apply(&mut self, overlay: &mut Overlay<'_>) -> bool {
        let result = match self.work.take() {
            Some(work) => work(overlay),
            None => Err(StoreError::Closed),
        };
        let applied = result.is_ok();
        self.result = Some(result);
        applied
    }

    fn answer(self: Box<Self>, group: Result<(), StoreError>) {
        let result = match (group, self.result) {
            (Ok(()), Some(result)) => result,
            (Ok(()), None) => Err(StoreError::Closed),
            (Err(error), _) => Err(error),
        };
        // Who no longer waits does not need to know.
        let _ = self.reply.send(result);
    }
}

/// What is submitted to the writer.
enum Submission<P: GroupParticipant> {
    Operation(Box<dyn Operation>),
    Request {
        admission: Admission,
        request: P::Request,
        reply: oneshot::Sender<Result<P::Reply, StoreError>>,
    },
}

/// Who is told when the group is durable.
enum Waiting<P: GroupParticipant> {
    Operation(Box<dyn Operation>),
    Request(P::Reply, oneshot::Sender<Result<P::Reply, StoreError>>),
}

impl<P: GroupParticipant> Waiting<P> {
    fn answer(self, group: Result<(), StoreError>) {
        match self {
            Self::Operation(operation) => operation.answer(group),
            Self::Request(result, reply) => {
                let _ = reply.send(group.map(|()| result));
            }
        }
    }
}

/// Submits to the writer, in requests of its participant and in operations.
pub(crate) struct Submitter<P: GroupParticipant> {
    inbox: mpsc::Sender<Submission<P>>,
}

impl<P: GroupParticipant> Clone for Submitter<P> {
    fn clone(&self) -> Self {
        Self {
            inbox: self.inbox.clone(),
        }
    }
}

impl<P: GroupParticipant> Submitter<P> {
    /// Has the participant apply a request. Durable when it returns.
    ///
    /// # Errors
    /// What the participant answered; [`StoreError::DiskFull`] for an intake without
    /// space; [`StoreError::Backend`] when the write failed and [`StoreError::Closed`]
    /// ever after.
    pub(crate) async fn submit(
        &self,
        admission: Admission,
        request: P::Request,
    ) -> Result<P::Reply, StoreError> {
        let (reply, answer) = oneshot::channel();
        let submission = Submission::Request {
            admission,
            request,
            reply,
        };
        let sent = self.inbox.send(submission).await;
        sent.map_err(|_| StoreError::Closed)?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    /// The way to submit operations, for those who need not know the participant.
    pub(crate) fn operations(&self) -> Operations {
        Operations {
            inbox: Arc::new(self.clone()),
        }
    }
}

trait Inbox: Send + Sync {
    fn send(&self, operation: Box<dyn Operation>) -> BoxFuture<'_, Result<(), StoreError>>;
}

impl<P: GroupParticipant> Inbox for Submitter<P> {
    fn send(&self, operation: Box<dyn Operation>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async {
            let sent = self.inbox.send(Submission::Operation(operation)).await;
            sent.map_err(|_| StoreError::Closed)
        })
    }
}

/// Submits operations to the writer.
#[derive(Clone)]
pub(crate) struct Operations {
    inbox: Arc<dyn Inbox>,
}

impl Operations {
    /// Runs `work` in a group commit: all its changes or, when it fails, none. Durable
    /// when it returns. Should the caller stop waiting, it still happens.
    ///
    /// # Errors
    /// As [`Submitter::submit`].
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        admission: Admission,
        work: impl FnOnce(&mut Overlay<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let operation = TypedOperation {
            admission,
            work: Some(work),
            result: None,
            reply,
        };
        self.inbox.send(Box::new(operation)).await?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }
}

/// Why the writer ended.
#[derive(Clone, Debug)]
pub enum WriterEnd {
    /// Nobody can submit any more: store, log and journal were dropped.
    Stopped,
    /// A write or sync failed. The process must end: a restart reads what is there.
    Failed(StoreError),
}

/// Tells when the writer has ended. Holding it does not keep the writer running.
#[derive(Clone, Debug)]
pub struct WriterClosed(watch::Receiver<Option<WriterEnd>>);

impl WriterClosed {
    /// Waits until the writer has ended and let go of the database.
    pub async fn wait(&mut self) -> WriterEnd {
        match self.0.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(end)) => end.clone(),
            // Its thread ended without a word.
            Ok(None) | Err(_) => WriterEnd::Failed(StoreError::Backend {
                detail: "the writer panicked".to_owned(),
            }),
        }
    }
}

/// What is measured of every group commit. The handles are looked up once.
struct CommitMetrics {
    seconds: Histogram,
    records: Histogram,
}

impl CommitMetrics {
    fn new() -> Self {
        Self {
            seconds: metrics::histogram!("volley_store_commit_seconds"),
            records: metrics::histogram!("volley_store_commit_records"),
        }
    }
}

/// Tells those who wait for news of the announced subjects, one bit each.
pub(crate) type Announce = Box<dyn Fn(u32) + Send>;

/// The state machine of group commit.
struct GroupCommit<P: GroupParticipant> {
    kv: Arc<dyn Kv>,
    runtime: Runtime,
    participant: P,
    announce: Announce,
    metrics: CommitMetrics,
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
    let (ended, closed) = watch::channel(None);
    let group_commit = GroupCommit {
        kv,
        runtime: runtime.clone(),
        participant,
        announce,
        metrics: CommitMetrics::new(),
    };
    runtime.spawn_dedicated("store-writer", async move {
        let end = group_commit.run(submissions).await;
        if let WriterEnd::Failed(error) = &end {
            tracing::error!(%error, "the store is closed");
        }
        ended.send_replace(Some(end));
    });
    (Submitter { inbox }, WriterClosed(closed))
}

impl<P: GroupParticipant> GroupCommit<P> {
    async fn run(mut self, mut submissions: mpsc::Receiver<Submission<P>>) -> WriterEnd {
        while let Some(first) = submissions.recv().await {
            if let Err(error) = self.commit(first, &mut submissions) {
                return WriterEnd::Failed(error);
            }
        }
        WriterEnd::Stopped
    }

    /// Commits a group that begins with `first` and takes what else is there.
    ///
    /// # Errors
    /// The write failed: nothing may be written any more.
    fn commit(
        &mut self,
        first: Submission<P>,
        submissions: &mut mpsc::Receiver<Submission<P>>,
    ) -> Result<(), StoreError> {
        let begun = self.runtime.boot();
        let kv = Arc::clone(&self.kv);
        let mut overlay = Overlay::new(&*kv);
        let full = self.full();
        let mut waiting = Vec::new();
        let mut next = Some(first);
        let mut taken = 0;
        self.participant.begin();
        while let Some(submission) = next.take() {
            taken += 1;
            waiting.extend(self.apply(&mut overlay, submission, full.as_ref()));
            if taken < GROUP_SUBMISSIONS && overlay.bytes() < GROUP_BYTES {
                next = submissions.try_recv().ok();
            }
        }
        let sealed = self.participant.seal(&mut overlay);
        let announced = overlay.announced();
        let batch = overlay.into_batch();
        let records = batch.changes.len();
        let written = match &sealed {
            Ok(()) if records > 0 => kv.write(batch).and_then(|()| kv.sync()),
            Ok(()) | Err(_) => Ok(()),
        };
        let closing = written.map_err(StoreError::from);
        let outcome = sealed.and(closing.clone());
        match outcome {
            Ok(()) => {
                self.participant.committed();
                (self.announce)(announced);
            }
            Err(_) => self.participant.aborted(),
        }
        for submission in waiting {
            submission.answer(outcome.clone());
        }
        let micros = self.runtime.boot().saturating_sub(begun);
        self.metrics.seconds.record(micros as f64 / 1e6);
        self.metrics.records.record(records as f64);
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
                        let _ = reply.send(Err(error));
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
            Err(KvError::Damaged { .. } | KvError::Io { .. }) => None,
        }
    }
}
