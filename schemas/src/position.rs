//! Positions: how far a source has been read, and where in a journal a change stands.

use serde::{Deserialize, Serialize};

use crate::due::DueKind;
use crate::id::{CampaignId, JobId};
use crate::message::MessageClass;
use crate::record::{Key, KeyPart, Projection, Record, Table, tables};
use crate::slice::Partition;

/// A place in one partition's journal: its records are numbered from 1 without gaps.
pub type Sequence = u64;

/// An ordered, re-readable sequence of work.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceId {
    /// One lane of the work log; the position is the next offset to read.
    Work(MessageClass),
    /// The frozen audience of a campaign; see [`AudiencePosition`].
    Audience(CampaignId),
    /// The due entries of one kind; the position is an instant in microseconds:
    /// everything due before it has been handled.
    Due(DueKind),
    /// An import; the position is the number of records read.
    Import(JobId),
    /// What providers told nodes that do not own; the position is the next offset to read.
    Callbacks,
}

impl SourceId {
    /// The source as text, for keys.
    pub fn as_text(&self) -> String {
        match self {
            Self::Work(class) => format!("work.{}", class.as_str()),
            Self::Audience(campaign) => format!("audience.{campaign}"),
            Self::Due(kind) => format!("due.{}", kind.as_str()),
            Self::Import(job) => format!("import.{job}"),
            Self::Callbacks => "callbacks".to_owned(),
        }
    }
}

/// A place in a frozen audience: a chunk and the next entry in it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct AudiencePosition {
    /// Number of the chunk, from 0.
    pub chunk: u32,
    /// The next entry of that chunk.
    pub entry: u32,
}

impl AudiencePosition {
    /// The place as one number, ordered as the places are.
    pub const fn as_number(self) -> u64 {
        (self.chunk as u64) << 32 | self.entry as u64
    }

    /// The place that [`AudiencePosition::as_number`] gave.
    pub const fn from_number(number: u64) -> Self {
        Self {
            chunk: (number >> 32) as u32,
            entry: number as u32,
        }
    }
}

/// How far a source of one partition has been read: everything before `position` has
/// its outcome in the journal or was moved to another source.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CommittedPosition {
    /// The partition whose owner reads the source.
    pub partition: Partition,
    /// The source.
    pub source: SourceId,
    /// The next position to read.
    pub position: u64,
    /// The journal sequence that this row includes.
    pub sequence: Sequence,
}

impl CommittedPosition {
    /// The key of one source's position.
    pub fn key_of(partition: Partition, source: &SourceId) -> Key {
        vec![KeyPart::U16(partition.0), KeyPart::Text(source.as_text())]
    }
}

impl Record for CommittedPosition {
    type Writing = Projection;
    const TABLE: Table = tables::POSITIONS;

    fn key(&self) -> Key {
        Self::key_of(self.partition, &self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::AudiencePosition;

    #[test]
    fn audience_positions_are_ordered_numbers() {
        let places = [(0, 0), (0, 9_999), (1, 0), (u32::MAX, u32::MAX)];
        let numbers: Vec<u64> = places
            .into_iter()
            .map(|(chunk, entry)| {
                let place = AudiencePosition { chunk, entry };
                assert_eq!(AudiencePosition::from_number(place.as_number()), place);
                place.as_number()
            })
            .collect();
        assert!(numbers.is_sorted());
    }
}
