//! What the journals hold when an owner takes them over.

use std::collections::BTreeMap;

use schemas::Partition;

use super::group;
use crate::log::{Groups, LogError, Offset};
use crate::store::kv::{KvChange, Space};

/// What was found.
#[derive(Default)]
pub(crate) struct Found {
    /// The journals' own entries.
    pub(super) journal: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The number of the last group, 0 before the first.
    pub(super) number: u64,
    /// What the last group changed: its rows may not have reached their tables.
    pub(super) unfinished: Vec<KvChange>,
}

/// Reads all journals.
///
/// # Errors
/// [`LogError::Unavailable`] while Kafka does not answer, [`LogError::Damaged`] when what is
/// there cannot be understood.
pub(crate) async fn read_journals(groups: &dyn Groups) -> Result<Found, LogError> {
    let mut found = Found::default();
    let mut take = |partition, offset, record: Vec<u8>| found.read(partition, offset, &record);
    groups.read(&mut take).await?;
    Ok(found)
}

impl Found {
    /// Whether nobody has committed anything yet.
    pub(crate) fn is_new(&self) -> bool {
        self.number == 0
    }

    /// Takes the next record of a partition in.
    ///
    /// # Errors
    /// [`LogError::Damaged`] when it is none of ours.
    pub(crate) fn read(
        &mut self,
        partition: Partition,
        offset: Offset,
        record: &[u8],
    ) -> Result<(), LogError> {
        let Some(group) = group::decode(partition, record) else {
            let partition = partition.0;
            let detail = format!("journal {partition}: record {offset} is none of ours");
            return Err(LogError::Damaged { detail });
        };
        self.take(group);
        Ok(())
    }

    /// The journals' own entries, and what the last group changed.
    #[cfg(feature = "testkit")]
    pub(crate) fn into_parts(self) -> (BTreeMap<Vec<u8>, Vec<u8>>, Vec<KvChange>) {
        (self.journal, self.unfinished)
    }

    /// Takes the next group of a partition in. Groups of one partition come in order, those of
    /// several do not.
    fn take(&mut self, group: group::Group) {
        if group.number > self.number {
            self.number = group.number;
            self.unfinished.clear();
        }
        let is_last = group.number == self.number;
        for change in group.changes {
            if change.space == Space::Journal {
                self.note(change);
            } else if is_last {
                self.unfinished.push(change);
            }
        }
    }

    fn note(&mut self, change: KvChange) {
        match change.value {
            // What belongs to all partitions lies in several of them, of several ages.
            Some(value) if is_of_all(&change.key) => {
                let known = self.journal.entry(change.key).or_default();
                if *known < value {
                    *known = value;
                }
            }
            Some(value) => {
                self.journal.insert(change.key, value);
            }
            None => {
                self.journal.remove(&change.key);
            }
        }
    }
}

/// Whether an entry belongs to all journals: how many there are, and the latest instant, both
/// numbers with their first byte first, of which the greatest holds.
fn is_of_all(key: &[u8]) -> bool {
    key.len() == 1
}
