//! The node that serves a data folder, asked in place of the folder: with the root key
//! that it wrote there.

use engine::client::{ClientError, NodeClient, RootKeyFile};
use engine::settings::Settings;
use engine::store::{OpenError, StoreError};

use crate::exit::Exit;
use crate::node::exit_of_open;

/// What went wrong, and what the process ends with.
pub(super) struct Failed {
    pub(super) message: String,
    pub(super) exit: Exit,
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        let is_away = matches!(error, StoreError::Unavailable { .. });
        Self {
            message: error.to_string(),
            exit: if is_away {
                Exit::Unreachable
            } else {
                Exit::Failure
            },
        }
    }
}

impl From<OpenError> for Failed {
    fn from(error: OpenError) -> Self {
        Self {
            exit: exit_of_open(&error),
            message: error.to_string(),
        }
    }
}

impl From<ClientError> for Failed {
    fn from(error: ClientError) -> Self {
        let exit = match &error {
            ClientError::Unreachable { .. } | ClientError::NotUnderstood { .. } => {
                Exit::Unreachable
            }
            ClientError::Refused(_) => Exit::Failure,
        };
        Self {
            message: error.to_string(),
            exit,
        }
    }
}

/// The node that serves the folder, which `in_use` says is in use.
pub(super) fn serving_node(
    settings: &Settings,
    in_use: &dyn std::fmt::Display,
) -> Result<NodeClient, Failed> {
    let file = RootKeyFile::read(&settings.node.data).map_err(|cause| Failed {
        message: format!("{in_use}; its root.key cannot be read: {cause}"),
        exit: Exit::DataFolderInUse,
    })?;
    Ok(NodeClient::new(&file.url, file.key)?)
}
