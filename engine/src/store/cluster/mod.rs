//! The owner's database on servers: what the group commit writes, made durable in the journals
//! and then written to the tables. It knows neither Kafka nor CQL: it stands on [`Groups`] and
//! [`Tables`], which a simulation has in memory.
//!
//! ```text
//! group ─▶ one transaction of the journals ─▶ attempts go ─▶ rows in tables ─▶ answers ─▶ next
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
use schemas::{Partition, PartitionRange};
#[cfg(feature = "cluster")]
use tokio::runtime::Handle;

use self::remembered::Remembered;
use super::AGAIN_AFTER;
use super::error::StoreError;
use super::kv::{
    Direction, FarKv, Kv, KvBatch, KvChange, KvError, KvPairs, KvRead, Settling, Space,
};
#[cfg(feature = "cluster")]
use crate::journal::checkpoint;
use crate::log::{Groups, Offset};
use crate::runtime::Runtime;

mod events;
mod group;
mod recover;
mod remembered;
mod tables;

pub(crate) use recover::{Found, read_journals};
pub(crate) use tables::{Stamp, Tables, WRITES_IN_FLIGHT};

/// The records of a first group that holds nothing but these entries of the journals.
#[cfg(feature = "cluster")]
pub(crate) fn first_group(entries: KvPairs) -> Vec<(Partition, Vec<u8>)> {
    let changes = entries.into_iter().map(|(key, entry)| KvChange {
        space: Space::Journal,
        partition: checkpoint::partition_of(&key),
        key,
        value: Some(entry),
    });
    let changes = changes.collect();
    group::encode(Partition(0), FIRST_GROUP, &KvBatch { changes })
}

/// Which making of the journals rows are stamped with. It must grow when they are made anew
/// beside rows that stay.
pub(in crate::store) const EPOCH: u32 = 0;

/// The number of the group that an import begins the journals with.
#[cfg(feature = "cluster")]
pub(crate) const FIRST_GROUP: u64 = 1;

/// How often records that no start needs any more are deleted. One request for each partition
/// that has some; what lies there meanwhile is read at the next start.
const TRIM_EVERY: Duration = Duration::from_secs(10);

/// How whoever reads in the middle of a group waits for the servers.
pub(crate) enum Waiting {
    /// Its thread blocks; the servers' clients live on this runtime.
    #[cfg(feature = "cluster")]
    Blocks(Handle),
    /// There is nothing to wait for.
    #[cfg(feature = "testkit")]
    Never,
}

impl Waiting {
    fn wait<T>(&self, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, KvError> {
        match self {
            #[cfg(feature = "cluster")]
            Self::Blocks(tasks) => tasks.block_on(work).map_err(told),
            #[cfg(feature = "testkit")]
            Self::Never => match work.now_or_never() {
                Some(done) => done.map_err(told),
                None => Err(told("a read of the owner was not answered at once")),
            },
        }
    }
}

/// The owner's database. Its reads block.
pub(crate) struct ClusterKv {
    tables: Arc<dyn Tables>,
    groups: Arc<dyn Groups>,
    /// The first partition that is owned.
    first: Partition,
    runtime: Runtime,
    waiting: Waiting,
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
    /// last owner left.
    ///
    /// # Errors
    /// When the rows are refused.
    pub(crate) async fn open(
        tables: Arc<dyn Tables>,
        (groups, range): (Arc<dyn Groups>, PartitionRange),
        waiting: Waiting,
        mut found: Found,
        runtime: &Runtime,
    ) -> Result<Self, StoreError> {
        let unfinished = found.unfinished(range.ranges());
        let kv = Self {
            tables,
            groups,
            first: range.first(),
            runtime: runtime.clone(),
            waiting,
            journal: Mutex::new(found.journal),
            remembered: Remembered::new(),
            number: AtomicU64::new(found.number),
            trimming: Arc::default(),
        };
        kv.project(found.number, &unfinished).await?;
        Ok(kv)
    }

    /// Writes the rows of a group to their tables, however long that takes.
    async fn project(&self, number: u64, changes: &[KvChange]) -> Result<(), StoreError> {
        let stamp = Stamp::new(EPOCH, number)?;
        let rows = changes.iter().filter(|it| it.space != Space::Journal);
        let rows: Vec<&KvChange> = rows.collect();
        self.insist("rows are written", || self.tables.project(&rows, stamp))
            .await
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
        self.insist("rows are read", || self.tables.get(key)).await
    }

    /// Makes a group durable. What it gives back writes its rows.
    async fn commit_group(&self, batch: KvBatch) -> Result<Settling<'_>, StoreError> {
        let number = self.number.load(Ordering::Acquire) + 1;
        let records = group::encode(self.first, number, &batch);
        let events = self.events(&batch).await?;
        let committed = self.groups.commit(&records, &events).await;
        let offsets = committed.map_err(|error| StoreError::Backend {
            detail: error.to_string(),
        })?;
        self.number.store(number, Ordering::Release);
        let settled = async move {
            let projected = self.project(number, &batch.changes).await;
            projected.map_err(told)?;
            self.keep(batch, &offsets);
            self.trim_sometimes();
            Ok(())
        };
        Ok(settled.boxed())
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

impl KvRead for ClusterKv {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, KvError> {
        match space {
            Space::Journal => Ok(self.journal().get(key).cloned()),
            Space::Log => Err(no_log()),
            Space::Rows
            | Space::Messages
            | Space::Bindings
            | Space::Due
            | Space::Consents
            | Space::Contacts => self.waiting.wait(self.known_or_read(key)),
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
                let scan = || self.tables.scan(start, end, limit);
                self.waiting.wait(self.insist("rows are read", scan))
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
        let settling = self.waiting.wait(self.commit_group(batch))?;
        let settled = settling.map(|settled| settled.map_err(StoreError::from));
        self.waiting.wait(settled)
    }

    /// What was written is durable.
    fn sync(&self) -> Result<(), KvError> {
        Ok(())
    }

    fn far(&self) -> Option<&dyn FarKv> {
        Some(self)
    }

    /// They say nothing of their disks.
    fn free_bytes(&self) -> Result<u64, KvError> {
        Ok(u64::MAX)
    }

    fn folder(&self) -> PathBuf {
        PathBuf::from("the servers")
    }
}

impl FarKv for ClusterKv {
    fn fetch(&self, mut keys: Vec<Vec<u8>>) -> BoxFuture<'_, ()> {
        keys.sort_unstable();
        keys.dedup();
        keys.retain(|key| self.remembered.get(key).is_none());
        let reads = keys.into_iter().map(move |key| async move {
            let found = self.tables.get(&key).await?;
            self.remembered.put(key, found);
            Ok::<_, StoreError>(())
        });
        let reads = futures::stream::iter(reads).buffer_unordered(WRITES_IN_FLIGHT);
        // What failed is read again by whoever needs it, who insists.
        reads.for_each(|_| std::future::ready(())).boxed()
    }

    fn commit(&self, batch: KvBatch) -> BoxFuture<'_, Result<Settling<'_>, KvError>> {
        let committed = self.commit_group(batch);
        committed.map(|done| done.map_err(told)).boxed()
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
