//! The journals of a deployment as their owner uses them, wherever they are: group commits that
//! are atomic and fenced, and the turn to make them.

use futures::future::BoxFuture;
use schemas::{Partition, PartitionRange};

use super::{LogError, Offset};

/// The name under which whoever owns a range of journals writes to them, the same for every node:
/// who takes it over fences whoever had it, so that none of its commits succeeds any more.
pub(crate) fn owner_of(range: PartitionRange) -> String {
    match range.ranges() {
        1 => "owner".to_owned(),
        ranges => format!("owner-{}-of-{ranges}", range.place()),
    }
}

/// One record of the topic of events.
pub(crate) struct EventRecord {
    /// The partition of the message.
    pub(crate) partition: Partition,
    /// The message's id.
    pub(crate) key: String,
    /// What happened, as JSON.
    pub(crate) payload: Vec<u8>,
}

/// Who is shown a record of the journals.
pub(crate) type ShowRecord<'a> =
    &'a mut (dyn FnMut(Partition, Offset, Vec<u8>) -> Result<(), LogError> + Send);

/// The journals, as their owner has taken them over.
pub(crate) trait Groups: Send + Sync {
    /// Shows every record that was committed, those of one partition in order.
    ///
    /// # Errors
    /// [`LogError::Unavailable`] while the servers do not answer, and what `each` says.
    fn read<'a>(&'a self, each: ShowRecord<'a>) -> BoxFuture<'a, Result<(), LogError>>;

    /// Writes one record to each of some partitions, and the events, all or none. It goes on
    /// until they are durable, however long the servers are away; gives back where each record
    /// lies. May block whoever polls it.
    ///
    /// # Errors
    /// [`LogError::Backend`] when another node has taken the journals over, or nothing can be
    /// committed here any more: whether the records are there is not known then.
    fn commit<'a>(
        &'a self,
        records: &'a [(Partition, Vec<u8>)],
        events: &'a [EventRecord],
    ) -> BoxFuture<'a, Result<Vec<(Partition, Offset)>, LogError>>;

    /// Deletes what lies before an offset of a partition.
    ///
    /// # Errors
    /// [`LogError::Unavailable`] while the servers do not answer.
    fn trim(&self, partition: Partition, before: Offset) -> BoxFuture<'_, Result<(), LogError>>;
}

/// A turn of this node, held for as long as this lives.
pub(crate) trait HoldsTurn: Send + Sync {
    /// Waits until another node is to have it.
    fn wanted_back(&self) -> BoxFuture<'_, ()>;
}

/// This node's turn to own a range of journals. Dropped, it is another's.
pub struct Turn {
    held: Box<dyn HoldsTurn>,
}

impl Turn {
    /// A turn that ends when `held` is dropped.
    pub(crate) fn new(held: impl HoldsTurn + 'static) -> Self {
        Self {
            held: Box::new(held),
        }
    }

    /// Waits until another node is to have it: whoever holds it ends what it does there, and drops
    /// it.
    pub async fn wanted_back(&self) {
        self.held.wanted_back().await;
    }
}

impl std::fmt::Debug for Turn {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Turn")
    }
}
