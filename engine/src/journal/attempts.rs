//! Attempts: begun before the provider is touched, ended when its answer is known.

use std::sync::Arc;

use schemas::change::{AfterAttempt, Change};
use schemas::due::LookUp;
use schemas::provider::SubmitOutcome;
use schemas::text::Binding;
use schemas::{Envelope, Message, MessageStatus, StatusEvent, UnixMicros};

use super::apply::{Applied, Applying};
use super::lives::{self, Entry};
use super::poison::{POISON, is_poison};
use super::state::OpenAttempt;
use super::view::View;
use super::{Refusal, Verdict};
use crate::store::StoreError;

impl<V: View> Applying<'_, V> {
    /// Lets an attempt begin, once: the message must wait and have no attempt open.
    /// No row is written; the attempt lives in the journal until its outcome.
    pub(super) fn attempt_begun(&mut self, change: &Change) -> Applied {
        let Some(open) = OpenAttempt::begun_by(change) else {
            return Ok(Verdict::Refused(Refusal::OutOfOrder));
        };
        let envelope = Arc::clone(&open.envelope);
        if self.state.open.contains_key(&envelope.id) {
            return Ok(Verdict::Refused(Refusal::AttemptOpen));
        }
        let stored = self.message(envelope.account, envelope.id)?;
        let unwritten = stored.is_none();
        if self.is_canceled(&envelope)? {
            return Ok(Verdict::Refused(Refusal::Canceled));
        }
        if self.is_forbidden(&envelope)? {
            return Ok(Verdict::Refused(Refusal::OptedOut));
        }
        let (from, made) = match stored {
            Some(message) if message.status.has_not_begun() => (message.status, message.attempts),
            Some(_) => return Ok(Verdict::Refused(Refusal::AlreadyHandled)),
            None => (MessageStatus::Queued, 0),
        };
        if open.attempt.attempt != made + 1 {
            return Ok(Verdict::Refused(Refusal::OutOfOrder));
        }
        self.state
            .count_move(self.view, &envelope, from, MessageStatus::Submitting)?;
        let stamp = self.state.stamp(self.view, open.provider)?.change();
        stamp.latest_deadline = stamp.latest_deadline.max(open.deadline);
        if unwritten {
            self.touched(&envelope)?;
            self.state.unwritten.insert(envelope.id);
        }
        self.state.open.insert(envelope.id, open);
        Ok(Verdict::Done)
    }

    /// Writes what became of an attempt, then the receipts that came before it.
    pub(super) fn attempt_ended(&mut self, change: &Change) -> Applied {
        let Change::AttemptEnded {
            attempt,
            outcome,
            then,
            sent_at,
            at,
        } = change
        else {
            return Ok(Verdict::Refused(Refusal::OutOfOrder));
        };
        let is_open = self
            .state
            .open
            .get(&attempt.message)
            .is_some_and(|open| open.attempt == *attempt);
        let Some(open) = is_open
            .then(|| self.state.open.remove(&attempt.message))
            .flatten()
        else {
            return Ok(Verdict::Refused(Refusal::NoOpenAttempt));
        };
        let stored = if self.state.unwritten.remove(&attempt.message) {
            None
        } else {
            self.message(attempt.account, attempt.message)?
        };
        let mut message =
            stored.unwrap_or_else(|| lives::new_message(&open.envelope, MessageStatus::Queued));
        // Read again after a crash, it may have begun although it was put aside.
        self.take_up(&mut message)?;
        begin(&mut message, &open);
        message.last_sent_at = *sent_at;
        self.end(&mut message, &open, outcome, *then, *at)?;
        let envelope = Arc::clone(&open.envelope);
        self.count_end(&envelope, &message)?;
        for early in &open.early {
            self.join_receipt(
                &mut message,
                early.provider,
                &early.receipt,
                early.learnt,
                early.at,
            )?;
        }
        if let SubmitOutcome::Accepted {
            provider_message_id,
        } = outcome
        {
            self.join_parked(
                &mut message,
                open.provider,
                provider_message_id,
                open.attempt,
            )?;
        }
        self.put_message(&mut message)?;
        Ok(Verdict::Done)
    }

    fn count_end(&mut self, envelope: &Envelope, message: &Message) -> Result<(), StoreError> {
        self.state.count_move(
            self.view,
            envelope,
            MessageStatus::Submitting,
            message.status,
        )
    }

    fn end(
        &mut self,
        message: &mut Message,
        open: &OpenAttempt,
        outcome: &SubmitOutcome,
        then: AfterAttempt,
        at: UnixMicros,
    ) -> Result<(), StoreError> {
        let event = event_of(outcome, then);
        let mut entry = Entry::plain(at, event).of_attempt(open.provider, open.attempt.attempt);
        if let Some(detail) = detail_of(outcome) {
            entry = entry.detailed(detail);
        }
        lives::step(message, event, entry);
        message.reason = reason_of(outcome, then);
        if let SubmitOutcome::Accepted {
            provider_message_id,
        } = outcome
        {
            message.provider_message_id = Some(provider_message_id.clone());
            self.bind(open, provider_message_id)?;
        }
        if event == StatusEvent::OutcomeUnknown {
            self.became_unknown(open)?;
            if is_poison(message) {
                message.reason = Some(POISON.to_owned());
            }
        }
        match then {
            AfterAttempt::RetryAt(due) => {
                message.next_attempt_at = Some(due);
                self.put_due(open.attempt.account, open.attempt.message, due)
            }
            AfterAttempt::Return(due) => {
                message.attempts -= 1;
                message.next_attempt_at = Some(due);
                self.put_due(open.attempt.account, open.attempt.message, due)
            }
            AfterAttempt::LookUpAt(due) => {
                self.state.look_ups.plan(due, LookUp::of(&open.attempt, 0));
                Ok(())
            }
            AfterAttempt::Settle | AfterAttempt::GiveUp | AfterAttempt::Expire => Ok(()),
        }
    }

    fn bind(&mut self, open: &OpenAttempt, provider_message_id: &str) -> Result<(), StoreError> {
        self.view.put(&Binding {
            provider: open.provider,
            provider_message_id: provider_message_id.to_owned(),
            attempt: open.attempt,
            sequence: self.state.sequence,
        })
    }
}

