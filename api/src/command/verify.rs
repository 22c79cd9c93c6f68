//! `volley verify`: whether everything in a data folder agrees.

use clap::Args;
use engine::store::{FolderError, OpenError};
use engine::verify::{self, VerifyError};

use super::{SettingsArguments, complain, give};
use crate::exit::Exit;
use crate::node::exit_of_open;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    settings: SettingsArguments,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let settings = match arguments.settings.load(None) {
        Ok(settings) => settings,
        Err(exit) => return exit,
    };
    match verify::folder(&settings.node.data) {
        Ok(verified) => {
            give(&format!(
                "everything agrees: {} campaigns with {} recipients, {} messages, \
                 {} open attempts, {} journal records",
                verified.campaigns,
                verified.recipients,
                verified.messages,
                verified.open_attempts,
                verified.journal_records
            ));
            Exit::Success
        }
        Err(VerifyError::Differs(difference)) => {
            give(&format!("does not agree: {difference}"));
            Exit::Failure
        }
        Err(VerifyError::Folder(error @ FolderError::InUse { .. })) => {
            complain(&format!("{error}; it is verified while no node serves it"));
            Exit::DataFolderInUse
        }
        Err(VerifyError::Folder(error)) => {
            complain(&error);
            exit_of_open(&OpenError::Folder(error))
        }
        Err(VerifyError::Store(error)) => {
            complain(&error);
            exit_of_open(&OpenError::Store(error))
        }
    }
}
