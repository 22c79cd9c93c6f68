//! Receipts: early, late, twice, out of order, or about nothing we know.
//!
//! A receipt joins the message by rank and changes nothing a second time. While the
//! attempt is open it waits for the outcome; while its message is unknown it is parked.

use schemas::change::Learnt;
use schemas::due::LookUp;
use schemas::provider::{AttemptRef, DeliveryReceipt};
use schemas::record::{KeyPart, Record};
use schemas::status::ReceiptStatus;
use schemas::text::{Binding, ParkedReceipt};
use schemas::{Message, MessageStatus, ProviderId, StatusEvent, UnixMicros};

use super::apply::{Applied, Applying};
use super::lives::{self, Entry};
use super::state::{EARLY_RECEIPTS, EarlyReceipt};
use super::view::View;
use super::{Refusal, Verdict};
use crate::pacing::LookupSchedule;
use crate::store::StoreError;

impl<V: View> Applying<'_, V> {
    /// Takes a receipt in.
    pub(super) fn receipt(
        &mut self,
        provider: ProviderId,
        receipt: &DeliveryReceipt,
        learnt: Learnt,
        at: UnixMicros,
    ) -> Applied {
        let Some(attempt) = self.attempt_of(provider, receipt)? else {
            return self.park(provider, receipt, learnt, at);
        };
        if let Some(open) = self.state.open.get_mut(&attempt.message) {
            if learnt == Learnt::Search {
                // It looked for the attempt before this one; the text may be this one's.
                return Ok(Verdict::Refused(Refusal::AttemptOpen));
            }
            if open.early.len() >= EARLY_RECEIPTS {
                return Ok(Verdict::Refused(Refusal::AlreadyHandled));
            }
            open.early.push(EarlyReceipt {
                provider,
                receipt: receipt.clone(),
                learnt,
                at,
            });
            return Ok(Verdict::Done);
        }
        let Some(mut message) = self.message(attempt.account, attempt.message)? else {
            return self.park(provider, receipt, learnt, at);
        };
        if learnt == Learnt::Search && !self.may_settle(&message, provider, receipt)? {
            return Ok(Verdict::Refused(Refusal::AlreadyHandled));
        }
        if !self.join_receipt(&mut message, provider, receipt, learnt, at)? {
            return Ok(Verdict::Refused(Refusal::AlreadyHandled));
        }
        self.put_message(&mut message)?;
        Ok(Verdict::Done)
    }

    fn attempt_of(
        &mut self,
        provider: ProviderId,
        receipt: &DeliveryReceipt,
    ) -> Result<Option<AttemptRef>, StoreError> {
        if let Some(attempt) = receipt.attempt {
            return Ok(Some(attempt));
        }
        let binding = self.binding(provider, receipt)?;
        Ok(binding.map(|binding| binding.attempt))
    }

    fn binding(
        &mut self,
        provider: ProviderId,
        receipt: &DeliveryReceipt,
    ) -> Result<Option<Binding>, StoreError> {
        binding(self.view, provider, receipt)
    }

    /// A search settles the last attempt of an unknown message only, and only with a
    /// text that no other attempt is bound to, one before it of the same message
    /// included. While another attempt to the same number is open, or one that would
    /// have made the same text is unknown too, the text may be that one's.
    fn may_settle(
        &mut self,
        message: &Message,
        provider: ProviderId,
        receipt: &DeliveryReceipt,
    ) -> Result<bool, StoreError> {
        let to = &message.envelope.to;
        let is_open = self.state.open.values().any(|open| open.envelope.to == *to);
        if is_open || self.has_unknown_twin(message)? {
            return Ok(false);
        }
        let last = message.last_attempt();
        let free = self
            .binding(provider, receipt)?
            .is_none_or(|binding| binding.attempt == last);
        let is_about_last = receipt.attempt == Some(last);
        Ok(free && is_about_last && message.status == MessageStatus::Unknown)
    }

    /// Joins a receipt into a message; tells whether anything was changed or told.
    pub(super) fn join_receipt(
        &mut self,
        message: &mut Message,
        provider: ProviderId,
        receipt: &DeliveryReceipt,
        learnt: Learnt,
        at: UnixMicros,
    ) -> Result<bool, StoreError> {
        let from = message.status;
        let detail = match &receipt.error_code {
            Some(code) => format!("{}, error {code}", receipt.provider_status),
            None => receipt.provider_status.clone(),
        };
        let attempt = receipt
            .attempt
            .map_or(message.attempts, |attempt| attempt.attempt);
        let entry = || {
            Entry::receipt(at, learnt)
                .of_attempt(provider, attempt)
                .detailed(detail.clone())
        };
        let stepped = receipt
            .status
            .filter(|status| speaks_for_message(message, receipt, *status))
            .is_some_and(|status| lives::step(message, StatusEvent::Receipt(status), entry()));
        if !stepped {
            let is_told = lives::tell_once(message, entry());
            // So that no search takes it for the text of a later attempt.
            let is_bound = is_earlier(message, receipt)
                && self.bind_found(message, provider, receipt, attempt)?;
            return Ok(is_told || is_bound);
        }
        message.reason = receipt.error_code.clone();
        message.next_attempt_at = None;
        let envelope = message.envelope.clone();
        self.state
            .count_move(self.view, &envelope, from, message.status)?;
        if message.status.awaits_receipt()
            && !is_asked_about(message, from, at)
            && let Some(wait) = LookupSchedule::receipts_expected().nth(0)
        {
            let look_up = LookUp::of(&message.last_attempt(), 0);
            self.state.look_ups.plan(at.plus(wait), look_up);
        }
        let is_first = message.provider_message_id.is_none();
        if is_first {
            // A later attempt, which was not made, may have been another account's.
            message.provider = Some(provider);
            message.provider_message_id = Some(receipt.provider_message_id.clone());
        }
        if is_first || is_earlier(message, receipt) {
            self.bind_found(message, provider, receipt, attempt)?;
        }
        Ok(true)
    }

    /// Binds a text to the attempt that turned out to have made it, and joins what was
    /// told of it before; tells whether it was not bound yet.
    fn bind_found(
        &mut self,
        message: &mut Message,
        provider: ProviderId,
        receipt: &DeliveryReceipt,
        attempt: u32,
    ) -> Result<bool, StoreError> {
        if self.binding(provider, receipt)?.is_some() {
            return Ok(false);
        }
        let attempt = AttemptRef {
            account: message.envelope.account,
            message: message.envelope.id,
            attempt,
        };
        self.became_known(&message.envelope.to, attempt)?;
        let provider_message_id = receipt.provider_message_id.clone();
        self.view.put(&Binding {
            provider,
            provider_message_id: provider_message_id.clone(),
            attempt,
            sequence: self.state.sequence,
        })?;
        self.join_parked(message, provider, &provider_message_id, attempt)?;
        Ok(true)
    }

    /// Keeps a receipt for the message that it is about. What we asked for ourselves is
    /// about a message that we have, and can be asked for again.
    fn park(
        &mut self,
        provider: ProviderId,
        receipt: &DeliveryReceipt,
        learnt: Learnt,
        received_at: UnixMicros,
    ) -> Applied {
        if learnt != Learnt::Webhook {
            return Ok(Verdict::Refused(Refusal::NoSuchMessage));
        }
        let parked = ParkedReceipt {
            partition: self.state.partition,
            provider,
            receipt: receipt.clone(),
            received_at,
            sequence: self.state.sequence,
        };
        if self.view.get::<ParkedReceipt>(&parked.key())?.is_some() {
            return Ok(Verdict::Refused(Refusal::AlreadyHandled));
        }
        self.view.put(&parked)?;
        self.state.parked += 1;
        Ok(Verdict::Parked)
    }

    /// Forgets a parked receipt.
    pub(super) fn parked_dropped(
        &mut self,
        provider: ProviderId,
        provider_message_id: &str,
        provider_status: &str,
    ) -> Applied {
        let partition = self.state.partition;
        let key = ParkedReceipt::key_of(partition, provider, provider_message_id, provider_status);
        if self.view.get::<ParkedReceipt>(&key)?.is_none() {
            return Ok(Verdict::Refused(Refusal::AlreadyHandled));
        }
        self.view.delete::<ParkedReceipt>(&key)?;
        self.state.parked = self.state.parked.saturating_sub(1);
        Ok(Verdict::Done)
    }

    /// Joins what was parked under the id that we have just learnt to be this attempt's.
    pub(super) fn join_parked(
        &mut self,
        message: &mut Message,
        provider: ProviderId,
        provider_message_id: &str,
        attempt: AttemptRef,
    ) -> Result<(), StoreError> {
        if self.state.parked == 0 {
            return Ok(());
        }
        let prefix = [
            KeyPart::U16(self.state.partition.0),
            KeyPart::Id(*provider.as_bytes()),
            KeyPart::Text(provider_message_id.to_owned()),
        ];
        for parked in self
            .view
            .list::<ParkedReceipt>(&prefix, &prefix, EARLY_RECEIPTS)?
        {
            self.view.delete::<ParkedReceipt>(&parked.key())?;
            self.state.parked = self.state.parked.saturating_sub(1);
            let (mut receipt, at) = (parked.receipt, parked.received_at);
            receipt.attempt = Some(attempt);
            self.join_receipt(message, provider, &receipt, Learnt::Webhook, at)?;
        }
        Ok(())
    }
}

