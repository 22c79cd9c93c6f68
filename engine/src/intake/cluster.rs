//! Intake over a store and logs that are no part of this process: three writes, one after
//! the other, each durable before the next.
//!
//! 1. the idempotency key, which says the message's id;
//! 2. the message's row: from now on whoever asks finds it;
//! 3. its place in the work log: from now on it is sent.
//!
//! Whoever is told that the message is accepted is told after the third. A node that dies in
//! between has told nobody, so whoever asked asks again, with the same key if any: then every
//! step that may be missing is done by that request. A message has two places in the log then
//! if the third step was done after all, which sends nothing twice: an attempt begins only for
//! a message that waits and has none, however often it is read. Without a key it is another
//! message, and the first is sent or not; nobody was promised either.

use std::sync::Arc;

use schemas::message::{IdempotencyKey, Intake as IntakeRow, message_key};
use schemas::{Envelope, Message, MessageId, PartitionCount};

use super::{Acceptance, IntakeError, work_item};
use crate::log::{Log, Topic};
use crate::store::{PutOnce, Store};

/// Takes messages in. Cloning is cheap.
#[derive(Clone)]
pub(super) struct ClusterIntake {
    store: Store,
    log: Log,
    partitions: PartitionCount,
}

impl ClusterIntake {
    pub(super) fn new(store: Store, log: Log, partitions: PartitionCount) -> Self {
        Self {
            store,
            log,
            partitions,
        }
    }

    pub(super) async fn accept(
        &self,
        mut envelope: Envelope,
        idempotency: Option<IdempotencyKey>,
    ) -> Result<Acceptance, IntakeError> {
        if let Some(claim) = idempotency
            && let PutOnce::Exists(earlier) = self.store.put_once(&claim).await?
        {
            if earlier.request_sha256 != claim.request_sha256 {
                return Ok(Acceptance::KeyReused);
            }
            envelope.id = MessageId::from_bytes(earlier.resource);
            return self.accept_again(envelope).await;
        }
        let message = envelope.id;
        let row = IntakeRow {
            envelope: Arc::new(envelope),
        };
        match self.store.put_once(&row).await? {
            PutOnce::Stored => {
                self.append(&row.envelope).await?;
                Ok(Acceptance::Accepted(message))
            }
            // A repeat of this request came in between the two writes, and its row counts.
            PutOnce::Exists(there) => {
                self.append(&there.envelope).await?;
                Ok(Acceptance::Replayed(message))
            }
        }
    }

    /// A message whose key was there: what was written of it is kept, the rest is done.
    async fn accept_again(&self, envelope: Envelope) -> Result<Acceptance, IntakeError> {
        let message = envelope.id;
        let key = message_key(envelope.account, message);
        let there = match self.store.get::<IntakeRow>(&key).await? {
            Some(there) => there,
            None => {
                let row = IntakeRow {
                    envelope: Arc::new(envelope),
                };
                match self.store.put_once(&row).await? {
                    PutOnce::Stored => row,
                    PutOnce::Exists(there) => there,
                }
            }
        };
        self.confirm(&there).await?;
        Ok(Acceptance::Replayed(message))
    }

    /// Appends a message again unless its row says that it was read from there.
    pub(super) async fn confirm(&self, intake: &IntakeRow) -> Result<(), IntakeError> {
        let key = message_key(intake.envelope.account, intake.envelope.id);
        match self.store.get::<Message>(&key).await? {
            Some(_) => Ok(()),
            None => self.append(&intake.envelope).await,
        }
    }

    async fn append(&self, envelope: &Envelope) -> Result<(), IntakeError> {
        let partition = self.partitions.of(envelope.to.slice());
        let item = work_item(envelope)?;
        let topic = Topic::Work(envelope.class);
        self.log.append(topic, partition, vec![item]).await?;
        Ok(())
    }
}
