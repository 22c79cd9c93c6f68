//! Ids: 128 bits, written with a prefix that tells what they name.
//!
//! A message id is a UUIDv7 whose 12 bits `rand_a` are the recipient's slice, so the
//! way from an id to its partition and its row needs no lookup and the number of
//! partitions can change. In rows and journals an id is its 16 bytes; in text it is
//! the prefix and 32 hexadecimal digits.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};
use uuid::Uuid;

use crate::slice::Slice;
use crate::time::UnixMicros;

/// The text is not an id of the kind asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an id of the form {prefix}_ and 32 hexadecimal digits")]
pub struct InvalidId {
    /// The prefix that ids of this kind carry.
    pub prefix: &'static str,
}

macro_rules! prefixed_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// What this kind of id starts with in text.
            pub const PREFIX: &'static str = $prefix;

            /// The id with these 16 bytes.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// The 16 bytes, ordered as the text is.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// A UUIDv7 of this instant (its milliseconds) and these random bytes.
            pub fn mint(at: UnixMicros, random: [u8; 10]) -> Self {
                Self(uuid::Builder::from_unix_timestamp_millis(millis(at), &random).into_uuid())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, concat!($prefix, "_{}"), self.0.simple())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, formatter)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let digits = text.strip_prefix(concat!($prefix, "_"));
                let canonical = |digits: &&str| {
                    digits.len() == 32 && !digits.bytes().any(|byte| byte.is_ascii_uppercase())
                };
                digits
                    .filter(canonical)
                    .and_then(|digits| Uuid::try_parse(digits).ok())
                    .map(Self)
                    .ok_or(InvalidId { prefix: $prefix })
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    self.0.serialize(serializer)
                }
            }
        }

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let pattern = concat!("^", $prefix, "_[0-9a-f]{32}$");
                text_of(pattern, concat!($prefix, "_019a5b3c7d8e7f00a1b2c3d4e5f60718"))
            }
        }

        impl ToSchema for $name {}

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                if from.is_human_readable() {
                    let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
                    text.parse().map_err(serde::de::Error::custom)
                } else {
                    Uuid::deserialize(from).map(Self)
                }
            }
        }
    };
}

prefixed_id!(
    /// A customer of ours.
    AccountId,
    "acc"
);
prefixed_id!(
    /// An API key (not its secret).
    KeyId,
    "key"
);
prefixed_id!(
    /// One text to one person.
    MessageId,
    "msg"
);
prefixed_id!(
    /// A campaign: one text to the members of lists.
    CampaignId,
    "cmp"
);
prefixed_id!(
    /// A person who can be texted.
    ContactId,
    "con"
);
prefixed_id!(
    /// A contact list.
    ListId,
    "lst"
);
prefixed_id!(
    /// A provider account.
    ProviderId,
    "prv"
);
prefixed_id!(
    /// A job that runs in the background, such as an import.
    JobId,
    "job"
);

impl MessageId {
    /// The id of a message of this instant and slice: 48 bits of milliseconds, the
    /// slice in the 12 bits `rand_a`, and 62 of the bits of `tail`.
    pub fn new(at: UnixMicros, slice: Slice, tail: [u8; 8]) -> Self {
        let mut random = [0; 10];
        random[..2].copy_from_slice(&slice.number().to_be_bytes());
        random[2..].copy_from_slice(&tail);
        Self::mint(at, random)
    }

    /// The recipient's slice.
    pub fn slice(&self) -> Slice {
        let bytes = self.as_bytes();
        Slice::from_low_bits(u16::from_be_bytes([bytes[6], bytes[7]]))
    }

    /// The instant the id was made for, in whole milliseconds.
    pub fn instant(&self) -> UnixMicros {
        let bytes = self.as_bytes();
        let mut wide = [0; 8];
        wide[2..].copy_from_slice(&bytes[..6]);
        UnixMicros(i64::from_be_bytes(wide) * 1_000)
    }

    /// The day of [`MessageId::instant`], counted from 1970: rows are cut by it.
    pub fn day(&self) -> i32 {
        i32::try_from(self.instant().0.div_euclid(86_400_000_000)).unwrap_or(i32::MAX)
    }
}

impl ProviderId {
    /// The id of the provider account that the settings call `name`: the same name
    /// has the same id on every node and after every restart, as callback URLs need.
    pub fn of_name(name: &str) -> Self {
        let hash = Sha256::digest(format!("volley provider {name}").as_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash[..16]);
        Self(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }
}

/// The schema of a text of this pattern.
pub(crate) fn text_of(pattern: &str, example: &str) -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some(pattern))
        .examples([example])
        .into()
}

fn millis(at: UnixMicros) -> u64 {
    u64::try_from(at.as_millis()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{AccountId, MessageId, ProviderId};
    use crate::slice::Slice;
    use crate::time::UnixMicros;

    #[test]
    fn a_message_id_carries_its_slice_and_instant() {
        for number in [0, 1, 1_234, 4_095] {
            let at = UnixMicros(1_767_367_800_123_000);
            let id = MessageId::new(at, Slice::from_low_bits(number), [0xff; 8]);
            assert_eq!(id.slice().number(), number);
            assert_eq!(id.instant(), at);
            assert_eq!(id.day(), 20_455);
            assert_eq!(id.to_string().parse(), Ok(id));
        }
    }

    #[test]
    fn another_prefix_or_case_is_refused() {
        let id = AccountId::from_bytes([0xab; 16]);
        let text = id.to_string();
        assert_eq!(text.parse::<AccountId>(), Ok(id));
        assert!(text.to_uppercase().parse::<AccountId>().is_err());
        assert!(text.replace("acc", "msg").parse::<AccountId>().is_err());
        assert!(text.parse::<MessageId>().is_err());
    }

    #[test]
    fn text_in_json_and_bytes_in_rows() {
        let id = ProviderId::of_name("twilio");
        let json = serde_json::to_string(&id).expect("json");
        assert_eq!(json, format!("\"{id}\""));
        assert_eq!(serde_json::from_str::<ProviderId>(&json).expect("json"), id);
        let row = rmp_serde::to_vec_named(&id).expect("row");
        assert_eq!(row.len(), 18);
        assert_eq!(rmp_serde::from_slice::<ProviderId>(&row).expect("row"), id);
    }
}
