//! Whether people want texts: what they answered to a sender.

use serde::{Deserialize, Serialize};

use crate::phone::Phone;
use crate::position::Sequence;
use crate::record::{Key, KeyPart, Projection, Record, Table, tables};
use crate::time::UnixMicros;

/// Inbound texts that are remembered of one person: providers repeat them, and a STOP that
/// comes again after a START says nothing new.
pub const REMEMBERED: usize = 8;

/// What one person last answered. No row means that nobody ever heard a word.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Consent {
    /// The person.
    #[serde(rename = "t")]
    pub phone: Phone,
    /// The senders that were told to stop.
    #[serde(rename = "s")]
    pub stopped: Vec<String>,
    /// The providers' ids of the last texts that said so, or took it back; the newest last,
    /// at most [`REMEMBERED`].
    #[serde(rename = "h")]
    pub heard: Vec<String>,
    /// When the last of them came.
    #[serde(rename = "w")]
    pub changed_at: UnixMicros,
    /// The journal sequence that this row includes.
    #[serde(rename = "q")]
    pub sequence: Sequence,
}

impl Consent {
    /// The key of a person.
    pub fn key_of(phone: &Phone) -> Key {
        let slice = phone.slice();
        vec![
            KeyPart::U16(u16::from(slice.shard())),
            KeyPart::U16(slice.number()),
            KeyPart::Text(phone.as_str().to_owned()),
        ]
    }

    /// Whether nothing may be sent to the person from this sender. A message that may go from
    /// any of our senders may go from none while one of them was told to stop: nobody who said
    /// so wants the same from the neighbouring number.
    pub fn forbids(&self, from: Option<&str>) -> bool {
        match from {
            Some(sender) => self.stopped.iter().any(|stopped| stopped == sender),
            None => !self.stopped.is_empty(),
        }
    }
}

impl Record for Consent {
    type Writing = Projection;
    const TABLE: Table = tables::CONSENTS;

    fn key(&self) -> Key {
        Self::key_of(&self.phone)
    }
}
