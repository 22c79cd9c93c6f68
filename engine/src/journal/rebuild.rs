//! Rebuilding: every projection can be deleted and made again from the journal.

use schemas::PartitionCount;
use schemas::record::tables;

use super::apply::Applying;
use super::state::PartitionState;
use super::{Verdict, records};
use crate::store::StoreError;
use crate::store::key;
use crate::store::kv::{Direction, Kv, Space};
use crate::store::memory::MemoryKv;
use crate::store::overlay::Overlay;

/// The first row in which the stored projections and the rebuilt ones differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The table.
    pub table: &'static str,
    /// Its row's key, in hexadecimal.
    pub key: String,
    /// Whether the stored projections have it.
    pub stored: bool,
    /// Whether the rebuilt ones have it.
    pub rebuilt: bool,
}

/// Makes all projections again, in memory, from a journal that was never trimmed, and
/// compares them row by row with the stored ones. Tells how many rows were equal.
///
/// # Errors
/// When the journal or the store cannot be read, or a change that was committed is
/// refused now.
pub(crate) fn compare_with_rebuilt(
    kv: &dyn Kv,
    partitions: PartitionCount,
) -> Result<Result<u64, Difference>, StoreError> {
    let rebuilt = MemoryKv::default();
    let journal = Overlay::new(kv);
    for partition in partitions.all() {
        let mut state = PartitionState::at(partition, 0);
        records::replay(&journal, partition, 0, |record| {
            let mut view = Overlay::new(&rebuilt);
            state.sequence = record.sequence;
            for change in &record.changes {
                let verdict = Applying {
                    view: &mut view,
                    state: &mut state,
                }
                .apply(change)?;
                if let Verdict::Refused(refusal) = verdict {
                    let detail = format!("record {} is refused: {refusal:?}", record.sequence);
                    return Err(StoreError::damaged("journal", detail));
                }
            }
            state.write_back(&mut view)?;
            Ok(rebuilt.write(view.into_batch())?)
        })?;
    }
    compare(kv, &rebuilt)
}

/// How many rows are compared at a time.
const PAGE: usize = 1_000;

fn compare(stored: &dyn Kv, rebuilt: &dyn Kv) -> Result<Result<u64, Difference>, StoreError> {
    let mut equal = 0;
    for table in tables::PROJECTIONS {
        let space = Space::of(table);
        let mut start = key::encode(table, &[])?;
        let end = key::prefix_end(&start);
        loop {
            let left = stored.scan(space, &start, &end, Direction::Forward, PAGE)?;
            let right = rebuilt.scan(space, &start, &end, Direction::Forward, PAGE)?;
            for index in 0..left.len().max(right.len()) {
                if left.get(index) != right.get(index) {
                    let first = left.get(index).into_iter().chain(right.get(index)).min();
                    let key = first.map(|(key, _)| key.clone()).unwrap_or_default();
                    let has = |rows: &[(Vec<u8>, Vec<u8>)]| rows.iter().any(|row| row.0 == key);
                    let (stored, rebuilt) = (has(&left), has(&right));
                    let key = key.iter().map(|byte| format!("{byte:02x}")).collect();
                    return Ok(Err(Difference {
                        table: table.name,
                        key,
                        stored,
                        rebuilt,
                    }));
                }
            }
            equal += left.len() as u64;
            let Some((last, _)) = left.last().filter(|_| left.len() == PAGE) else {
                break;
            };
            start = last.clone();
            start.push(0);
        }
    }
    Ok(Ok(equal))
}
