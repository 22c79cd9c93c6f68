//! The doors of a node: what they stand on, how they are opened and closed.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};
use actors::import::Imports;
use engine::intake::Intake;
use engine::log::Log;
use engine::provider::ProviderAccount;
use engine::runtime::Runtime;
use engine::settings::HttpSettings;
use engine::store::Store;
use metrics_exporter_prometheus::PrometheusHandle;
use schemas::{ProviderId, Secret};

use crate::admission::Admission;
use crate::auth::KeyRing;
use crate::http::routes;
use crate::observe::{describe, observe};
use crate::ownership::Ownership;

/// How long requests that are under way may take to end when the doors close.
const CLOSE_SECONDS: u64 = 10;
/// Connections of one worker that wait to be served: each holds a socket and some
/// 10 kB, so 10 MB a worker at most.
const CONNECTIONS_MAX: usize = 1_024;

/// What the doors stand on. They write to the store and the logs and command nobody.
pub struct Doors {
    /// Time, randomness and tasks.
    pub runtime: Runtime,
    /// Rows.
    pub store: Store,
    /// Logs.
    pub log: Log,
    /// Single messages.
    pub intake: Intake,
    /// Who may commit what providers bring.
    pub ownership: Ownership,
    /// The provider accounts.
    pub providers: Vec<Arc<ProviderAccount>>,
    /// The folder that uploaded files are kept in; see [`imports_folder`].
    pub imports: Imports,
    /// What opens the administration of the node.
    pub root_key: Secret,
    /// Where the metrics of this process are rendered.
    pub metrics: PrometheusHandle,
}

/// The folder of uploaded files in a data folder.
pub fn imports_folder(data: &std::path::Path) -> PathBuf {
    data.join("imports")
}

/// What handlers are given: the doors, and what serving them needs.
pub struct DoorState {
    doors: Doors,
    keys: KeyRing,
    admission: Admission,
    json_limit_bytes: usize,
    import_limit_bytes: u64,
    closing: AtomicBool,
}

impl DoorState {
    pub(crate) fn new(doors: Doors, settings: &HttpSettings) -> Self {
        Self {
            keys: KeyRing::new(doors.store.clone(), &doors.root_key),
            admission: Admission::new(settings, &doors.runtime),
            json_limit_bytes: settings.json_limit_bytes,
            import_limit_bytes: settings.import_limit_bytes,
            closing: AtomicBool::new(false),
            doors,
        }
    }

    /// Time, randomness and tasks.
    pub fn runtime(&self) -> &Runtime {
        &self.doors.runtime
    }

    /// Rows.
    pub fn store(&self) -> &Store {
        &self.doors.store
    }

    /// What the doors stand on.
    pub fn doors(&self) -> &Doors {
        &self.doors
    }

    /// Who may come in.
    pub fn keys(&self) -> &KeyRing {
        &self.keys
    }

    /// What is taken at once, and how often.
    pub fn admission(&self) -> &Admission {
        &self.admission
    }

    /// The longest JSON body, in bytes.
    pub fn json_limit_bytes(&self) -> usize {
        self.json_limit_bytes
    }

    /// The longest contacts file, in bytes.
    pub fn import_limit_bytes(&self) -> u64 {
        self.import_limit_bytes
    }

    /// Whether the node is about to stop.
    pub fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// The provider account with this id.
    pub fn provider(&self, id: ProviderId) -> Option<&Arc<ProviderAccount>> {
        self.doors.providers.iter().find(|account| account.id == id)
    }
}

/// Doors that cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenDoorsError {
    /// Another process has the port.
    #[error(
        "`http.listen`: {address} is taken by another process: stop it, or set another address"
    )]
    AddressInUse {
        /// The address that was asked for.
        address: SocketAddr,
    },
    /// The address cannot be listened on.
    #[error("`http.listen`: cannot listen on {address}: {cause}")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The folder for uploaded files cannot be made or read.
    #[error("cannot use folder {}: {cause}", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

/// Open doors.
pub struct RunningServer {
    /// Where they are; the port that was taken if port 0 was asked for.
    pub address: SocketAddr,
    handle: ServerHandle,
    state: web::Data<DoorState>,
}

impl RunningServer {
    /// What the doors are given, for those that are not HTTP.
    #[cfg(feature = "cluster")]
    pub(crate) fn state(&self) -> web::Data<DoorState> {
        self.state.clone()
    }

    /// Says that the node is about to stop: `/readyz` fails from now on.
    pub fn announce_stop(&self) {
        self.state.closing.store(true, Ordering::Relaxed);
    }

    /// Takes no new request, waits for those that are under way, at most ten seconds.
    pub async fn stop(self) {
        self.announce_stop();
        self.handle.stop(true).await;
    }
}

/// Takes the address that the settings name.
///
/// # Errors
/// [`OpenDoorsError`], which names the setting.
pub fn listen(settings: &HttpSettings) -> Result<TcpListener, OpenDoorsError> {
    TcpListener::bind(settings.listen).map_err(|cause| refused(settings, cause))
}

pub(crate) fn refused(settings: &HttpSettings, cause: io::Error) -> OpenDoorsError {
    let address = settings.listen;
    if cause.kind() == io::ErrorKind::AddrInUse {
        OpenDoorsError::AddressInUse { address }
    } else {
        OpenDoorsError::Listen { address, cause }
    }
}

/// Opens the doors on an address that was taken; serving goes on until
/// [`RunningServer::stop`]. Must be called inside a tokio runtime.
///
/// # Errors
/// [`OpenDoorsError`], which names the setting.
pub fn serve(
    doors: Doors,
    listener: TcpListener,
    settings: &HttpSettings,
) -> Result<RunningServer, OpenDoorsError> {
    prepare_imports(&doors.imports)?;
    let listen_error = |cause| refused(settings, cause);
    let address = listener.local_addr().map_err(listen_error)?;
    let runtime = doors.runtime.clone();
    describe();
    let observed = web::Data::new(runtime.clone());
    let state = web::Data::new(DoorState::new(doors, settings));
    let served = state.clone();
    let mut server = HttpServer::new(move || {
        App::new()
            .app_data(observed.clone())
            .app_data(served.clone())
            .wrap(from_fn(observe))
            .configure(routes::configure)
    })
    .disable_signals()
    .shutdown_timeout(CLOSE_SECONDS)
    .max_connections(CONNECTIONS_MAX);
    if settings.workers > 0 {
        server = server.workers(settings.workers);
    }
    let server = server.listen(listener).map_err(listen_error)?.run();
    let handle = server.handle();
    runtime.spawn_dedicated("http", async move {
        if let Err(error) = server.await {
            tracing::error!(%error, "the http server ended");
        }
    });
    Ok(RunningServer {
        address,
        handle,
        state,
    })
}

/// Makes the folder of uploaded files, and removes what a crash left half-way.
pub(crate) fn prepare_imports(imports: &Imports) -> Result<(), OpenDoorsError> {
    imports.prepare().map_err(|cause| OpenDoorsError::Folder {
        folder: imports.folder().to_owned(),
        cause,
    })
}

/// Histograms keep every sample until somebody drains them: without this, memory
/// grows with each request until the next scrape.
pub(crate) fn start_upkeep(metrics: &PrometheusHandle, runtime: &Runtime) {
    const INTERVAL: Duration = Duration::from_secs(5);
    let (clock, metrics) = (runtime.clone(), metrics.clone());
    runtime.spawn(async move {
        loop {
            clock.sleep(INTERVAL).await;
            metrics.run_upkeep();
        }
    });
}
