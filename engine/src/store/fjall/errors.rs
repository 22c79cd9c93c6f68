//! What errors of the database on disk mean to people.

use std::io::ErrorKind;
use std::path::Path;

use super::super::folder::FolderError;
use super::super::kv::KvError;

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the enum is not ours and may grow"
)]
pub(super) fn kv_error(folder: &Path, error: fjall::Error) -> KvError {
    let detail = match error {
        fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error)) => {
            return io_error(folder, &error);
        }
        fjall::Error::Poisoned => {
            return KvError::Io {
                folder: folder.to_owned(),
                detail: "an earlier write failed".to_owned(),
            };
        }
        // The rest, also what later versions may add, says that a file does not hold
        // what was written to it.
        other => other.to_string(),
    };
    KvError::Damaged {
        folder: folder.to_owned(),
        detail,
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the enum is not ours and may grow"
)]
pub(super) fn io_error(folder: &Path, error: &std::io::Error) -> KvError {
    let folder = folder.to_owned();
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => KvError::DiskFull { folder },
        ErrorKind::InvalidData | ErrorKind::UnexpectedEof | ErrorKind::NotFound => {
            KvError::Damaged {
                folder,
                detail: error.to_string(),
            }
        }
        _ => KvError::Io {
            folder,
            detail: error.to_string(),
        },
    }
}

pub(super) fn folder_error(path: &Path, error: fjall::Error) -> FolderError {
    if let fjall::Error::Io(error) = error {
        return FolderError::from_io(path, error);
    }
    from_kv(path, kv_error(path, error))
}

pub(super) fn from_kv(
    #[cfg_attr(not(feature = "servers"), allow(unused_variables))] path: &Path,
    error: KvError,
) -> FolderError {
    match error {
        KvError::DiskFull { folder } => FolderError::DiskFull { folder },
        KvError::Damaged { folder, detail } => FolderError::Damaged { folder, detail },
        KvError::Io { folder, detail } => FolderError::Failed { folder, detail },
        KvError::Failed { folder } => FolderError::Failed {
            folder,
            detail: "it has failed before".to_owned(),
        },
        #[cfg(feature = "servers")]
        KvError::Servers { detail } | KvError::Away { detail } => FolderError::Failed {
            folder: path.to_owned(),
            detail,
        },
    }
}
