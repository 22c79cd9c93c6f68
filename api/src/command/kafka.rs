//! `volley kafka positions` and `volley kafka rewind`: how far requests from Kafka were read, and
//! where to go on. The positions are rows: in a folder that nobody serves, or on servers, beside
//! the nodes that use them.
//!
//! A rewind under a node that reads is safe. Both replace the row by its version, so neither
//! undoes the other's unseen: a node that has read on meanwhile is refused its own write, and
//! one that has nothing to read looks at the rows every ten seconds.

use clap::Subcommand;
use engine::ingress::topics;
use engine::runtime::Runtime;
use engine::settings::{KafkaSettings, Settings};
use engine::store::{Order, Replaced, Store, cql};
use schemas::MessageClass;
use schemas::ingress::IngressPosition;

use super::serving::Failed;
use super::{Ground, SettingsArguments, end, give, tell};
use crate::exit::Exit;
use crate::node::open_storage;

/// The most partitions of a topic that are shown: more than Kafka's own advice for one topic.
const PARTITIONS_SHOWN: usize = 10_000;

/// How often a position is set that a node moves at the same time: it moves one once for each
/// batch that it takes in, and one of these falls in between.
const TRIES: u32 = 50;

#[derive(Debug, Subcommand)]
pub(super) enum KafkaCommand {
    /// Show how far the partitions of a topic were read.
    Positions {
        /// The topic, such as `volley.requests.marketing`.
        topic: String,
        #[command(flatten)]
        settings: SettingsArguments,
    },
    /// Read a partition again from an offset on, or go on behind one. What was taken in before
    /// counts once all the same.
    Rewind {
        /// The topic.
        topic: String,
        /// Its partition.
        partition: u32,
        /// The offset of the next record to read.
        offset: u64,
        #[command(flatten)]
        settings: SettingsArguments,
    },
}

pub(super) fn run(command: KafkaCommand) -> Exit {
    match command {
        KafkaCommand::Positions { topic, settings } => {
            with_store(&settings, &topic, async |store| {
                positions(store, &topic).await
            })
        }
        KafkaCommand::Rewind {
            topic,
            partition,
            offset,
            settings,
        } => with_store(&settings, &topic, async |store| {
            rewind(store, &topic, partition, offset).await
        }),
    }
}

async fn positions(store: &Store, topic: &str) -> Result<(), Failed> {
    let prefix = IngressPosition::partition_key(topic);
    let page = store.list::<IngressPosition>(&prefix, None, Order::Ascending, PARTITIONS_SHOWN);
    for row in page.await?.rows {
        give(&format!("{} {} {}", row.topic, row.partition, row.next));
    }
    Ok(())
}

async fn rewind(store: &Store, topic: &str, partition: u32, offset: u64) -> Result<(), Failed> {
    let key = IngressPosition::key_of(topic, partition);
    for _ in 0..TRIES {
        let row = store.get::<IngressPosition>(&key).await?;
        let row = row.unwrap_or_else(|| IngressPosition {
            topic: topic.to_owned(),
            partition,
            next: 0,
            version: 0,
        });
        let before = row.next;
        let moved = IngressPosition {
            next: offset,
            ..row
        };
        match store.for_commands().replace(moved).await? {
            Replaced::Stored(_) => {
                tell(&format!("{topic} {partition}: from {before} to {offset}"));
                return Ok(());
            }
            // A node has moved it: where it is now is read again.
            Replaced::Conflict(_) => {}
        }
    }
    Err(Failed {
        message: format!(
            "the position of {topic} {partition} was changed {TRIES} times at the same time: try \
             again, or stop the nodes first"
        ),
        exit: Exit::Failure,
    })
}

/// Has something done with the rows that the settings name.
fn with_store(
    settings: &SettingsArguments,
    topic: &str,
    work: impl AsyncFnOnce(&Store) -> Result<(), Failed>,
) -> Exit {
    let Ground {
        settings,
        tokio,
        runtime,
    } = match Ground::of(settings, None) {
        Ok(ground) => ground,
        Err(exit) => return exit,
    };
    let done = must_be_read(&settings.kafka, topic)
        .and_then(|()| tokio.block_on(on_rows(&settings, &runtime, work)));
    end(done)
}

async fn on_rows(
    settings: &Settings,
    runtime: &Runtime,
    work: impl AsyncFnOnce(&Store) -> Result<(), Failed>,
) -> Result<(), Failed> {
    if settings.is_on_servers() {
        let store = cql::connect(&settings.cql, runtime).await?;
        return work(&store).await;
    }
    let storage = open_storage(settings, runtime)?;
    let done = work(&storage.store).await;
    let mut closed = storage.closed.clone();
    drop(storage);
    closed.wait().await;
    done
}

/// A position of another topic would be a row that nobody looks at.
fn must_be_read(kafka: &KafkaSettings, topic: &str) -> Result<(), Failed> {
    let read = MessageClass::ALL.map(|class| topics::requests(kafka, class));
    if read.iter().any(|name| name == topic) {
        return Ok(());
    }
    Err(Failed {
        message: format!(
            "{topic} is not read: the topics of requests are {}, after `kafka.prefix`",
            read.join(" and ")
        ),
        exit: Exit::Usage,
    })
}

#[cfg(test)]
mod tests {
    use engine::settings::Settings;

    use super::must_be_read;

    #[test]
    fn only_topics_of_requests_have_positions() {
        let kafka = Settings::load(None, []).expect("the sample").kafka;
        assert!(must_be_read(&kafka, "volley.requests.marketing").is_ok());
        let refused = must_be_read(&kafka, "volley.requests.marketing.dlq");
        let told = refused.expect_err("it is refused").message;
        assert!(told.contains("volley.requests.transactional and"), "{told}");
    }
}
