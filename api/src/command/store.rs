//! `volley store export` and `volley store import`: a folder that nobody serves becomes a file,
//! and the file becomes rows and records on servers.

use std::path::PathBuf;

use clap::Subcommand;
#[cfg(feature = "cluster")]
use engine::log::LogError;
#[cfg(feature = "cluster")]
use engine::storage::Servers;
use engine::store::{OpenError, StoreError};
use engine::transfer::{self, Counts, TransferError};

use super::serving::Failed;
#[cfg(feature = "cluster")]
use super::{Ground, tell};
use super::{SettingsArguments, end, give};
use crate::exit::Exit;
use crate::node::exit_of_open;

#[derive(Debug, Subcommand)]
pub(super) enum StoreCommand {
    /// Write everything in a data folder that nobody serves to a file. The folder stays as it
    /// is; after the file was imported it must not be served any more, or people get texts twice.
    Export {
        /// The file to make. It holds people's numbers and texts.
        file: PathBuf,
        #[command(flatten)]
        settings: SettingsArguments,
    },
    /// Move what such a file holds to the servers that the settings name. Nothing may be on
    /// them, and no node may run. Broken off, it goes on when it is run again.
    #[cfg(feature = "cluster")]
    Import {
        /// What `export` made.
        file: PathBuf,
        #[command(flatten)]
        settings: SettingsArguments,
    },
}

impl From<TransferError> for Failed {
    fn from(error: TransferError) -> Self {
        let message = error.to_string();
        let exit = match error {
            TransferError::Folder(error) => exit_of_open(&OpenError::from(error)),
            TransferError::Store(StoreError::Unavailable { .. }) => Exit::Unreachable,
            #[cfg(feature = "cluster")]
            TransferError::Log(LogError::Unavailable { .. }) => Exit::Unreachable,
            TransferError::OtherPartitionCount { .. } => Exit::Settings,
            TransferError::Exists { .. }
            | TransferError::File { .. }
            | TransferError::NotAnExport { .. }
            | TransferError::Damaged { .. }
            | TransferError::Nothing { .. }
            | TransferError::ImportsUnderWay { .. }
            | TransferError::NotEmpty { .. }
            | TransferError::AnotherFile
            | TransferError::NodeRuns
            | TransferError::Differs { .. }
            | TransferError::Store(_)
            | TransferError::Log(_) => Exit::Failure,
        };
        Self { message, exit }
    }
}

pub(super) fn run(command: StoreCommand) -> Exit {
    match command {
        StoreCommand::Export { file, settings } => {
            let settings = match settings.load(None) {
                Ok(settings) => settings,
                Err(exit) => return exit,
            };
            let exported = transfer::export(&settings.node.data, &file, settings.node.partitions);
            end(exported
                .map(|counts| show("exported", &counts))
                .map_err(Failed::from))
        }
        #[cfg(feature = "cluster")]
        StoreCommand::Import { file, settings } => match Ground::of(&settings, None) {
            Ok(ground) => end(import(&ground, &file)),
            Err(exit) => exit,
        },
    }
}

#[cfg(feature = "cluster")]
fn import(ground: &Ground, file: &std::path::Path) -> Result<(), Failed> {
    let Ground {
        settings,
        tokio,
        runtime,
    } = ground;
    if !settings.is_on_servers() {
        return Err(Failed {
            message: "the settings name no servers to import into: set `cql.nodes` and \
                      `kafka.brokers`"
                .to_owned(),
            exit: Exit::Settings,
        });
    }
    let servers = Servers {
        cql: settings.cql.clone(),
        kafka: settings.kafka.clone(),
    };
    let partitions = settings.node.partitions;
    let imported = tokio.block_on(transfer::import(&servers, file, partitions, runtime))?;
    if imported.was_done {
        tell("this file was imported before: nothing was done");
    }
    show("imported", &imported.counts);
    Ok(())
}

/// One line for each table and log that has something.
fn show(what: &str, counts: &Counts) {
    for (name, count) in counts {
        give(&format!("{what} {name} {count}"));
    }
}
