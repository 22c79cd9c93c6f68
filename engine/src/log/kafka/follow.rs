//! What other nodes append, told as soon as the brokers have it: the owner gives work out that came
//! in at any node.
//!
//! One consumer stands at the end of every log and looks at nothing but that something came. What
//! is there is read as ever, from positions. Should the consumer miss something, in an outage for
//! one, [`crate::log::others`] finds it a second later.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};

use super::Inner;
use super::client::Listener;
use crate::log::{LogError, Topic};

/// How often it is looked whether anybody still wants to know.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The bytes of a log's partition that are fetched at once: of what came one record tells.
const FETCH_BYTES: &str = "4096";

/// Tells of appends until it is dropped.
#[derive(Debug)]
pub(crate) struct Following(Arc<AtomicBool>);

impl Drop for Following {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Follows the logs.
///
/// # Errors
/// [`LogError::Backend`] when Kafka's client refuses.
pub(super) fn follow(log: &Arc<Inner>) -> Result<Following, LogError> {
    let consumer = consumer(log).map_err(|error| log.kafka.failed(&error))?;
    let ended = Arc::new(AtomicBool::new(false));
    let following = Following(Arc::clone(&ended));
    let (appended, names) = (Arc::clone(&log.appended), names(log));
    log.runtime.spawn_dedicated("follower", async move {
        while !ended.load(Ordering::Acquire) {
            match consumer.poll(LOOK_EVERY) {
                Some(Ok(record)) => {
                    if let Some(topic) = names.get(record.topic()) {
                        appended.announce(1 << topic.index());
                    }
                }
                // The library connects again by itself.
                Some(Err(error)) => tracing::debug!(%error, "appends of other nodes may come late"),
                None => {}
            }
        }
    });
    Ok(following)
}

fn names(log: &Inner) -> BTreeMap<String, Topic> {
    let topics = Topic::ALL.into_iter();
    let named = topics.map(|topic| (log.topics.name(topic).to_string(), topic));
    named.collect()
}

/// A consumer at the end of every partition.
fn consumer(log: &Inner) -> Result<BaseConsumer<Listener>, KafkaError> {
    let mut config = log.kafka.config();
    config
        // The library wants a name. Nothing is committed under it.
        .set("group.id", "volley-log")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "latest")
        .set("queued.min.messages", "1")
        .set("fetch.message.max.bytes", FETCH_BYTES)
        .set("fetch.wait.max.ms", LOOK_EVERY.as_millis().to_string());
    let consumer: BaseConsumer<Listener> = config.create_with_context(Listener)?;
    let mut ends = TopicPartitionList::new();
    for topic in Topic::ALL {
        for partition in 0..log.topics.count(topic) {
            let name = log.topics.name(topic);
            ends.add_partition_offset(&name, partition.into(), Offset::End)?;
        }
    }
    consumer.assign(&ends)?;
    Ok(consumer)
}
