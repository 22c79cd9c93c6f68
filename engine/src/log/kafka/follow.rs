//! What other nodes append, told soon after the brokers have it: the owner gives work out that came
//! in at any node.
//!
//! The ends of all logs are asked for, in one small request to each broker, and those that have
//! moved are told. A consumer that waits there would hear at once, but not safely: to a fetch of
//! several partitions the C library can take an answer wrongly (see [`crate::ingress`]'s consumers).
//! What is there is read as ever, from positions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use super::Inner;
use super::client::{Listener, WAIT};
use super::owner::REFRESHED_EVERY_MS;
use crate::log::{LogError, Topic};

/// How often the ends are asked for: what comes in at another node waits for so long at most. Half
/// of what a group commit on servers takes at least.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// And when there was no answer.
const ASK_AFTER_FAILURE: Duration = Duration::from_secs(1);

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
    let mut config = log.kafka.config();
    // The library wants a name. No group is joined.
    config
        .set("group.id", "volley-log")
        .set("topic.metadata.refresh.interval.ms", REFRESHED_EVERY_MS);
    let consumer = config.create_with_context(Listener);
    let follower = Follower {
        consumer: consumer.map_err(|error| log.kafka.failed(&error))?,
        names: Topic::ALL.map(|topic| (topic, log.topics.name(topic), log.topics.count(topic))),
        known: BTreeMap::new(),
    };
    let ended = Arc::new(AtomicBool::new(false));
    let following = Following(Arc::clone(&ended));
    let appended = Arc::clone(&log.appended);
    log.runtime.spawn_dedicated("follower", async move {
        follower.run(&ended, |topic| appended.announce(1 << topic.index()));
    });
    Ok(following)
}

/// Who asks, on a thread of its own. All of it blocks.
struct Follower {
    consumer: BaseConsumer<Listener>,
    /// Each log, what Kafka calls it, and how many partitions it has.
    names: [(Topic, Arc<str>, u16); Topic::ALL.len()],
    /// The ends as they were told last.
    known: BTreeMap<(Topic, i32), Offset>,
}

impl Follower {
    fn run(mut self, ended: &AtomicBool, tell: impl Fn(Topic)) {
        while !ended.load(Ordering::Acquire) {
            let pause = match self.moved() {
                Ok(moved) => {
                    moved.into_iter().for_each(&tell);
                    ASK_EVERY
                }
                Err(error) => {
                    tracing::debug!(%error, "appends of other nodes may come late");
                    ASK_AFTER_FAILURE
                }
            };
            // Nothing is assigned, so nothing comes.
            self.consumer.poll(pause);
        }
    }

    /// Which logs have got something since.
    fn moved(&mut self) -> Result<Vec<Topic>, KafkaError> {
        let mut asked = TopicPartitionList::new();
        for (_, name, count) in &self.names {
            for partition in 0..*count {
                // As a time it means the newest.
                asked.add_partition_offset(name, partition.into(), Offset::End)?;
            }
        }
        let ends = self.consumer.offsets_for_times(asked, WAIT)?;
        let mut moved = Vec::new();
        for (topic, name, _) in &self.names {
            let mut has_moved = false;
            for end in ends.elements_for_topic(name) {
                if end.error().is_err() {
                    // Without a leader just now; the next answer has it.
                    continue;
                }
                let known = self.known.insert((*topic, end.partition()), end.offset());
                has_moved |= known != Some(end.offset());
            }
            moved.extend(has_moved.then_some(*topic));
        }
        Ok(moved)
    }
}
