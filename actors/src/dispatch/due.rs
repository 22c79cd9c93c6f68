//! What has fallen due: buckets of minutes, read in the order of their instants.

use engine::store::{Order, Store, StoreError};
use schemas::message::{DueEntry, DueKind};
use schemas::record::KeyPart;
use schemas::{Partition, UnixMicros};

use super::source::{ReadError, Readers};

/// Buckets that are read in one visit to the store: four hours of minutes.
const MINUTES_AT_ONCE: i64 = 240;

/// Entries that have fallen due.
#[derive(Debug)]
pub struct DuePage {
    /// In the order of their instants.
    pub entries: Vec<DueEntry>,
    /// Where to read on.
    pub next: u64,
    /// Whether there may be more already.
    pub more: bool,
}

/// Reads what is due from `from` up to `now`. Entries of one instant stay together,
/// since a position is an instant.
///
/// # Errors
/// When the store or journal fails.
pub async fn due_page(
    readers: &Readers,
    partition: Partition,
    kind: DueKind,
    from: u64,
    now: UnixMicros,
    limit: usize,
) -> Result<DuePage, ReadError> {
    readers.journal.raise_due_mark(partition, kind, now).await?;
    let start = UnixMicros(i64::try_from(from).unwrap_or(i64::MAX));
    let as_position = |instant: UnixMicros| u64::try_from(instant.0).unwrap_or(0);
    let mut limit = limit;
    loop {
        let mut entries =
            entries_due(&readers.store, partition, kind, start, now, limit + 1).await?;
        let cut = if entries.len() > limit {
            entries.last().map(|entry| entry.due)
        } else {
            None
        };
        let Some(cut) = cut else {
            return Ok(DuePage {
                entries,
                next: as_position(now.plus_micros(1)),
                more: false,
            });
        };
        entries.retain(|entry| entry.due < cut);
        if !entries.is_empty() {
            return Ok(DuePage {
                entries,
                next: as_position(cut),
                more: true,
            });
        }
        limit *= 2;
    }
}

/// Reads the buckets of the minutes from `start` to `now`, up to `limit` entries. After a
/// long time without a process there are thousands, nearly all of them empty.
async fn entries_due(
    store: &Store,
    partition: Partition,
    kind: DueKind,
    start: UnixMicros,
    now: UnixMicros,
    limit: usize,
) -> Result<Vec<DueEntry>, StoreError> {
    let bucket = |minute| DueEntry::bucket_key(partition, kind, minute);
    let mut entries: Vec<DueEntry> = Vec::new();
    let (mut minute, last) = (start.minute(), now.minute());
    while minute <= last && entries.len() < limit {
        let room = limit - entries.len();
        let minutes = minute..=last.min(minute.saturating_add(MINUTES_AT_ONCE - 1));
        let buckets: Vec<_> = minutes.map(bucket).collect();
        let read = if minute == start.minute() {
            Vec::new()
        } else {
            store.list_each::<DueEntry>(&buckets, room).await?
        };
        if read.is_empty() {
            // The first one, of which a part was read before, or one with more than fits.
            let first = bucket(minute);
            let mut from = first.clone();
            from.push(KeyPart::I64(start.0));
            let page = store.list_from::<DueEntry>(&first, &from, Order::Ascending, room);
            entries.extend(page.await?);
            minute = minute.saturating_add(1);
        }
        for page in read {
            entries.extend(page);
            minute = minute.saturating_add(1);
        }
    }
    entries.retain(|entry| entry.due <= now);
    Ok(entries)
}
