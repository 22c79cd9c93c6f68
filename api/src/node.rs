//! One node with its doors, started by one function, whoever runs it.

mod ground;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;

use actors::node::{DrainError, Node, NodeParts};
use engine::client::RootKeyFile;
use engine::dispatch::read_ahead::READ_AHEAD;
use engine::provider::{ProviderAccount, ProviderSettingsError};
use engine::retry::RetryPolicy;
use engine::runtime::{Runtime, WorkLost};
use engine::settings::Settings;
use engine::store::{FolderError, OpenError, Order, Store, StoreError};
use metrics_exporter_prometheus::PrometheusHandle;
use schemas::Secret;
use schemas::account::Account;
#[cfg(feature = "cluster")]
use tokio::sync::oneshot;

pub use self::ground::open_storage;
use self::ground::{Ground, Owned};
use crate::auth::new_secret;
use crate::doors::{Doors, OpenDoorsError, RunningServer, serve, start_upkeep};
use crate::exit::Exit;

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
    folder: PathBuf,
    server: RunningServer,
    node: Node,
    /// Tells when the door to Kafka is shut.
    #[cfg(feature = "cluster")]
    ingress: Option<oneshot::Receiver<()>>,
    owned: Owned,
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
    let root_key = new_secret(runtime);
    let server = serve(
        Doors {
            runtime: runtime.clone(),
            store: ground.store.clone(),
            log: ground.log,
            intake: ground.intake,
            ownership: ground.ownership,
            providers: providers.clone(),
            imports: ground.imports,
            root_key: root_key.clone(),
            metrics,
        },
        ground.listener,
        &settings.http,
    )?;
    let address = server.address;
    write_root_key(settings, &root_key, address)?;
    let owned = match journals.own(stop).await {
        Ok(owned) => owned,
        Err(error) => {
            server.stop().await;
            forget_root_key(&settings.node.data);
            return Err(error);
        }
    };
    let storage = &owned.storage;
    ownership.begins(storage);
    let node = Node::start(NodeParts {
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
    })
    .await?;
    Ok(RunningNode {
        address,
        root_key,
        store: ground.store,
        folder: settings.node.data.clone(),
        #[cfg(feature = "cluster")]
        ingress: open_ingress(settings, runtime, &server)?,
        owned,
        server,
        node,
    })
}

/// Writes down what opens the administration of the node, and where it is.
fn write_root_key(
    settings: &Settings,
    key: &Secret,
    address: SocketAddr,
) -> Result<(), StartError> {
    let folder = &settings.node.data;
    let file = RootKeyFile {
        key: key.clone(),
        url: format!("http://{}", reachable(address)),
    };
    file.write(folder).map_err(|cause| StartError::RootKey {
        folder: folder.clone(),
        cause,
    })
}

fn forget_root_key(folder: &Path) {
    if let Err(error) = RootKeyFile::remove(folder) {
        tracing::warn!(%error, "root.key cannot be removed");
    }
}

/// Opens the door to Kafka, if the settings name brokers. They may be down just now.
#[cfg(feature = "cluster")]
fn open_ingress(
    settings: &Settings,
    runtime: &Runtime,
    server: &RunningServer,
) -> Result<Option<oneshot::Receiver<()>>, StartError> {
    if settings.kafka.brokers.is_none() {
        return Ok(None);
    }
    let ingress = crate::ingress::Ingress::new(&settings.kafka, server.state())?;
    crate::ingress::describe();
    let (shut, ended) = oneshot::channel();
    runtime.spawn(async move {
        ingress.run().await;
        // Nobody waits where the node has failed.
        let _ = shut.send(());
    });
    Ok(Some(ended))
}

/// Where this machine reaches an address that may stand for all of its own.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        std::net::IpAddr::V4(ip) if ip.is_unspecified() => std::net::Ipv4Addr::LOCALHOST.into(),
        std::net::IpAddr::V6(ip) if ip.is_unspecified() => std::net::Ipv6Addr::LOCALHOST.into(),
        ip @ (std::net::IpAddr::V4(_) | std::net::IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, address.port())
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
        #[cfg(feature = "cluster")]
        if let Some(ended) = self.ingress {
            self.server.announce_stop();
            // It ends without a word only if it panicked.
            let _ = ended.await;
        }
        self.server.stop().await;
        let drained = self.node.drain().await;
        // It is another's turn.
        drop(self.owned);
        forget_root_key(&self.folder);
        drained
    }
}
