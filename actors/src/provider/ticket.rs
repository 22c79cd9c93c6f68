//! A committed attempt on its way to the provider. Whatever happens to the one who
//! holds it, its outcome is reported exactly once: a ticket that is dropped untouched
//! was certainly not sent, one that is dropped in mid-air is unknown.

use std::sync::Arc;

use engine::dispatch::{Origin, Ready, outcome};
use engine::pacing::{SendStamp, Share, Wait};
use engine::runtime::BootMicros;
use schemas::provider::{AttemptRef, SubmitOutcome};
use schemas::{Envelope, MessageClass, ProviderId, UnixMicros};
use tokio::sync::mpsc;

/// What became of an attempt, on its way to the journal.
#[derive(Debug)]
pub struct Ended {
    /// Which attempt.
    pub attempt: AttemptRef,
    /// The provider account.
    pub provider: ProviderId,
    /// What was sent.
    pub envelope: Arc<Envelope>,
    /// Where it was read.
    pub origin: Option<Origin>,
    /// What became of it.
    pub outcome: SubmitOutcome,
    /// When the provider was written to.
    pub sent_at: Option<UnixMicros>,
}

/// Where outcomes go. Unbounded as a channel, bounded by the attempts that are open:
/// what is in flight and what is committed ahead.
pub type OutcomeSink = mpsc::UnboundedSender<Ended>;

/// One committed attempt.
#[derive(Debug)]
pub struct Ticket {
    ended: Option<Ended>,
    /// Number of segments, at least 1.
    pub segments: u32,
    /// From which sender.
    pub sender: String,
    /// Nothing may be written to the provider after this.
    pub deadline: BootMicros,
    share: Share,
    sink: OutcomeSink,
}

impl Ticket {
    /// A ticket for an attempt that has just been committed.
    pub fn new(
        ready: Ready,
        provider: ProviderId,
        sender: String,
        deadline: BootMicros,
        share: Share,
        sink: OutcomeSink,
    ) -> Self {
        let Ready {
            envelope, origin, ..
        } = ready;
        let attempt = AttemptRef {
            account: envelope.account,
            message: envelope.id,
            attempt: ready.attempt,
        };
        let segments = envelope.segments.max(1);
        let outcome = SubmitOutcome::NotSent {
            cause: outcome::RETURNED.to_owned(),
        };
        let ended = Ended {
            attempt,
            provider,
            envelope,
            origin: Some(origin),
            outcome,
            sent_at: None,
        };
        Self {
            ended: Some(ended),
            segments,
            sender,
            deadline,
            share,
            sink,
        }
    }

    /// The attempt.
    pub fn attempt(&self) -> Option<AttemptRef> {
        self.ended.as_ref().map(|ended| ended.attempt)
    }

    /// What is sent.
    pub fn envelope(&self) -> Option<&Arc<Envelope>> {
        self.ended.as_ref().map(|ended| &ended.envelope)
    }

    /// The class of what is sent.
    pub fn class(&self) -> Option<MessageClass> {
        self.envelope().map(|envelope| envelope.class)
    }

    /// Takes a permit of every limit that the text is under, and last one of its provider
    /// account.
    ///
    /// # Errors
    /// [`Wait`] while one of them has none.
    pub fn try_acquire(
        &mut self,
        now: BootMicros,
        take: impl FnOnce() -> Result<SendStamp, Wait>,
    ) -> Result<SendStamp, Wait> {
        self.share.try_acquire(now, take)
    }

    /// When the limits beside its provider account's let it go.
    pub fn ready_at(&self, now: BootMicros) -> BootMicros {
        self.share.ready_at(now)
    }

    /// From here on the provider may have the text.
    pub fn touch(&mut self, now: UnixMicros) {
        if let Some(ended) = &mut self.ended {
            ended.sent_at = Some(now);
            ended.outcome = SubmitOutcome::Unknown {
                cause: "sender_lost".to_owned(),
            };
        }
    }

    /// Reports what became of it.
    pub fn resolve(mut self, outcome: SubmitOutcome) {
        if let Some(ended) = &mut self.ended {
            if matches!(outcome, SubmitOutcome::NotSent { .. }) {
                ended.sent_at = None;
            }
            ended.outcome = outcome;
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(ended) = self.ended.take() {
            // The receiver lives as long as the node.
            let _ = self.sink.send(ended);
        }
    }
}
