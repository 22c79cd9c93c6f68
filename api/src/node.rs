//! One node with its doors, started by one function, whoever runs it.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
#[cfg(feature = "cluster")]
use std::pin::pin;
use std::sync::Arc;

use actors::import::Imports;
use actors::node::{Node, NodeParts};
use engine::client::RootKeyFile;
use engine::dispatch::read_ahead::READ_AHEAD;
use engine::journal::CommitError;
#[cfg(feature = "cluster")]
use engine::log::{Nodes, Turn};
use engine::provider::{ProviderAccount, ProviderSettingsError};
use engine::retry::RetryPolicy;
use engine::runtime::{Runtime, WorkLost};
use engine::settings::Settings;
#[cfg(feature = "cluster")]
use engine::storage::Servers;
use engine::storage::{JournalSettings, Storage};
#[cfg(feature = "cluster")]
use engine::store::ServedFolder;
use engine::store::{FolderError, OpenError, Order, Store, StoreError};
#[cfg(feature = "cluster")]
use futures::future::{Either, select};
use metrics_exporter_prometheus::PrometheusHandle;
use schemas::Secret;
use schemas::account::Account;
#[cfg(feature = "cluster")]
use tokio::sync::oneshot;

use crate::auth::new_secret;
use crate::doors::{
    Doors, OpenDoorsError, RunningServer, imports_folder, listen, serve, start_upkeep,
};
use crate::exit::Exit;
#[cfg(feature = "cluster")]
use crate::{doors::refused, waiting::WaitingDoors};

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
    #[cfg(feature = "cluster")]
    turn: Option<Turn>,
    /// Held as long as it runs.
    #[cfg(feature = "cluster")]
    _served: Option<ServedFolder>,
}

/// Opens the storage that `settings` name. Blocks, for seconds after a crash.
///
/// # Errors
/// [`OpenError`], which names the folder and the cure.
pub fn open_storage(settings: &Settings, runtime: &Runtime) -> Result<Storage, OpenError> {
    Storage::open(&settings.node.data, runtime, journal_settings(settings))
}

fn journal_settings(settings: &Settings) -> JournalSettings {
    JournalSettings {
        partitions: settings.node.partitions,
        trim: settings.journal.trim,
    }
}

/// Opens what the settings name: a data folder, or servers.
async fn open(settings: &Settings, runtime: &Runtime) -> Result<Storage, StartError> {
    let (settings, opener) = (settings.clone(), runtime.clone());
    let open = move || open_storage(&settings, &opener);
    Ok(runtime.blocking(open).await??)
}

/// The folder of a node whose messages are on servers. It holds what is this node's alone: its
/// root key, and uploaded files until they are read.
#[cfg(feature = "cluster")]
async fn open_folder(
    settings: &Settings,
    runtime: &Runtime,
) -> Result<Option<ServedFolder>, StartError> {
    if !settings.is_on_servers() {
        return Ok(None);
    }
    let folder = settings.node.data.clone();
    let opened = runtime
        .blocking(move || ServedFolder::open(&folder))
        .await?;
    Ok(Some(opened.map_err(OpenError::from)?))
}

/// Waits for this node's turn, with doors that say so.
#[cfg(feature = "cluster")]
async fn open_on_servers(
    settings: &Settings,
    runtime: &Runtime,
    metrics: &PrometheusHandle,
    stop: impl Future<Output = ()>,
) -> Result<(Storage, TcpListener), StartError> {
    let listener = listen(&settings.http)?;
    let doors = |cause| refused(&settings.http, cause);
    let nodes = Nodes {
        this: node_url(settings, listener.local_addr().map_err(doors)?),
        ..Nodes::default()
    };
    let waiting = WaitingDoors::open(&listener, runtime, metrics, nodes.owner.subscribe());
    let waiting = waiting.map_err(doors)?;
    let servers = Servers {
        cql: settings.cql.clone(),
        kafka: settings.kafka.clone(),
    };
    let opened = Storage::on_servers(servers, nodes, runtime, journal_settings(settings));
    let opened = match select(pin!(opened), pin!(stop)).await {
        Either::Left((opened, _)) => opened.map_err(StartError::from),
        Either::Right(_) => Err(StartError::Stopped),
    };
    waiting.close().await;
    Ok((opened?, listener))
}

