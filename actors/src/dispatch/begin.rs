//! Giving work out: attempts are committed, then handed to the lane that asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use engine::dispatch::routing::Routing;
use engine::dispatch::{Origin, Ready};
use engine::journal::{CommitError, Journal, Refusal, Verdict};
use engine::pacing::Share;
use engine::runtime::Runtime;
use schemas::ProviderId;
use schemas::change::{Change, SkippedRecipient};

use super::demand::Coming;
use crate::provider::lane::Lane;
use crate::provider::ticket::{OutcomeSink, Ticket};

/// An attempt may be written to its provider this long after it was committed, and
/// not later: a process that was frozen in between gives it back. A restarted node
/// counts on it too.
pub const ATTEMPT_DEADLINE: Duration = Duration::from_secs(5);

/// Messages picked for one sender.
pub struct Pick {
    /// Who sends them.
    pub provider: ProviderId,
    /// Its number in the routes.
    pub index: usize,
    /// What was picked, each with its part of the limits that it is under.
    pub messages: Vec<(Ready, Share)>,
    /// Where they go.
    pub lane: Arc<Lane>,
    /// How much of what was asked for this is.
    pub coming: Coming,
}

/// What beginning attempts uses.
#[derive(Clone)]
pub struct Beginner {
    /// Time.
    pub runtime: Runtime,
    /// Where attempts are committed.
    pub journal: Journal,
    /// Senders.
    pub routing: Arc<Routing>,
    /// Where outcomes go.
    pub outcomes: OutcomeSink,
    /// Whether any may begin.
    pub gate: Arc<Gate>,
}

/// Where all attempts begin. It is the node's and not the dispatcher's: shut, it holds
/// for a dispatcher too that is only being started, or built anew.
#[derive(Debug, Default)]
pub struct Gate {
    is_shut: AtomicBool,
    under_way: AtomicU64,
}

impl Gate {
    /// No attempt begins any more. To be called on the dispatcher's arbiter, so that none
    /// is between its look at the gate and its being counted.
    pub fn shut(&self) {
        self.is_shut.store(true, Ordering::Release);
    }

    /// Whether attempts may begin.
    pub fn is_open(&self) -> bool {
        !self.is_shut.load(Ordering::Acquire)
    }

    /// Whether no pick is on its way through, its attempts not yet committed.
    pub fn is_still(&self) -> bool {
        self.under_way.load(Ordering::Acquire) == 0
    }
}

/// Counts a pick for as long as it is under way.
struct UnderWay(Arc<Gate>);

impl UnderWay {
    fn one_more(gate: &Arc<Gate>) -> Self {
        gate.under_way.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(gate))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Beginner {
    /// Commits an attempt for each message and hands them over. Gives back the
    /// positions that are finished: those of messages that may not be sent any more.
    ///
    /// # Errors
    /// When the journal takes nothing more.
    pub fn begin(
        &self,
        pick: Pick,
    ) -> impl Future<Output = Result<Vec<Origin>, CommitError>> + Send + use<> {
        // Counted from now on, not from when the task is first polled.
        let under_way = UnderWay::one_more(&self.gate);
        let beginner = self.clone();
        async move {
            let begun = beginner.commit(pick).await;
            drop(under_way);
            begun
        }
    }

    async fn commit(&self, pick: Pick) -> Result<Vec<Origin>, CommitError> {
        let now = self.runtime.now();
        let boot_deadline = self.runtime.boot() + ATTEMPT_DEADLINE.as_micros() as u64;
        let partitions = self.journal.partitions();
        let changes = pick.messages.iter().map(|(ready, _)| {
            let partition = partitions.of(ready.envelope.to.slice());
            (partition, self.change(&pick, ready, now))
        });
        let changes = changes.collect();
        let verdicts = self.journal.begin(changes).await?;
        let (mut finished, mut ends) = (Vec::new(), Vec::new());
        let mut tickets = Vec::with_capacity(pick.messages.len());
        for ((ready, share), verdict) in pick.messages.into_iter().zip(verdicts) {
            let may_send = verdict == Verdict::Done && ready.envelope.valid_until > now;
            if let Verdict::Refused(refusal) = verdict {
                ends.extend(self.end_of(&ready, refusal, now));
            }
            if !may_send {
                finished.push(ready.origin);
                continue;
            }
            let sender = self
                .routing
                .sender(pick.index, ready.envelope.from.as_deref());
            let (sender, sink) = (sender.to_owned(), self.outcomes.clone());
            tickets.push(Ticket::new(
                ready,
                pick.provider,
                sender,
                boot_deadline,
                share,
                sink,
            ));
        }
        pick.lane.push(tickets);
        drop(pick.coming);
        if !ends.is_empty() {
            self.journal.commit(ends).await?;
        }
        Ok(finished)
    }

    /// What is written of a message that must not begin, if anything.
    fn end_of(
        &self,
        ready: &Ready,
        refusal: Refusal,
        at: schemas::UnixMicros,
    ) -> Option<(schemas::Partition, Change)> {
        let envelope = &ready.envelope;
        let change = match refusal {
            // A moment ago. Refused for those that have no row: they are counted off already.
            Refusal::Canceled => Change::MessageCanceled {
                account: envelope.account,
                message: envelope.id,
                at,
            },
            Refusal::OptedOut => Change::Skipped {
                recipient: SkippedRecipient::Message(Arc::clone(envelope)),
                reason: "opted_out".to_owned(),
                at,
            },
            Refusal::AlreadyHandled
            | Refusal::AttemptOpen
            | Refusal::NoOpenAttempt
            | Refusal::NoSuchMessage
            | Refusal::Poison
            | Refusal::OutOfOrder
            | Refusal::NotOwned => return None,
        };
        Some((self.journal.partitions().of(envelope.to.slice()), change))
    }

    fn change(&self, pick: &Pick, ready: &Ready, now: schemas::UnixMicros) -> Change {
        let envelope = Arc::clone(&ready.envelope);
        if envelope.valid_until <= now {
            return Change::ValidityEnded { envelope, at: now };
        }
        let sender = self
            .routing
            .sender(pick.index, envelope.from.as_deref())
            .to_owned();
        Change::AttemptBegun {
            envelope,
            attempt: ready.attempt,
            provider: pick.provider,
            sender,
            at: now,
            deadline: now.plus(ATTEMPT_DEADLINE),
        }
    }
}
