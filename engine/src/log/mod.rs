//! The log port: ordered records that are read again from an offset.
//!
//! A topic has partitions; a partition's records have offsets from 0 without gaps.
//! Whoever reads keeps the offset to go on from; the log keeps nothing of readers.
//! Which backend runs is known here and nowhere else.

#[cfg(any(test, feature = "testkit"))]
pub mod contract;
pub(crate) mod embedded;
#[cfg(test)]
mod embedded_tests;
mod error;
#[cfg(feature = "servers")]
pub(crate) mod groups;
#[cfg(feature = "cluster")]
mod kafka;
#[cfg(feature = "servers")]
pub(crate) mod others;

#[cfg(feature = "servers")]
use std::any::Any;
use std::sync::{Mutex, MutexGuard, PoisonError};

#[cfg(feature = "cluster")]
use schemas::PartitionCount;
use schemas::{MessageClass, Partition};
use tokio::sync::watch;

use self::embedded::EmbeddedLog;
pub(crate) use self::embedded::append;
pub use self::error::LogError;
#[cfg(feature = "servers")]
pub use self::groups::Turn;
#[cfg(feature = "servers")]
pub(crate) use self::groups::{EventRecord, Groups, HoldsTurn};
#[cfg(feature = "cluster")]
use self::kafka::KafkaLog;
#[cfg(feature = "cluster")]
pub use self::kafka::describe as describe_metrics;
#[cfg(feature = "cluster")]
pub(crate) use self::kafka::{GroupTopic, HeldTurn, Membership, begin_import, begun_import};
#[cfg(feature = "cluster")]
pub use self::kafka::{KafkaLogSettings, Nodes, TopicMarks, open_log};
use crate::runtime::Runtime;
use crate::store::AGAIN_AFTER;

/// A place in a partition of a topic. 0 is the first.
pub type Offset = u64;

/// The most records of one append or read: 10,000 work items are some 500 kB.
pub const RECORDS_LIMIT: usize = 10_000;

/// The most bytes of one append: eight times as much as that many work items have.
pub const BYTES_LIMIT: usize = 4 << 20;

/// What is kept in a log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Topic {
    /// Messages to be sent, one lane for each class.
    Work(MessageClass),
    /// What every node is told. One partition, 0.
    Control,
    /// What providers told nodes that do not own the journals. One partition, 0.
    Callbacks,
}

impl Topic {
    /// Every topic, in the order of their indexes.
    pub const ALL: [Self; 4] = [
        Self::Work(MessageClass::Transactional),
        Self::Work(MessageClass::Marketing),
        Self::Control,
        Self::Callbacks,
    ];

    /// Its number, also in stored keys. Never changed.
    const fn index(self) -> u8 {
        match self {
            Self::Work(MessageClass::Transactional) => 0,
            Self::Work(MessageClass::Marketing) => 1,
            Self::Control => 2,
            Self::Callbacks => 3,
        }
    }
}

/// The logs of a node. Cloning is cheap and shares them.
#[derive(Clone)]
pub struct Log {
    backend: Backend,
    /// Whoever reads here waits for brokers that are away, by this clock.
    patience: Option<Runtime>,
}

#[derive(Clone)]
enum Backend {
    Embedded(EmbeddedLog),
    #[cfg(feature = "cluster")]
    Kafka(KafkaLog),
}

impl Log {
    pub(crate) fn embedded(log: EmbeddedLog) -> Self {
        Self {
            backend: Backend::Embedded(log),
            patience: None,
        }
    }

    /// The same logs for those who go on by themselves and have nobody to tell: reads wait for as
    /// long as brokers are away.
    pub fn patient(&self, runtime: &Runtime) -> Self {
        Self {
            backend: self.backend.clone(),
            patience: Some(runtime.clone()),
        }
    }