/// The row as it would have been written when the attempt began.
fn begin(message: &mut Message, open: &OpenAttempt) {
    if message.status == MessageStatus::Scheduled {
        lives::step(
            message,
            StatusEvent::Due,
            Entry::plain(open.at, StatusEvent::Due),
        );
    }
    let entry = Entry::plain(open.at, StatusEvent::AttemptBegun)
        .of_attempt(open.provider, open.attempt.attempt);
    lives::step(message, StatusEvent::AttemptBegun, entry);
    message.attempts = open.attempt.attempt;
    message.provider = Some(open.provider);
    message.sender = Some(open.sender.clone());
    message.provider_message_id = None;
    message.last_attempt_at = Some(open.at);
    message.next_attempt_at = None;
}

fn event_of(outcome: &SubmitOutcome, then: AfterAttempt) -> StatusEvent {
    match outcome {
        SubmitOutcome::Accepted { .. } => StatusEvent::SubmitAccepted,
        SubmitOutcome::Rejected { .. } => StatusEvent::SubmitRejected,
        SubmitOutcome::Unknown { .. } => StatusEvent::OutcomeUnknown,
        SubmitOutcome::Throttled { .. } | SubmitOutcome::NotSent { .. } => match then {
            AfterAttempt::RetryAt(_) | AfterAttempt::Return(_) => StatusEvent::RetryPlanned,
            AfterAttempt::Expire => StatusEvent::ValidityEnded,
            AfterAttempt::GiveUp | AfterAttempt::Settle | AfterAttempt::LookUpAt(_) => {
                StatusEvent::GivenUp
            }
        },
    }
}

fn detail_of(outcome: &SubmitOutcome) -> Option<String> {
    match outcome {
        SubmitOutcome::Accepted { .. } => None,
        SubmitOutcome::Rejected { class, code } => Some(format!("{} {code}", class.as_str())),
        SubmitOutcome::Throttled {
            retry_after_ms: None,
            code,
        } => Some(format!("throttled {code}")),
        SubmitOutcome::Throttled {
            retry_after_ms: Some(wait),
            code,
        } => Some(format!("throttled {code}, retry after {wait} ms")),
        SubmitOutcome::NotSent { cause } => Some(format!("not sent: {cause}")),
        SubmitOutcome::Unknown { cause } => Some(cause.clone()),
    }
}

fn reason_of(outcome: &SubmitOutcome, then: AfterAttempt) -> Option<String> {
    match (outcome, then) {
        (SubmitOutcome::Accepted { .. }, _) => None,
        (SubmitOutcome::Rejected { class, .. }, _) => Some(class.as_str().to_owned()),
        (SubmitOutcome::Unknown { cause }, _) => Some(cause.clone()),
        (_, AfterAttempt::Expire) => Some("validity_ended".to_owned()),
        (_, AfterAttempt::GiveUp) => Some("attempts_exhausted".to_owned()),
        (
            SubmitOutcome::Throttled { .. } | SubmitOutcome::NotSent { .. },
            AfterAttempt::Settle
            | AfterAttempt::RetryAt(_)
            | AfterAttempt::Return(_)
            | AfterAttempt::LookUpAt(_),
        ) => None,
    }
}
