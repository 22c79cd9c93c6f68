//! What a node stands on: a data folder, which is all its own, or servers, whose journals it owns
//! when it is its turn. Its doors open before that.

use std::net::TcpListener;
use std::pin::Pin;
#[cfg(feature = "cluster")]
use std::pin::pin;

use actors::import::Imports;
use engine::intake::Intake;
use engine::log::Log;
#[cfg(feature = "cluster")]
use engine::log::Nodes;
use engine::runtime::Runtime;
use engine::settings::Settings;
use engine::storage::{JournalSettings, Storage};
#[cfg(feature = "cluster")]
use engine::storage::{Servers, ServersError, Shared};
#[cfg(feature = "cluster")]
use engine::store::ServedFolder;
use engine::store::{OpenError, Store};
#[cfg(feature = "cluster")]
use futures::future::{Either, select};
use metrics_exporter_prometheus::PrometheusHandle;

#[cfg(feature = "cluster")]
use crate::connecting::ConnectingDoors;
#[cfg(feature = "cluster")]
use crate::doors::refused;
use crate::doors::{imports_folder, listen};
#[cfg(feature = "cluster")]
use crate::ingress::Share;
use crate::node::StartError;
use crate::ownership::Ownership;

/// What the doors need, whoever owns the journals.
pub(super) struct Ground {
    pub(super) store: Store,
    pub(super) log: Log,
    pub(super) intake: Intake,
    pub(super) ownership: Ownership,
    pub(super) imports: Imports,
    pub(super) listener: TcpListener,
    /// The nodes that share what comes from Kafka; `None` where this one reads all.
    #[cfg(feature = "cluster")]
    pub(super) share: Option<Share>,
    /// What keeps other processes out of the folder as long as it is held. On servers that holds what
    /// is this node's alone: its root key, and uploaded files until they are read; storage in a
    /// folder keeps others out itself.
    pub(super) held: Held,
}

/// See [`Ground::held`].
#[cfg(feature = "cluster")]
pub(super) type Held = Option<ServedFolder>;
/// See [`Ground::held`].
#[cfg(not(feature = "cluster"))]
pub(super) type Held = ();

/// Where the journals are.
pub(super) enum Journals {
    /// In the node's folder: it owns them.
    Here(Box<Storage>),
    /// On servers.
    #[cfg(feature = "cluster")]
    OnServers(Box<Shared>),
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
        owners: settings.kafka.owners,
        trim: settings.journal.trim,
    }
}

impl Ground {
    /// Opens the node's folder, or connects to its servers, unless it is stopped before.
    pub(super) async fn open(
        settings: &Settings,
        runtime: &Runtime,
        #[cfg_attr(not(feature = "cluster"), expect(unused_variables))] metrics: &PrometheusHandle,
        #[cfg_attr(not(feature = "cluster"), expect(unused_variables))] stop: Pin<
            &mut impl Future<Output = ()>,
        >,
    ) -> Result<(Self, Journals), StartError> {
        #[cfg(feature = "cluster")]
        if settings.is_on_servers() {
            return Self::on_servers(settings, runtime, metrics, stop).await;
        }
        let (opener, opened) = (runtime.clone(), settings.clone());
        let open = move || open_storage(&opened, &opener);
        let storage = runtime.blocking(open).await??;
        let ground = Self {
            store: storage.store.clone(),
            log: storage.log.clone(),
            intake: storage.intake.clone(),
            ownership: Ownership::of(&storage),
            imports: Imports::own(imports_folder(&settings.node.data)),
            listener: listen(&settings.http)?,
            #[cfg(feature = "cluster")]
            share: None,
            held: Held::default(),
        };
        Ok((ground, Journals::Here(Box::new(storage))))
    }

    /// Connects, with doors that say so.
    #[cfg(feature = "cluster")]
    async fn on_servers(
        settings: &Settings,
        runtime: &Runtime,
        metrics: &PrometheusHandle,
        stop: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<(Self, Journals), StartError> {
        let folder = settings.node.data.clone();
        let served = move || ServedFolder::open(&folder);
        let served = runtime.blocking(served).await?.map_err(OpenError::from)?;
        let listener = listen(&settings.http)?;
        let nodes = Nodes::with(runtime);
        let share = Share::new(nodes.this.clone(), nodes.all.subscribe());
        let doors = |cause| refused(&settings.http, cause);
        let connecting = ConnectingDoors::open(&listener, runtime, metrics).map_err(doors)?;
        let servers = Servers {
            cql: settings.cql.clone(),
            kafka: settings.kafka.clone(),
        };
        let connected = servers.connect(nodes, runtime, journal_settings(settings));
        let connected = unless_stopped(connected, stop).await;
        connecting.close().await;
        let shared = connected?;
        let ground = Self {
            store: shared.store.clone(),
            log: shared.log.clone(),
            intake: shared.intake.clone(),
            ownership: Ownership::awaited(settings.node.partitions, settings.kafka.owners),
            imports: Imports::shared(imports_folder(&settings.node.data)),
            listener,
            share: Some(share),
            held: Some(served),
        };
        Ok((ground, Journals::OnServers(Box::new(shared))))
    }
}

/// What something comes to, unless the node is stopped before.
#[cfg(feature = "cluster")]
async fn unless_stopped<T>(
    work: impl Future<Output = Result<T, ServersError>>,
    stop: Pin<&mut impl Future<Output = ()>>,
) -> Result<T, StartError> {
    match select(pin!(work), stop).await {
        Either::Left((done, _)) => Ok(done?),
        Either::Right(_) => Err(StartError::Stopped),
    }
}
