//! The data folder: whose it is, which version wrote it, and that one process has it.
//!
//! A folder of ours holds the file `volley-data` with the version of its format, the
//! file `lock`, the database in `db`, and `commits` (see [`super::commit_record`]). The marker is written before the database
//! and says `creating` until that is complete, so a creation that was cut off is
//! begun again, and a database whose files went missing is never taken for a new one.
//! A folder that is not ours, or that a newer release wrote, is left as it is.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "the wildcards are over other crates' growing enums"
)]

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

/// The version of the format that this release reads and writes.
const VERSION: u32 = 1;

const MARKER: &str = "volley-data";
/// What the marker says where the messages are on servers.
const ON_SERVERS: &str = "volley on servers 1\n";
const MARKER_BEING_WRITTEN: &str = "volley-data.new";
pub(super) const LOCK: &str = "lock";
const DATABASE: &str = "db";
/// The file without which fjall takes a folder for a new one.
const DATABASE_MARKER: &str = "version";

/// Why a data folder cannot be opened. Each names the folder and the cure.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It holds something else.
    #[error("{} holds files but no data of volley: name an empty or new folder", folder.display())]
    Foreign {
        /// The folder.
        folder: PathBuf,
    },
    /// Another process has it open.
    #[error(
        "{} is in use by {}: stop that process or name another folder",
        folder.display(),
        holder.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}")),
    )]
    InUse {
        /// The folder.
        folder: PathBuf,
        /// The id of the process that has it, where it could be read.
        holder: Option<u32>,
    },
    /// A newer release wrote it.
    #[error(
        "{} has data version {found} and this release reads up to {VERSION}: use the newer release",
        folder.display(),
    )]
    NewerVersion {
        /// The folder.
        folder: PathBuf,
        /// Its version.
        found: u32,
    },
    /// A node used it whose messages are on servers.
    #[error(
        "the messages of the node in {} are on servers: give its settings too, with [cql] and [kafka]",
        folder.display(),
    )]
    OnServers {
        /// The folder.
        folder: PathBuf,
    },
    /// Messages are in it, and the settings say that they are on servers.
    #[error(
        "{} holds messages, which a node on servers would leave behind: name another folder, or \
         take [cql] and [kafka] out of the settings",
        folder.display(),
    )]
    HoldsMessages {
        /// The folder.
        folder: PathBuf,
    },
    /// Files are missing or do not hold what was written to them.
    #[error("the data in {} is damaged ({detail}): restore the folder from a copy", folder.display())]
    Damaged {
        /// The folder.
        folder: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// We may not write there.
    #[error("{} cannot be written to: change its permissions or name another folder", folder.display())]
    NotWritable {
        /// The folder.
        folder: PathBuf,
    },
    /// Its path leads to or through a file.
    #[error("{} is not a folder: name a folder", folder.display())]
    NotAFolder {
        /// The path.
        folder: PathBuf,
    },
    /// No space left.
    #[error("the disk that holds {} is full: free some space", folder.display())]
    DiskFull {
        /// The folder.
        folder: PathBuf,
    },
    /// The disk failed in another way.
    #[error("{} cannot be opened ({detail}): check the disk or name another folder", folder.display())]
    Failed {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        detail: String,
    },
}

impl FolderError {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the enum is not ours and may grow"
    )]
    pub(crate) fn from_io(folder: &Path, error: io::Error) -> Self {
        let folder = folder.to_owned();
        match error.kind() {
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                Self::NotWritable { folder }
            }
            ErrorKind::NotADirectory | ErrorKind::AlreadyExists => Self::NotAFolder { folder },
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::DiskFull { folder },
            ErrorKind::InvalidData | ErrorKind::UnexpectedEof | ErrorKind::NotFound => {
                Self::Damaged {
                    folder,
                    detail: error.to_string(),
                }
            }
            _ => Self::Failed {
                folder,
                detail: error.to_string(),
            },
        }
    }
}

/// An open data folder. Other processes cannot open it until this is dropped.
#[derive(Debug)]
pub(crate) struct DataFolder {
    path: PathBuf,
    /// The system releases the lock when the file is closed, also by a kill.
    _lock: File,
}

/// What the marker says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Marker {
    Absent,
    Creating,
    Complete,
}

/// The folder of a node whose messages are on servers: it holds what is this node's alone. Other
/// processes cannot open it until this is dropped.
#[cfg(feature = "cluster")]
#[derive(Debug)]
pub struct ServedFolder {
    _lock: File,
}

#[cfg(feature = "cluster")]
impl ServedFolder {
    /// Opens the folder, or creates it where there is none, and locks it.
    ///
    /// # Errors
    /// [`FolderError`], which names the folder and the cure.
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        let failed = |error| FolderError::from_io(path, error);
        fs::create_dir_all(path).map_err(failed)?;
        let marker = path.join(MARKER);
        if !is_on_servers(path)? {
            if marker.exists() {
                return Err(FolderError::HoldsMessages {
                    folder: path.to_owned(),
                });
            }
            empty(path)?;
        }
        let held = Self { _lock: lock(path)? };
        fs::write(marker, ON_SERVERS).map_err(failed)?;
        Ok(held)
    }
}

