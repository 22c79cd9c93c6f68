//! The owner's database on servers: what the group commit writes, made durable in the journals'
//! topic of Kafka and then written to the tables of CQL.
//!
//! ```text
//! group ─▶ one transaction of Kafka ─▶ rows in CQL ─▶ answers ─▶ next group
//! ```
//!
//! A group counts when its transaction does. Its rows follow before the next group begins, so
//! after a crash at most the last group's are missing: whoever opens the database writes them
//! again from the records, stamped as before. Rows are read through what their only writer
//! remembers of them, and are fetched together where a group will need many.
//!
//! While servers are away nothing is given up: the group under way waits for them, those behind
//! it wait for the group, and whoever submits waits or is told. What ends the database is that
//! another process takes it over, and what cannot be read.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use schemas::Partition;
use tokio::runtime::Handle;

use self::remembered::Remembered;
use super::cql::CqlRows;
use super::cql::projection::{Stamp, WRITES_IN_FLIGHT};
use super::cql::raw::{RawTable, table_of};
use super::error::StoreError;
use super::kv::{Direction, Kv, KvBatch, KvChange, KvError, KvPairs, KvRead, Space};
use super::{AGAIN_AFTER, Backend, Store};
use crate::journal::checkpoint;
use crate::log::{GroupTopic, Offset};
use crate::runtime::Runtime;

mod events;
mod group;
mod recover;
mod remembered;

pub(crate) use recover::{Found, read_journals};

/// The records of a first group that holds nothing but these entries of the journals.
pub(crate) fn first_group(entries: KvPairs) -> Vec<(Partition, Vec<u8>)> {
    let changes = entries.into_iter().map(|(key, entry)| KvChange {
        space: Space::Journal,
        partition: checkpoint::partition_of(&key),
        key,
        value: Some(entry),
    });
    let changes = changes.collect();
    group::encode(FIRST_GROUP, &KvBatch { changes })
}

/// Which making of the journals rows are stamped with. It must grow when they are made anew
/// beside rows that stay.
pub(in crate::store) const EPOCH: u32 = 0;

/// The number of the group that an import begins the journals with.
pub(crate) const FIRST_GROUP: u64 = 1;

/// How often records that no start needs any more are deleted. One request for each partition
/// that has some; what lies there meanwhile is read at the next start.
const TRIM_EVERY: Duration = Duration::from_secs(10);

/// The owner's database. All of it blocks.
pub(crate) struct ClusterKv {
    rows: CqlRows,
    groups: Arc<GroupTopic>,
    runtime: Runtime,
    tasks: Handle,
    /// The journals' own entries that were not removed: bounded by the checkpoints.
    journal: Mutex<BTreeMap<Vec<u8>, Vec<u8>>>,
    remembered: Remembered,
    /// The number of the last group.
    number: AtomicU64,
    trimming: Arc<Trimming>,
}

/// Up to where the records of each partition may be deleted.
#[derive(Default)]
struct Trimming {
    due: Mutex<BTreeMap<Partition, Offset>>,
    is_running: AtomicBool,
}

impl ClusterKv {
    /// Goes on with the journals of a deployment as they were `found`, and finishes what their
    /// last owner left. Must be called on the tokio runtime that the servers' clients live on.
    ///
    /// # Errors
    /// [`StoreError::Backend`] when the rows are not in CQL, or are refused there.
    pub(crate) async fn open(
        store: &Store,
        groups: GroupTopic,
        found: Found,
        runtime: &Runtime,
    ) -> Result<Self, StoreError> {
        let Backend::Cql(rows) = &store.backend else {
            return Err(StoreError::Backend {
                detail: "journals on Kafka need rows in CQL".to_owned(),
            });
        };
        let kv = Self {
            rows: rows.clone(),
            groups: Arc::new(groups),
            runtime: runtime.clone(),
            tasks: Handle::current(),
            journal: Mutex::new(found.journal),
            remembered: Remembered::new(),
            number: AtomicU64::new(found.number),
            trimming: Arc::default(),
        };
        kv.project(found.number, &found.unfinished).await?;
        Ok(kv)
    }

    /// Writes the rows of a group to their tables, however long that takes.
    async fn project(&self, number: u64, changes: &[KvChange]) -> Result<(), StoreError> {
        let stamp = Stamp::new(EPOCH, number)?;
        let write = move || async move {
            let rows = changes.iter().filter(|it| it.space != Space::Journal);
            let rows = rows.map(|change| {
                table(&change.key)?.project(&change.key, change.value.as_deref(), stamp)
            });
            self.rows.project(rows.collect::<Result<_, _>>()?).await
        };
        self.insist("rows are written", || write().boxed()).await
    }

