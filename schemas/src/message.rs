//! Messages: what is to be sent, what became of it, and how it is found again.
//!
//! Rows that there are one or more of for each message are stored under names of one
//! letter: written out, the names would be a third of the row, and every byte is merged
//! several times. A letter is never used again for another field.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::held::HeldList;
use crate::id::{AccountId, CampaignId, ContactId, MessageId, ProviderId};
use crate::phone::Phone;
use crate::position::Sequence;
use crate::provider::AttemptRef;
use crate::record::{Key, KeyPart, Projection, Record, Table, WriteOnce, tables};
use crate::secret::Body;
use crate::status::MessageStatus;
use crate::time::UnixMicros;

/// What a message is for. It decides the lane, and what happens when an attempt's
/// outcome cannot be known: transactional messages are sent again (at least once),
/// marketing messages are held (at most once).
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum MessageClass {
    /// One person waits for it: a code, an alarm, a booking.
    Transactional,
    /// Many people get it.
    Marketing,
}

impl MessageClass {
    /// Both classes, the first lane first.
    pub const ALL: [Self; 2] = [Self::Transactional, Self::Marketing];

    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Transactional => "transactional",
            Self::Marketing => "marketing",
        }
    }
}

/// How a text is encoded on the air.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// GSM 03.38, 7 bits a character.
    Gsm7,
    /// UTF-16 units.
    Ucs2,
}

/// Everything that is decided about a message before its first attempt. Never changed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Envelope {
    /// Whose message.
    #[serde(rename = "a")]
    pub account: AccountId,
    /// Its id.
    #[serde(rename = "i")]
    pub id: MessageId,
    /// The campaign it belongs to.
    #[serde(rename = "c")]
    pub campaign: Option<CampaignId>,
    /// The contact it is for.
    #[serde(rename = "k")]
    pub contact: Option<ContactId>,
    /// The recipient.
    #[serde(rename = "t")]
    pub to: Phone,
    /// The sender asked for; it limits routing to the accounts that own it.
    #[serde(rename = "f")]
    pub from: Option<String>,
    /// The text.
    #[serde(rename = "b")]
    pub body: Body,
    /// The class.
    #[serde(rename = "l")]
    pub class: MessageClass,
    /// The provider account asked for; `None` is `auto`.
    #[serde(rename = "p")]
    pub provider: Option<ProviderId>,
    /// Not before this instant.
    #[serde(rename = "s")]
    pub send_at: Option<UnixMicros>,
    /// Not after this instant.
    #[serde(rename = "v")]
    pub valid_until: UnixMicros,
    /// How the text is encoded.
    #[serde(rename = "e")]
    pub encoding: Encoding,
    /// How many parts the text has on the air.
    #[serde(rename = "n")]
    pub segments: u32,
    /// When we took it.
    #[serde(rename = "w")]
    pub created_at: UnixMicros,
}

/// A message as it stands now, with its whole life.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Message {
    /// What is sent.
    #[serde(rename = "e")]
    pub envelope: Arc<Envelope>,
    /// Where it stands.
    #[serde(rename = "s")]
    pub status: MessageStatus,
    /// A stable word for why it stands there, for ends that need one.
    #[serde(rename = "r")]
    pub reason: Option<String>,
    /// Attempts committed so far.
    #[serde(rename = "n")]
    pub attempts: u32,
    /// The provider account of the last attempt.
    #[serde(rename = "p")]
    pub provider: Option<ProviderId>,
    /// The sender of the last attempt.
    #[serde(rename = "f")]
    pub sender: Option<String>,
    /// The provider's own id of the text.
    #[serde(rename = "i")]
    pub provider_message_id: Option<String>,
    /// When the last attempt was committed.
    #[serde(rename = "a")]
    pub last_attempt_at: Option<UnixMicros>,
    /// When the provider was last written to: the send stamp that pacing is judged by.
    #[serde(rename = "w")]
    pub last_sent_at: Option<UnixMicros>,
    /// When the next attempt is due, while it waits for one.
    #[serde(rename = "d")]
    pub next_attempt_at: Option<UnixMicros>,
    /// Where it lies, while it is put aside.
    #[serde(rename = "h", default, skip_serializing_if = "Option::is_none")]
    pub held: Option<HeldList>,
    /// Everything that happened, oldest first.
    #[serde(rename = "t")]
    pub timeline: Vec<TimelineEntry>,
    /// The journal sequence that this row includes.
    #[serde(rename = "q")]
    pub sequence: Sequence,
}

