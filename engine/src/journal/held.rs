//! What is put aside, and what is taken up again. A message lies in one list at most; whatever
//! becomes of it takes it out of there.

use std::sync::Arc;

use schemas::change::Change;
use schemas::due::DueEntry;
use schemas::held::{HeldList, HeldMessage};
use schemas::record::Record;
use schemas::{AccountId, CampaignId, Message, MessageId, MessageStatus, UnixMicros};

use super::apply::{Applied, Applying};
use super::lives::{self, Entry};
use super::view::View;
use super::{Refusal, Verdict};
use crate::store::StoreError;

/// Why a message was put aside: its campaign is paused, outside of its window, or was just
/// canceled.
pub const CAMPAIGN_HELD: &str = "campaign_held";

/// Why a message was put aside: none of the provider accounts works that may carry it.
pub const NO_PROVIDER: &str = "no_provider";

impl<V: View> Applying<'_, V> {
    /// Puts a message aside that could leave.
    pub(super) fn message_held(&mut self, change: &Change) -> Applied {
        let Change::MessageHeld {
            account,
            message: id,
            envelope,
            providers,
            until,
            at,
        } = change
        else {
            return Ok(Verdict::Refused(Refusal::OutOfOrder));
        };
        if self.state.open.contains_key(id) {
            return Ok(Verdict::Refused(Refusal::AttemptOpen));
        }
        let stored = self.message(*account, *id)?;
        let is_new = stored.is_none();
        let new = |envelope: &Arc<_>| lives::new_message(envelope, MessageStatus::Queued);
        let Some(mut message) = stored.or_else(|| envelope.as_ref().map(new)) else {
            return Ok(Verdict::Refused(Refusal::NoSuchMessage));
        };
        let list = match message.envelope.campaign {
            Some(campaign) => HeldList::Campaign(campaign),
            None if until.is_none() => return Ok(Verdict::Refused(Refusal::OutOfOrder)),
            None => HeldList::Providers(providers.clone()),
        };
        // A row of a recipient is made when something is sent, and only then.
        if is_new && message.envelope.campaign.is_some() {
            return Ok(Verdict::Refused(Refusal::NoSuchMessage));
        }
        if self.is_held(&message, &list)? || !message.status.has_not_begun() {
            return Ok(Verdict::Refused(Refusal::AlreadyHandled));
        }
        self.hold(&list, *account, *id)?;
        message.held = Some(list);
        message.next_attempt_at = *until;
        if let Some(until) = until {
            self.put_due(*account, *id, *until)?;
        }
        // A campaign that is held goes on some day: its messages wait until then.
        let reason = until.map_or(CAMPAIGN_HELD, |_| NO_PROVIDER);
        lives::note(&mut message, Entry::of(*at, "held").detailed(reason));
        self.put_message(&mut message)?;
        Ok(Verdict::Done)
    }

    /// Makes a message due that was put aside.
    pub(super) fn message_released(
        &mut self,
        campaign: Option<CampaignId>,
        account: AccountId,
        id: MessageId,
        due: UnixMicros,
        at: UnixMicros,
    ) -> Applied {
        let message = self.message(account, id)?;
        // Rows that were put aside earlier do not tell where they lie.
        let held = message.as_ref().and_then(|message| message.held.clone());
        let list = held.or_else(|| campaign.map(HeldList::Campaign));
        let was_held = match &list {
            Some(list) => self.forget_held(list, id)?,
            None => false,
        };
        let Some(mut message) = message.filter(|_| was_held) else {
            return Ok(Verdict::Refused(Refusal::AlreadyHandled));
        };
        message.held = None;
        if message.status.has_not_begun() {
            self.forget_due(&message)?;
            message.next_attempt_at = Some(due);
            lives::note(&mut message, Entry::of(at, "released"));
            self.put_due(account, id, due)?;
        }
        self.put_message(&mut message)?;
        Ok(Verdict::Done)
    }

    /// Takes a message out of the list in which it lies, if it does.
    pub(super) fn take_up(&mut self, message: &mut Message) -> Result<(), StoreError> {
        if let Some(list) = message.held.take() {
            self.forget_held(&list, message.envelope.id)?;
            self.forget_due(message)?;
        }
        Ok(())
    }

    /// Tells whether it was put aside.
    pub(super) fn forget_held(
        &mut self,
        list: &HeldList,
        message: MessageId,
    ) -> Result<bool, StoreError> {
        let key = HeldMessage::key_of(list, self.state.partition, message);
        let is_held = self.view.get::<HeldMessage>(&key)?.is_some();
        if is_held {
            self.view.delete::<HeldMessage>(&key)?;
            self.count_held(list, |held| held.saturating_sub(1))?;
        }
        Ok(is_held)
    }

    fn is_held(&mut self, message: &Message, list: &HeldList) -> Result<bool, StoreError> {
        let key = HeldMessage::key_of(list, self.state.partition, message.envelope.id);
        Ok(message.held.is_some() || self.view.get::<HeldMessage>(&key)?.is_some())
    }

    fn hold(
        &mut self,
        list: &HeldList,
        account: AccountId,
        message: MessageId,
    ) -> Result<(), StoreError> {
        let (campaign, providers) = match list {
            HeldList::Campaign(campaign) => (Some(*campaign), Vec::new()),
            HeldList::Providers(providers) => (None, providers.clone()),
        };
        self.view.put(&HeldMessage {
            campaign,
            providers,
            partition: self.state.partition,
            account,
            message,
            sequence: self.state.sequence,
        })?;
        self.count_held(list, |held| held + 1)
    }

    fn count_held(
        &mut self,
        list: &HeldList,
        count: impl FnOnce(u64) -> u64,
    ) -> Result<(), StoreError> {
        let held = match list {
            HeldList::Campaign(campaign) => {
                &mut self.state.tally(self.view, *campaign)?.change().held
            }
            HeldList::Providers(providers) => {
                &mut self.state.held(self.view, providers)?.change().messages
            }
        };
        *held = count(*held);
        Ok(())
    }

    /// Drops the entry by which a message was to be looked at when its validity ends.
    fn forget_due(&mut self, message: &Message) -> Result<(), StoreError> {
        let Some(due) = message.next_attempt_at else {
            return Ok(());
        };
        let entry = DueEntry {
            partition: self.state.partition,
            due,
            account: message.envelope.account,
            message: message.envelope.id,
            sequence: 0,
        };
        self.view.delete::<DueEntry>(&entry.key())
    }
}
