//! Taking single messages in.
//!
//! One group commit holds the idempotency key, the message and its place in the work
//! log, so after any crash a message is either wholly there, with its key, or not at
//! all; and whoever got an answer finds the message.

use schemas::message::{IdempotencyKey, Intake as IntakeRow, WorkItem};
use schemas::record::{Record, WriteOnce};
use schemas::{Envelope, MessageId, PartitionCount};

use crate::log::{self, Topic};
use crate::store::StoreError;
use crate::store::overlay::Overlay;
use crate::store::writer::{Admission, Operations};

/// What became of a message that was handed in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Acceptance {
    /// It is accepted under this id.
    Accepted(MessageId),
    /// The same request was accepted before, under this id.
    Replayed(MessageId),
    /// The idempotency key was used for another request.
    KeyReused,
}

/// A message was not taken in.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the message cannot be taken in")]
pub struct IntakeError(#[from] pub StoreError);

/// Takes messages in. Cloning is cheap.
#[derive(Clone)]
pub struct Intake {
    operations: Operations,
    partitions: PartitionCount,
}

impl Intake {
    pub(crate) fn new(operations: Operations, partitions: PartitionCount) -> Self {
        Self {
            operations,
            partitions,
        }
    }

    /// Takes a message in, once for each idempotency key. Durable when it returns.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`] while there is too little space, and when the write
    /// failed; whether it was accepted is unknown then, and asking again with the same
    /// key tells.
    pub async fn accept(
        &self,
        envelope: Envelope,
        idempotency: Option<IdempotencyKey>,
    ) -> Result<Acceptance, IntakeError> {
        let partitions = self.partitions;
        let accept =
            move |overlay: &mut Overlay<'_>| accept(overlay, partitions, envelope, idempotency);
        Ok(self.operations.run(Admission::Intake, accept).await?)
    }
}

fn accept(
    overlay: &mut Overlay<'_>,
    partitions: PartitionCount,
    envelope: Envelope,
    idempotency: Option<IdempotencyKey>,
) -> Result<Acceptance, StoreError> {
    let (account, message, class) = (envelope.account, envelope.id, envelope.class);
    let partition = partitions.of(envelope.to.slice());
    if let Some(claim) = idempotency {
        if let Some(earlier) = overlay.get::<IdempotencyKey>(&claim.key())? {
            let same = earlier.request_sha256 == claim.request_sha256;
            let id = MessageId::from_bytes(earlier.resource);
            return Ok(if same {
                Acceptance::Replayed(id)
            } else {
                Acceptance::KeyReused
            });
        }
        put_new(overlay, &claim)?;
    }
    put_new(
        overlay,
        &IntakeRow {
            envelope: std::sync::Arc::new(envelope),
        },
    )?;
    let item = rmp_serde::to_vec_named(&WorkItem { account, message }).map_err(|error| {
        StoreError::Backend {
            detail: error.to_string(),
        }
    })?;
    log::append(overlay, Topic::Work(class), partition, vec![item])?;
    Ok(Acceptance::Accepted(message))
}

fn put_new<R: Record<Writing = WriteOnce>>(
    overlay: &mut Overlay<'_>,
    row: &R,
) -> Result<(), StoreError> {
    overlay.put(row)
}
