//! The log port: ordered records that are read again from an offset.
//!
//! A topic has partitions; a partition's records have offsets from 0 without gaps.
//! Whoever reads keeps the offset to go on from; the log keeps nothing of readers.
//! The embedded log lies in the same database as the rows and shares their group
//! commit. For each partition it keeps one entry with the first and the end offset,
//! written in the same batch as the records, so that the end is right after a crash
//! and also when every record was trimmed.

use std::path::PathBuf;
use std::sync::Arc;

use schemas::{MessageClass, Partition};
use tokio::sync::watch;

use crate::runtime::{Runtime, WorkLost};
use crate::store::StoreError;
use crate::store::kv::{Direction, Kv, Space};
use crate::store::overlay::Overlay;
use crate::store::writer::{Admission, Operations};

#[cfg(any(test, feature = "testkit"))]
pub mod contract;

/// A place in a partition of a topic. 0 is the first.
pub type Offset = u64;

/// The most records of one append or read: 10,000 work items are some 500 kB.
pub const RECORDS_LIMIT: usize = 10_000;

/// Records that one operation of the writer deletes, so that a long trim does not hold
/// up a group commit.
const TRIM_STEP: u64 = 1_000;

/// What is kept in a log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Topic {
    /// Messages to be sent, one lane for each class.
    Work(MessageClass),
    /// What every node is told. One partition, 0.
    Control,
}

impl Topic {
    /// Every topic, in the order of their indexes.
    pub const ALL: [Self; 3] = [
        Self::Work(MessageClass::Transactional),
        Self::Work(MessageClass::Marketing),
        Self::Control,
    ];

    /// Its number, also in stored keys. Never changed.
    const fn index(self) -> u8 {
        match self {
            Self::Work(MessageClass::Transactional) => 0,
            Self::Work(MessageClass::Marketing) => 1,
            Self::Control => 2,
        }
    }
}

/// Why the log did not do it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LogError {
    /// There is nothing at this offset yet.
    #[error("the offset lies beyond the end, {end}")]
    OffsetOutOfRange {
        /// The offset that the next record will get.
        end: Offset,
    },
    /// What was there has been deleted.
    #[error("records before offset {first} have been trimmed")]
    Trimmed {
        /// The first offset that is still there, or the end.
        first: Offset,
    },
    /// The topic has no such partition.
    #[error("the topic has no such partition")]
    UnknownPartition,
    /// An append of nothing, or more than [`RECORDS_LIMIT`] records at once.
    #[error("the number of records must be 1 to {RECORDS_LIMIT}")]
    InvalidLimit,
    /// What is stored cannot be read.
    #[error("the log is damaged: {detail}")]
    Damaged {
        /// What is wrong, without any content.
        detail: String,
    },
    /// There is too little space left to take in more.
    #[error("the disk that holds {} is full: free some space", folder.display())]
    DiskFull {
        /// The data folder.
        folder: PathBuf,
    },
    /// The backend failed.
    #[error("the log failed: {detail}")]
    Backend {
        /// What the backend said.
        detail: String,
    },
    /// The log was closed, or has closed itself after a failed write.
    #[error("the log is closed")]
    Closed,
}

impl From<StoreError> for LogError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::DiskFull { folder } => Self::DiskFull { folder },
            StoreError::Damaged { detail, .. } => Self::Damaged { detail },
            StoreError::OtherPartitionCount { .. } => Self::Backend {
                detail: error.to_string(),
            },
            StoreError::Backend { detail } => Self::Backend { detail },
            StoreError::Closed => Self::Closed,
            StoreError::UnknownCursor | StoreError::InvalidRange { .. } => Self::Backend {
                detail: error.to_string(),
            },
        }
    }
}

impl From<WorkLost> for LogError {
    fn from(_: WorkLost) -> Self {
        Self::Closed
    }
}

/// The logs of a node. Cloning is cheap and shares them.
#[derive(Clone)]
pub struct Log {
    kv: Arc<dyn Kv>,
    operations: Operations,
    runtime: Runtime,
    appended: Arc<Appended>,
}

impl Log {
    pub(crate) fn new(
        kv: Arc<dyn Kv>,
        operations: Operations,
        runtime: Runtime,
        appended: Arc<Appended>,
    ) -> Self {
        Self {
            kv,
            operations,
            runtime,
            appended,
        }
    }

    /// The same logs for commands to what was taken in: nothing that is appended here is refused
    /// for want of space.
    pub fn for_commands(&self) -> Self {
        Self {
            operations: self.operations.for_commands(),
            ..self.clone()
        }
    }

