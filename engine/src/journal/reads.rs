//! What changes will read: for stores whose rows lie so far away that they are fetched
//! together before a group is applied.
//!
//! What is missing here is still read, one after the other, when it is needed; what is here
//! for nothing is fetched for nothing. Neither is wrong.

use schemas::audience::NumberKey;
use schemas::change::{Change, SkippedRecipient};
use schemas::consent::Consent;
use schemas::contact::ListMember;
use schemas::message::message_key;
use schemas::record::{Key, Record, Table};
use schemas::text::Binding;
use schemas::{AccountId, Envelope, Message, MessageId, Partition};

use crate::store::key;

/// The keys of the rows that nearly every one of these changes reads.
pub fn of_changes(changes: &[(Partition, Change)]) -> Vec<Vec<u8>> {
    let mut reads = Reads(Vec::with_capacity(2 * changes.len()));
    for (_, change) in changes {
        reads.of(change);
    }
    reads.0
}

struct Reads(Vec<Vec<u8>>);

impl Reads {
    fn of(&mut self, change: &Change) {
        match change {
            Change::AttemptBegun { envelope, .. } => {
                self.envelope(envelope);
                self.row(Consent::TABLE, &Consent::key_of(&envelope.to));
            }
            Change::Scheduled { envelope, .. } | Change::ValidityEnded { envelope, .. } => {
                self.envelope(envelope);
            }
            Change::Skipped { recipient, .. } => match recipient {
                SkippedRecipient::Message(envelope) => self.envelope(envelope),
                SkippedRecipient::Recipient {
                    account, message, ..
                } => self.message(*account, *message),
            },
            Change::AttemptEnded { attempt, .. }
            | Change::LookedUp { attempt, .. }
            | Change::Resend { attempt, .. } => self.message(attempt.account, attempt.message),
            Change::Receipt {
                provider, receipt, ..
            } => match (receipt.attempt, Binding::key_told_by(*provider, receipt)) {
                (Some(attempt), _) => self.message(attempt.account, attempt.message),
                (None, Some(key)) => self.row(Binding::TABLE, &key),
                (None, None) => {}
            },
            Change::NoReceipt {
                account, message, ..
            }
            | Change::MessageCanceled {
                account, message, ..
            }
            | Change::MessageHeld {
                account, message, ..
            }
            | Change::MessageReleased {
                account, message, ..
            }
            | Change::Postponed {
                account, message, ..
            } => self.message(*account, *message),
            Change::ContactImported { list, phone, .. } => {
                let key = ListMember::key_of(*list, phone.slice(), NumberKey::of(phone));
                self.row(ListMember::TABLE, &key);
            }
            Change::ConsentChanged { phone, .. } => {
                self.row(Consent::TABLE, &Consent::key_of(phone));
            }
            Change::AudienceFrozen { .. }
            | Change::CampaignCanceled { .. }
            | Change::Advanced { .. }
            | Change::ImportAdvanced { .. }
            | Change::ParkedDropped { .. } => {}
        }
    }

    fn envelope(&mut self, envelope: &Envelope) {
        self.message(envelope.account, envelope.id);
    }

    fn message(&mut self, account: AccountId, id: MessageId) {
        self.row(Message::TABLE, &message_key(account, id));
    }

    fn row(&mut self, table: Table, key: &Key) {
        // A key that cannot be is told to whoever reads it.
        if let Ok(bytes) = key::encode(table, key) {
            self.0.push(bytes);
        }
    }
}
