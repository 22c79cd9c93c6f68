//! Campaigns: their audience is counted as it is frozen, and what is left of one that is
//! canceled is counted off at once. Recipients of whom nothing was written have no rows,
//! so that is one change for each partition, however many they are.

use schemas::held::HeldList;
use schemas::{AccountId, CampaignId, Envelope, MessageId, MessageStatus, StatusEvent, UnixMicros};

use super::apply::{Applied, Applying};
use super::view::View;
use super::{Refusal, Verdict};
use crate::store::StoreError;

/// Why a message of a canceled campaign was withdrawn.
const CANCELED: &str = "campaign_canceled";

impl<V: View> Applying<'_, V> {
    /// Counts a chunk of the audience.
    pub(super) fn audience_frozen(
        &mut self,
        campaign: CampaignId,
        chunk: u32,
        entries: u32,
        last: bool,
    ) -> Applied {
        let tally = self.state.tally(self.view, campaign)?;
        if tally.get().frozen || tally.get().chunks != chunk {
            return Ok(Verdict::Refused(Refusal::OutOfOrder));
        }
        let tally = tally.change();
        tally.chunks += 1;
        tally.frozen = last;
        tally.total_recipients += u64::from(entries);
        tally.untouched += u64::from(entries);
        if entries > 0 {
            *tally.by_status.entry(MessageStatus::Queued).or_default() += u64::from(entries);
        }
        Ok(Verdict::Done)
    }

    /// Ends the audience where it is and counts off whoever was not touched yet. What
    /// waits for another attempt is withdrawn when that would be due.
    pub(super) fn campaign_canceled(&mut self, campaign: CampaignId) -> Applied {
        let tally = self.state.tally(self.view, campaign)?;
        if tally.get().canceled {
            return Ok(Verdict::Refused(Refusal::AlreadyHandled));
        }
        let tally = tally.change();
        tally.canceled = true;
        tally.frozen = true;
        let untouched = std::mem::take(&mut tally.untouched);
        if untouched > 0 {
            let queued = tally.by_status.entry(MessageStatus::Queued).or_default();
            *queued = queued.saturating_sub(untouched);
            if *queued == 0 {
                tally.by_status.remove(&MessageStatus::Queued);
            }
            *tally.by_status.entry(MessageStatus::Canceled).or_default() += untouched;
        }
        Ok(Verdict::Done)
    }

    /// Whether nothing more of a message's campaign may begin.
    pub(super) fn is_canceled(&mut self, envelope: &Envelope) -> Result<bool, StoreError> {
        envelope.campaign.map_or(Ok(false), |campaign| {
            Ok(self.state.tally(self.view, campaign)?.get().canceled)
        })
    }

    /// Something begins or is written of a recipient for the first time.
    pub(super) fn touched(&mut self, envelope: &Envelope) -> Result<(), StoreError> {
        if let Some(campaign) = envelope.campaign {
            let tally = self.state.tally(self.view, campaign)?.change();
            tally.untouched = tally.untouched.saturating_sub(1);
        }
        Ok(())
    }

    /// Withdraws a message that waits for another attempt, of a campaign that is canceled.
    pub(super) fn message_canceled(
        &mut self,
        account: AccountId,
        id: MessageId,
        at: UnixMicros,
    ) -> Applied {
        let Some(message) = self.message(account, id)? else {
            return Ok(Verdict::Refused(Refusal::NoSuchMessage));
        };
        let campaign = message.envelope.campaign;
        let Some(campaign) = campaign.filter(|_| !self.state.open.contains_key(&id)) else {
            return Ok(Verdict::Refused(Refusal::OutOfOrder));
        };
        if !self.is_canceled(&message.envelope)? {
            return Ok(Verdict::Refused(Refusal::OutOfOrder));
        }
        // A late receipt may have told the end of one that is held.
        let list = HeldList::Campaign(campaign);
        let was_held = self.forget_held(&list, id)?;
        let verdict = self.plain_step(account, id, StatusEvent::Cancel, at, |message| {
            message.reason = Some(CANCELED.to_owned());
            message.next_attempt_at = None;
        })?;
        Ok(if was_held { Verdict::Done } else { verdict })
    }
}