    /// Does something until the servers have done it. What it says other than that they are
    /// away is said.
    async fn insist<'a, T>(
        &self,
        what: &'static str,
        work: impl Fn() -> BoxFuture<'a, Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let mut warned = false;
        loop {
            match work().await {
                Err(StoreError::Unavailable { detail }) => {
                    if !std::mem::replace(&mut warned, true) {
                        tracing::warn!(detail, "{what} as soon as the servers answer");
                    }
                    self.runtime.sleep(AGAIN_AFTER).await;
                }
                done => return done,
            }
        }
    }

    /// The row with a key as it is before the group under way.
    async fn known_or_read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        if let Some(known) = self.remembered.get(key) {
            return Ok(known);
        }
        let found = self.read(key).await?;
        self.remembered.put(key.to_vec(), found.clone());
        Ok(found)
    }

    /// The row with a key, as the tables have it.
    async fn read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let table = table(key)?;
        self.insist("rows are read", || table.get(&self.rows, key))
            .await
    }

    fn journal(&self) -> MutexGuard<'_, BTreeMap<Vec<u8>, Vec<u8>>> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what a group changed, and what of its partitions' records no start needs any more.
    fn keep(&self, batch: KvBatch, offsets: &[(Partition, Offset)]) {
        let mut journal = self.journal();
        for change in batch.changes {
            match (change.space, change.value) {
                (Space::Journal, Some(value)) => {
                    journal.insert(change.key, value);
                }
                (Space::Journal, None) => {
                    journal.remove(&change.key);
                    self.trim_before(change.partition, offsets);
                }
                (_, value) => self.remembered.put(change.key, value),
            }
        }
    }

    /// Entries are removed by the checkpoint that includes them, and with them all before: so
    /// the record that it is in is the first that the next start needs.
    fn trim_before(&self, partition: Option<Partition>, offsets: &[(Partition, Offset)]) {
        let at = offsets.iter().find(|(of, _)| Some(*of) == partition);
        if let Some((partition, offset)) = at {
            let mut due = self.trimming.lock();
            due.insert(*partition, *offset);
        }
    }

    fn trim_sometimes(&self) {
        let trimming = Arc::clone(&self.trimming);
        if trimming.lock().is_empty() || trimming.is_running.swap(true, Ordering::AcqRel) {
            return;
        }
        let (groups, runtime) = (Arc::clone(&self.groups), self.runtime.clone());
        self.runtime.spawn(async move {
            runtime.sleep(TRIM_EVERY).await;
            let due = std::mem::take(&mut *trimming.lock());
            for (partition, before) in due {
                if let Err(error) = groups.trim(partition, before).await {
                    // They are read again at the next start, and deleted later.
                    tracing::debug!(%error, ?partition, "old journal records stay");
                }
            }
            trimming.is_running.store(false, Ordering::Release);
        });
    }
}

impl Trimming {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Partition, Offset>> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn table(key: &[u8]) -> Result<&'static dyn RawTable, StoreError> {
    table_of(key).ok_or_else(|| StoreError::damaged("database", "a key of no table"))
}

impl KvRead for ClusterKv {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, KvError> {
        match space {
            Space::Journal => Ok(self.journal().get(key).cloned()),
            Space::Log => Err(no_log()),
            Space::Rows | Space::Messages | Space::Bindings | Space::Due => {
                let found = self.known_or_read(key);
                self.tasks.block_on(found).map_err(told)
            }
        }
    }

    fn scan(
        &self,
        space: Space,
        start: &[u8],
        end: &[u8],
        direction: Direction,
        limit: usize,
    ) -> Result<KvPairs, KvError> {
        match (space, direction) {
            (Space::Journal, direction) => {
                let journal = self.journal();
                let range = journal.range(start.to_vec()..end.to_vec());
                let pair = |(key, value): (&Vec<u8>, &Vec<u8>)| (key.clone(), value.clone());
                Ok(match direction {
                    Direction::Forward => range.take(limit).map(pair).collect(),
                    Direction::Backward => range.rev().take(limit).map(pair).collect(),
                })
            }
            (Space::Log, _) => Err(no_log()),
            (_, Direction::Backward) => Err(told("the journal's owner reads rows forwards only")),
            (_, Direction::Forward) => {
                let table = table(start).map_err(told)?;
                let scan = self.insist("rows are read", || {
                    table.scan(&self.rows, start, end, limit)
                });
                self.tasks.block_on(scan).map_err(told)
            }
        }
    }
}

impl Kv for ClusterKv {
    /// The servers have none.
    fn snapshot(&self) -> Result<Box<dyn KvRead>, KvError> {
        Err(told(
            "rows on servers cannot be looked at as they were at one moment",
        ))
    }

    fn write(&self, batch: KvBatch) -> Result<(), KvError> {
        let number = self.number.load(Ordering::Acquire) + 1;
        let records = group::encode(number, &batch);
        let events = self.tasks.block_on(self.events(&batch)).map_err(told)?;
        let offsets = self.groups.commit(&records, &events).map_err(told)?;
        drop((records, events));
        self.number.store(number, Ordering::Release);
        let projected = self.project(number, &batch.changes);
        self.tasks.block_on(projected).map_err(told)?;
        self.keep(batch, &offsets);
        self.trim_sometimes();
        Ok(())
    }

    /// What was written is durable.
    fn sync(&self) -> Result<(), KvError> {
        Ok(())
    }

    fn is_far(&self) -> bool {
        true
    }

    fn fetch(&self, mut keys: Vec<Vec<u8>>) {
        keys.sort_unstable();
        keys.dedup();
        keys.retain(|key| self.remembered.get(key).is_none());
        let reads = keys.into_iter().map(|key| async move {
            let found = table(&key)?.get(&self.rows, &key).await?;
            self.remembered.put(key, found);
            Ok::<_, StoreError>(())
        });
        let reads = futures::stream::iter(reads).buffer_unordered(WRITES_IN_FLIGHT);
        // What failed is read again by whoever needs it, who insists.
        let fetched = reads.for_each(|_| std::future::ready(()));
        self.tasks.block_on(fetched);
    }

    /// They say nothing of their disks.
    fn free_bytes(&self) -> Result<u64, KvError> {
        Ok(u64::MAX)
    }

    fn folder(&self) -> PathBuf {
        PathBuf::from("the servers")
    }
}

fn no_log() -> KvError {
    told("logs are topics of Kafka, and no rows")
}

fn told(detail: impl ToString) -> KvError {
    KvError::Servers {
        detail: detail.to_string(),
    }
}
