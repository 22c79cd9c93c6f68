//! What has fallen due: buckets of minutes, read in the order of their instants.

use engine::store::{Order, Store, StoreError};
use schemas::due::FallsDue;
use schemas::record::KeyPart;
use schemas::{Partition, UnixMicros};

use super::source::{ReadError, Readers};

/// Buckets that are read in one visit to the store: four hours of minutes.
const MINUTES_AT_ONCE: i64 = 240;

/// Rows that have fallen due.
#[derive(Debug)]
pub struct DuePage<R> {
    /// In the order of their instants.
    pub rows: Vec<R>,
    /// Where to read on.
    pub next: u64,
    /// Whether there may be more already.
    pub more: bool,
}

/// Reads what is due from `from` up to `now`: some `limit` tasks, or those of one instant. Rows of
/// one instant stay together, since a position is an instant.
///
/// # Errors
/// When the store or journal fails.
pub async fn due_page<R: FallsDue>(
    readers: &Readers,
    partition: Partition,
    from: u64,
    now: UnixMicros,
    limit: usize,
) -> Result<DuePage<R>, ReadError> {
    readers
        .journal
        .raise_due_mark(partition, R::KIND, now)
        .await?;
    let start = UnixMicros(i64::try_from(from).unwrap_or(i64::MAX));
    let as_position = |instant: UnixMicros| u64::try_from(instant.0).unwrap_or(0);
    let mut limit = limit;
    loop {
        let mut rows = rows_due::<R>(&readers.store, partition, start, now, limit + 1).await?;
        let Some(cut) = first_beyond(&rows, limit).map(R::due) else {
            return Ok(DuePage {
                rows,
                next: as_position(now.plus_micros(1)),
                more: false,
            });
        };
        rows.retain(|row| row.due() < cut);
        if !rows.is_empty() {
            return Ok(DuePage {
                rows,
                next: as_position(cut),
                more: true,
            });
        }
        limit *= 2;
    }
}

/// The first row that `limit` tasks leave no room for.
fn first_beyond<R: FallsDue>(rows: &[R], limit: usize) -> Option<&R> {
    let mut tasks = 0;
    rows.iter().find(|row| {
        tasks += row.tasks();
        tasks > limit
    })
}

/// Reads the buckets of the minutes from `start` to `now`, up to `limit` rows. After a
/// long time without a process there are thousands, nearly all of them empty.
async fn rows_due<R: FallsDue>(
    store: &Store,
    partition: Partition,
    start: UnixMicros,
    now: UnixMicros,
    limit: usize,
) -> Result<Vec<R>, StoreError> {
    let bucket = |minute| R::bucket_key(partition, minute);
    let mut rows: Vec<R> = Vec::new();
    let (mut minute, last) = (start.minute(), now.minute());
    while minute <= last && rows.len() < limit {
        let room = limit - rows.len();
        let minutes = minute..=last.min(minute.saturating_add(MINUTES_AT_ONCE - 1));
        let buckets: Vec<_> = minutes.map(bucket).collect();
        let read = if minute == start.minute() {
            Vec::new()
        } else {
            store.list_each::<R>(&buckets, room).await?
        };
        if read.is_empty() {
            // The first one, of which a part was read before, or one with more than fits.
            let first = bucket(minute);
            let mut from = first.clone();
            from.push(KeyPart::I64(start.0));
            let page = store.list_from::<R>(&first, &from, Order::Ascending, room);
            rows.extend(page.await?);
            minute = minute.saturating_add(1);
        }
        for page in read {
            rows.extend(page);
            minute = minute.saturating_add(1);
        }
    }
    rows.retain(|row| row.due() <= now);
    Ok(rows)
}
