//! Journal records as bytes, in order.

use std::ops::RangeInclusive;

use schemas::Partition;
use schemas::change::{Change, JournalRecord};
use schemas::position::Sequence;
use schemas::record::KeyPart;
use schemas::text::ParkedReceipt;

use super::state::{EARLY_RECEIPTS, EarlyReceipt, OpenAttempt, PartitionState};
use crate::store::StoreError;
use crate::store::kv::{Direction, Space};
use crate::store::overlay::Overlay;
use crate::store::row;

/// How many records are read at a time.
const REPLAY_PAGE: usize = 256;

/// Writes a record. Tells how many bytes it has.
pub fn append(view: &mut Overlay<'_>, record: &JournalRecord) -> Result<usize, StoreError> {
    let bytes = row::encode_plain("journal", record)?;
    let written = bytes.len();
    view.put_raw(
        Space::Journal,
        key(record.partition, record.sequence),
        bytes,
    );
    Ok(written)
}

/// Removes records that a checkpoint includes.
pub fn remove(
    view: &mut Overlay<'_>,
    partition: Partition,
    sequences: RangeInclusive<Sequence>,
) -> Result<(), StoreError> {
    for sequence in sequences {
        view.delete_raw(Space::Journal, key(partition, sequence));
    }
    Ok(())
}

/// Reads every record after `after`, in order.
///
/// # Errors
/// When the journal cannot be read or has a gap, and whatever `each` says.
pub fn replay(
    view: &Overlay<'_>,
    partition: Partition,
    after: Sequence,
    mut each: impl FnMut(&JournalRecord) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut last = after;
    loop {
        let (start, end) = (key(partition, last + 1), key(partition, Sequence::MAX));
        let page = view.scan_raw(
            Space::Journal,
            &start,
            &end,
            Direction::Forward,
            REPLAY_PAGE,
        )?;
        let Some(page_end) = page.len().checked_sub(1) else {
            return Ok(());
        };
        for (_, bytes) in &page {
            let record: JournalRecord = row::decode_plain("journal", bytes)?;
            if record.sequence != last + 1 || record.partition != partition {
                let detail = format!("record {} follows record {last}", record.sequence);
                return Err(StoreError::damaged("journal", detail));
            }
            last = record.sequence;
            each(&record)?;
        }
        if page_end + 1 < REPLAY_PAGE {
            return Ok(());
        }
    }
}

/// Follows the attempts that a record opens and ends, without touching rows.
pub fn track(state: &mut PartitionState, change: &Change) {
    match change {
        Change::AttemptBegun { .. } => {
            if let Some(open) = OpenAttempt::begun_by(change) {
                state.open.insert(open.attempt.message, open);
            }
        }
        Change::AttemptEnded { attempt, .. } => {
            state.open.remove(&attempt.message);
        }
        Change::Receipt {
            provider,
            receipt,
            learnt,
            at,
        } => {
            let named = receipt
                .attempt
                .and_then(|attempt| state.open.get_mut(&attempt.message));
            if let Some(open) = named.filter(|open| open.early.len() < EARLY_RECEIPTS) {
                let (provider, learnt, at) = (*provider, *learnt, *at);
                open.early.push(EarlyReceipt {
                    provider,
                    receipt: receipt.clone(),
                    learnt,
                    at,
                });
            }
        }
        Change::Scheduled { .. }
        | Change::Skipped { .. }
        | Change::ValidityEnded { .. }
        | Change::LookedUp { .. }
        | Change::NoReceipt { .. }
        | Change::Resend { .. }
        | Change::AudienceFrozen { .. }
        | Change::CampaignCanceled { .. }
        | Change::MessageCanceled { .. }
        | Change::MessageHeld { .. }
        | Change::ConsentChanged { .. }
        | Change::MessageReleased { .. }
        | Change::Postponed { .. }
        | Change::Advanced { .. }
        | Change::ContactImported { .. }
        | Change::ImportAdvanced { .. }
        | Change::ParkedDropped { .. } => {}
    }
}

/// How many receipts of the partition are parked.
pub fn count_parked(view: &Overlay<'_>, partition: Partition) -> Result<u64, StoreError> {
    let prefix = [KeyPart::U16(partition.0)];
    Ok(view.list::<ParkedReceipt>(&prefix, None, usize::MAX)?.len() as u64)
}

fn key(partition: Partition, sequence: Sequence) -> Vec<u8> {
    let mut key = vec![b'r'];
    key.extend_from_slice(&partition.0.to_be_bytes());
    key.extend_from_slice(&sequence.to_be_bytes());
    key
}
