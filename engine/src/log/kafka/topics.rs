//! Our topics in Kafka: created with what we need, refused where they are otherwise, and
//! known again.
//!
//! A topic that was deleted and created again has other records at the same offsets, and
//! what was read last says nothing about them. Kafka gives each topic an id for that, which
//! its C client knows and does not tell. So we give each topic a mark of our own when we
//! create it: a random number, as one of its settings that has no other effect.

use std::collections::BTreeMap;
use std::sync::Arc;

use rdkafka::admin::{NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::types::RDKafkaRespErr;
use schemas::{MessageClass, Partition, PartitionCount};
use serde::{Deserialize, Serialize};

use super::client::{BATCH_BYTES, Kafka, WAIT};
use super::{KafkaLogSettings, Place};
use crate::log::{LogError, Topic};

/// The setting that holds the mark: how many milliseconds older than the broker's clock a
/// record's time may be. By default that is without a bound, and ours are above
/// [`NO_BOUND`].
const MARK: &str = "message.timestamp.before.max.ms";

/// 146 million years, in milliseconds.
const NO_BOUND: i64 = 1 << 62;

/// How long records are kept that others read, or nobody: as long as Kafka does by default.
const KEPT: std::time::Duration = std::time::Duration::from_hours(7 * 24);

/// How often a topic that was just created is asked for.
const LOOK_EVERY: std::time::Duration = std::time::Duration::from_millis(20);

/// Which topics those were that positions stand for. Whoever keeps positions keeps this
/// beside them.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TopicMarks(pub(super) BTreeMap<String, i64>);

/// Our topics as they were found: those of the port in the order of their indexes, and behind
/// them the journals', which is written by [`super::groups`].
pub(super) struct Topics {
    names: [Arc<str>; Topic::ALL.len() + 1],
    partitions: PartitionCount,
    marks: TopicMarks,
}

impl Topics {
    /// Finds every topic, and creates what is missing and was never there.
    pub async fn ensure(
        kafka: &Arc<Kafka>,
        settings: &KafkaLogSettings,
        partitions: PartitionCount,
        remembered: &TopicMarks,
    ) -> Result<Self, LogError> {
        let mut topics = Self {
            names: names(settings).map(Arc::from),
            partitions,
            marks: TopicMarks::default(),
        };
        let counts = Topic::ALL.map(|topic| topics.count(topic));
        let counts = counts.into_iter().chain([partitions.get()]);
        for (name, count) in topics.names.iter().zip(counts) {
            let wanted = Shape {
                partitions: count.into(),
                replication: settings.replication.map(usize::from),
            };
            let found = match (find(kafka, name).await?, remembered.0.get(&**name)) {
                (None, Some(_)) => return Err(gone(name)),
                (None, None) => create(kafka, settings, name, wanted).await?,
                (Some(found), _) => found,
            };
            found.check(name, wanted)?;
        }
        topics.marks = topics.marks_now(kafka).await?;
        topics.compare(remembered)?;
        Ok(topics)
    }

    /// What to keep beside positions.
    pub fn marks(&self) -> &TopicMarks {
        &self.marks
    }

    /// Looks whether the topics are still those that were found.
    pub async fn check(&self, kafka: &Arc<Kafka>) -> Result<(), LogError> {
        let now = Self {
            names: self.names.clone(),
            partitions: self.partitions,
            marks: self.marks_now(kafka).await?,
        };
        now.compare(&self.marks)
    }

    /// Where a partition lies.
    pub fn place(&self, topic: Topic, partition: Partition) -> Result<Place, LogError> {
        if partition.0 < self.count(topic) {
            Ok(Place {
                topic: self.name(topic),
                partition: partition.0.into(),
            })
        } else {
            Err(LogError::UnknownPartition)
        }
    }

    /// Where the journals lie.
    pub fn journals(&self) -> impl Iterator<Item = Place> {
        let topic = &self.names[Topic::ALL.len()];
        self.partitions.all().map(|partition| Place {
            topic: Arc::clone(topic),
            partition: partition.0.into(),
        })
    }

    /// What Kafka calls a topic.
    pub fn name(&self, topic: Topic) -> Arc<str> {
        Arc::clone(&self.names[usize::from(topic.index())])
    }

    /// How many partitions a topic has.
    pub fn count(&self, topic: Topic) -> u16 {
        match topic {
            Topic::Control | Topic::Callbacks => 1,
            Topic::Work(_) => self.partitions.get(),
        }
    }

    fn compare(&self, remembered: &TopicMarks) -> Result<(), LogError> {
        for (name, mark) in &remembered.0 {
            if self.marks.0.get(name).is_some_and(|now| now != mark) {
                return Err(recreated(name));
            }
        }
        Ok(())
    }

    /// The marks that the topics have now. [`LogError::OtherTopic`] where one is gone.
    async fn marks_now(&self, kafka: &Kafka) -> Result<TopicMarks, LogError> {
        let topics: Vec<_> = self
            .names
            .iter()
            .map(|name| ResourceSpecifier::Topic(name))
            .collect();
        let described = kafka
            .admin
            .describe_configs(&topics, &Kafka::options())
            .await;
        let described = described.map_err(|error| kafka.failed(&error))?;
        let mut marks = BTreeMap::new();
        for (name, described) in self.names.iter().zip(described) {
            let settings = match described {
                Ok(settings) => settings,
                Err(RDKafkaErrorCode::UnknownTopicOrPartition) => return Err(gone(name)),
                Err(code) => return Err(kafka.failed(&rdkafka::error::KafkaError::AdminOp(code))),
            };
            let value = settings.get(MARK).and_then(|entry| entry.value.as_deref());
            // A topic that somebody else created has no mark: it is told apart from ours.
            let mark = value.and_then(|value| value.parse().ok()).unwrap_or(0);
            marks.insert(name.to_string(), mark);
        }
        Ok(TopicMarks(marks))
    }
}

/// The name of one of our topics.
fn name(settings: &KafkaLogSettings, topic: Topic) -> String {
    let name = match topic {
        Topic::Work(MessageClass::Transactional) => "work.transactional",
        Topic::Work(MessageClass::Marketing) => "work.marketing",
        Topic::Control => "control",
        Topic::Callbacks => "callbacks",
    };
    format!("{}{name}", settings.topic_prefix)
}

/// The name of the topic of events.
pub(super) fn events_name(settings: &KafkaLogSettings) -> String {
    format!("{}events", settings.topic_prefix)
}

/// The name of the topic by which nodes take turns.
pub(super) fn owner_name(settings: &KafkaLogSettings) -> String {
    format!("{}owner", settings.topic_prefix)
}

/// Makes a topic where it is missing of which no positions are kept here; gives back how many
/// partitions it has. Whoever made it may have had their own mind about it.
pub(super) async fn ensure_kept(
    kafka: &Arc<Kafka>,
    settings: &KafkaLogSettings,
    name: &Arc<str>,
    partitions: PartitionCount,
) -> Result<usize, LogError> {
    let found = match find(kafka, name).await? {
        Some(found) => found,
        None => {
            let wanted = Shape {
                partitions: partitions.get().into(),
                replication: settings.replication.map(usize::from),
            };
            let kept = KafkaLogSettings {
                retention: Some(KEPT),
                ..settings.clone()
            };
            create(kafka, &kept, name, wanted).await?
        }
    };
    Ok(found.partitions.max(1))
}

/// The names of all of them: those of the port in the order of their indexes, then the journals'.
pub(super) fn names(settings: &KafkaLogSettings) -> [String; Topic::ALL.len() + 1] {
    let [transactional, marketing, control, callbacks] =
        Topic::ALL.map(|topic| name(settings, topic));
    [
        transactional,
        marketing,
        control,
        callbacks,
        journal_name(settings),
    ]
}

/// The name under which an import is remembered. There is no topic of this name.
pub(super) fn import_name(settings: &KafkaLogSettings) -> String {
    format!("{}import", settings.topic_prefix)
}

/// The name of the journals' topic.
pub(super) fn journal_name(settings: &KafkaLogSettings) -> String {
    format!("{}journal", settings.topic_prefix)
}

/// What cannot be changed while records are kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Shape {
    partitions: usize,
    /// As a wish: `None` where it is the brokers' own.
    replication: Option<usize>,
}

