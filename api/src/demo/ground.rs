//! Where a demonstration keeps everything that is on servers: a keyspace and topics of its own,
//! so that it meets nothing of a deployment that uses the same servers.

use std::path::PathBuf;

use engine::runtime::Runtime;
use engine::settings::{Settings, SettingsError};
use engine::store::cql::{self, MigrateError};

use super::folder::{Folder, FolderError};
use super::tell;
use crate::exit::Exit;

/// The servers cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum GroundError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error("{} names no servers: [cql] needs nodes, and [kafka] brokers", .0.display())]
    NoServers(PathBuf),
    #[error(transparent)]
    Tables(#[from] MigrateError),
    #[error(transparent)]
    Folder(#[from] FolderError),
}

impl GroundError {
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Settings(_) | Self::NoServers(_) => Exit::Settings,
            Self::Tables(_) => Exit::Unreachable,
            Self::Folder(_) => Exit::DataFolder,
        }
    }
}

/// Takes the servers of the plan's settings file into a node's settings, if it has one, and makes
/// what is missing there. Nothing else of the file counts: it may name a real provider.
pub(super) async fn lay(
    settings: &mut Settings,
    folder: &mut Folder,
    runtime: &Runtime,
) -> Result<(), GroundError> {
    let Some(file) = &folder.state.plan.cluster else {
        return Ok(());
    };
    let servers = Settings::load(Some(file), std::iter::empty())?;
    if !servers.is_on_servers() {
        return Err(GroundError::NoServers(file.clone()));
    }
    let ground = match &folder.state.ground {
        Some(ground) => ground.clone(),
        None => format!("demo_{:08x}", u32::from_le_bytes(runtime.random_bytes())),
    };
    (settings.cql, settings.kafka) = (servers.cql, servers.kafka);
    settings.cql.keyspace.clone_from(&ground);
    settings.kafka.prefix.clone_from(&ground);
    if folder.state.ground.is_none() {
        tell(&format!(
            "on servers: keyspace {ground} and topics {ground}.*, which stay there"
        ));
        folder.state.ground = Some(ground);
        folder.save()?;
    }
    cql::migrate(&settings.cql, runtime).await?;
    Ok(())
}
