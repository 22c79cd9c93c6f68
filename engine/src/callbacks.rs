//! What providers tell: receipts, and what people text back. The owner of the journals commits it.
//! Any other node keeps it in a log that the owner reads, before anything else when its turn
//! begins: so providers may come to any node, also while nobody owns.

use std::time::Duration;

use schemas::callback::Callback;
use schemas::change::Change;
use schemas::position::{CommittedPosition, SourceId};
use schemas::{Partition, PartitionCount, PartitionRange};
use tokio::sync::watch;

use crate::log::{Log, LogError, Offset, Topic};
use crate::runtime::Runtime;
use crate::store::{Store, StoreError};

/// The log's one partition: what is told is little, and is read by one.
const PLACE: Partition = Partition(0);

/// Callbacks that are read and committed at a time.
const PAGE: usize = 500;

/// How often it is looked whether something is committed that somebody waits for.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The partition that a callback is about. A receipt that tells nothing of whose it is fits no
/// message: it waits in the first partition for people to look at.
pub fn partition_of(partitions: PartitionCount, callback: &Callback) -> Partition {
    let slice = callback.slice();
    slice.map_or(PLACE, |slice| partitions.of(slice))
}

/// What a callback changes, and in which partition.
pub fn change_of(partitions: PartitionCount, callback: Callback) -> (Partition, Change) {
    let partition = partition_of(partitions, &callback);
    (partition, callback.into_change())
}

/// Callbacks as the nodes of a deployment pass them to its owner.
#[derive(Clone)]
pub struct Callbacks {
    runtime: Runtime,
    store: Store,
    log: Log,
}

/// Some of them, as they were kept.
pub struct Kept {
    /// What was told, in order.
    pub callbacks: Vec<Callback>,
    /// Where the next are.
    pub next: Offset,
}

impl Callbacks {
    /// Over a node's store and logs.
    pub fn new(runtime: Runtime, store: Store, log: Log) -> Self {
        Self {
            runtime,
            store,
            log,
        }
    }

    /// Keeps what was told until an owner commits it. Durable when it returns; the answer is behind
    /// the last.
    ///
    /// # Errors
    /// As [`Log::append`].
    pub async fn keep(&self, callbacks: &[Callback]) -> Result<Offset, LogError> {
        let payloads = callbacks.iter().map(|callback| {
            rmp_serde::to_vec_named(callback).map_err(|error| LogError::Backend {
                detail: error.to_string(),
            })
        });
        let payloads: Vec<_> = payloads.collect::<Result<_, _>>()?;
        let count = payloads.len() as u64;
        let first = self.log.append(Topic::Callbacks, PLACE, payloads).await?;
        Ok(first + count)
    }

    /// Waits until the owner of a range has committed everything before `until` that is about it, and
    /// no longer than `patience`. Tells whether it has.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn committed(
        &self,
        range: PartitionRange,
        until: Offset,
        patience: Duration,
    ) -> Result<bool, StoreError> {
        let patience = u64::try_from(patience.as_micros()).unwrap_or(u64::MAX);
        let deadline = self.runtime.boot().saturating_add(patience);
        while self.position(range).await? < until {
            if self.runtime.boot() >= deadline {
                return Ok(false);
            }
            self.runtime.sleep(LOOK_EVERY).await;
        }
        Ok(true)
    }

    /// Where the first is that the owner of a range has not seen.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn position(&self, range: PartitionRange) -> Result<Offset, StoreError> {
        let key = CommittedPosition::key_of(range.first(), &SourceId::Callbacks);
        let row = self.store.get::<CommittedPosition>(&key).await?;
        Ok(row.map_or(0, |row| row.position))
    }

    /// Those from `from` on; `None` when there are no more.
    ///
    /// # Errors
    /// As [`Log::read`].
    pub async fn read(&self, from: Offset) -> Result<Option<Kept>, LogError> {
        let records = self.log.read(Topic::Callbacks, PLACE, from, PAGE).await?;
        let Some((last, _)) = records.last() else {
            return Ok(None);
        };
        let next = last + 1;
        let callbacks = records.iter().filter_map(|(offset, payload)| {
            let read = rmp_serde::from_slice(payload);
            read.inspect_err(|error| tracing::error!(%error, offset, "a callback cannot be read"))
                .ok()
        });
        let callbacks = callbacks.collect();
        Ok(Some(Kept { callbacks, next }))
    }

    /// What is committed with them: that the owner of a range has seen them, so that none commits
    /// them again.
    pub fn passed(range: PartitionRange, next: Offset) -> (Partition, Change) {
        let source = SourceId::Callbacks;
        let position = next;
        (range.first(), Change::Advanced { source, position })
    }

    /// Changes when something was kept.
    pub fn kept(&self) -> watch::Receiver<u64> {
        self.log.appended(Topic::Callbacks)
    }
}