impl Shape {
    fn check(self, topic: &str, wanted: Self) -> Result<(), LogError> {
        let other = |detail: String| LogError::OtherTopic {
            topic: topic.to_owned(),
            detail,
        };
        if self.partitions != wanted.partitions {
            return Err(other(format!(
                "it has {} partitions and {} are wanted: set node.partitions to what it has, or \
                 another kafka.prefix, or delete the topic if nothing of it is needed",
                self.partitions, wanted.partitions
            )));
        }
        if let (Some(found), Some(wanted)) = (self.replication, wanted.replication)
            && found != wanted
        {
            return Err(other(format!(
                "its records lie on {found} brokers and {wanted} are wanted: set \
                 kafka.replication to what it has, or move the topic with \
                 kafka-reassign-partitions"
            )));
        }
        Ok(())
    }
}

/// The shape of a topic, or `None` if there is none of this name.
async fn find(kafka: &Arc<Kafka>, name: &Arc<str>) -> Result<Option<Shape>, LogError> {
    let (asked, named) = (Arc::clone(kafka), Arc::clone(name));
    let ask = move || asked.admin.inner().fetch_metadata(Some(&named), WAIT);
    let metadata = kafka.runtime.blocking(ask).await?;
    let metadata = metadata.map_err(|error| kafka.failed(&error))?;
    let Some(topic) = metadata.topics().first() else {
        return Err(kafka.silent());
    };
    match topic.error() {
        None => {}
        Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) => return Ok(None),
        Some(error) => {
            let error = rdkafka::error::KafkaError::MetadataFetch(error.into());
            return Err(kafka.failed(&error));
        }
    }
    let partitions = topic.partitions();
    let replicas = partitions
        .iter()
        .map(|partition| partition.replicas().len());
    Ok(Some(Shape {
        partitions: partitions.len(),
        // Of a topic that is being moved, some partitions have more for a while.
        replication: replicas.min(),
    }))
}

