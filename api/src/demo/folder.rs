//! The folder of a demonstration: what is in it, how far it has come, and whether it
//! stays.
//!
//! | in it | what |
//! |---|---|
//! | `demo.json` | the plan, and the ids of what was made |
//! | `contacts.csv` | the contacts that were imported |
//! | `rejects.csv` | the records that were refused |
//! | `node/` | the node's data |
//! | `sandbox/` | the sandbox's book |

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use engine::runtime::Runtime;
use schemas::{AccountId, CampaignId, JobId, ListId};
use serde::{Deserialize, Serialize};

use super::options::{DemoArguments, Plan};

const STATE: &str = "demo.json";
/// The version of [`State`].
const FORMAT: u32 = 1;

/// How far a demonstration is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct State {
    format: u32,
    pub(super) plan: Plan,
    /// Whether `contacts.csv` is whole.
    pub(super) contacts_ready: bool,
    /// Where the node listened last: receipts under way are sent there.
    pub(super) address: Option<SocketAddr>,
    pub(super) account: Option<AccountId>,
    /// The list, and the job that imports into it.
    pub(super) import: Option<(ListId, JobId)>,
    pub(super) campaign: Option<CampaignId>,
    /// What the names of its keyspace and topics end with, where everything is on servers.
    #[serde(default)]
    pub(super) ground: Option<String>,
    /// How often a node was started on it.
    pub(super) starts: u32,
    /// How often it was stopped in good order.
    pub(super) stops: u32,
}

impl State {
    /// How often the node was killed.
    pub(super) fn kills(&self) -> u32 {
        self.starts.saturating_sub(self.stops).saturating_sub(1)
    }
}

/// The folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum FolderError {
    #[error("folder {}: {cause}", folder.display())]
    Io {
        folder: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("folder {} holds other things: name an empty one, or one of a demonstration", .0.display())]
    Foreign(PathBuf),
    #[error("{STATE} in folder {} cannot be read: {cause}; delete the folder to begin anew", folder.display())]
    State {
        folder: PathBuf,
        #[source]
        cause: serde_json::Error,
    },
    #[error("folder {} is of another version of volley ({STATE} has format {format})", folder.display())]
    Format { folder: PathBuf, format: u32 },
    #[error("cannot copy the contacts {}: {cause}", file.display())]
    Contacts {
        file: PathBuf,
        #[source]
        cause: io::Error,
    },
}

/// An open folder.
pub(super) struct Folder {
    pub(super) path: PathBuf,
    pub(super) state: State,
    /// Whether the user asked to keep it.
    pub(super) asked_for: bool,
    /// Whether a demonstration in it goes on.
    pub(super) goes_on: bool,
}

impl Folder {
    /// Opens the folder asked for, or makes one under the working directory.
    pub(super) fn open(arguments: &DemoArguments, runtime: &Runtime) -> Result<Self, FolderError> {
        let asked_for = arguments.data.is_some();
        let path = arguments.data.clone().unwrap_or_else(|| {
            let name = u32::from_le_bytes(runtime.random_bytes());
            PathBuf::from(format!("volley-demo-{name:08x}"))
        });
        let io_error = |cause| FolderError::Io {
            folder: path.clone(),
            cause,
        };
        fs::create_dir_all(&path).map_err(io_error)?;
        let path = path.canonicalize().map_err(io_error)?;
        let io_error = |cause| FolderError::Io {
            folder: path.clone(),
            cause,
        };
        let kept = match fs::read(path.join(STATE)) {
            Ok(text) => Some(read_state(&path, &text)?),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => None,
            Err(cause) => return Err(io_error(cause)),
        };
        let goes_on = kept.is_some();
        if !goes_on && fs::read_dir(&path).map_err(io_error)?.next().is_some() {
            return Err(FolderError::Foreign(path));
        }
        let state = kept.unwrap_or_else(|| State {
            format: FORMAT,
            plan: Plan::of(arguments),
            contacts_ready: false,
            address: None,
            account: None,
            import: None,
            campaign: None,
            ground: None,
            starts: 0,
            stops: 0,
        });
        let folder = Self {
            path,
            state,
            asked_for,
            goes_on,
        };
        folder.save()?;
        Ok(folder)
    }

    /// Writes the state down, in one piece.
    pub(super) fn save(&self) -> Result<(), FolderError> {
        let io_error = |cause| FolderError::Io {
            folder: self.path.clone(),
            cause,
        };
        let text = serde_json::to_vec_pretty(&self.state).map_err(|cause| FolderError::State {
            folder: self.path.clone(),
            cause,
        })?;
        let unfinished = self.path.join("demo.json.part");
        fs::write(&unfinished, text).map_err(io_error)?;
        fs::rename(unfinished, self.path.join(STATE)).map_err(io_error)
    }

    /// Copies the user's own contacts in: what is judged is then what was sent, even if
    /// the file changes meanwhile.
    pub(super) fn copy_contacts(&self, file: &Path) -> Result<(), FolderError> {
        let copied = fs::copy(file, self.contacts());
        copied.map(|_| ()).map_err(|cause| FolderError::Contacts {
            file: file.to_owned(),
            cause,
        })
    }

    pub(super) fn contacts(&self) -> PathBuf {
        self.path.join("contacts.csv")
    }

    pub(super) fn node(&self) -> PathBuf {
        self.path.join("node")
    }

    pub(super) fn sandbox(&self) -> PathBuf {
        self.path.join("sandbox")
    }

    /// Where refused records are told: with the user's own contacts beside the folder,
    /// so that it stays when the folder goes.
    pub(super) fn rejects(&self) -> PathBuf {
        if self.asked_for || self.state.plan.contacts.is_none() {
            return self.path.join("rejects.csv");
        }
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push("-rejects.csv");
        self.path.with_file_name(name)
    }

    /// Whether nothing is in it that could go on.
    pub(super) fn is_unused(&self) -> bool {
        !self.asked_for && !self.state.contacts_ready
    }

    pub(super) fn remove(&self) -> Result<(), FolderError> {
        let io_error = |cause| FolderError::Io {
            folder: self.path.clone(),
            cause,
        };
        fs::remove_dir_all(&self.path).map_err(io_error)
    }
}

fn read_state(folder: &Path, text: &[u8]) -> Result<State, FolderError> {
    #[derive(Deserialize)]
    struct Version {
        format: u32,
    }
    let wrong = |cause| FolderError::State {
        folder: folder.to_owned(),
        cause,
    };
    let Version { format } = serde_json::from_slice(text).map_err(wrong)?;
    if format != FORMAT {
        return Err(FolderError::Format {
            folder: folder.to_owned(),
            format,
        });
    }
    serde_json::from_slice(text).map_err(wrong)
}
