//! What the journals hold when an owner takes them over.

use std::collections::BTreeMap;

use schemas::Partition;

use super::group;
use crate::journal::OWNERS;
use crate::log::{Groups, LogError, Offset};
use crate::store::kv::{KvChange, Space};

/// What was found.
#[derive(Default)]
pub(crate) struct Found {
    /// The journals' own entries.
    pub(super) journal: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The number of the last group, 0 before the first.
    pub(super) number: u64,
    /// The last record of each partition.
    last: BTreeMap<Partition, Last>,
}

/// What a partition's last record says.
struct Last {
    number: u64,
    /// Among how many owners the partitions were divided then.
    owners: u16,
    /// The rows that it changed.
    rows: Vec<KvChange>,
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
        self.take(partition, group);
        Ok(())
    }

    /// The rows that may not have reached their tables, for one of so many owners: those of the last
    /// group. A partition that had another owner than the others, among another number of them, may
    /// have been in the last group of that one.
    pub(super) fn unfinished(&mut self, owners: u16) -> Vec<KvChange> {
        let last = std::mem::take(&mut self.last).into_values();
        let unfinished = last.filter(|it| it.number == self.number || it.owners != owners);
        unfinished.flat_map(|last| last.rows).collect()
    }

    /// The journals' own entries, and what may not have reached its tables.
    #[cfg(feature = "testkit")]
    pub(crate) fn into_parts(mut self, owners: u16) -> (BTreeMap<Vec<u8>, Vec<u8>>, Vec<KvChange>) {
        let unfinished = self.unfinished(owners);
        (self.journal, unfinished)
    }

    /// Takes the next group of a partition in. Groups of one partition come in order, those of
    /// several do not.
    fn take(&mut self, partition: Partition, group: group::Group) {
        self.number = self.number.max(group.number);
        let mut last = Last {
            number: group.number,
            owners: 1,
            rows: Vec::new(),
        };
        for change in group.changes {
            if change.space != Space::Journal {
                last.rows.push(change);
                continue;
            }
            if change.key == OWNERS
                && let Some(Ok(owners)) = change.value.as_deref().map(<[u8; 2]>::try_from)
            {
                last.owners = u16::from_be_bytes(owners);
            }
            self.note(change);
        }
        self.last.insert(partition, last);
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

/// Whether an entry belongs to all journals: how many there are, among how many owners they are
/// divided, and the latest instant, all numbers with their first byte first, of which the greatest
/// holds.
fn is_of_all(key: &[u8]) -> bool {
    key.len() == 1
}

#[cfg(test)]
mod tests {
    use schemas::Partition;

    use super::{Found, OWNERS, group};
    use crate::store::kv::{KvBatch, KvChange, Space};

    /// A group of one of so many owners, that changed a row in each of these partitions.
    fn commit(found: &mut Found, number: u64, owners: u16, partitions: &[u16]) {
        let row = |partition: u16| KvChange {
            space: Space::Rows,
            key: vec![1, partition as u8],
            value: Some(vec![number as u8]),
            partition: Some(Partition(partition)),
        };
        let mut changes: Vec<_> = partitions.iter().map(|each| row(*each)).collect();
        if owners > 1 {
            changes.push(KvChange {
                space: Space::Journal,
                key: OWNERS.to_vec(),
                value: Some(owners.to_be_bytes().to_vec()),
                partition: None,
            });
        }
        let batch = KvBatch { changes };
        for (partition, record) in group::encode(Partition(partitions[0]), number, &batch) {
            found.read(partition, number, &record).expect("a record");
        }
    }

    fn unfinished(mut found: Found, owners: u16) -> Vec<(u8, u8)> {
        let rows = found.unfinished(owners).into_iter();
        rows.map(|row| (row.key[1], row.value.expect("a row")[0]))
            .collect()
    }

    #[test]
    fn the_last_group_may_be_unfinished_and_no_other() {
        let mut found = Found::default();
        commit(&mut found, 1, 2, &[0, 1]);
        commit(&mut found, 2, 2, &[1]);
        assert_eq!(unfinished(found, 2), [(1, 2)]);
    }

    /// Two owners died in the middle of their last groups; one takes both over.
    #[test]
    fn where_there_were_other_owners_the_last_group_of_each_may_be() {
        let mut found = Found::default();
        commit(&mut found, 7, 2, &[0, 1]);
        commit(&mut found, 9, 2, &[2]);
        commit(&mut found, 8, 2, &[3]);
        assert_eq!(unfinished(found, 1), [(0, 7), (1, 7), (2, 9), (3, 8)]);
        let mut found = Found::default();
        commit(&mut found, 7, 1, &[0, 1]);
        commit(&mut found, 8, 2, &[1]);
        assert_eq!(
            unfinished(found, 2),
            [(0, 7), (1, 8)],
            "until it has a group"
        );
    }
}
