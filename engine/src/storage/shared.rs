//! What every node of a deployment uses, whoever owns the journals; and how one comes to own them.

use std::pin::pin;
use std::sync::Arc;

use futures::future::{Either, select};
use schemas::PartitionRange;

use super::{Deployment, JournalSettings, ServersError, Storage};
use crate::intake::Intake;
use crate::journal::{Journal, Projector};
use crate::log::Log;
use crate::log::others::Ear;
use crate::runtime::Runtime;
use crate::store::cluster::{ClusterKv, read_journals};
use crate::store::{Store, StoreError, writer};
use crate::verify::Verifier;

/// Rows and logs on servers, and the door for single messages, which need no owner. Cloning is cheap.
#[derive(Clone)]
pub struct Shared {
    /// Rows.
    pub store: Store,
    /// Logs.
    pub log: Log,
    /// Single messages.
    pub intake: Intake,
    deployment: Arc<dyn Deployment>,
    ear: Arc<Ear>,
    settings: JournalSettings,
    runtime: Runtime,
}

impl Shared {
    pub(super) fn new(
        deployment: Arc<dyn Deployment>,
        (store, log): (Store, Log),
        runtime: &Runtime,
        settings: JournalSettings,
    ) -> Self {
        Self {
            intake: Intake::on_cluster(store.clone(), log.clone(), settings.partitions),
            store,
            log,
            deployment,
            ear: Arc::default(),
            settings,
            runtime: runtime.clone(),
        }
    }

    /// The ranges that are owned, each by one node at a time.
    pub fn ranges(&self) -> impl Iterator<Item = PartitionRange> + use<> {
        PartitionRange::divide(self.settings.partitions, self.settings.ranges())
    }

    /// Opens the journals of a range, when it is this node's turn. Waits for as long as another node
    /// owns them.
    ///
    /// # Errors
    /// When the servers cannot be reached or what is on them cannot be read; the text names the
    /// cure.
    pub async fn own(&self, range: PartitionRange) -> Result<Storage, ServersError> {
        let (mut sender, opened) = tokio::sync::oneshot::channel();
        let shared = self.clone();
        // The servers' clients live on the runtime that they are made on: the shared one, which
        // no actor holds up.
        self.runtime.spawn(async move {
            let owned = {
                let owned = shared.open(range);
                match select(pin!(owned), pin!(sender.closed())).await {
                    Either::Left((owned, _)) => owned,
                    // Nobody wants the turn any more: it is not waited for.
                    Either::Right(_) => return,
                }
            };
            let _ = sender.send(owned);
        });
        opened.await.unwrap_or(Err(StoreError::Closed.into()))
    }

    async fn open(&self, range: PartitionRange) -> Result<Storage, ServersError> {
        let (servers, runtime) = (&self.deployment, &self.runtime);
        let turn = servers.turn(range).await?;
        // From here on nobody else commits, so that what is read is all there is.
        let groups = servers.take_over(range).await?;
        let found = read_journals(&*groups).await?;
        if found.is_new() && servers.is_half_imported().await? {
            return Err(ServersError::HalfImported);
        }
        let (tables, waiting) = (servers.tables(), servers.waiting());
        let kv = ClusterKv::open(tables, (groups, range), waiting, found, runtime).await?;
        let (starter, trim) = (runtime.clone(), self.settings.trim);
        let start = move || {
            writer::open(Arc::new(kv), &starter, Box::new(|_| {}), |view| {
                Projector::recover(view, range, trim)
            })
        };
        let opened = runtime.blocking(start).await.map_err(StoreError::from)??;
        let hearing = self.ear.listen(&self.log, range.all(), runtime);
        Ok(Storage {
            store: self.store.clone(),
            log: self.log.clone(),
            intake: self.intake.clone(),
            journal: Journal::new(opened.participant, range),
            closed: opened.closed,
            verifier: Verifier::new(&opened.kv, runtime.clone()),
            turn: Some(turn),
            _hearing: Some(hearing),
            kv: opened.kv,
        })
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Shared")
    }
}
