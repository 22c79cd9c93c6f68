//! How far each partition was read: rows of our own store, moved once what was read is durable.

use std::collections::BTreeMap;

use engine::ingress::record::Incoming;
use engine::ingress::requests::{Kept, Place};
use engine::store::{Replaced, Store, StoreError};
use schemas::ingress::IngressPosition;

const LOST: &str = "volley_kafka_lost_records_total";
const STOPPED: &str = "volley_kafka_stopped_partitions";

pub(super) fn describe() {
    metrics::describe_counter!(
        LOST,
        "Records that Kafka deleted before they were read: its retention is too short."
    );
    metrics::describe_gauge!(
        STOPPED,
        "Partitions that end before what was read of them: they were made anew, and are not read."
    );
}

/// What the store has of each partition.
pub(super) type Rows = BTreeMap<Place, Option<IngressPosition>>;

/// The positions of all partitions that there were when they were read.
pub(super) struct Positions(BTreeMap<Place, IngressPosition>);

impl Positions {
    /// The positions of these partitions as they are now. One without a position is at its beginning.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) async fn read(
        store: &Store,
        places: impl Iterator<Item = Place>,
    ) -> Result<Rows, StoreError> {
        let mut rows = BTreeMap::new();
        for place in places {
            let key = IngressPosition::key_of(&place.0, place.1);
            rows.insert(place, store.get::<IngressPosition>(&key).await?);
        }
        Ok(rows)
    }

    /// Where each partition is to be read from; those that are stopped are not among these. What
    /// Kafka keeps must have been asked for after the rows were read: whoever reads the partition
    /// until now may move them beyond an end that is older.
    pub(super) fn begin(
        mut found: Rows,
        kept: BTreeMap<Place, Kept>,
    ) -> (Self, BTreeMap<Place, u64>) {
        let (mut rows, mut from) = (BTreeMap::new(), BTreeMap::new());
        for (place, kept) in kept {
            let row = found.remove(&place).flatten();
            let row = row.unwrap_or_else(|| IngressPosition {
                topic: place.0.clone(),
                partition: place.1,
                next: kept.first,
                version: 0,
            });
            if let Some(offset) = begin(&row, kept) {
                from.insert(place.clone(), offset);
            }
            rows.insert(place, row);
        }
        metrics::gauge!(STOPPED).set((rows.len() - from.len()) as f64);
        (Self(rows), from)
    }

    /// These records are taken in or set aside, durably. False when somebody has set a position
    /// meanwhile: all must be read anew then.
    ///
    /// # Errors
    /// When a position cannot be written. The records are read again then, and count once.
    pub(super) async fn pass(
        &mut self,
        store: &Store,
        records: &[Incoming],
    ) -> Result<bool, StoreError> {
        let mut passed = BTreeMap::new();
        for record in records {
            let place = (record.origin.topic.clone(), record.origin.partition);
            passed.insert(place, record.origin.offset + 1);
        }
        let moved = passed.into_iter().filter_map(|(place, next)| {
            let row = self.0.get(&place)?.clone();
            Some((place, IngressPosition { next, ..row }))
        });
        let writes = moved.map(|(place, row)| async {
            let replaced = store.replace(row).await?;
            Ok::<_, StoreError>((place, replaced))
        });
        for (place, replaced) in futures::future::try_join_all(writes).await? {
            match replaced {
                Replaced::Stored(row) => {
                    self.0.insert(place, row);
                }
                Replaced::Conflict(_) => {
                    tracing::warn!(topic = place.0, partition = place.1, "a position was set");
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Whether somebody has set a position: where nothing comes, none is passed, and nothing
    /// else would tell. Those of stopped partitions are among these.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) async fn were_set(&self, store: &Store) -> Result<bool, StoreError> {
        for ((topic, partition), known) in &self.0 {
            let key = IngressPosition::key_of(topic, *partition);
            let row = store.get::<IngressPosition>(&key).await?;
            if row.map_or(0, |row| row.version) != known.version {
                tracing::warn!(topic, partition, "a position was set");
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// How many records of each topic are not read yet.
    pub(super) fn behind(&self, kept: &BTreeMap<Place, Kept>) -> BTreeMap<String, u64> {
        let mut behind = BTreeMap::new();
        for (place, kept) in kept {
            let next = self.0.get(place).map_or(kept.first, |row| row.next);
            *behind.entry(place.0.clone()).or_default() += kept.end.saturating_sub(next);
        }
        behind
    }

    /// Whether these are other partitions than those that are read.
    pub(super) fn has_others(&self, kept: &BTreeMap<Place, Kept>) -> bool {
        kept.keys().ne(self.0.keys())
    }
}

/// Where a partition is read from; `None` when it is not what it was.
fn begin(row: &IngressPosition, kept: Kept) -> Option<u64> {
    let IngressPosition {
        topic,
        partition,
        next,
        ..
    } = row;
    if *next > kept.end {
        tracing::error!(
            topic,
            partition,
            next,
            end = kept.end,
            "the topic was made anew, or restored from a copy: what is in it is not read. Set its \
             position with `volley kafka rewind` to say where to begin"
        );
        return None;
    }
    if *next < kept.first {
        let lost = kept.first - next;
        metrics::counter!(LOST).increment(lost);
        tracing::error!(
            topic,
            partition,
            lost,
            "records were deleted before they were read"
        );
    }
    Some((*next).max(kept.first))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use engine::ingress::requests::Kept;
    use engine::runtime::Runtime;
    use engine::storage::{JournalSettings, Storage};
    use engine::store::{MemoryKv, Replaced};
    use schemas::PartitionCount;
    use schemas::ingress::IngressPosition;

    use super::{Positions, begin};

    #[test]
    fn a_partition_begins_where_it_was_left_unless_it_is_another() {
        let row = |next| IngressPosition {
            topic: "requests".to_owned(),
            partition: 0,
            next,
            version: 1,
        };
        let kept = Kept { first: 10, end: 20 };
        assert_eq!(begin(&row(15), kept), Some(15));
        assert_eq!(begin(&row(20), kept), Some(20));
        assert_eq!(begin(&row(3), kept), Some(10), "some were deleted");
        assert_eq!(begin(&row(21), kept), None, "it was made anew");
    }

    /// Nothing is read of a partition to which nothing is written, so no position is passed.
    #[test]
    fn a_position_that_somebody_sets_is_noticed_where_nothing_comes() {
        let tasks = tokio::runtime::Builder::new_multi_thread().build();
        let tasks = tasks.expect("threads");
        let runtime = Runtime::of_machine(tasks.handle().clone());
        let settings = JournalSettings {
            partitions: PartitionCount::ONE,
            owners: PartitionCount::ONE,
            trim: true,
        };
        let storage = Storage::in_memory(MemoryKv::new(), &runtime, settings);
        let store = storage.expect("storage").store;
        let row = |partition, next| IngressPosition {
            topic: "requests".to_owned(),
            partition,
            next,
            version: 0,
        };
        tasks.block_on(async {
            let stored = store.replace(row(0, 7)).await.expect("it is stored");
            let Replaced::Stored(first) = stored else {
                panic!("nobody else writes");
            };
            let known = [first.clone(), row(1, 0)];
            let known = known.map(|row| ((row.topic.clone(), row.partition), row));
            let positions = Positions(BTreeMap::from(known));
            assert!(!positions.were_set(&store).await.expect("it is read"));
            store.replace(row(1, 3)).await.expect("it is stored");
            assert!(positions.were_set(&store).await.expect("it is read"));
        });
    }
}
