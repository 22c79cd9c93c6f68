//! Taking single messages in: each with its idempotency key, its row and its place in the
//! work log. Whoever got an answer finds the message, and it is sent, whatever dies.
//! Which backend runs is known here and nowhere else.

#[cfg(feature = "servers")]
mod cluster;
mod embedded;

use schemas::message::{IdempotencyKey, Intake as IntakeRow, WorkItem};
use schemas::{Envelope, MessageId, PartitionCount};

#[cfg(feature = "servers")]
use self::cluster::ClusterIntake;
use self::embedded::EmbeddedIntake;
#[cfg(feature = "servers")]
use crate::log::Log;
use crate::log::LogError;
#[cfg(feature = "servers")]
use crate::store::Store;
use crate::store::StoreError;
use crate::store::writer::Operations;

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

/// A message was not taken in, or nobody knows whether it was: asking again with the same
/// idempotency key tells.
#[derive(Clone, Debug, thiserror::Error)]
pub enum IntakeError {
    /// The store did not take it.
    #[error("the message cannot be taken in: {0}")]
    Store(#[from] StoreError),
    /// The work log did not take it.
    #[error("the message cannot be taken in: {0}")]
    Log(#[from] LogError),
}

/// Takes messages in. Cloning is cheap.
#[derive(Clone)]
pub struct Intake {
    backend: Backend,
}

#[derive(Clone)]
enum Backend {
    Embedded(EmbeddedIntake),
    #[cfg(feature = "servers")]
    Cluster(Box<ClusterIntake>),
}

impl Intake {
    /// Over the writer that the store and the logs of this process share.
    pub(crate) fn embedded(operations: Operations, partitions: PartitionCount) -> Self {
        let intake = EmbeddedIntake::new(operations, partitions);
        Self {
            backend: Backend::Embedded(intake),
        }
    }

    /// Over a store and logs that are no part of this process.
    #[cfg(feature = "servers")]
    pub fn on_cluster(store: Store, log: Log, partitions: PartitionCount) -> Self {
        let intake = ClusterIntake::new(store, log, partitions);
        Self {
            backend: Backend::Cluster(Box::new(intake)),
        }
    }

    /// Takes a message in, once for each idempotency key. Durable when it returns.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`] while there is too little space; on a cluster
    /// [`StoreError::Unavailable`] and [`LogError::Unavailable`] while its servers are away.
    /// When a write failed it is unknown whether the message was accepted, and asking again
    /// with the same key tells.
    pub async fn accept(
        &self,
        envelope: Envelope,
        idempotency: Option<IdempotencyKey>,
    ) -> Result<Acceptance, IntakeError> {
        match &self.backend {
            Backend::Embedded(intake) => intake.accept(envelope, idempotency).await,
            #[cfg(feature = "servers")]
            Backend::Cluster(intake) => intake.accept(envelope, idempotency).await,
        }
    }

    /// Sees to it that a message is sent whose row is there: for whoever tells somebody again
    /// that it was accepted. On a cluster, whoever wrote the row may have died before the
    /// message had its place in the work log.
    ///
    /// # Errors
    /// As [`Intake::accept`].
    #[cfg_attr(
        not(feature = "servers"),
        expect(clippy::unused_async, reason = "the other backend asks servers")
    )]
    pub async fn confirm(&self, intake: &IntakeRow) -> Result<(), IntakeError> {
        match &self.backend {
            // Row and place are one commit.
            Backend::Embedded(_) => {
                let _ = intake;
                Ok(())
            }
            #[cfg(feature = "servers")]
            Backend::Cluster(cluster) => cluster.confirm(intake).await,
        }
    }
}

/// What the work log holds of a message.
fn work_item(envelope: &Envelope) -> Result<Vec<u8>, StoreError> {
    let item = WorkItem {
        account: envelope.account,
        message: envelope.id,
    };
    rmp_serde::to_vec_named(&item).map_err(|error| StoreError::Backend {
        detail: error.to_string(),
    })
}