    /// Appends records, one after the other without others between. Durable when it
    /// returns; the answer is the offset of the first.
    ///
    /// # Errors
    /// [`LogError::InvalidLimit`] for none or too many; [`LogError::DiskFull`] while
    /// less than 64 MiB are free; [`LogError::Backend`] when the write failed and
    /// [`LogError::Closed`] ever after.
    pub async fn append(
        &self,
        topic: Topic,
        partition: Partition,
        payloads: Vec<Vec<u8>>,
    ) -> Result<Offset, LogError> {
        check_partition(topic, partition)?;
        if !(1..=RECORDS_LIMIT).contains(&payloads.len()) {
            return Err(LogError::InvalidLimit);
        }
        let append = move |overlay: &mut Overlay<'_>| append(overlay, topic, partition, payloads);
        Ok(self.operations.run(Admission::Intake, append).await?)
    }

    /// At most `limit` records from offset `from` on; none at the end.
    ///
    /// # Errors
    /// [`LogError::OffsetOutOfRange`] beyond the end, [`LogError::Trimmed`] before the
    /// first record that is left, [`LogError::InvalidLimit`] unless `limit` is 1 to
    /// [`RECORDS_LIMIT`].
    pub async fn read(
        &self,
        topic: Topic,
        partition: Partition,
        from: Offset,
        limit: usize,
    ) -> Result<Vec<(Offset, Vec<u8>)>, LogError> {
        check_partition(topic, partition)?;
        if !(1..=RECORDS_LIMIT).contains(&limit) {
            return Err(LogError::InvalidLimit);
        }
        let kv = Arc::clone(&self.kv);
        let read = move || read(&*kv, topic, partition, from, limit);
        match self.runtime.blocking(read.clone()).await? {
            // A flush of the database beside a commit can show the end before the records:
            // behind that commit it is either whole or damaged.
            Err(LogError::Damaged { .. }) => {
                self.operations.settled().await?;
                self.runtime.blocking(read).await?
            }
            read => read,
        }
    }

    /// The offset that the next record will get.
    ///
    /// # Errors
    /// [`LogError::Damaged`] or [`LogError::Backend`] when it cannot be read.
    pub async fn end(&self, topic: Topic, partition: Partition) -> Result<Offset, LogError> {
        check_partition(topic, partition)?;
        Ok(Bounds::stored(&*self.kv, topic, partition)?.end)
    }

    /// Deletes the records before an offset. What has been trimmed already stays so.
    ///
    /// # Errors
    /// [`LogError::OffsetOutOfRange`] beyond the end; else as [`Log::append`].
    pub async fn trim(
        &self,
        topic: Topic,
        partition: Partition,
        before: Offset,
    ) -> Result<(), LogError> {
        check_partition(topic, partition)?;
        let end = self.end(topic, partition).await?;
        if before > end {
            return Err(LogError::OffsetOutOfRange { end });
        }
        let step = move |overlay: &mut Overlay<'_>| trim(overlay, topic, partition, before);
        while self.operations.run(Admission::Outcome, step).await? < before {}
        Ok(())
    }

    /// Changes after each durable append to any partition of the topic by this process.
    pub fn appended(&self, topic: Topic) -> watch::Receiver<u64> {
        self.appended.senders[usize::from(topic.index())].subscribe()
    }
}

impl std::fmt::Debug for Log {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Log")
    }
}

/// Appends records within a group commit, beside other changes. Who waits for the
/// topic is told when the group is durable.
///
/// # Errors
/// What reading the partition's end says.
pub(crate) fn append(
    overlay: &mut Overlay<'_>,
    topic: Topic,
    partition: Partition,
    payloads: Vec<Vec<u8>>,
) -> Result<Offset, StoreError> {
    let bounds_key = bounds_key(topic, partition);
    let mut bounds = Bounds::decode(overlay.get_raw(Space::Log, &bounds_key)?)?;
    let first = bounds.end;
    for payload in payloads {
        let key = record_key(topic, partition, bounds.end);
        overlay.put_raw(Space::Log, key, payload);
        bounds.end += 1;
    }
    overlay.put_raw(Space::Log, bounds_key, bounds.encode());
    overlay.announce(u32::from(topic.index()));
    Ok(first)
}

