//! How a limit is divided among the owners of ranges of partitions.

use serde::{Deserialize, Serialize};

use crate::record::{CompareAndSet, Key, KeyPart, Record, Table, Versioned, tables};

/// What each owner may use of one limit. All of them together never more than the limit: who wants
/// more takes what is free, and who is to have less gives it back when nothing counts any more that
/// it sent with it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LimitDivision {
    /// Whose limit: `provider/<id>`, `sender/<provider's id>/<sender>`, `account/<id>` or
    /// `campaign/<id>`.
    pub name: String,
    /// Whose turn it is at a limit that is too small for all at once, by the place of its range.
    pub turn: u16,
    /// The parts, one for each range of partitions, in the order of their places.
    pub parts: Vec<LimitPart>,
    /// See [`Versioned`].
    pub version: u64,
}

/// An owner's part of a limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct LimitPart {
    /// What it may use, in millionths of a segment per second.
    pub rate_millionths: u64,
    /// What the whole limit is, as this owner has last heard, in millionths of a segment per second;
    /// 0 of one that has never asked. The least that any of them has heard is what is divided.
    pub limit_millionths: u64,
    /// Whether it has texts that wait for its turn.
    pub waits: bool,
    /// Which of the nodes that owned the range wrote this: a number that it drew when it began.
    pub owner: u64,
}

impl LimitDivision {
    /// Nobody has anything yet, of so many.
    pub fn none(name: String, owners: u16) -> Self {
        Self {
            name,
            turn: 0,
            parts: vec![LimitPart::default(); owners.into()],
            version: 0,
        }
    }

    /// The key of one limit's division.
    pub fn key_of(name: &str) -> Key {
        vec![KeyPart::Text(name.to_owned())]
    }
}

impl Record for LimitDivision {
    type Writing = CompareAndSet;
    const TABLE: Table = tables::LIMIT_DIVISIONS;

    fn key(&self) -> Key {
        Self::key_of(&self.name)
    }
}

impl Versioned for LimitDivision {
    fn version(&self) -> u64 {
        self.version
    }

    fn set_version(&mut self, version: u64) {
        self.version = version;
    }
}
