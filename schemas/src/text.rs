//! Texts at providers, as they are known here: whose they are, which attempts may have
//! made one, and what was told of one before anybody knew whose it is.

use serde::{Deserialize, Serialize};

use crate::id::ProviderId;
use crate::phone::Phone;
use crate::position::Sequence;
use crate::provider::{AttemptRef, DeliveryReceipt};
use crate::record::{Key, KeyPart, Projection, Record, Table, tables};
use crate::slice::{Partition, Slice};
use crate::time::UnixMicros;

/// That a text at a provider is the text of one attempt of ours. A look-up may settle
/// an unknown attempt only with a text that is bound to no other.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Binding {
    /// The provider account.
    #[serde(rename = "p")]
    pub provider: ProviderId,
    /// The provider's own id of the text.
    #[serde(rename = "i")]
    pub provider_message_id: String,
    /// Our attempt.
    #[serde(rename = "a")]
    pub attempt: AttemptRef,
    /// The journal sequence that this row includes.
    #[serde(rename = "q")]
    pub sequence: Sequence,
}

impl Binding {
    /// The row key of a provider's text to a recipient of this slice. Shard and slice come
    /// first because a campaign goes by them: by the providers' ids, which are random, the
    /// store would merge each new row into all there are.
    pub fn key_of(provider: ProviderId, slice: Slice, provider_message_id: &str) -> Key {
        vec![
            KeyPart::Id(*provider.as_bytes()),
            KeyPart::U16(u16::from(slice.shard())),
            KeyPart::U16(slice.number()),
            KeyPart::Text(provider_message_id.to_owned()),
        ]
    }

    /// The row key of the text that a receipt is about; `None` when nothing tells whose
    /// it is.
    pub fn key_told_by(provider: ProviderId, receipt: &DeliveryReceipt) -> Option<Key> {
        let slice = receipt.slice()?;
        Some(Self::key_of(provider, slice, &receipt.provider_message_id))
    }
}

impl Record for Binding {
    type Writing = Projection;
    const TABLE: Table = tables::BINDINGS;

    fn key(&self) -> Key {
        let slice = self.attempt.message.slice();
        Self::key_of(self.provider, slice, &self.provider_message_id)
    }
}

/// An attempt that may have made a text, nobody knows which. While there are two to one
/// person with the same words, no search can tell whose text it finds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct UnknownAttempt {
    /// The recipient.
    #[serde(rename = "t")]
    pub to: Phone,
    /// Our attempt.
    #[serde(rename = "a")]
    pub attempt: AttemptRef,
    /// Where the text may be.
    #[serde(rename = "p")]
    pub provider: ProviderId,
    /// When the attempt was committed.
    #[serde(rename = "b")]
    pub begun_at: UnixMicros,
    /// The journal sequence that this row includes.
    #[serde(rename = "q")]
    pub sequence: Sequence,
}

impl UnknownAttempt {
    /// All of one number, by when they began.
    pub fn prefix_of(to: &Phone) -> Key {
        let slice = to.slice();
        vec![
            KeyPart::U16(u16::from(slice.shard())),
            KeyPart::U16(slice.number()),
            KeyPart::Text(to.as_str().to_owned()),
        ]
    }
}

impl Record for UnknownAttempt {
    type Writing = Projection;
    const TABLE: Table = tables::UNKNOWN_ATTEMPTS;

    fn key(&self) -> Key {
        let mut key = Self::prefix_of(&self.to);
        key.push(KeyPart::I64(self.begun_at.0));
        key.push(KeyPart::Id(*self.attempt.message.as_bytes()));
        key.push(KeyPart::U64(u64::from(self.attempt.attempt)));
        key
    }
}

/// A receipt that fits no message yet. Kept for 72 hours and tried again.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ParkedReceipt {
    /// The partition that would own its message.
    pub partition: Partition,
    /// Where it came from.
    pub provider: ProviderId,
    /// What it says.
    pub receipt: DeliveryReceipt,
    /// When it came.
    pub received_at: UnixMicros,
    /// The journal sequence that this row includes.
    pub sequence: Sequence,
}

impl ParkedReceipt {
    /// The key of what a provider said of a text in one word.
    pub fn key_of(
        partition: Partition,
        provider: ProviderId,
        provider_message_id: &str,
        provider_status: &str,
    ) -> Key {
        vec![
            KeyPart::U16(partition.0),
            KeyPart::Id(*provider.as_bytes()),
            KeyPart::Text(provider_message_id.to_owned()),
            KeyPart::Text(provider_status.to_owned()),
        ]
    }
}

impl Record for ParkedReceipt {
    type Writing = Projection;
    const TABLE: Table = tables::PARKED_RECEIPTS;

    fn key(&self) -> Key {
        let (id, status) = (
            &self.receipt.provider_message_id,
            &self.receipt.provider_status,
        );
        Self::key_of(self.partition, self.provider, id, status)
    }
}
