//! `volley kafka positions` and `volley kafka rewind`: how far requests from Kafka were read, and
//! where to go on, on a folder that nobody serves.

use clap::Subcommand;
use engine::store::{Order, Replaced, Store};
use schemas::ingress::IngressPosition;

use super::serving::Failed;
use super::{Ground, SettingsArguments, complain, end, give, tell};
use crate::exit::Exit;
use crate::node::{exit_of_open, open_storage};

/// The most partitions of a topic that are shown: more than Kafka's own advice for one topic.
const PARTITIONS_SHOWN: usize = 10_000;

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
            with_store(&settings, async |store| positions(store, &topic).await)
        }
        KafkaCommand::Rewind {
            topic,
            partition,
            offset,
            settings,
        } => with_store(&settings, async |store| {
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
            Ok(())
        }
        // Nobody else has the folder open.
        Replaced::Conflict(_) => Err(Failed {
            message: "the position was changed at the same time".to_owned(),
            exit: Exit::Failure,
        }),
    }
}

fn with_store(
    settings: &SettingsArguments,
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
    let storage = match open_storage(&settings, &runtime) {
        Ok(storage) => storage,
        Err(error) => {
            complain(&error);
            return exit_of_open(&error);
        }
    };
    end(tokio.block_on(work(&storage.store)))
}
