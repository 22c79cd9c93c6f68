//! The doors of a node, open: HTTP, Kafka where the settings name brokers, and the file that says
//! to people on its machine where they are.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use engine::client::RootKeyFile;
use engine::provider::ProviderAccount;
use engine::runtime::Runtime;
use engine::settings::Settings;
use metrics_exporter_prometheus::PrometheusHandle;
use schemas::Secret;
#[cfg(feature = "cluster")]
use tokio::sync::oneshot;

use super::StartError;
use super::ground::{Ground, Held};
use crate::auth::new_secret;
use crate::doors::{Doors, RunningServer, serve};
#[cfg(feature = "cluster")]
use crate::ingress::{Ingress, Share};

/// Open doors.
pub(super) struct OpenDoors {
    /// Where they are.
    pub(super) address: SocketAddr,
    /// What opens the administration of the node.
    pub(super) root_key: Secret,
    /// The data folder, where that is written.
    folder: PathBuf,
    held: Held,
    server: RunningServer,
    /// Tells when the door to Kafka is shut.
    #[cfg(feature = "cluster")]
    ingress: Option<oneshot::Receiver<()>>,
}

impl OpenDoors {
    /// Opens them.
    pub(super) async fn open(
        settings: &Settings,
        runtime: &Runtime,
        ground: Ground,
        providers: Vec<Arc<ProviderAccount>>,
        metrics: PrometheusHandle,
    ) -> Result<Self, StartError> {
        let root_key = new_secret(runtime);
        let doors = Doors {
            runtime: runtime.clone(),
            store: ground.store,
            log: ground.log,
            intake: ground.intake,
            ownership: ground.ownership,
            providers,
            imports: ground.imports,
            root_key: root_key.clone(),
            metrics,
        };
        let server = serve(doors, ground.listener, &settings.http)?;
        #[cfg_attr(not(feature = "cluster"), expect(unused_mut))]
        let mut opened = Self {
            address: server.address,
            root_key,
            folder: settings.node.data.clone(),
            held: ground.held,
            #[cfg(feature = "cluster")]
            ingress: None,
            server,
        };
        let written = opened.write_root_key();
        #[cfg(feature = "cluster")]
        let written = written.and_then(|()| {
            opened.ingress = open_ingress(settings, runtime, &opened.server, ground.share)?;
            Ok(())
        });
        match written {
            Ok(()) => Ok(opened),
            Err(error) => {
                opened.shut().await;
                Err(error)
            }
        }
    }

    fn write_root_key(&self) -> Result<(), StartError> {
        let file = RootKeyFile {
            key: self.root_key.clone(),
            url: format!("http://{}", reachable(self.address)),
        };
        file.write(&self.folder)
            .map_err(|cause| StartError::RootKey {
                folder: self.folder.clone(),
                cause,
            })
    }

    /// Takes nothing more in, and waits for what is under way. What it gives back keeps others out
    /// of the folder.
    pub(super) async fn shut(self) -> Held {
        #[cfg(feature = "cluster")]
        if let Some(ended) = self.ingress {
            self.server.announce_stop();
            // It ends without a word only if it panicked.
            let _ = ended.await;
        }
        self.server.stop().await;
        if let Err(error) = RootKeyFile::remove(&self.folder) {
            tracing::warn!(%error, "root.key cannot be removed");
        }
        self.held
    }
}

/// Opens the door to Kafka, if the settings name brokers. They may be down just now.
#[cfg(feature = "cluster")]
fn open_ingress(
    settings: &Settings,
    runtime: &Runtime,
    server: &RunningServer,
    share: Option<Share>,
) -> Result<Option<oneshot::Receiver<()>>, StartError> {
    if settings.kafka.brokers.is_none() {
        return Ok(None);
    }
    let ingress = Ingress::new(&settings.kafka, server.state(), share)?;
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