    /// The logs of a Kafka cluster, for a node with so many partitions. Topics that are
    /// missing are created. `remembered` is what an earlier call answered, and is kept
    /// wherever positions are: with it, topics that were created again are noticed.
    ///
    /// # Errors
    /// [`LogError::OtherTopic`] when a topic is not as it must be, with the cure;
    /// [`LogError::Unavailable`] when Kafka does not answer for ten seconds;
    /// [`LogError::Backend`] when it refuses, or the settings are no settings.
    #[cfg(feature = "cluster")]
    pub async fn on_kafka(
        settings: &KafkaLogSettings,
        partitions: PartitionCount,
        remembered: &TopicMarks,
        runtime: &Runtime,
    ) -> Result<(Self, TopicMarks), LogError> {
        let (log, marks) = KafkaLog::open(settings, partitions, remembered, runtime).await?;
        let (backend, patience) = (Backend::Kafka(log), None);
        Ok((Self { backend, patience }, marks))
    }

    /// The same logs for commands to what was taken in: nothing that is appended here is refused
    /// for want of space.
    pub fn for_commands(&self) -> Self {
        let backend = match &self.backend {
            Backend::Embedded(log) => Backend::Embedded(log.for_commands()),
            #[cfg(feature = "cluster")]
            Backend::Kafka(log) => Backend::Kafka(log.clone()),
        };
        let patience = self.patience.clone();
        Self { backend, patience }
    }

    /// Appends records, one after the other without others between. Durable when it
    /// returns; the answer is the offset of the first.
    ///
    /// # Errors
    /// [`LogError::InvalidLimit`] for none or too many, [`LogError::TooLarge`] for more than
    /// [`BYTES_LIMIT`]. Embedded: [`LogError::DiskFull`] while less than 64 MiB are free,
    /// [`LogError::Backend`] when the write failed and [`LogError::Closed`] ever after.
    /// Kafka: [`LogError::Unavailable`] while it is away, and then the records may be there
    /// or not; [`LogError::OtherTopic`] from when a topic is no more what it was.
    pub async fn append(
        &self,
        topic: Topic,
        partition: Partition,
        payloads: Vec<Vec<u8>>,
    ) -> Result<Offset, LogError> {
        check_partition(topic, partition)?;
        check_limit(payloads.len())?;
        if payloads.iter().map(Vec::len).sum::<usize>() > BYTES_LIMIT {
            return Err(LogError::TooLarge);
        }
        match &self.backend {
            Backend::Embedded(log) => log.append(topic, partition, payloads).await,
            #[cfg(feature = "cluster")]
            Backend::Kafka(log) => log.append(topic, partition, payloads).await,
        }
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
        check_limit(limit)?;
        loop {
            let read = match &self.backend {
                Backend::Embedded(log) => log.read(topic, partition, from, limit).await,
                #[cfg(feature = "cluster")]
                Backend::Kafka(log) => log.read(topic, partition, from, limit).await,
            };
            match (&self.patience, read) {
                (Some(runtime), Err(LogError::Unavailable { detail })) => {
                    tracing::debug!(detail, "a log is read again");
                    runtime.sleep(AGAIN_AFTER).await;
                }
                (_, read) => return read,
            }
        }
    }

    /// The offset that the next record will get.
    ///
    /// # Errors
    /// [`LogError::Damaged`], [`LogError::Backend`] or [`LogError::Unavailable`] when it
    /// cannot be read.
    pub async fn end(&self, topic: Topic, partition: Partition) -> Result<Offset, LogError> {
        check_partition(topic, partition)?;
        match &self.backend {
            Backend::Embedded(log) => Ok(log.bounds(topic, partition)?.end),
            #[cfg(feature = "cluster")]
            Backend::Kafka(log) => Ok(log.bounds(topic, partition).await?.end),
        }
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
        match &self.backend {
            Backend::Embedded(log) => log.trim(topic, partition, before).await,
            #[cfg(feature = "cluster")]
            Backend::Kafka(log) => log.trim(topic, partition, before).await,
        }
    }

