//! Intake over the writer that store and log of one process share.
//!
//! One group commit holds the idempotency key, the message and its place in the work
//! log, so after any crash a message is either wholly there, with its key, or not at
//! all; and whoever got an answer finds the message.

use schemas::message::{IdempotencyKey, Intake as IntakeRow};
use schemas::record::{Record, WriteOnce};
use schemas::{Envelope, MessageId, PartitionCount};

use super::{Acceptance, IntakeError, work_item};
use crate::log::{self, Topic};
use crate::store::StoreError;
use crate::store::overlay::Overlay;
use crate::store::writer::{Admission, Operations};

/// Takes messages in. Cloning is cheap.
#[derive(Clone)]
pub(super) struct EmbeddedIntake {
    operations: Operations,
    partitions: PartitionCount,
}

impl EmbeddedIntake {
    pub(super) fn new(operations: Operations, partitions: PartitionCount) -> Self {
        Self {
            operations,
            partitions,
        }
    }

    pub(super) async fn accept(
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
    let (message, class) = (envelope.id, envelope.class);
    let item = work_item(&envelope)?;
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
    log::append(overlay, Topic::Work(class), partition, vec![item])?;
    Ok(Acceptance::Accepted(message))
}

fn put_new<R: Record<Writing = WriteOnce>>(
    overlay: &mut Overlay<'_>,
    row: &R,
) -> Result<(), StoreError> {
    overlay.put(row)
}
