//! Applying changes: what follows from each fact.
//!
//! The same function serves a running node, the recovery after a crash and the
//! rebuilding of every projection from the journal. It decides nothing by the clock or
//! by chance; all it knows is the change, the rows and the partition's state. A change
//! that does not fit what is there is refused, leaves nothing behind and is not
//! written to the journal.

use schemas::change::{Change, SkippedRecipient};
use schemas::due::{DueEntry, DueKind, DueLookUps, FallsDue, LookUp};
use schemas::message::message_key;
use schemas::position::SourceId;
use schemas::provider::AttemptRef;
use schemas::record::KeyPart;
use schemas::{AccountId, Message, MessageId, MessageStatus, StatusEvent, UnixMicros};

use super::poison::is_poison;
use super::state::PartitionState;
use super::view::View;
use super::{Refusal, Verdict, lives};
use crate::store::StoreError;

/// One partition's rows and state while a change is applied.
pub struct Applying<'a, V> {
    /// The rows.
    pub view: &'a mut V,
    /// The rest.
    pub state: &'a mut PartitionState,
}

/// What applying gives.
pub type Applied = Result<Verdict, StoreError>;

impl<V: View> Applying<'_, V> {
    /// Applies one change.
    ///
    /// # Errors
    /// When the store cannot be read or a row is damaged; the group must not be committed.
    pub fn apply(&mut self, change: &Change) -> Applied {
        match change {
            Change::Scheduled { envelope, at } => self.scheduled(envelope, *at),
            Change::AttemptBegun { .. } => self.attempt_begun(change),
            Change::AttemptEnded { .. } => self.attempt_ended(change),
            Change::Skipped {
                recipient,
                reason,
                at,
            } => self.skipped(recipient, reason, *at),
            Change::ValidityEnded { envelope, at } => self.validity_ended(envelope, *at),
            Change::Receipt {
                provider,
                receipt,
                learnt,
                at,
            } => self.receipt(*provider, receipt, *learnt, *at),
            Change::LookedUp {
                attempt,
                made,
                next,
                ..
            } => self.looked_up(attempt, *made, *next),
            Change::NoReceipt {
                account,
                message,
                at,
            } => self.no_receipt(*account, *message, *at),
            Change::Resend { attempt, due, at } => self.resend(attempt, *due, *at),
            Change::AudienceFrozen {
                campaign,
                chunk,
                entries,
                last,
            } => self.audience_frozen(*campaign, *chunk, *entries, *last),
            Change::CampaignCanceled { campaign, .. } => self.campaign_canceled(*campaign),
            Change::MessageCanceled {
                account,
                message,
                at,
            } => self.message_canceled(*account, *message, *at),
            Change::MessageHeld { .. } => self.message_held(change),
            Change::MessageReleased {
                campaign,
                account,
                message,
                due,
                at,
            } => self.message_released(*campaign, *account, *message, *due, *at),
            Change::Postponed {
                account,
                message,
                due,
                at,
            } => self.postponed(*account, *message, *due, *at),
            Change::ConsentChanged { .. } => self.consent_changed(change),
            Change::Advanced { source, position } => self.advanced(*source, *position),
            Change::ContactImported { .. } => self.contact_imported(change),
            Change::ImportAdvanced { .. } => self.import_advanced(change),
            Change::ParkedDropped {
                provider,
                provider_message_id,
                provider_status,
            } => self.parked_dropped(*provider, provider_message_id, provider_status),
        }
    }

    /// The row of a message.
    pub(super) fn message(
        &mut self,
        account: AccountId,
        id: MessageId,
    ) -> Result<Option<Message>, StoreError> {
        self.view.get(&message_key(account, id))
    }

    /// Puts a message's row, stamped with the record being written. What has ended lies in no
    /// list any more.
    pub(super) fn put_message(&mut self, message: &mut Message) -> Result<(), StoreError> {
        if !message.status.has_not_begun() {
            self.take_up(message)?;
        }
        message.sequence = self.state.sequence;
        self.view.put(message)
    }

    /// Puts the entry of a message that is to be sent.
    pub(super) fn put_due(
        &mut self,
        account: AccountId,
        message: MessageId,
        due: UnixMicros,
    ) -> Result<(), StoreError> {
        let (partition, sequence) = (self.state.partition, self.state.sequence);
        self.view.put(&DueEntry {
            partition,
            due,
            account,
            message,
            sequence,
        })
    }

    fn scheduled(
        &mut self,
        envelope: &std::sync::Arc<schemas::Envelope>,
        at: UnixMicros,
    ) -> Applied {
        if self.state.open.contains_key(&envelope.id) {
            return Ok(Verdict::Refused(Refusal::AttemptOpen));
        }
        if self.message(envelope.account, envelope.id)?.is_some() {
            return Ok(Verdict::Refused(Refusal::AlreadyHandled));
        }
        let mut message = lives::new_message(envelope, MessageStatus::Scheduled);
        message.next_attempt_at = Some(at);
        self.touched(envelope)?;
        self.put_message(&mut message)?;
        self.put_due(envelope.account, envelope.id, at)?;
        Ok(Verdict::Done)
    }

    fn skipped(&mut self, recipient: &SkippedRecipient, reason: &str, at: UnixMicros) -> Applied {
        let envelope = lives::envelope_of(recipient, at);
        let verdict = self.end_unsent(&envelope, StatusEvent::Skip, reason, at)?;
        if let (Verdict::Done, Some(campaign)) = (verdict, envelope.campaign) {
            let tally = self.state.tally(self.view, campaign)?.change();
            *tally.skipped.entry(reason.to_owned()).or_default() += 1;
        }
        Ok(verdict)
    }

    fn validity_ended(
        &mut self,
        envelope: &std::sync::Arc<schemas::Envelope>,
        at: UnixMicros,
    ) -> Applied {
        self.end_unsent(envelope, StatusEvent::ValidityEnded, "validity_ended", at)
    }

    fn end_unsent(
        &mut self,
        envelope: &std::sync::Arc<schemas::Envelope>,
        event: StatusEvent,
        reason: &str,
        at: UnixMicros,
    ) -> Applied {
        if self.state.open.contains_key(&envelope.id) {
            return Ok(Verdict::Refused(Refusal::AttemptOpen));
        }
        let stored = self.message(envelope.account, envelope.id)?;
        let is_untouched = stored.is_none();
        if is_untouched && self.is_canceled(envelope)? {
            return Ok(Verdict::Refused(Refusal::Canceled));
        }
        let mut message =
            stored.unwrap_or_else(|| lives::new_message(envelope, MessageStatus::Queued));
        let from = message.status;
        if !lives::step(
            &mut message,
            event,
            lives::Entry::plain(at, event).detailed(reason),
        ) {
            return Ok(Verdict::Refused(Refusal::AlreadyHandled));
        }
        message.reason = Some(reason.to_owned());
        self.take_up(&mut message)?;
        message.next_attempt_at = None;
        if is_untouched {
            self.touched(envelope)?;
        }
        self.state
            .count_move(self.view, envelope, from, message.status)?;
        self.put_message(&mut message)?;
        Ok(Verdict::Done)
    }

    fn looked_up(&mut self, attempt: &AttemptRef, made: u32, next: Option<UnixMicros>) -> Applied {
        let Some(message) = self.message(attempt.account, attempt.message)? else {
            return Ok(Verdict::Refused(Refusal::NoSuchMessage));
        };
        if message.attempts != attempt.attempt {
            return Ok(Verdict::Refused(Refusal::AlreadyHandled));
        }
        let open = message.status.awaits_receipt() || message.status == MessageStatus::Unknown;
        if let (true, Some(due)) = (open, next) {
            self.state.look_ups.plan(due, LookUp::of(attempt, made));
        }
        Ok(Verdict::Done)
    }

    fn no_receipt(&mut self, account: AccountId, id: MessageId, at: UnixMicros) -> Applied {
        self.plain_step(account, id, StatusEvent::NoReceipt, at, |message| {
            message.reason = Some("no_receipt".to_owned());
        })
    }

    /// Another search of the same attempt may have come first, and the text may have been
    /// sent again and be unknown once more: that attempt must be searched for anew.
    fn resend(&mut self, attempt: &AttemptRef, due: UnixMicros, at: UnixMicros) -> Applied {
        let (account, id) = (attempt.account, attempt.message);
        let Some(message) = self.message(account, id)? else {
            return Ok(Verdict::Refused(Refusal::NoSuchMessage));
        };
        if message.attempts != attempt.attempt {
            return Ok(Verdict::Refused(Refusal::AlreadyHandled));
        }
        if self.is_canceled(&message.envelope)? {
            return Ok(Verdict::Refused(Refusal::Canceled));
        }
        if self.is_forbidden(&message.envelope)? {
            return Ok(Verdict::Refused(Refusal::OptedOut));
        }
        if is_poison(&message) {
            return Ok(Verdict::Refused(Refusal::Poison));
        }
        let verdict = self.plain_step(account, id, StatusEvent::Resend, at, |message| {
            message.reason = None;
            message.next_attempt_at = Some(due);
        })?;
        if verdict == Verdict::Done {
            self.put_due(account, id, due)?;
        }
        Ok(verdict)
    }

    /// Lets a further attempt be due later, unless that was said before.
    fn postponed(
        &mut self,
        account: AccountId,
        id: MessageId,
        due: UnixMicros,
        at: UnixMicros,
    ) -> Applied {
        if self.state.open.contains_key(&id) {
            return Ok(Verdict::Refused(Refusal::AttemptOpen));
        }
        let Some(mut message) = self.message(account, id)? else {
            return Ok(Verdict::Refused(Refusal::NoSuchMessage));
        };
        let is_for_later = message.next_attempt_at.is_some_and(|next| next > at);
        if !message.status.has_not_begun() || is_for_later {
            return Ok(Verdict::Refused(Refusal::AlreadyHandled));
        }
        message.next_attempt_at = Some(due);
        let entry = lives::Entry::of(at, "postponed").detailed("retry_budget");
        lives::tell_once(&mut message, entry);
        self.put_due(account, id, due)?;
        self.put_message(&mut message)?;
        Ok(Verdict::Done)
    }

    pub(super) fn plain_step(
        &mut self,
        account: AccountId,
        id: MessageId,
        event: StatusEvent,
        at: UnixMicros,
        change: impl FnOnce(&mut Message),
    ) -> Applied {
        if self.state.open.contains_key(&id) {
            return Ok(Verdict::Refused(Refusal::AttemptOpen));
        }
        let Some(mut message) = self.message(account, id)? else {
            return Ok(Verdict::Refused(Refusal::NoSuchMessage));
        };
        let from = message.status;
        if !lives::step(&mut message, event, lives::Entry::plain(at, event)) {
            return Ok(Verdict::Refused(Refusal::AlreadyHandled));
        }
        change(&mut message);
        let envelope = message.envelope.clone();
        self.state
            .count_move(self.view, &envelope, from, message.status)?;
        self.put_message(&mut message)?;
        Ok(Verdict::Done)
    }

    /// Moves a cursor forward. Due entries behind theirs are dropped: they were handled.
    fn advanced(&mut self, source: SourceId, to: u64) -> Applied {
        let position = self.state.position(self.view, source)?;
        let from = position.get().position;
        if to <= from {
            return Ok(Verdict::Refused(Refusal::OutOfOrder));
        }
        position.change().position = to;
        match source {
            SourceId::Due(DueKind::Send) => self.drop_due::<DueEntry>(from, to)?,
            SourceId::Due(DueKind::LookUp) => self.drop_due::<DueLookUps>(from, to)?,
            SourceId::Work(_)
            | SourceId::Audience(_)
            | SourceId::Import(_)
            | SourceId::Callbacks => {}
        }
        Ok(Verdict::Done)
    }

    /// Walks over the minutes between the two instants and never over what was dropped
    /// before: a store may have to step over each row that is not there any more.
    fn drop_due<R: FallsDue>(&mut self, from: u64, to: u64) -> Result<(), StoreError> {
        let as_instant = |position: u64| UnixMicros(i64::try_from(position).unwrap_or(i64::MAX));
        let (from, to) = (as_instant(from), as_instant(to));
        if from.0 == 0 {
            // The first position of all: nothing can be due before it.
            return Ok(());
        }
        for minute in from.minute()..=to.minute() {
            let bucket = R::bucket_key(self.state.partition, minute);
            let mut start = bucket.clone();
            start.push(KeyPart::I64(from.0));
            self.drop_bucket::<R>(&bucket, &start, to)?;
        }
        Ok(())
    }

    fn drop_bucket<R: FallsDue>(
        &mut self,
        bucket: &[KeyPart],
        start: &[KeyPart],
        to: UnixMicros,
    ) -> Result<(), StoreError> {
        loop {
            let page = self.view.list::<R>(bucket, start, DROP_PAGE)?;
            let handled = page.iter().filter(|entry| entry.due() < to);
            let mut dropped = 0;
            for entry in handled {
                self.view.delete::<R>(&entry.key())?;
                dropped += 1;
            }
            if dropped < DROP_PAGE {
                return Ok(());
            }
        }
    }
}

/// How many due entries are read at a time for dropping.
const DROP_PAGE: usize = 512;
