//! How work reaches the writer, and how its answers come back.
//!
//! An [`Operation`] is a piece of work over the overlay, for rows and logs; a request
//! is what the participant of the group commits (the journal) understands. Both wait
//! in one queue and are answered when their group is durable.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};

use super::commit_times::Latency;
use super::error::StoreError;
use super::overlay::Overlay;
use super::writer::GroupParticipant;

/// Whether a submission may be refused when the disk is nearly full.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Admission {
    /// Takes in something new: refused while there is too little space.
    Intake,
    /// Says what became of something that was taken in, or frees space: never refused.
    Outcome,
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
pub(super) enum Submission<P: GroupParticipant> {
    Operation(Box<dyn Operation>),
    Request {
        admission: Admission,
        request: P::Request,
        /// Who hands it in and when that is answered.
        reply: Reply<P>,
    },
}

/// The way of an answer.
pub(super) struct Reply<P: GroupParticipant> {
    pub(super) sender: oneshot::Sender<Result<P::Reply, StoreError>>,
    pub(super) when: AnsweredWhen,
}

/// When whoever hands a request in is answered. Without servers both come at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum AnsweredWhen {
    /// When nothing can undo it.
    Durable,
    /// When its rows can be read, too.
    Readable,
}

/// Who is told when the group is durable.
pub(super) enum Waiting<P: GroupParticipant> {
    Operation(Box<dyn Operation>),
    Request(P::Reply, Reply<P>),
}

impl<P: GroupParticipant> Waiting<P> {
    pub(super) fn answer(self, group: Result<(), StoreError>) {
        match self {
            Self::Operation(operation) => operation.answer(group),
            Self::Request(result, reply) => {
                let _ = reply.sender.send(group.map(|()| result));
            }
        }
    }

    /// Whether it is answered before the rows of its group can be read.
    pub(super) fn is_prompt(&self) -> bool {
        matches!(self, Self::Request(_, reply) if reply.when == AnsweredWhen::Durable)
    }
}

/// Submits to the writer, in requests of its participant and in operations.
pub(crate) struct Submitter<P: GroupParticipant> {
    inbox: mpsc::Sender<Submission<P>>,
    latency: Latency,
}

impl<P: GroupParticipant> Clone for Submitter<P> {
    fn clone(&self) -> Self {
        Self {
            inbox: self.inbox.clone(),
            latency: self.latency.clone(),
        }
    }
}

impl<P: GroupParticipant> Submitter<P> {
    pub(super) fn new(inbox: mpsc::Sender<Submission<P>>, latency: Latency) -> Self {
        Self { inbox, latency }
    }

    /// How long it takes lately from a submission to its answer, where groups go to servers.
    /// Zero where they go to a disk of this machine.
    pub(crate) fn latency(&self) -> Duration {
        self.latency.get()
    }

    /// Has the participant apply a request. Durable when it returns.
    ///
    /// # Errors
    /// What the participant answered; [`StoreError::DiskFull`] for an intake without
    /// space; [`StoreError::Backend`] when the write failed and [`StoreError::Closed`]
    /// ever after.
    pub(crate) async fn submit(
        &self,
        admission: Admission,
        when: AnsweredWhen,
        request: P::Request,
    ) -> Result<P::Reply, StoreError> {
        let (sender, answer) = oneshot::channel();
        let submission = Submission::Request {
            admission,
            request,
            reply: Reply { sender, when },
        };
        let sent = self.inbox.send(submission).await;
        sent.map_err(|_| StoreError::Closed)?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    /// The way to submit operations, for those who need not know the participant.
    pub(crate) fn operations(&self) -> Operations {
        Operations {
            inbox: Arc::new(self.clone()),
            for_commands: false,
        }
    }
}

/// Who takes operations.
pub(crate) trait Inbox: Send + Sync {
    /// Takes one, and sees to it that it is answered.
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
    /// Whether nothing is refused for want of space.
    for_commands: bool,
}

impl Operations {
    /// Over whatever takes them.
    #[cfg(feature = "testkit")]
    pub(crate) fn through(inbox: Arc<dyn Inbox>) -> Self {
        Self {
            inbox,
            for_commands: false,
        }
    }

    /// The same for commands to what was taken in: never refused for want of space.
    pub(crate) fn for_commands(&self) -> Self {
        Self {
            inbox: Arc::clone(&self.inbox),
            for_commands: true,
        }
    }

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
            admission: if self.for_commands {
                Admission::Outcome
            } else {
                admission
            },
            work: Some(work),
            result: None,
            reply,
        };
        self.inbox.send(Box::new(operation)).await?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Waits until everything that could be read before is durable.
    ///
    /// # Errors
    /// As [`Submitter::submit`], but for a full disk.
    pub(crate) async fn settled(&self) -> Result<(), StoreError> {
        // Groups are committed one after the other: when the one of this is, the one that
        // wrote what was read is.
        self.run(Admission::Outcome, |_| Ok(())).await
    }
}
