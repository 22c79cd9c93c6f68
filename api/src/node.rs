//! One node with its doors, started by one function, whoever runs it.

mod ground;
mod opened;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use actors::node::{DrainError, Node, NodeParts};
use engine::dispatch::read_ahead::READ_AHEAD;
use engine::provider::{ProviderAccount, ProviderSettingsError};
use engine::retry::RetryPolicy;
use engine::runtime::{Runtime, WorkLost};
use engine::settings::Settings;
use engine::storage::Storage;
use engine::store::{FolderError, OpenError, Order, Store, StoreError};
use futures::future::select;
use metrics_exporter_prometheus::PrometheusHandle;
use schemas::Secret;
use schemas::account::Account;

use self::ground::Ground;
pub use self::ground::open_storage;
use self::opened::OpenDoors;
use crate::doors::{OpenDoorsError, start_upkeep};
use crate::exit::Exit;

/// How long the doors of a node that does not start may take to shut: a request to servers that are
/// away is given up by then, mostly.
const SHUT_WITHIN: Duration = Duration::from_secs(20);

/// A node that cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A provider account's settings cannot be used.
    #[error(transparent)]
    Provider(#[from] ProviderSettingsError),
    /// The doors cannot be opened.
    #[error(transparent)]
    Doors(#[from] OpenDoorsError),
    /// The actors cannot start.
    #[error(transparent)]
    Node(#[from] actors::node::StartError),
    /// The root key cannot be written.
    #[error("cannot write root.key into {}: {cause}", folder.display())]
    RootKey {
        /// The data folder.
        folder: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The opening panicked.
    #[error(transparent)]
    Lost(#[from] WorkLost),
    /// The servers that keep the messages cannot be used.
    #[cfg(feature = "cluster")]
    #[error(transparent)]
    Servers(#[from] engine::storage::ServersError),
    /// It was asked to stop before it had its turn.
    #[cfg(feature = "cluster")]
    #[error("the node was stopped before it had its turn")]
    Stopped,
    /// Kafka's client refuses the settings.
    #[cfg(feature = "cluster")]
    #[error("`kafka`: {0}")]
    Kafka(#[from] engine::ingress::IngressError),
}

impl StartError {
    /// What the process ends with.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Open(error) => exit_of_open(error),
            Self::Provider(_) => Exit::Settings,
            Self::Doors(OpenDoorsError::AddressInUse { .. }) => Exit::AddressInUse,
            Self::Doors(OpenDoorsError::Listen { .. }) => Exit::Settings,
            Self::Doors(OpenDoorsError::Folder { .. }) | Self::RootKey { .. } => Exit::DataFolder,
            Self::Node(_) | Self::Lost(_) => Exit::Failure,
            #[cfg(feature = "cluster")]
            Self::Kafka(_) => Exit::Settings,
            #[cfg(feature = "cluster")]
            Self::Servers(_) => Exit::Failure,
            #[cfg(feature = "cluster")]
            Self::Stopped => Exit::Success,
        }
    }
}

/// What the process ends with when a data folder cannot be opened.
pub fn exit_of_open(error: &OpenError) -> Exit {
    match error {
        OpenError::Folder(FolderError::InUse { .. }) => Exit::DataFolderInUse,
        OpenError::Folder(_) | OpenError::Store(_) => Exit::DataFolder,
    }
}

/// A node that runs, with its doors open.
pub struct RunningNode {
    /// Where the doors are.
    pub address: SocketAddr,
    /// What opens the administration of the node.
    pub root_key: Secret,
    /// Rows, for reading.
    pub store: Store,
    doors: OpenDoors,
    node: Node,
    storage: Storage,
}

fn open_providers(settings: &Settings) -> Result<Vec<Arc<ProviderAccount>>, StartError> {
    let public_url = settings.http.public_url.as_deref();
    let accounts = settings.providers.iter();
    let opened = accounts.map(|account| Ok(Arc::new(engine::provider::open(account, public_url)?)));
    opened.collect()
}

/// Starts a node. Must be called on an arbiter: the actors live there. Its doors open at once. When
/// `stop` comes while another node owns the journals, it waits for its turn no longer.
///
/// # Errors
/// [`StartError`], which names the setting or folder and the cure.
pub async fn start(
    settings: &Settings,
    runtime: &Runtime,
    metrics: PrometheusHandle,
    stop: impl Future<Output = ()>,
) -> Result<RunningNode, StartError> {
    let mut stop = pin!(stop);
    let providers = open_providers(settings)?;
    start_upkeep(&metrics, runtime);
    let (ground, journals) = Ground::open(settings, runtime, &metrics, stop.as_mut()).await?;
    let (imports, ownership) = (ground.imports.clone(), ground.ownership.clone());
    let doors = OpenDoors::open(settings, runtime, ground, providers.clone(), metrics).await?;
    let started = async {
        let storage = journals.own(stop).await?;
        let parts = NodeParts {
            runtime: runtime.clone(),
            store: storage.store.patient(runtime),
            log: storage.log.patient(runtime),
            journal: storage.journal.clone(),
            providers,
            retry: RetryPolicy {
                max_attempts: settings.retry.attempts,
                first_delay: settings.retry.first_delay,
                ..RetryPolicy::default()
            },
            receipts_come: settings.http.public_url.is_some(),
            read_ahead: READ_AHEAD,
            imports,
        };
        let node = Node::start(parts).await?;
        ownership.begins(&storage);
        Ok((node, storage))
    };
    match started.await {
        Ok((node, storage)) => Ok(RunningNode {
            address: doors.address,
            root_key: doors.root_key.clone(),
            store: storage.store.clone(),
            doors,
            node,
            storage,
        }),
        Err(error) => {
            // Whoever is being answered just now is, within reason.
            let shut = pin!(doors.shut());
            let _ = select(shut, pin!(runtime.sleep(SHUT_WITHIN))).await;
            Err(error)
        }
    }
}

impl RunningNode {
    /// Whether nobody has an account yet.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn has_no_account(&self) -> Result<bool, StoreError> {
        let prefix = Account::partition_key();
        let page = self
            .store
            .list::<Account>(&prefix, None, Order::Ascending, 1)
            .await?;
        Ok(page.rows.is_empty())
    }

    /// Waits until the node must stop by itself, and tells why.
    pub async fn failed(&mut self) -> String {
        self.node.failed().await
    }

    /// Closes the doors, lets what is in flight end, and writes a checkpoint.
    ///
    /// # Errors
    /// [`DrainError`].
    pub async fn stop(self) -> Result<(), DrainError> {
        let _folder = self.doors.shut().await;
        let drained = self.node.drain().await;
        // It is another's turn.
        drop(self.storage);
        drained
    }
}