/// Deletes some records before `before`; the answer is the first offset left.
fn trim(
    overlay: &mut Overlay<'_>,
    topic: Topic,
    partition: Partition,
    before: Offset,
) -> Result<Offset, StoreError> {
    let bounds_key = bounds_key(topic, partition);
    let mut bounds = Bounds::decode(overlay.get_raw(Space::Log, &bounds_key)?)?;
    let until = before
        .min(bounds.end)
        .min(bounds.first.saturating_add(TRIM_STEP));
    if until <= bounds.first {
        return Ok(bounds.first);
    }
    for offset in bounds.first..until {
        overlay.delete_raw(Space::Log, record_key(topic, partition, offset));
    }
    bounds.first = until;
    overlay.put_raw(Space::Log, bounds_key, bounds.encode());
    Ok(until)
}

fn read(
    kv: &dyn Kv,
    topic: Topic,
    partition: Partition,
    from: Offset,
    limit: usize,
) -> Result<Vec<(Offset, Vec<u8>)>, LogError> {
    let bounds = Bounds::stored(kv, topic, partition)?;
    bounds.check(from)?;
    let end = bounds.end.min(from.saturating_add(limit as u64));
    let (start_key, end_key) = (
        record_key(topic, partition, from),
        record_key(topic, partition, end),
    );
    let found = kv
        .scan(Space::Log, &start_key, &end_key, Direction::Forward, limit)
        .map_err(StoreError::from)?;
    if found.len() as u64 != end - from {
        // A trim may have come between.
        Bounds::stored(kv, topic, partition)?.check(from)?;
        return Err(LogError::Damaged {
            detail: format!("records from offset {from} to {end} are missing"),
        });
    }
    let payloads = found.into_iter().map(|(_, payload)| payload);
    Ok((from..end).zip(payloads).collect())
}

fn check_partition(topic: Topic, partition: Partition) -> Result<(), LogError> {
    match topic {
        Topic::Control if partition != Partition(0) => Err(LogError::UnknownPartition),
        Topic::Control | Topic::Work(_) => Ok(()),
    }
}

/// Which records of a partition there are: from `first` up to, not including, `end`.
#[derive(Clone, Copy, Default)]
struct Bounds {
    first: Offset,
    end: Offset,
}

impl Bounds {
    fn stored(kv: &dyn Kv, topic: Topic, partition: Partition) -> Result<Self, StoreError> {
        let bytes = kv.get(Space::Log, &bounds_key(topic, partition))?;
        Self::decode(bytes.as_deref())
    }

    fn decode(bytes: Option<&[u8]>) -> Result<Self, StoreError> {
        let Some(bytes) = bytes else {
            return Ok(Self::default());
        };
        let bytes: [u8; 16] = bytes.try_into().map_err(|_| StoreError::Damaged {
            table: "log",
            detail: "the bounds of a partition cannot be read".to_owned(),
        })?;
        let both = u128::from_be_bytes(bytes);
        Ok(Self {
            first: (both >> 64) as u64,
            end: both as u64,
        })
    }

    fn encode(self) -> Vec<u8> {
        let both = u128::from(self.first) << 64 | u128::from(self.end);
        both.to_be_bytes().to_vec()
    }

    fn check(self, from: Offset) -> Result<(), LogError> {
        if from < self.first {
            Err(LogError::Trimmed { first: self.first })
        } else if from > self.end {
            Err(LogError::OffsetOutOfRange { end: self.end })
        } else {
            Ok(())
        }
    }
}

/// 0, topic, partition.
fn bounds_key(topic: Topic, partition: Partition) -> Vec<u8> {
    let [high, low] = partition.0.to_be_bytes();
    vec![0, topic.index(), high, low]
}

/// 1, topic, partition, offset: records lie in the order of their offsets.
fn record_key(topic: Topic, partition: Partition, offset: Offset) -> Vec<u8> {
    let [high, low] = partition.0.to_be_bytes();
    let mut key = vec![1, topic.index(), high, low];
    key.extend_from_slice(&offset.to_be_bytes());
    key
}

/// Tells who waits for a topic that something was appended to it.
pub(crate) struct Appended {
    senders: [watch::Sender<u64>; Topic::ALL.len()],
}

impl Appended {
    pub(crate) fn new() -> Self {
        Self {
            senders: Topic::ALL.map(|_| watch::Sender::new(0)),
        }
    }

    /// Tells of the subjects of a durable group, one bit each.
    pub(crate) fn announce(&self, subjects: u32) {
        for (index, sender) in self.senders.iter().enumerate() {
            if subjects & 1 << index != 0 {
                sender.send_modify(|appends| *appends += 1);
            }
        }
    }
}
