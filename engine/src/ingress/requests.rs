//! Reading records from positions of our own: by plain assignment, so no consumer group decides
//! what was read, and no offset of one expires.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use schemas::MessageClass;

use super::IngressError;
use super::consumers::{Consumers, Wanted};
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
    /// Who is asked which partitions there are.
    asked: Arc<BaseConsumer>,
    consumers: Arc<Reading>,
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
            .set("auto.offset.reset", "error");
        let asked = config
            .create()
            .map_err(IngressError::of("a consumer for Kafka"))?;
        Ok(Self {
            asked: Arc::new(asked),
            consumers: Arc::new(Reading {
                consumers: Mutex::new(Some(Consumers::new(config))),
                runtime: runtime.clone(),
            }),
            runtime: runtime.clone(),
            classes: Arc::new(topics.into_iter().collect()),
        })
    }

    /// The topics that are read.
    pub fn topics(&self) -> impl Iterator<Item = String> {
        self.classes.keys().cloned()
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
            let metadata = self.asked.fetch_metadata(Some(topic), ANSWER);
            let metadata = metadata.map_err(&failed)?;
            for known in metadata.topics() {
                if let Some(error) = known.error() {
                    return Err(failed(KafkaError::MetadataFetch(error.into())));
                }
                for partition in known.partitions() {
                    let kept = self.asked.fetch_watermarks(topic, partition.id(), ANSWER);
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
    pub async fn assign(&self, from: BTreeMap<Place, u64>) -> Result<(), IngressError> {
        let reader = self.clone();
        let failed = IngressError::of("partitions cannot be assigned");
        self.blocking(move || {
            let assigned = reader.consumers.with(|consumers| consumers.assign(&from));
            assigned.map_err(failed)
        })
        .await
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
        let mut records = Vec::new();
        let take = |message: &BorrowedMessage<'_>| {
            records.extend(self.incoming(message));
            if records.len() < BATCH_RECORDS {
                Wanted::More
            } else {
                Wanted::NoMore
            }
        };
        let polled = self.consumers.with(|consumers| consumers.poll(WAIT, take));
        polled.map_err(IngressError::of("requests cannot be read"))?;
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

/// The consumers, as long as somebody reads.
struct Reading {
    /// `None` once they are closed.
    consumers: Mutex<Option<Consumers>>,
    runtime: Runtime,
}

impl Reading {
    fn with<T>(
        &self,
        work: impl FnOnce(&mut Consumers) -> Result<T, KafkaError>,
    ) -> Result<T, KafkaError> {
        let mut consumers = self
            .consumers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        consumers.as_mut().map_or(Err(KafkaError::Canceled), work)
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        // Closing a consumer waits for its threads.
        let consumers = self
            .consumers
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        let (consumers, runtime) = (consumers.take(), self.runtime.clone());
        self.runtime.spawn(async move {
            let _ = runtime.blocking(move || drop(consumers)).await;
        });
    }
}
