//! Who said STOP, and who took it back. It holds from the commit on: an attempt that is
//! begun behind it is refused, whatever was scheduled, queued or read before.

use schemas::change::Change;
use schemas::consent::{Consent, REMEMBERED};
use schemas::{Envelope, UnixMicros};

use super::apply::{Applied, Applying};
use super::view::View;
use super::{Refusal, Verdict};
use crate::store::StoreError;

impl<V: View> Applying<'_, V> {
    /// Takes in what a person answered.
    pub(super) fn consent_changed(&mut self, change: &Change) -> Applied {
        let Change::ConsentChanged {
            phone,
            senders,
            stops,
            provider_message_id,
            at,
            ..
        } = change
        else {
            return Ok(Verdict::Refused(Refusal::OutOfOrder));
        };
        let stored = self.view.get::<Consent>(&Consent::key_of(phone))?;
        let mut consent = stored.unwrap_or_else(|| Consent {
            phone: phone.clone(),
            stopped: Vec::new(),
            heard: Vec::new(),
            changed_at: UnixMicros::default(),
            sequence: 0,
        });
        if consent.heard.contains(provider_message_id) {
            return Ok(Verdict::Refused(Refusal::AlreadyHandled));
        }
        consent.stopped.retain(|sender| !senders.contains(sender));
        if *stops {
            consent.stopped.extend(senders.iter().cloned());
        }
        consent.heard.push(provider_message_id.clone());
        if consent.heard.len() > REMEMBERED {
            consent.heard.remove(0);
        }
        consent.changed_at = *at;
        consent.sequence = self.state.sequence;
        self.view.put(&consent)?;
        Ok(Verdict::Done)
    }

    /// Whether the recipient does not want the message.
    pub(super) fn is_forbidden(&mut self, envelope: &Envelope) -> Result<bool, StoreError> {
        let consent = self.view.get::<Consent>(&Consent::key_of(&envelope.to))?;
        Ok(consent.is_some_and(|consent| consent.forbids(envelope.from.as_deref())))
    }
}
