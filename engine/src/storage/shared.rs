//! What every node of a deployment uses, whoever owns the journals; and how one comes to own them.

use std::pin::pin;
use std::sync::Arc;

use futures::future::{Either, select};

use super::{Deployment, JournalSettings, ServersError, Storage};
use crate::intake::Intake;
use crate::journal::{Journal, Projector};
use crate::log::groups::OWNER;
use crate::log::{Log, others};
use crate::runtime::Runtime;
use crate::store::cluster::{ClusterKv, read_journals};
use crate::store::{Store, StoreError, writer};
use crate::verify::Verifier;

/// Rows and logs on servers, and the door for single messages, which need no owner.
pub struct Shared {
    /// Rows.
    pub store: Store,
    /// Logs.
    pub log: Log,
    /// Single messages.
    pub intake: Intake,
    deployment: Arc<dyn Deployment>,
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
            settings,
            runtime: runtime.clone(),
        }
    }

    /// Opens the journals, when it is this node's turn. Waits for as long as another node owns
    /// them.
    ///
    /// # Errors
    /// When the servers cannot be reached or what is on them cannot be read; the text names the
    /// cure.
    pub async fn own(&self) -> Result<Storage, ServersError> {
        let (mut sender, opened) = tokio::sync::oneshot::channel();
        let deployment = Arc::clone(&self.deployment);
        let shared = (self.store.clone(), self.log.clone(), self.intake.clone());
        let (runtime, settings) = (self.runtime.clone(), self.settings);
        // The servers' clients live on the runtime that they are made on: the shared one, which
        // no actor holds up.
        self.runtime.spawn(async move {
            let owned = {
                let owned = own(&*deployment, shared, &runtime, settings);
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
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Shared")
    }
}

async fn own(
    servers: &dyn Deployment,
    (store, log, intake): (Store, Log, Intake),
    runtime: &Runtime,
    settings: JournalSettings,
) -> Result<Storage, ServersError> {
    let partitions = settings.partitions;
    let turn = servers.turn().await?;
    // From here on nobody else commits, so that what is read is all there is.
    let groups = servers.take_over(OWNER).await?;
    let found = read_journals(&*groups).await?;
    if found.is_new() && servers.is_half_imported().await? {
        return Err(ServersError::HalfImported);
    }
    let (tables, waiting) = (servers.tables(), servers.waiting());
    let kv = Arc::new(ClusterKv::open(tables, groups, waiting, found, runtime).await?);
    let starter = runtime.clone();
    let start = move || {
        writer::open(kv, &starter, Box::new(|_| {}), |view| {
            Projector::recover(view, partitions, settings.trim)
        })
    };
    let opened = runtime.blocking(start).await.map_err(StoreError::from)??;
    let (clock, closed) = (runtime.clone(), opened.closed.clone());
    runtime.spawn(others::watch(log.clone(), partitions, clock, closed));
    Ok(Storage {
        intake,
        store,
        log,
        journal: Journal::new(opened.participant, partitions),
        closed: opened.closed,
        verifier: Verifier::new(&opened.kv, runtime.clone()),
        turn: Some(turn),
        kv: opened.kv,
    })
}
