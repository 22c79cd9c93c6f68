//! Contacts, lists and who is on them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::audience::NumberKey;
use crate::id::{AccountId, ContactId, JobId, ListId};
use crate::phone::Phone;
use crate::position::Sequence;
use crate::record::{CompareAndSet, Key, KeyPart, Projection, Record, Table, Versioned, tables};
use crate::slice::Slice;
use crate::time::UnixMicros;

/// What is known of a contact beside the number, by column name: `first_name`.
pub type ContactFields = BTreeMap<String, String>;

/// A person who can be texted.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// Whose contact.
    #[serde(rename = "a")]
    pub account: AccountId,
    /// Its id. Its slice is that of the number it was created with.
    #[serde(rename = "i")]
    pub id: ContactId,
    /// Its number.
    #[serde(rename = "t")]
    pub phone: Phone,
    /// The rest.
    #[serde(rename = "f")]
    pub fields: ContactFields,
    /// When it was created.
    #[serde(rename = "w")]
    pub created_at: UnixMicros,
    /// When it was last changed.
    #[serde(rename = "u")]
    pub updated_at: UnixMicros,
    /// The journal sequence that this row includes.
    #[serde(rename = "q")]
    pub sequence: Sequence,
}

impl std::fmt::Debug for Contact {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "Contact({}, {:?}, {} fields)",
            self.id,
            self.phone,
            self.fields.len()
        )
    }
}

impl Contact {
    /// The key of one contact. A shard's contacts lie in the order of their slices, as
    /// audiences do, so that a campaign finds those of its next recipients side by side.
    pub fn key_of(account: AccountId, id: ContactId) -> Key {
        let slice = contact_slice(id);
        vec![
            KeyPart::Id(*account.as_bytes()),
            KeyPart::U16(u16::from(slice.shard())),
            KeyPart::U16(slice.number()),
            KeyPart::Id(*id.as_bytes()),
        ]
    }
}

/// The slice that a contact's id carries in the bits where a message's id has its own.
pub fn contact_slice(id: ContactId) -> Slice {
    let bytes = id.as_bytes();
    Slice::from_low_bits(u16::from_be_bytes([bytes[6], bytes[7]]))
}

/// The id of a contact that is created with a number: its slice and 62 bits that only
/// the account's key leads to. The same number makes the same id, so an import that
/// is repeated creates nobody twice.
pub fn contact_id(slice: Slice, keyed_hash: [u8; 16]) -> ContactId {
    let mut random = [0; 10];
    random[..2].copy_from_slice(&slice.number().to_be_bytes());
    random[2..].copy_from_slice(&keyed_hash[..8]);
    let head = i64::from_be_bytes([
        0,
        0,
        0,
        keyed_hash[8],
        keyed_hash[9],
        keyed_hash[10],
        keyed_hash[11],
        keyed_hash[12],
    ]);
    ContactId::mint(UnixMicros(head * 1_000), random)
}

impl Record for Contact {
    type Writing = Projection;
    const TABLE: Table = tables::CONTACTS;

    fn key(&self) -> Key {
        Self::key_of(self.account, self.id)
    }
}

/// A named list of contacts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ContactList {
    /// Whose list.
    pub account: AccountId,
    /// Its id.
    pub id: ListId,
    /// What people call it.
    pub name: String,
    /// When it was created.
    pub created_at: UnixMicros,
    /// See [`Versioned`].
    pub version: u64,
}

impl ContactList {
    /// The key of one list.
    pub fn key_of(account: AccountId, id: ListId) -> Key {
        vec![
            KeyPart::Id(*account.as_bytes()),
            KeyPart::Id(*id.as_bytes()),
        ]
    }
}

impl Record for ContactList {
    type Writing = CompareAndSet;
    const TABLE: Table = tables::CONTACT_LISTS;

    fn key(&self) -> Key {
        Self::key_of(self.account, self.id)
    }
}

impl Versioned for ContactList {
    fn version(&self) -> u64 {
        self.version
    }

    fn set_version(&mut self, version: u64) {
        self.version = version;
    }
}

/// That a contact is on a list. Rows lie in (slice, number) order, so lists are
/// joined by reading each of them once.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ListMember {
    /// The list.
    #[serde(rename = "l")]
    pub list: ListId,
    /// The number's slice.
    #[serde(rename = "s")]
    pub slice: Slice,
    /// The number.
    #[serde(rename = "n")]
    pub number: NumberKey,
    /// Who.
    #[serde(rename = "k")]
    pub contact: ContactId,
    /// The import and the line of its file that put it there: read again after a
    /// crash, the same line is still the first of its number, not a repetition.
    #[serde(rename = "b")]
    pub added_by: (JobId, u64),
    /// When: a campaign's audience holds who was on the list when it was started.
    #[serde(rename = "w")]
    pub added_at: UnixMicros,
    /// The journal sequence that this row includes.
    #[serde(rename = "q")]
    pub sequence: Sequence,
}

impl ListMember {
    /// The key of one member.
    pub fn key_of(list: ListId, slice: Slice, number: NumberKey) -> Key {
        let mut key = Self::slice_key(list, slice);
        key.push(KeyPart::U64(number.0));
        key
    }

    /// The key of all members of one slice.
    pub fn slice_key(list: ListId, slice: Slice) -> Key {
        let mut key = Self::shard_key(list, slice.shard());
        key.push(KeyPart::U16(slice.number()));
        key
    }

    /// The partition key of one shard's members.
    pub fn shard_key(list: ListId, shard: u8) -> Key {
        vec![
            KeyPart::Id(*list.as_bytes()),
            KeyPart::U16(u16::from(shard)),
        ]
    }
}

impl Record for ListMember {
    type Writing = Projection;
    const TABLE: Table = tables::LIST_MEMBERS;

    fn key(&self) -> Key {
        Self::key_of(self.list, self.slice, self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::{contact_id, contact_slice};
    use crate::slice::Slice;

    #[test]
    fn a_contact_id_carries_its_slice() {
        for number in [0, 77, 4_095] {
            let id = contact_id(Slice::from_low_bits(number), [0xfe; 16]);
            assert_eq!(contact_slice(id).number(), number);
        }
    }
}