/// Whether the folder is that of a node whose messages are on servers.
fn is_on_servers(path: &Path) -> Result<bool, FolderError> {
    match fs::read(path.join(MARKER)) {
        Ok(bytes) => Ok(bytes == ON_SERVERS.as_bytes()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(FolderError::from_io(path, error)),
    }
}

impl DataFolder {
    /// Opens the folder, or creates it where there is none, and locks it. Once the
    /// database is open, [`DataFolder::created`] is due.
    pub(crate) fn open(path: &Path) -> Result<Self, FolderError> {
        fs::create_dir_all(path).map_err(|error| FolderError::from_io(path, error))?;
        if is_on_servers(path)? {
            lock(path)?;
            return Err(FolderError::OnServers {
                folder: path.to_owned(),
            });
        }
        // A foreign folder must not even get a lock file.
        read_marker(path)?;
        let folder = Self {
            path: path.to_owned(),
            _lock: lock(path)?,
        };
        // Another process may have created it, or be gone, since we looked.
        let database = folder.database_path();
        match read_marker(path)? {
            Marker::Complete if database.join(DATABASE_MARKER).is_file() => {}
            Marker::Complete => {
                return Err(FolderError::Damaged {
                    folder: folder.path,
                    detail: format!("{DATABASE}/{DATABASE_MARKER} is missing"),
                });
            }
            Marker::Absent => folder.write_marker(Marker::Creating)?,
            Marker::Creating => match fs::remove_dir_all(&database) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(FolderError::from_io(path, error));
                }
                // Nothing was stored in it yet: a creation was cut off.
                _ => {}
            },
        }
        Ok(folder)
    }

    /// The database was opened: from now on its files must be there.
    pub(crate) fn created(&self) -> Result<(), FolderError> {
        match read_marker(&self.path)? {
            Marker::Complete => Ok(()),
            Marker::Absent | Marker::Creating => self.write_marker(Marker::Complete),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn database_path(&self) -> PathBuf {
        self.path.join(DATABASE)
    }

    /// Replaces the marker at once or not at all, and durably.
    fn write_marker(&self, marker: Marker) -> Result<(), FolderError> {
        let text = match marker {
            Marker::Complete => format!("volley data {VERSION}\n"),
            Marker::Absent | Marker::Creating => format!("volley data {VERSION} creating\n"),
        };
        let write = || {
            let new = self.path.join(MARKER_BEING_WRITTEN);
            let mut file = File::create(&new)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, self.path.join(MARKER))?;
            File::open(&self.path)?.sync_all()
        };
        write().map_err(|error| FolderError::from_io(&self.path, error))
    }
}

/// Reads the marker; without one, the folder must be empty but for what a creation
/// that was cut off leaves.
pub(super) fn read_marker(path: &Path) -> Result<Marker, FolderError> {
    let damaged = |detail: &str| FolderError::Damaged {
        folder: path.to_owned(),
        detail: detail.to_owned(),
    };
    let text = match fs::read(path.join(MARKER)) {
        Ok(bytes) => String::from_utf8(bytes).map_err(|_| damaged("its marker is not text"))?,
        Err(error) if error.kind() == ErrorKind::NotFound => return empty(path),
        Err(error) => return Err(FolderError::from_io(path, error)),
    };
    let mut words = text.split_whitespace();
    let ours = words.next() == Some("volley") && words.next() == Some("data");
    let version: Option<u32> = words.next().and_then(|word| word.parse().ok());
    match (ours, version, words.next()) {
        (true, Some(found), _) if found > VERSION => Err(FolderError::NewerVersion {
            folder: path.to_owned(),
            found,
        }),
        (true, Some(VERSION), None) => Ok(Marker::Complete),
        (true, Some(VERSION), Some("creating")) => Ok(Marker::Creating),
        _ => Err(damaged("its marker cannot be read")),
    }
}

fn empty(path: &Path) -> Result<Marker, FolderError> {
    let failed = |error| FolderError::from_io(path, error);
    for entry in fs::read_dir(path).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        // `lost+found` is what a fresh disk of its own holds.
        if ![LOCK, MARKER_BEING_WRITTEN, "lost+found"]
            .iter()
            .any(|known| name == *known)
        {
            return Err(FolderError::Foreign {
                folder: path.to_owned(),
            });
        }
    }
    Ok(Marker::Absent)
}

/// Takes the lock and leaves our process id in it, for the error of the next one.
fn lock(path: &Path) -> Result<File, FolderError> {
    let failed = |error| FolderError::from_io(path, error);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path.join(LOCK))
        .map_err(failed)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut text = String::new();
            // Without a readable id the error just names nobody.
            let _ = file.read_to_string(&mut text);
            return Err(FolderError::InUse {
                folder: path.to_owned(),
                holder: text.trim().parse().ok(),
            });
        }
        Err(error) => return Err(failed(error.into())),
    }
    let write = |file: &mut File| {
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())
    };
    write(&mut file).map_err(failed)?;
    Ok(file)
}