/// One thing that happened to a message.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TimelineEntry {
    /// When.
    #[serde(rename = "w")]
    pub at: UnixMicros,
    /// The state afterwards.
    #[serde(rename = "s")]
    pub status: MessageStatus,
    /// What happened: a stable word, such as `attempt_begun` or `receipt`.
    #[serde(rename = "e")]
    pub event: String,
    /// More of it, for people: the provider's code, the wait, the gate's reason.
    #[serde(rename = "d")]
    pub detail: Option<String>,
    /// The provider account concerned.
    #[serde(rename = "p")]
    pub provider: Option<ProviderId>,
    /// The attempt concerned, from 1.
    #[serde(rename = "n")]
    pub attempt: Option<u32>,
}

/// The key of a message's rows: (account, day, shard | id), all from the id itself.
pub fn message_key(account: AccountId, id: MessageId) -> Key {
    let mut key = shard_key(account, id.day(), id.slice().shard());
    key.push(KeyPart::Id(*id.as_bytes()));
    key
}

/// The partition key of one account's messages of one day and shard.
pub fn shard_key(account: AccountId, day: i32, shard: u8) -> Key {
    vec![
        KeyPart::Id(*account.as_bytes()),
        KeyPart::I64(i64::from(day)),
        KeyPart::U16(u16::from(shard)),
    ]
}

impl Message {
    /// The last attempt that was made.
    pub fn last_attempt(&self) -> AttemptRef {
        AttemptRef {
            account: self.envelope.account,
            message: self.envelope.id,
            attempt: self.attempts,
        }
    }
}

impl Record for Message {
    type Writing = Projection;
    const TABLE: Table = tables::MESSAGES;

    fn key(&self) -> Key {
        message_key(self.envelope.account, self.envelope.id)
    }
}

/// A single message as it was accepted. It answers for the message until the owner
/// of its partition has written the message's row.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Intake {
    /// What was accepted.
    pub envelope: Arc<Envelope>,
}

impl Record for Intake {
    type Writing = WriteOnce;
    const TABLE: Table = tables::INTAKE;

    fn key(&self) -> Key {
        message_key(self.envelope.account, self.envelope.id)
    }
}

/// What a work log holds: which message to send; its content is in its intake row.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WorkItem {
    /// Whose message.
    pub account: AccountId,
    /// The message.
    pub message: MessageId,
}

/// The first request made under an idempotency key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct IdempotencyKey {
    /// Whose key: keys of different accounts never meet.
    pub account: AccountId,
    /// The key as the caller wrote it, at most 255 characters.
    pub key: String,
    /// SHA-256 of method, path and body in hexadecimal: another request under the
    /// same key is an error.
    pub request_sha256: String,
    /// The 16 bytes of the id that the first request made.
    pub resource: [u8; 16],
    /// When.
    pub created_at: UnixMicros,
}

impl IdempotencyKey {
    /// The row key of an idempotency key.
    pub fn key_of(account: AccountId, key: &str) -> Key {
        vec![
            KeyPart::Id(*account.as_bytes()),
            KeyPart::Text(key.to_owned()),
        ]
    }
}

impl Record for IdempotencyKey {
    type Writing = WriteOnce;
    const TABLE: Table = tables::IDEMPOTENCY_KEYS;

    fn key(&self) -> Key {
        Self::key_of(self.account, &self.key)
    }
}