/// Creates a topic and waits until it can be seen. Another node may have been faster.
async fn create(
    kafka: &Arc<Kafka>,
    settings: &KafkaLogSettings,
    name: &Arc<str>,
    shape: Shape,
) -> Result<Shape, LogError> {
    let random = i64::from_be_bytes(kafka.runtime.random_bytes()) & (NO_BOUND - 1);
    let mark = (NO_BOUND + random).to_string();
    let retention = settings.retention.map_or(-1, |kept| {
        i64::try_from(kept.as_millis()).unwrap_or(i64::MAX)
    });
    let (retention, batch) = (retention.to_string(), BATCH_BYTES.to_string());
    let in_sync = settings.in_sync().map(|in_sync| in_sync.to_string());
    // -1 leaves it to the brokers' own default.
    let replication = TopicReplication::Fixed(settings.replication.map_or(-1, i32::from));
    let partitions = i32::try_from(shape.partitions).unwrap_or(i32::MAX);
    let mut topic = NewTopic::new(name, partitions, replication)
        .set("cleanup.policy", "delete")
        .set("retention.ms", &retention)
        .set("retention.bytes", "-1")
        .set("max.message.bytes", &batch)
        .set(MARK, &mark);
    if let Some(in_sync) = &in_sync {
        topic = topic.set("min.insync.replicas", in_sync);
    }
    let created = kafka.admin.create_topics([&topic], &Kafka::options()).await;
    for created in created.map_err(|error| kafka.failed(&error))? {
        match created {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((_, code)) => {
                return Err(kafka.failed(&rdkafka::error::KafkaError::AdminOp(code)));
            }
        }
    }
    let deadline = kafka.runtime.boot() + WAIT.as_micros() as u64;
    while kafka.runtime.boot() < deadline {
        if let Some(found) = find(kafka, name).await? {
            return Ok(found);
        }
        kafka.runtime.sleep(LOOK_EVERY).await;
    }
    Err(kafka.silent())
}

pub(super) fn recreated(topic: &str) -> LogError {
    LogError::OtherTopic {
        topic: topic.to_owned(),
        detail: "it was deleted and created again: what was in it is gone, and positions that \
                 were kept mean nothing in it. Put the topic back, or set another kafka.prefix \
                 to begin with empty topics"
            .to_owned(),
    }
}

fn gone(topic: &str) -> LogError {
    LogError::OtherTopic {
        topic: topic.to_owned(),
        detail: "it was deleted: what was in it is gone. Put the topic back, or set another \
                 kafka.prefix to begin with empty topics"
            .to_owned(),
    }
}
