//! Checkpoints: what a partition needs to go on without its older records.

use schemas::position::Sequence;
use schemas::{Partition, PartitionCount, PartitionRange};
use serde::{Deserialize, Serialize};

use super::partition_count;
use super::projector::Projector;
use super::state::OpenAttempt;
use crate::store::kv::{KvPairs, KvRead, Space};
use crate::store::overlay::Overlay;
use crate::store::row;
use crate::store::{LATEST, StoreError};

/// A checkpoint is written after this many records of a partition, or this many bytes of them,
/// and what it includes is removed: most records are removed before a data folder writes them
/// to a file. With eight partitions 1 MiB is there at a time, a third of what it collects. A
/// checkpoint holds open attempts only, of a fast node some hundred of 250 bytes.
pub const CHECKPOINT_EVERY: (u64, usize) = (64, 128 << 10);

/// Where a partition's journal may be read from.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The last record it includes.
    pub sequence: Sequence,
    /// The last record that was removed.
    pub trimmed: Sequence,
    /// The attempts that were open after it.
    pub open: Vec<OpenAttempt>,
}

/// The partition's checkpoint; the beginning where there is none.
pub fn read(view: &mut Overlay<'_>, partition: Partition) -> Result<Checkpoint, StoreError> {
    match view.get_raw(Space::Journal, &key(partition))? {
        Some(bytes) => row::decode_plain("checkpoint", bytes),
        None => Ok(Checkpoint::default()),
    }
}

/// Writes the partition's checkpoint.
pub fn write(
    view: &mut Overlay<'_>,
    partition: Partition,
    checkpoint: &Checkpoint,
) -> Result<(), StoreError> {
    let (key, bytes) = entry(partition, checkpoint)?;
    view.put_raw(Space::Journal, key, bytes);
    Ok(())
}

/// The entry that a checkpoint is, key and bytes.
pub fn entry(
    partition: Partition,
    checkpoint: &Checkpoint,
) -> Result<(Vec<u8>, Vec<u8>), StoreError> {
    let bytes = row::encode_plain("checkpoint", checkpoint)?;
    Ok((key(partition), bytes))
}

/// The partition that an entry is the checkpoint of, if it is one.
#[cfg(feature = "cluster")]
pub fn partition_of(key: &[u8]) -> Option<Partition> {
    match key {
        [b'c', high, low] => Some(Partition(u16::from_be_bytes([*high, *low]))),
        _ => None,
    }
}

/// The journals' own entries as a start would go on from them, with a checkpoint of each
/// partition where it ends: no record is needed beside them.
///
/// # Errors
/// When the journals cannot be read, are damaged or have a gap.
pub fn entries(kv: &dyn KvRead, partitions: PartitionCount) -> Result<KvPairs, StoreError> {
    let recovered = Projector::recover(
        &mut Overlay::new(kv),
        PartitionRange::whole(partitions),
        true,
    )?;
    let mut entries = Vec::new();
    for key in [partition_count::KEY, LATEST] {
        if let Some(bytes) = kv.get(Space::Journal, key)? {
            entries.push((key.to_vec(), bytes));
        }
    }
    // In those where nothing was committed nothing is to be gone on from.
    for state in recovered.into_states().filter(|state| state.sequence > 0) {
        let checkpoint = Checkpoint {
            sequence: state.sequence,
            trimmed: state.sequence,
            open: state.open.into_values().collect(),
        };
        entries.push(entry(state.partition, &checkpoint)?);
    }
    Ok(entries)
}

/// Checkpoints lie before all records.
fn key(partition: Partition) -> Vec<u8> {
    let mut key = vec![b'c'];
    key.extend_from_slice(&partition.0.to_be_bytes());
    key
}
