//! The journals: transactions under an id, of which the last who took it over alone can commit.

use std::sync::atomic::{AtomicU64, Ordering};

use futures::FutureExt;
use futures::future::BoxFuture;
use schemas::{Partition, PartitionRange};

use super::state::State;
use super::{Node, Request};
use crate::log::groups::{ShowRecord, owner_of};
use crate::log::{EventRecord, Groups, LogError, Offset};
use crate::store::AGAIN_AFTER;

/// The journals as one owner has taken them over.
pub(super) struct Journals {
    node: Node,
    range: PartitionRange,
    transactional_id: String,
    generation: u64,
    transactions: AtomicU64,
}

/// What a transaction would write.
#[derive(Clone)]
struct Transaction {
    id: String,
    generation: u64,
    number: u64,
    records: Vec<(Partition, Vec<u8>)>,
    events: Vec<(Partition, String, Vec<u8>)>,
}

/// Another has taken over.
struct Fenced;

/// Takes the journals over, however long the servers are away.
pub(super) async fn take_over(node: &Node, range: PartitionRange) -> Journals {
    let transactional_id = owner_of(range);
    loop {
        let id = transactional_id.clone();
        let taken = node.ask(Request::TakeOver, move |state| {
            let producer = state.producers.entry(id).or_default();
            producer.generation += 1;
            producer.last = None;
            producer.generation
        });
        if let Ok(generation) = taken.await {
            return Journals {
                node: node.clone(),
                range,
                transactional_id,
                generation,
                transactions: AtomicU64::new(0),
            };
        }
        node.runtime.sleep(AGAIN_AFTER).await;
    }
}

impl Groups for Journals {
    fn read<'a>(&'a self, each: ShowRecord<'a>) -> BoxFuture<'a, Result<(), LogError>> {
        async move {
            let read = self.node.ask(Request::Read, |state| state.journals.clone());
            let all = read.await?.into_iter();
            for (partition, records) in all.filter(|(each, _)| self.range.holds(*each)) {
                for (offset, record) in records {
                    each(partition, offset, record)?;
                }
            }
            Ok(())
        }
        .boxed()
    }

    fn commit<'a>(
        &'a self,
        records: &'a [(Partition, Vec<u8>)],
        events: &'a [EventRecord],
    ) -> BoxFuture<'a, Result<Vec<(Partition, Offset)>, LogError>> {
        let event = |event: &EventRecord| {
            let (message, payload) = (event.key.clone(), event.payload.clone());
            (event.partition, message, payload)
        };
        let transaction = Transaction {
            id: self.transactional_id.clone(),
            generation: self.generation,
            number: self.transactions.fetch_add(1, Ordering::Relaxed),
            records: records.to_vec(),
            events: events.iter().map(event).collect(),
        };
        async move {
            loop {
                let transaction = transaction.clone();
                let asked = self
                    .node
                    .ask(Request::Commit, |state| transaction.done(state));
                match asked.await {
                    Ok(Ok(offsets)) => return Ok(offsets),
                    Ok(Err(Fenced)) => {
                        self.node.network.is_fenced();
                        return Err(LogError::Backend {
                            detail: "another node has taken over the journals".to_owned(),
                        });
                    }
                    // Nobody knows yet: asked again, they tell.
                    Err(_) => self.node.runtime.sleep(AGAIN_AFTER).await,
                }
            }
        }
        .boxed()
    }

    fn trim(&self, partition: Partition, before: Offset) -> BoxFuture<'_, Result<(), LogError>> {
        async move {
            let trimmed = self.node.ask(Request::Trim, move |state| {
                if let Some(records) = state.journals.get_mut(&partition) {
                    *records = records.split_off(&before);
                }
            });
            Ok(trimmed.await?)
        }
        .boxed()
    }
}

impl Transaction {
    /// Commits it, unless that was done, or another has taken over.
    fn done(self, state: &mut State) -> Result<Vec<(Partition, Offset)>, Fenced> {
        let producer = state.producers.entry(self.id).or_default();
        if producer.generation != self.generation {
            return Err(Fenced);
        }
        if let Some((number, offsets)) = &producer.last
            && *number == self.number
        {
            return Ok(offsets.clone());
        }
        let mut offsets = Vec::with_capacity(self.records.len());
        for (partition, record) in self.records {
            let end = state.ends.entry(partition).or_default();
            state
                .journals
                .entry(partition)
                .or_default()
                .insert(*end, record);
            offsets.push((partition, *end));
            *end += 1;
        }
        state.events.extend(self.events);
        producer.last = Some((self.number, offsets.clone()));
        Ok(offsets)
    }
}
