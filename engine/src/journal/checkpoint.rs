//! Checkpoints: what a partition needs to go on without its older records.

use schemas::Partition;
use schemas::position::Sequence;
use serde::{Deserialize, Serialize};

use super::state::OpenAttempt;
use crate::store::StoreError;
use crate::store::kv::Space;
use crate::store::overlay::Overlay;
use crate::store::row;

/// A checkpoint is written after this many records of a partition, and what it includes
/// is removed. A record is one group commit, so at 300 commits a second this is five
/// times a second: most records are removed before the store writes them to a file and
/// are never merged. A checkpoint holds open attempts only, some hundred of some 400
/// bytes for all partitions together at that rate.
pub const CHECKPOINT_EVERY: u64 = 64;

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
    let bytes = row::encode_plain("checkpoint", checkpoint)?;
    view.put_raw(Space::Journal, key(partition), bytes);
    Ok(())
}

/// Checkpoints lie before all records.
fn key(partition: Partition) -> Vec<u8> {
    let mut key = vec![b'c'];
    key.extend_from_slice(&partition.0.to_be_bytes());
    key
}
