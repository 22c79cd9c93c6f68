//! The log on Apache Kafka: one topic for each of ours, partitions chosen by us.
//!
//! Records are appended by idempotent producers with `acks=all` and without transactions:
//! the markers of a transaction take offsets of their own, and an open one holds back every
//! reader. So the offsets are Kafka's, from 0 without gaps. Readers take partitions by
//! plain assignment; what a consumer group would remember is asked for nowhere.
//!
//! Every wait for Kafka has a bound. While it is away, calls fail with
//! [`LogError::Unavailable`], which says so; when it is back they work again.

mod append;
mod client;
mod follow;
mod groups;
mod marks;
mod members;
mod owner;
mod pending;
mod read;
mod settings;
mod topics;
mod turns;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use schemas::{Partition, PartitionCount};
use tokio::sync::watch;

use self::append::Producers;
use self::client::Kafka;
use self::follow::Following;
pub(crate) use self::groups::GroupTopic;
pub use self::marks::open_log;
pub(crate) use self::marks::{begin_import, begun_import};
pub use self::members::Nodes;
pub(crate) use self::owner::{HeldTurn, Membership};
use self::read::Readers;
pub use self::settings::KafkaLogSettings;
pub use self::topics::TopicMarks;
use self::topics::Topics;
use super::{Appended, Bounds, LogError, Offset, Topic};
use crate::runtime::Runtime;

/// How often it is asked whether the topics are still the same: for so long records of a
/// topic that was created again can be taken for those of the one that was there.
const CHECK_EVERY: Duration = Duration::from_secs(5);

/// How long the broker holds a fetch at the end of a partition: what is idle costs two requests
/// a second.
const FETCH_HELD: Duration = Duration::from_millis(500);

const WRITTEN: &str = "volley_kafka_written_records_total";

/// Says what the numbers mean, once for each process.
pub fn describe() {
    metrics::describe_counter!(
        WRITTEN,
        "Records that Kafka has taken from this node, by kind of topic."
    );
}

/// So many records of a kind of topic are durable.
fn written(topic: &'static str, records: usize) {
    metrics::counter!(WRITTEN, "topic" => topic).increment(records as u64);
}

/// The logs of a Kafka cluster.
#[derive(Clone)]
pub(super) struct KafkaLog {
    inner: Arc<Inner>,
}

struct Inner {
    kafka: Arc<Kafka>,
    topics: Topics,
    producers: Producers,
    readers: Readers,
    appended: Arc<Appended>,
    runtime: Runtime,
    /// Why nothing may be read or written any more.
    stopped: Mutex<Option<LogError>>,
}

impl KafkaLog {
    /// Connects, and creates the topics that are missing. `remembered` is what an earlier
    /// call on the same data answered; the answer is to be kept.
    pub(super) async fn open(
        settings: &KafkaLogSettings,
        partitions: PartitionCount,
        remembered: &TopicMarks,
        runtime: &Runtime,
    ) -> Result<(Self, TopicMarks), LogError> {
        let kafka = Arc::new(Kafka::new(settings, runtime)?);
        kafka.reach(&topics::journal_name(settings)).await?;
        let topics = Topics::ensure(&kafka, settings, partitions, remembered).await?;
        let marks = topics.marks().clone();
        let appended = Arc::new(Appended::new());
        let producers = Producers::start(&kafka, &appended, runtime)?;
        let log = Self {
            inner: Arc::new(Inner {
                readers: Readers::new(&kafka, runtime, FETCH_HELD),
                kafka,
                topics,
                producers,
                appended,
                runtime: runtime.clone(),
                stopped: Mutex::new(None),
            }),
        };
        log.watch_topics();
        Ok((log, marks))
    }

    pub(super) async fn append(
        &self,
        topic: Topic,
        partition: Partition,
        payloads: Vec<Vec<u8>>,
    ) -> Result<Offset, LogError> {
        let (place, records) = (self.place(topic, partition)?, payloads.len());
        let appended = self.inner.producers.append(topic, place, payloads).await?;
        let kind = match topic {
            Topic::Work(_) => "work",
            Topic::Control => "control",
            Topic::Callbacks => "callbacks",
        };
        written(kind, records);
        Ok(appended)
    }

    pub(super) async fn read(
        &self,
        topic: Topic,
        partition: Partition,
        from: Offset,
        limit: usize,
    ) -> Result<Vec<(Offset, Vec<u8>)>, LogError> {
        let place = self.place(topic, partition)?;
        let read = self.inner.readers.read(place, from, limit).await;
        if let Err(LogError::OffsetOutOfRange { .. }) = read {
            // This is how a topic looks that was emptied behind our back.
            self.inner.check_topics().await;
            self.inner.check()?;
        }
        read
    }

    pub(super) async fn bounds(
        &self,
        topic: Topic,
        partition: Partition,
    ) -> Result<Bounds, LogError> {
        let place = self.place(topic, partition)?;
        self.inner.readers.bounds(place).await
    }

    pub(super) async fn trim(
        &self,
        topic: Topic,
        partition: Partition,
        before: Offset,
    ) -> Result<(), LogError> {
        let bounds = self.bounds(topic, partition).await?;
        if before > bounds.end {
            return Err(LogError::OffsetOutOfRange { end: bounds.end });
        }
        if before <= bounds.first {
            return Ok(());
        }
        let place = self.place(topic, partition)?;
        self.inner.kafka.delete_records(&place, before).await
    }

    /// Whether anything was ever written to the journals.
    pub(super) async fn has_journals(&self) -> Result<bool, LogError> {
        for place in self.inner.topics.journals() {
            if self.inner.readers.bounds(place).await?.end > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Tells of what other nodes append, until what it gives back is dropped.
    pub(super) fn follow(&self) -> Result<Following, LogError> {
        follow::follow(&self.inner)
    }

    /// Who tells of appends.
    pub(super) fn announcer(&self) -> &Appended {
        &self.inner.appended
    }

    pub(super) fn appended(&self, topic: Topic) -> watch::Receiver<u64> {
        self.inner.appended.of(topic)
    }

    /// Where a partition lies, while the topics are those that are remembered.
    fn place(&self, topic: Topic, partition: Partition) -> Result<Place, LogError> {
        self.inner.check()?;
        self.inner.topics.place(topic, partition)
    }

    fn watch_topics(&self) {
        let runtime = self.inner.runtime.clone();
        let inner = Arc::downgrade(&self.inner);
        self.inner.runtime.spawn(async move {
            loop {
                runtime.sleep(CHECK_EVERY).await;
                let Some(inner) = inner.upgrade() else {
                    return;
                };
                inner.check_topics().await;
            }
        });
    }
}

impl Inner {
    fn check(&self) -> Result<(), LogError> {
        let stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        stopped.clone().map_or(Ok(()), Err)
    }

    /// Looks whether the topics are still the same. While Kafka is away nobody knows.
    async fn check_topics(&self) {
        if let Err(error @ LogError::OtherTopic { .. }) = self.topics.check(&self.kafka).await {
            tracing::error!(%error, "the log stops");
            let mut stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
            *stopped = Some(error);
        }
    }
}

/// A partition as Kafka calls it.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Place {
    topic: Arc<str>,
    partition: i32,
}