/// Whether it is planned to ask about a message that has this status until a receipt comes. What is
/// to be sent again is not asked about, nor what was searched for in vain often enough.
fn is_asked_about(message: &Message, from: MessageStatus, at: UnixMicros) -> bool {
    let is_searched_for = || {
        let (begun, lasts) = (
            message.last_attempt_at,
            LookupSchedule::unknown_attempt().lasts(),
        );
        lasts.is_none_or(|lasts| begun.is_some_and(|begun| at < begun.plus(lasts)))
    };
    from.awaits_receipt() || (from == MessageStatus::Unknown && is_searched_for())
}

/// What the text that a receipt speaks of is bound to.
pub(super) fn binding<V: View>(
    view: &mut V,
    provider: ProviderId,
    receipt: &DeliveryReceipt,
) -> Result<Option<Binding>, StoreError> {
    Binding::key_told_by(provider, receipt).map_or(Ok(None), |key| view.get(&key))
}

/// A text of an earlier attempt proves only that it was delivered after all; what else
/// it says is not about the text that the message now stands for.
fn speaks_for_message(message: &Message, receipt: &DeliveryReceipt, status: ReceiptStatus) -> bool {
    let is_another = match &message.provider_message_id {
        Some(id) => *id != receipt.provider_message_id,
        None => is_earlier(message, receipt),
    };
    !is_another || status == ReceiptStatus::Delivered
}

/// Whether the receipt names an attempt before the last.
fn is_earlier(message: &Message, receipt: &DeliveryReceipt) -> bool {
    receipt
        .attempt
        .is_some_and(|attempt| attempt.attempt < message.attempts)
}
