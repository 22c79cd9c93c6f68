//! `volley verify`: whether everything in a data folder agrees. A folder that nobody
//! serves is opened; else the node that does is asked, with the root key in the folder.

use clap::Args;
use engine::client::ClientError;
use engine::settings::Settings;
use engine::store::{FolderError, OpenError};
use engine::verify::{self, Difference, Verified, VerifyError};
use schemas::http::verifications::VerificationBody;

use super::serving::{Failed, serving_node};
use super::{SettingsArguments, complain, give, tokio_runtime};
use crate::exit::Exit;
use crate::node::exit_of_open;
use crate::problem::ProblemCode;

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
    let found = match verify::folder(&settings.node.data) {
        Err(VerifyError::Folder(error @ FolderError::InUse { .. })) => {
            let tokio = match tokio_runtime() {
                Ok(tokio) => tokio,
                Err(exit) => return exit,
            };
            tokio.block_on(ask(&settings, &error))
        }
        verified => found_in_folder(verified),
    };
    match found {
        Ok(Ok(verified)) => {
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
        Ok(Err(difference)) => {
            give(&format!("does not agree: {difference}"));
            Exit::Failure
        }
        Err(failed) => {
            complain(&failed.message);
            failed.exit
        }
    }
}

/// What agrees, or the first difference.
type Found = Result<Verified, Difference>;

fn found_in_folder(verified: Result<Verified, VerifyError>) -> Result<Found, Failed> {
    let error = match verified {
        Ok(verified) => return Ok(Ok(verified)),
        Err(VerifyError::Differs(difference)) => return Ok(Err(difference)),
        Err(VerifyError::Folder(error)) => OpenError::Folder(error),
        Err(VerifyError::Store(error)) => OpenError::Store(error),
    };
    Err(Failed {
        message: error.to_string(),
        exit: exit_of_open(&error),
    })
}

async fn ask(settings: &Settings, in_use: &FolderError) -> Result<Found, Failed> {
    let client = serving_node(settings, in_use)?;
    client.verify().await.map(found_by_node).map_err(|error| {
        let refused = exit_of_refusal(&error);
        let failed = Failed::from(error);
        let exit = refused.unwrap_or(failed.exit);
        Failed { exit, ..failed }
    })
}

fn found_by_node(body: VerificationBody) -> Found {
    match body.difference {
        Some(difference) => Err(Difference {
            subject: difference.subject,
            detail: difference.detail,
        }),
        None => Ok(Verified {
            campaigns: body.campaigns,
            recipients: body.recipients,
            messages: body.messages,
            open_attempts: body.open_attempts,
            journal_records: body.journal_records,
        }),
    }
}

/// What a node's refusal ends with. It must not be taken for a difference.
fn exit_of_refusal(error: &ClientError) -> Option<Exit> {
    match error {
        ClientError::Refused(problem) if problem.code == ProblemCode::Damaged.as_str() => {
            Some(Exit::DataFolder)
        }
        ClientError::Refused(_) => Some(Exit::DataFolderInUse),
        ClientError::Unreachable { .. } | ClientError::NotUnderstood { .. } => None,
    }
}
