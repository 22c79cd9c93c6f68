//! What is to be done at a known instant: messages that are to be sent then, and attempts whose
//! provider is to be asked about. Fields are stored under names of one letter, as those of
//! [`crate::message`] are.

use serde::{Deserialize, Serialize};

use crate::id::{AccountId, MessageId};
use crate::position::Sequence;
use crate::provider::AttemptRef;
use crate::record::{Key, KeyPart, Projection, Record, Table, tables};
use crate::slice::Partition;
use crate::time::UnixMicros;

/// A row that is read at a known instant. Those of a partition and minute are a bucket.
pub trait FallsDue: Record<Writing = Projection> {
    /// Which of the two it is.
    const KIND: DueKind;

    /// When.
    fn due(&self) -> UnixMicros;

    /// How many things there are to do.
    fn tasks(&self) -> usize;

    /// The partition key of one bucket: what falls due in one minute.
    fn bucket_key(partition: Partition, minute: i64) -> Key;
}

/// A message that is to be sent at a known instant: its `send_at` or its next attempt.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DueEntry {
    /// The partition whose owner reads it.
    #[serde(rename = "p")]
    pub partition: Partition,
    /// When.
    #[serde(rename = "d")]
    pub due: UnixMicros,
    /// Whose message.
    #[serde(rename = "a")]
    pub account: AccountId,
    /// The message.
    #[serde(rename = "m")]
    pub message: MessageId,
    /// The journal sequence that this row includes.
    #[serde(rename = "q")]
    pub sequence: Sequence,
}

/// Attempts whose provider is to be asked what became of them. Those that one record of the
/// journal plans for nearly the same instant lie in one row: a row each would be a third of all
/// that is written for a text.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DueLookUps {
    /// The partition whose owner reads them.
    #[serde(rename = "p")]
    pub partition: Partition,
    /// When: not before the latest of them was planned for.
    #[serde(rename = "d")]
    pub due: UnixMicros,
    /// The journal sequence that planned them.
    #[serde(rename = "q")]
    pub sequence: Sequence,
    /// Which of the rows that it planned for this instant, from 0.
    #[serde(rename = "n")]
    pub part: u16,
    /// The look-ups, in the order of their instants.
    #[serde(rename = "l")]
    pub look_ups: Vec<LookUp>,
}

/// One question to a provider.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LookUp {
    /// Whose message.
    #[serde(rename = "a")]
    pub account: AccountId,
    /// The message.
    #[serde(rename = "m")]
    pub message: MessageId,
    /// The attempt's number. What was planned for an earlier one is not asked any more.
    #[serde(rename = "n")]
    pub attempt: u32,
    /// Look-ups made before, from 0.
    #[serde(rename = "b")]
    pub made: u32,
}

impl LookUp {
    /// The question about an attempt that was asked so often before.
    pub const fn of(attempt: &AttemptRef, made: u32) -> Self {
        Self {
            account: attempt.account,
            message: attempt.message,
            attempt: attempt.attempt,
            made,
        }
    }
}

/// The two kinds of rows that fall due, each read by its own cursor: asking providers is
/// slow and must not hold back what is to be sent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DueKind {
    /// [`DueEntry`]
    Send,
    /// [`DueLookUps`]
    LookUp,
}

impl DueKind {
    /// Both kinds.
    pub const ALL: [Self; 2] = [Self::Send, Self::LookUp];

    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::LookUp => "look_up",
        }
    }
}

/// What the keys of all entries begin with. Before look-ups had a table of their own they lay
/// beside these, under 1.
const SENDS: u16 = 0;

impl FallsDue for DueEntry {
    const KIND: DueKind = DueKind::Send;

    fn due(&self) -> UnixMicros {
        self.due
    }

    fn tasks(&self) -> usize {
        1
    }

    fn bucket_key(partition: Partition, minute: i64) -> Key {
        let mut key = vec![KeyPart::U16(SENDS)];
        key.extend([KeyPart::I64(minute), KeyPart::U16(partition.0)]);
        key
    }
}

impl Record for DueEntry {
    type Writing = Projection;
    const TABLE: Table = tables::DUE;

    fn key(&self) -> Key {
        let mut key = Self::bucket_key(self.partition, self.due.minute());
        key.push(KeyPart::I64(self.due.0));
        key.push(KeyPart::Id(*self.message.as_bytes()));
        key
    }
}

impl FallsDue for DueLookUps {
    const KIND: DueKind = DueKind::LookUp;

    fn due(&self) -> UnixMicros {
        self.due
    }

    fn tasks(&self) -> usize {
        self.look_ups.len()
    }

    fn bucket_key(partition: Partition, minute: i64) -> Key {
        vec![KeyPart::I64(minute), KeyPart::U16(partition.0)]
    }
}

impl Record for DueLookUps {
    type Writing = Projection;
    const TABLE: Table = tables::DUE_LOOK_UPS;

    fn key(&self) -> Key {
        let mut key = Self::bucket_key(self.partition, self.due.minute());
        key.push(KeyPart::I64(self.due.0));
        key.push(KeyPart::U64(self.sequence));
        key.push(KeyPart::U16(self.part));
        key
    }
}
