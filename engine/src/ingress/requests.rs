//! Reading records from positions of our own: by plain assignment, so no consumer group decides
//! what was read, and no offset of one expires.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};
use schemas::MessageClass;

use super::IngressError;
use super::dead_letter::headers_of;
use super::record::{Incoming, Origin};
use crate::runtime::Runtime;
use crate::settings::KafkaSettings;

/// The most records that are handed on at once: half of what one group commit takes.
pub const BATCH_RECORDS: usize = 500;

/// How long one read waits for a first record; then it tells that there is none, so that whoever
/// reads can look whether the node stops.
const WAIT: Duration = Duration::from_millis(200);

/// How long a question to the brokers may take.
const ANSWER: Duration = Duration::from_secs(5);

/// A partition of a topic.
pub type Place = (String, u32);

/// Which records Kafka has of a partition: from `first` up to, not including, `end`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kept {
    /// The first offset that was not deleted.
    pub first: u64,
    /// The offset that the next record gets.
    pub end: u64,
}

/// Reads topics.
#[derive(Clone)]
pub struct RecordReader {
    consumer: Arc<BaseConsumer>,
    runtime: Runtime,
    classes: Arc<BTreeMap<String, MessageClass>>,
}

impl std::fmt::Debug for RecordReader {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("RecordReader")
    }
}

impl RecordReader {
    /// A reader of these topics, each for a class; nothing is asked of Kafka yet.
    ///
    /// # Errors
    /// When the settings are refused.
    pub fn open(
        settings: &KafkaSettings,
        topics: impl IntoIterator<Item = (String, MessageClass)>,
        runtime: &Runtime,
    ) -> Result<Self, IngressError> {
        let mut config = settings.client();
        config
            // The client asks for a name; no group is joined and no offset is stored under it.
            .set("group.id", "volley")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("isolation.level", "read_committed")
            .set("auto.offset.reset", "error")
            // Read ahead of what is handed on: some batches, whatever the backlog is.
            .set("queued.max.messages.kbytes", "16384");
        let consumer = config
            .create()
            .map_err(IngressError::of("a consumer for Kafka"))?;
        Ok(Self {
            consumer: Arc::new(consumer),
            runtime: runtime.clone(),
            classes: Arc::new(topics.into_iter().collect()),
        })
    }

    /// The partitions that there are now, and what Kafka keeps of each.
    ///
    /// # Errors
    /// When Kafka does not answer, or a topic is not there.
    pub async fn partitions(&self) -> Result<BTreeMap<Place, Kept>, IngressError> {
        let reader = self.clone();
        self.blocking(move || reader.look()).await
    }

    fn look(&self) -> Result<BTreeMap<Place, Kept>, IngressError> {
        let failed = IngressError::of("the topics of requests cannot be looked at");
        let mut found = BTreeMap::new();
        for topic in self.classes.keys() {
            let metadata = self.consumer.fetch_metadata(Some(topic), ANSWER);
            let metadata = metadata.map_err(&failed)?;
            for known in metadata.topics() {
                if let Some(error) = known.error() {
                    return Err(failed(KafkaError::MetadataFetch(error.into())));
                }
                for partition in known.partitions() {
                    let kept = self
                        .consumer
                        .fetch_watermarks(topic, partition.id(), ANSWER);
                    let (first, end) = kept.map_err(&failed)?;
                    let kept = Kept {
                        first: u64::try_from(first).unwrap_or(0),
                        end: u64::try_from(end).unwrap_or(0),
                    };
                    let partition = u32::try_from(partition.id()).unwrap_or(0);
                    found.insert((topic.clone(), partition), kept);
                }
            }
        }
        Ok(found)
    }

    /// Reads from these offsets on, and from nothing else.
    ///
    /// # Errors
    /// When the client refuses.
    pub fn assign(&self, from: &BTreeMap<Place, u64>) -> Result<(), IngressError> {
        let failed = IngressError::of("partitions cannot be assigned");
        let mut list = TopicPartitionList::new();
        for ((topic, partition), offset) in from {
            let partition = i32::try_from(*partition).unwrap_or(i32::MAX);
            let offset = Offset::Offset(i64::try_from(*offset).unwrap_or(i64::MAX));
            list.add_partition_offset(topic, partition, offset)
                .map_err(&failed)?;
        }
        self.consumer.assign(&list).map_err(failed)
    }

    /// The next records, in the order of each partition; none when none came for a while.
    ///
    /// # Errors
    /// When Kafka cannot be read just now.
    pub async fn read(&self) -> Result<Vec<Incoming>, IngressError> {
        let reader = self.clone();
        self.blocking(move || reader.poll()).await
    }

    fn poll(&self) -> Result<Vec<Incoming>, IngressError> {
        let failed = IngressError::of("requests cannot be read");
        let mut records = Vec::new();
        let mut wait = WAIT;
        while records.len() < BATCH_RECORDS {
            match self.consumer.poll(wait) {
                None => break,
                Some(Ok(message)) => records.extend(self.incoming(&message)),
                // What was read before it counts; an error that stays comes again.
                Some(Err(_)) if !records.is_empty() => break,
                Some(Err(error)) => return Err(failed(error)),
            }
            wait = Duration::ZERO;
        }
        Ok(records)
    }

    fn incoming(&self, message: &BorrowedMessage<'_>) -> Option<Incoming> {
        let class = *self.classes.get(message.topic())?;
        Some(Incoming {
            origin: Origin {
                topic: message.topic().to_owned(),
                partition: u32::try_from(message.partition()).ok()?,
                offset: u64::try_from(message.offset()).ok()?,
                timestamp: message.timestamp().to_millis().unwrap_or(0),
            },
            class,
            key: message.key().map(<[u8]>::to_vec),
            headers: headers_of(message.headers()),
            value: message.payload().map(<[u8]>::to_vec),
        })
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, IngressError> + Send + 'static,
    ) -> Result<T, IngressError> {
        let lost = |_| {
            let failed = IngressError::of("a thread for Kafka");
            failed(KafkaError::Global(RDKafkaErrorCode::Fail))
        };
        self.runtime.blocking(work).await.map_err(lost)?
    }
}
