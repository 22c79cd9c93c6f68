//! One group commit as records: what it changed, as bytes, for each partition one record.
//!
//! A record holds everything that a successor needs to finish the group: the journal's own
//! entries, and the rows that may not have reached their tables. Whatever a crash left of
//! those is written again, and changes nothing where it is there.
//!
//! ```text
//! format u8 | number u64 | change …
//! change: space u8 | key length u32 | key | value length u32, all ones for a deletion | value
//! ```

use std::collections::BTreeMap;

use schemas::Partition;

use crate::store::kv::{KvBatch, KvChange, Space};

/// The format of all records so far.
const FORMAT: u8 = 1;

/// The length of a value that is none.
const DELETED: u32 = u32::MAX;

/// What one partition's record says.
pub(super) struct Group {
    /// The group's number among all of the deployment, from 1.
    pub(super) number: u64,
    /// What it changed in this partition, and in what belongs to all of them.
    pub(super) changes: Vec<KvChange>,
}

/// The records of a group. What belongs to no partition is in every record; when nothing else
/// changed, in that of the owner's `first` partition.
pub(super) fn encode(first: Partition, number: u64, batch: &KvBatch) -> Vec<(Partition, Vec<u8>)> {
    let mut records = BTreeMap::new();
    let begun = || {
        let mut record = vec![FORMAT];
        record.extend_from_slice(&number.to_be_bytes());
        record
    };
    for change in &batch.changes {
        if let Some(partition) = change.partition {
            write(records.entry(partition).or_insert_with(begun), change);
        }
    }
    if records.is_empty() {
        records.insert(first, begun());
    }
    for change in batch.changes.iter().filter(|it| it.partition.is_none()) {
        records
            .values_mut()
            .for_each(|record| write(record, change));
    }
    records.into_iter().collect()
}

fn write(record: &mut Vec<u8>, change: &KvChange) {
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(DELETED);
    record.push(change.space.index() as u8);
    record.extend_from_slice(&length(&change.key).to_be_bytes());
    record.extend_from_slice(&change.key);
    match &change.value {
        Some(value) => {
            record.extend_from_slice(&length(value).to_be_bytes());
            record.extend_from_slice(value);
        }
        None => record.extend_from_slice(&DELETED.to_be_bytes()),
    }
}

/// What a record says; `None` when it is no record of ours.
pub(super) fn decode(partition: Partition, record: &[u8]) -> Option<Group> {
    let (format, mut rest) = record.split_first()?;
    if *format != FORMAT {
        return None;
    }
    let number = u64::from_be_bytes(*take(&mut rest)?);
    let mut changes = Vec::new();
    while !rest.is_empty() {
        let [space] = *take::<1>(&mut rest)?;
        let space = *Space::ALL.get(usize::from(space))?;
        let length = u32::from_be_bytes(*take(&mut rest)?);
        let key = take_bytes(&mut rest, length)?;
        let value = match u32::from_be_bytes(*take(&mut rest)?) {
            DELETED => None,
            length => Some(take_bytes(&mut rest, length)?),
        };
        changes.push(KvChange {
            space,
            key,
            value,
            partition: Some(partition),
        });
    }
    Some(Group { number, changes })
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (taken, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(taken)
}

fn take_bytes(rest: &mut &[u8], length: u32) -> Option<Vec<u8>> {
    let (taken, after) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    *rest = after;
    Some(taken.to_vec())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use schemas::Partition;

    use super::{decode, encode};
    use crate::store::kv::{KvBatch, KvChange, Space};

    /// Space, key, value, partition.
    type Drawn = (usize, Vec<u8>, Option<Vec<u8>>, Option<u16>);

    fn drawn() -> impl Strategy<Value = Drawn> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..20);
        (
            0..Space::ALL.len(),
            bytes(),
            prop::option::of(bytes()),
            prop::option::of(0_u16..4),
        )
    }

    fn change((space, key, value, partition): Drawn) -> KvChange {
        KvChange {
            space: Space::ALL[space],
            key,
            value,
            partition: partition.map(Partition),
        }
    }

    proptest! {
        #[test]
        fn a_record_says_what_its_partition_and_all_of_them_changed(
            drawn in prop::collection::vec(drawn(), 0..30), number in any::<u64>(),
        ) {
            let changes = drawn.into_iter().map(change).collect();
            let batch = KvBatch { changes };
            let records = encode(Partition(0), number, &batch);
            prop_assert!(!records.is_empty());
            for (partition, record) in records {
                let group = decode(partition, &record).expect("a record");
                prop_assert_eq!(group.number, number);
                let is_its = |change: &&KvChange| {
                    change.partition.is_none_or(|it| it == partition)
                };
                let count = batch.changes.iter().filter(is_its).count();
                prop_assert_eq!(group.changes.len(), count);
                for change in group.changes {
                    let is_there = batch.changes.iter().any(|it| {
                        it.space == change.space && it.key == change.key && it.value == change.value
                    });
                    prop_assert!(is_there);
                }
            }
        }

        #[test]
        fn what_is_no_record_is_none(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = decode(Partition(0), &bytes);
        }
    }
}
