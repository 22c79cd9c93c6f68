//! What a group tells other systems: each new entry of a message's timeline, as a record that
//! is committed with the group.

use schemas::Message;
use schemas::event::MessageEvent;

use super::ClusterKv;
use crate::log::EventRecord;
use crate::store::error::StoreError;
use crate::store::kv::{KvBatch, KvChange, Space};
use crate::store::row;

impl ClusterKv {
    /// The events of a group whose rows are not written yet.
    pub(super) async fn events(&self, batch: &KvBatch) -> Result<Vec<EventRecord>, StoreError> {
        let mut events = Vec::new();
        let of_messages = |change: &&KvChange| change.space == Space::Messages;
        for change in batch.changes.iter().filter(of_messages) {
            let (Some(row), Some(partition)) = (&change.value, change.partition) else {
                continue;
            };
            let told = match self.known_or_read(&change.key).await? {
                Some(before) => row::decode::<Message>(&before)?.timeline.len(),
                None => 0,
            };
            let message = row::decode::<Message>(row)?;
            for event in MessageEvent::beyond(&message, told) {
                let payload = serde_json::to_vec(&event).map_err(|_| StoreError::Backend {
                    detail: "an event cannot be written".to_owned(),
                })?;
                events.push(EventRecord {
                    partition,
                    key: event.message.to_string(),
                    payload,
                });
            }
        }
        Ok(events)
    }
}
