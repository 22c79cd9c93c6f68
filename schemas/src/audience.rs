//! The frozen audience of a campaign.

use serde::{Deserialize, Serialize};

use crate::id::{CampaignId, ContactId};
use crate::phone::Phone;
use crate::record::{Key, KeyPart, Record, Table, WriteOnce, tables};
use crate::slice::Partition;

/// The digits of a number in E.164 as an integer. At most 15 digits and no leading
/// zero, so it fits and leads back to the number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NumberKey(pub u64);

impl NumberKey {
    /// The key of a number.
    pub fn of(phone: &Phone) -> Self {
        Self(
            phone
                .digits()
                .bytes()
                .fold(0, |number, digit| number * 10 + u64::from(digit - b'0')),
        )
    }

    /// The number again; `None` when no number has this key.
    pub fn phone(self) -> Option<Phone> {
        Phone::from_e164(format!("+{}", self.0)).ok()
    }
}

impl std::fmt::Debug for NumberKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("[number]")
    }
}

/// This many entries make a chunk: 24 bytes each, so a chunk is 48 kB. It is read again
/// for each part that is sent, some hundreds of its entries, so a larger one would be
/// unpacked more often than it saves rows, and hold more memory while it is.
pub const CHUNK_ENTRIES: usize = 2_000;

/// A part of the audience of one partition, in (slice, number) order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AudienceChunk {
    /// Whose audience.
    pub campaign: CampaignId,
    /// The partition that sends it.
    pub partition: Partition,
    /// Its number, from 0.
    pub chunk: u32,
    /// Whom to text: the number as it was at launch, and the contact. Stored as one
    /// run of 24 bytes each, because a chunk is read again for each part that is sent.
    #[serde(with = "packed")]
    pub entries: Vec<(NumberKey, ContactId)>,
}

impl AudienceChunk {
    /// The key of one chunk.
    pub fn key_of(campaign: CampaignId, partition: Partition, chunk: u32) -> Key {
        vec![
            KeyPart::Id(*campaign.as_bytes()),
            KeyPart::U16(partition.0),
            KeyPart::U64(u64::from(chunk)),
        ]
    }
}

impl Record for AudienceChunk {
    type Writing = WriteOnce;
    const TABLE: Table = tables::AUDIENCE_CHUNKS;

    fn key(&self) -> Key {
        Self::key_of(self.campaign, self.partition, self.chunk)
    }
}

/// Entries as bytes: 8 of the number, big end first, and 16 of the contact's id.
mod packed {
    use serde::de::{Error, Visitor};
    use serde::{Deserializer, Serializer};

    use super::NumberKey;
    use crate::id::ContactId;

    const ENTRY_BYTES: usize = 24;

    pub fn serialize<S: Serializer>(
        entries: &[(NumberKey, ContactId)],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::with_capacity(entries.len() * ENTRY_BYTES);
        for (number, contact) in entries {
            bytes.extend_from_slice(&number.0.to_be_bytes());
            bytes.extend_from_slice(contact.as_bytes());
        }
        serializer.serialize_bytes(&bytes)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<(NumberKey, ContactId)>, D::Error> {
        deserializer.deserialize_bytes(Packed)
    }

    struct Packed;

    impl Visitor<'_> for Packed {
        type Value = Vec<(NumberKey, ContactId)>;

        fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            formatter.write_str("entries of 24 bytes each")
        }

        fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
            let (entries, rest) = bytes.as_chunks::<ENTRY_BYTES>();
            if !rest.is_empty() {
                return Err(E::invalid_length(bytes.len(), &self));
            }
            let entry = |entry: &[u8; ENTRY_BYTES]| {
                let (mut number, mut contact) = ([0; 8], [0; 16]);
                number.copy_from_slice(&entry[..8]);
                contact.copy_from_slice(&entry[8..]);
                (
                    NumberKey(u64::from_be_bytes(number)),
                    ContactId::from_bytes(contact),
                )
            };
            Ok(entries.iter().map(entry).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::NumberKey;
    use crate::phone::Phone;

    #[test]
    fn a_number_key_leads_back_to_the_number() {
        for text in ["+1234567", "+251911234567", "+999999999999999"] {
            let phone = Phone::from_e164(text).expect("a number");
            assert_eq!(NumberKey::of(&phone).phone(), Some(phone));
        }
        assert_eq!(NumberKey(12).phone(), None);
    }
}
