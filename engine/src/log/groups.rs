//! The journals of a deployment as their owner uses them, wherever they are: group commits that
//! are atomic and fenced, and the turn to make them.

use std::any::Any;

use futures::future::BoxFuture;
use schemas::Partition;

use super::{LogError, Offset};

/// The name under which whoever owns the journals writes to them, the same for every node: who
/// takes it over fences whoever had it, so that none of its commits succeeds any more.
pub(crate) const OWNER: &str = "owner";

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

/// This node's turn to own the journals. Dropped, it is another's.
pub struct Turn {
    _held: Box<dyn Any + Send + Sync>,
}

impl Turn {
    /// A turn that ends when `held` is dropped.
    pub(crate) fn new(held: impl Any + Send + Sync) -> Self {
        Self {
            _held: Box::new(held),
        }
    }
}

impl std::fmt::Debug for Turn {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Turn")
    }
}
