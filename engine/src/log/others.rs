//! Appends of other nodes. Each node can append, and only its own appends are told within it: so
//! the one that reads has itself told of the others', where the servers can, and looks now and then
//! at the ends of the logs for what it was not told of.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use futures::future::{Either, select};
use schemas::{Partition, PartitionCount};

use super::{Log, Offset, Topic};
use crate::runtime::Runtime;
use crate::store::WriterClosed;

/// How often it is looked: what nobody told of waits for so long at most. One small request for each
/// partition of each topic.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Tells of others' appends until the writer has ended.
pub(crate) async fn watch(
    log: Log,
    partitions: PartitionCount,
    runtime: Runtime,
    mut closed: WriterClosed,
) {
    let _following = log.follow();
    let mut ends: BTreeMap<(Topic, Partition), Offset> = BTreeMap::new();
    loop {
        for topic in Topic::ALL {
            let partitions = match topic {
                Topic::Work(_) => partitions,
                Topic::Control | Topic::Callbacks => PartitionCount::ONE,
            };
            let mut is_told = false;
            for partition in partitions.all() {
                // While the servers are away nobody knows.
                let Ok(end) = log.end(topic, partition).await else {
                    continue;
                };
                // Who began to read before the first look may have missed something.
                let has_moved = ends.insert((topic, partition), end) != Some(end);
                if has_moved && !std::mem::replace(&mut is_told, true) {
                    log.announce(topic);
                }
            }
        }
        let pause = pin!(runtime.sleep(LOOK_EVERY));
        let ended = pin!(closed.wait());
        if let Either::Right(_) = select(pause, ended).await {
            return;
        }
    }
}
