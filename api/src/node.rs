//! One node with its doors, started by one function, whoever runs it.

mod ground;
mod opened;
#[cfg(feature = "cluster")]
mod ranges;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use actors::import::Imports;
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

pub use self::ground::open_storage;
use self::ground::{Ground, Journals};
use self::opened::OpenDoors;
#[cfg(feature = "cluster")]
use self::ranges::{RangeError, Ranges};
use crate::doors::{OpenDoorsError, start_upkeep};
use crate::exit::Exit;
use crate::ownership::Ownership;

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
    /// Nothing more is done for a range of partitions.
    #[cfg(feature = "cluster")]
    #[error("a range of partitions has ended: {0}")]
    Range(String),
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
            Self::Servers(_) | Self::Range(_) => Exit::Failure,
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
    trees: Trees,
}

/// Its actors.
enum Trees {
    /// One tree, over all that is in its folder.
    Here(Box<(Node, Storage)>),
    /// One for each range of partitions that it owns.
    #[cfg(feature = "cluster")]
    OnServers(Ranges),
}

fn open_providers(settings: &Settings) -> Result<Vec<Arc<ProviderAccount>>, StartError> {
    let public_url = settings.http.public_url.as_deref();
    let accounts = settings.providers.iter();
    let opened = accounts.map(|account| Ok(Arc::new(engine::provider::open(account, public_url)?)));
    opened.collect()
}

/// Starts a node. Must be called on an arbiter: the actors live there. Its doors open at once. When
/// `stop` comes while other nodes own the journals, it waits for its turn no longer.
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
    let store = ground.store.clone();
    let doors = OpenDoors::open(settings, runtime, ground, providers.clone(), metrics).await?;
    let make = make_parts(settings, providers, imports);
    match journals.begin(runtime, &ownership, make, stop).await {
        Ok(trees) => Ok(RunningNode {
            address: doors.address,
            root_key: doors.root_key.clone(),
            store,
            doors,
            trees,
        }),
        Err(error) => {
            // Whoever is being answered just now is, within reason.
            let shut = pin!(doors.shut());
            let _ = select(shut, pin!(runtime.sleep(SHUT_WITHIN))).await;
            Err(error)
        }
    }
}

/// What a tree of actors over some storage is made of.
type MakeParts = Arc<dyn Fn(&Storage, Runtime) -> NodeParts + Send + Sync>;

fn make_parts(
    settings: &Settings,
    providers: Vec<Arc<ProviderAccount>>,
    imports: Imports,
) -> MakeParts {
    let retry = RetryPolicy {
        max_attempts: settings.retry.attempts,
        first_delay: settings.retry.first_delay,
        ..RetryPolicy::default()
    };
    let receipts_come = settings.http.public_url.is_some();
    Arc::new(move |storage, runtime| NodeParts {
        store: storage.store.patient(&runtime),
        log: storage.log.patient(&runtime),
        journal: storage.journal.clone(),
        runtime,
        providers: providers.clone(),
        retry,
        receipts_come,
        read_ahead: READ_AHEAD,
        imports: imports.clone(),
    })
}

impl Journals {
    /// Starts the actors: where the journals are on servers, once it is this node's turn.
    async fn begin(
        self,
        runtime: &Runtime,
        #[cfg_attr(not(feature = "cluster"), expect(unused_variables))] ownership: &Ownership,
        make: MakeParts,
        #[cfg_attr(not(feature = "cluster"), expect(unused_variables))] stop: Pin<
            &mut impl Future<Output = ()>,
        >,
    ) -> Result<Trees, StartError> {
        match self {
            Self::Here(storage) => {
                let node = Node::start(make(&storage, runtime.clone())).await?;
                Ok(Trees::Here(Box::new((node, *storage))))
            }
            #[cfg(feature = "cluster")]
            Self::OnServers(shared) => {
                let ranges = Ranges::begin(&shared, runtime, ownership, make, stop);
                Ok(Trees::OnServers(ranges.await?))
            }
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
        match &mut self.trees {
            Trees::Here(here) => here.0.failed().await,
            #[cfg(feature = "cluster")]
            Trees::OnServers(ranges) => ranges.failed().await,
        }
    }

    /// Closes the doors, lets what is in flight end, and writes a checkpoint.
    ///
    /// # Errors
    /// [`DrainError`].
    pub async fn stop(self) -> Result<(), DrainError> {
        let _folder = self.doors.shut().await;
        match self.trees {
            Trees::Here(here) => {
                let (node, storage) = *here;
                let drained = node.drain().await;
                drop(storage);
                drained
            }
            #[cfg(feature = "cluster")]
            Trees::OnServers(ranges) => ranges.stop().await.map_err(|error| match error {
                RangeError::Drain(error) => error,
                error @ (RangeError::Start(_) | RangeError::Failed(_)) => {
                    DrainError::Failed(error.to_string())
                }
            }),
        }
    }
}