/// The same of a node with everything in its folder, which waits for nobody.
async fn open_in_folder(
    settings: &Settings,
    runtime: &Runtime,
) -> Result<(Storage, TcpListener), StartError> {
    let storage = open(settings, runtime).await?;
    Ok((storage, listen(&settings.http)?))
}

fn open_providers(settings: &Settings) -> Result<Vec<Arc<ProviderAccount>>, StartError> {
    let public_url = settings.http.public_url.as_deref();
    let accounts = settings.providers.iter();
    let opened = accounts.map(|account| Ok(Arc::new(engine::provider::open(account, public_url)?)));
    opened.collect()
}

/// Starts a node. Must be called on an arbiter: the actors live there. When `stop` comes while
/// another node owns the journals, it waits for its turn no longer.
///
/// # Errors
/// [`StartError`], which names the setting or folder and the cure.
pub async fn start(
    settings: &Settings,
    runtime: &Runtime,
    metrics: PrometheusHandle,
    stop: impl Future<Output = ()>,
) -> Result<RunningNode, StartError> {
    let providers = open_providers(settings)?;
    start_upkeep(&metrics, runtime);
    #[cfg(feature = "cluster")]
    let served = open_folder(settings, runtime).await?;
    #[cfg(feature = "cluster")]
    let (storage, listener) = match served {
        Some(_) => open_on_servers(settings, runtime, &metrics, stop).await?,
        None => open_in_folder(settings, runtime).await?,
    };
    #[cfg(not(feature = "cluster"))]
    let (storage, listener) = {
        // Nothing in a folder is waited for.
        drop(stop);
        open_in_folder(settings, runtime).await?
    };
    let folder = settings.node.data.clone();
    let keep = if settings.is_on_servers() {
        Imports::shared
    } else {
        Imports::own
    };
    let imports = keep(imports_folder(&folder));
    let root_key = new_secret(runtime);
    let server = serve(
        Doors {
            runtime: runtime.clone(),
            store: storage.store.clone(),
            log: storage.log.clone(),
            intake: storage.intake.clone(),
            journal: storage.journal.clone(),
            verifier: storage.verifier.clone(),
            providers: providers.clone(),
            imports: imports.clone(),
            root_key: root_key.clone(),
            metrics,
        },
        listener,
        &settings.http,
    )?;
    let address = server.address;
    let file = RootKeyFile {
        key: root_key.clone(),
        url: format!("http://{}", reachable(address)),
    };
    file.write(&folder).map_err(|cause| StartError::RootKey {
        folder: folder.clone(),
        cause,
    })?;
    let node = Node::start(NodeParts {
        runtime: runtime.clone(),
        store: storage.store.patient(runtime),
        log: storage.log.patient(runtime),
        journal: storage.journal,
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
        store: storage.store,
        folder,
        #[cfg(feature = "cluster")]
        ingress: open_ingress(settings, runtime, &server)?,
        #[cfg(feature = "cluster")]
        turn: storage.turn,
        #[cfg(feature = "cluster")]
        _served: served,
        server,
        node,
    })
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

/// Where other nodes reach this one; nowhere, where it listens on all addresses of its machine and
/// nobody has said which of them they can use.
#[cfg(feature = "cluster")]
fn node_url(settings: &Settings, address: SocketAddr) -> Option<String> {
    let url = settings.http.node_url.clone();
    let listens = (!address.ip().is_unspecified()).then(|| format!("http://{address}"));
    let url = url.or(listens);
    if url.is_none() {
        tracing::warn!("`http.node_url` is not set: other nodes pass no requests on to this one");
    }
    url
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
    /// When the journal takes nothing more.
    pub async fn stop(self) -> Result<(), CommitError> {
        #[cfg(feature = "cluster")]
        if let Some(ended) = self.ingress {
            self.server.announce_stop();
            // It ends without a word only if it panicked.
            let _ = ended.await;
        }
        self.server.stop().await;
        let drained = self.node.drain().await;
        #[cfg(feature = "cluster")]
        drop(self.turn);
        if let Err(error) = RootKeyFile::remove(&self.folder) {
            tracing::warn!(%error, "root.key cannot be removed");
        }
        drained
    }
}
