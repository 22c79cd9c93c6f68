//! Storage on servers: rows in CQL, journals and logs in Kafka.

use std::sync::{Arc, Weak};

use futures::FutureExt;
use futures::future::BoxFuture;
use schemas::{PartitionCount, PartitionRange};
use tokio::runtime::Handle;
use tokio::sync::Mutex;

use super::{Deployment, JournalSettings, ServersError, Shared};
use crate::log::{
    GroupTopic, Groups, KafkaLogSettings, LogError, Membership, Nodes, Turn, begun_import, open_log,
};
use crate::runtime::Runtime;
use crate::settings::{CqlSettings, KafkaSettings};
use crate::store::cluster::{Tables, Waiting};
use crate::store::{Store, StoreError, cql};

/// Where the servers are that keep what a data folder does not.
#[derive(Clone, Debug)]
pub struct Servers {
    /// Rows.
    pub cql: CqlSettings,
    /// Journals and logs.
    pub kafka: KafkaSettings,
}

impl Servers {
    /// Connects a node. Whoever owns the journals meanwhile, `nodes` is told where that is, once
    /// this one waits for its turn.
    ///
    /// # Errors
    /// When servers cannot be reached or what is on them cannot be read; the text names the
    /// cure.
    pub async fn connect(
        self,
        nodes: Nodes,
        runtime: &Runtime,
        settings: JournalSettings,
    ) -> Result<Shared, ServersError> {
        let (sender, opened) = tokio::sync::oneshot::channel();
        let opener = runtime.clone();
        // The servers' clients live on the runtime that they are made on: the shared one, which
        // no actor holds up.
        runtime.spawn(async move {
            let _ = sender.send(connect(&self, nodes, &opener, settings).await);
        });
        opened.await.unwrap_or(Err(StoreError::Closed.into()))
    }
}

async fn connect(
    servers: &Servers,
    nodes: Nodes,
    runtime: &Runtime,
    settings: JournalSettings,
) -> Result<Shared, ServersError> {
    let store = cql::connect(&servers.cql, runtime).await?;
    let kafka = KafkaLogSettings::from(&servers.kafka);
    let log = open_log(&store, &kafka, settings.partitions, runtime).await?;
    // Before anybody is told that something is not there which is still to come.
    if begun_import(&store, &kafka).await?.is_some() && !log.has_journals().await? {
        return Err(ServersError::HalfImported);
    }
    let real = KafkaAndCql {
        tables: store.cql_tables()?,
        store: store.clone(),
        kafka,
        nodes,
        owners: settings.ranges(),
        member: Mutex::default(),
        runtime: runtime.clone(),
    };
    Ok(Shared::new(Arc::new(real), (store, log), runtime, settings))
}

/// Kafka and CQL.
struct KafkaAndCql {
    tables: Arc<dyn Tables>,
    store: Store,
    kafka: KafkaLogSettings,
    nodes: Nodes,
    owners: PartitionCount,
    /// As long as there is a turn, or one is waited for.
    member: Mutex<Weak<Membership>>,
    runtime: Runtime,
}

impl KafkaAndCql {
    /// This node as a member of the group of nodes.
    async fn member(&self) -> Result<Arc<Membership>, LogError> {
        let mut known = self.member.lock().await;
        if let Some(member) = known.upgrade() {
            return Ok(member);
        }
        let joined = Membership::join(&self.kafka, self.owners, &self.nodes, &self.runtime);
        let member = joined.await?;
        *known = Arc::downgrade(&member);
        Ok(member)
    }
}

impl Deployment for KafkaAndCql {
    fn turn(&self, range: PartitionRange) -> BoxFuture<'_, Result<Turn, LogError>> {
        async move { Ok(Turn::new(self.member().await?.turn(range).await)) }.boxed()
    }

    fn take_over(&self, range: PartitionRange) -> BoxFuture<'_, Result<Arc<dyn Groups>, LogError>> {
        async move {
            let opened = GroupTopic::open(&self.kafka, range, &self.runtime);
            Ok(Arc::new(opened.await?) as Arc<dyn Groups>)
        }
        .boxed()
    }

    fn is_half_imported(&self) -> BoxFuture<'_, Result<bool, LogError>> {
        let begun = begun_import(&self.store, &self.kafka);
        begun.map(|begun| Ok(begun?.is_some())).boxed()
    }

    fn tables(&self) -> Arc<dyn Tables> {
        Arc::clone(&self.tables)
    }

    /// The writer has a thread of its own, and the clients live where storage is opened.
    fn waiting(&self) -> Waiting {
        Waiting::Blocks(Handle::current())
    }
}