    /// Tells those who wait for this topic that something was appended to it.
    #[cfg(feature = "servers")]
    pub(crate) fn announce(&self, topic: Topic) {
        let appended = match &self.backend {
            Backend::Embedded(log) => log.announcer(),
            #[cfg(feature = "cluster")]
            Backend::Kafka(log) => log.announcer(),
        };
        appended.announce(1 << topic.index());
    }

    /// Whether anything was ever written to the journals beside these logs.
    #[cfg(feature = "cluster")]
    pub(crate) async fn has_journals(&self) -> Result<bool, LogError> {
        match &self.backend {
            Backend::Embedded(_) => Ok(true),
            Backend::Kafka(log) => log.has_journals().await,
        }
    }

    /// Has [`Log::appended`] tell of appends of other nodes as soon as they are there, until what it
    /// gives back is dropped; nothing, where nobody tells of them.
    #[cfg(feature = "servers")]
    pub fn follow(&self) -> Option<Box<dyn Any + Send>> {
        match &self.backend {
            Backend::Embedded(_) => None,
            #[cfg(feature = "cluster")]
            Backend::Kafka(log) => match log.follow() {
                Ok(following) => Some(Box::new(following)),
                Err(error) => {
                    tracing::warn!(%error, "appends of other nodes are heard of a second later");
                    None
                }
            },
        }
    }

    /// Changes after each durable append to any partition of the topic by this process, and on
    /// servers soon after one by another: a second, at most.
    pub fn appended(&self, topic: Topic) -> watch::Receiver<u64> {
        match &self.backend {
            Backend::Embedded(log) => log.appended(topic),
            #[cfg(feature = "cluster")]
            Backend::Kafka(log) => log.appended(topic),
        }
    }
}

impl std::fmt::Debug for Log {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Log")
    }
}

fn check_partition(topic: Topic, partition: Partition) -> Result<(), LogError> {
    match topic {
        Topic::Control | Topic::Callbacks if partition != Partition(0) => {
            Err(LogError::UnknownPartition)
        }
        Topic::Control | Topic::Callbacks | Topic::Work(_) => Ok(()),
    }
}

fn check_limit(records: usize) -> Result<(), LogError> {
    if (1..=RECORDS_LIMIT).contains(&records) {
        Ok(())
    } else {
        Err(LogError::InvalidLimit)
    }
}

/// Which records of a partition there are: from `first` up to, not including, `end`.
#[derive(Clone, Copy, Default, Debug)]
struct Bounds {
    first: Offset,
    end: Offset,
}

impl Bounds {
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

/// Tells who waits for a topic that something was appended to it. Each of them has a channel of its
/// own: those who wait at one are woken in an order that is drawn, and no seed decides it.
pub(crate) struct Appended {
    waiting: [Mutex<Vec<watch::Sender<u64>>>; Topic::ALL.len()],
}

impl Appended {
    pub(crate) fn new() -> Self {
        Self {
            waiting: Topic::ALL.map(|_| Mutex::default()),
        }
    }

    fn of(&self, topic: Topic) -> watch::Receiver<u64> {
        let (sender, receiver) = watch::channel(0);
        self.waiting(usize::from(topic.index())).push(sender);
        receiver
    }

    /// Tells of the subjects of a durable group, one bit each.
    pub(crate) fn announce(&self, subjects: u32) {
        for index in 0..self.waiting.len() {
            if subjects & 1 << index == 0 {
                continue;
            }
            let mut waiting = self.waiting(index);
            waiting.retain(|sender| !sender.is_closed());
            for sender in waiting.iter() {
                sender.send_modify(|appends| *appends += 1);
            }
        }
    }

    fn waiting(&self, index: usize) -> MutexGuard<'_, Vec<watch::Sender<u64>>> {
        let waiting = self.waiting[index].lock();
        waiting.unwrap_or_else(PoisonError::into_inner)
    }
}
