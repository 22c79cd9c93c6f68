//! Appends of other nodes. Each node can append, and only its own appends are told within it: so
//! a node that owns has itself told of the others', where the servers can, and looks now and then
//! at the ends of the logs for what it was not told of.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use schemas::{Partition, PartitionCount};

use super::{Log, Offset, Topic};
use crate::runtime::Runtime;

/// How often it is looked: what nobody told of waits for so long at most. One small request for each
/// partition of each topic.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Somebody wants to hear of others' appends, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Hearing;

/// What a node hears, once for all ranges that it owns.
#[derive(Default)]
pub(crate) struct Ear(Mutex<Weak<Hearing>>);

impl Ear {
    /// Listens for as long as any of what this gives back lives.
    pub(crate) fn listen(
        &self,
        log: &Log,
        partitions: PartitionCount,
        runtime: &Runtime,
    ) -> Arc<Hearing> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(hearing) = known.upgrade() {
            return hearing;
        }
        let hearing = Arc::new(Hearing);
        *known = Arc::downgrade(&hearing);
        let wanted = Arc::downgrade(&hearing);
        runtime.spawn(watch(log.clone(), partitions, runtime.clone(), wanted));
        hearing
    }
}

/// Tells of others' appends while anybody wants to hear of them.
async fn watch(log: Log, partitions: PartitionCount, runtime: Runtime, wanted: Weak<Hearing>) {
    let _following = log.follow();
    let mut ends: BTreeMap<(Topic, Partition), Offset> = BTreeMap::new();
    while wanted.strong_count() > 0 {
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
        runtime.sleep(LOOK_EVERY).await;
    }
}
