//! What can go wrong with a store, in words that people can act on.

use std::path::PathBuf;

use super::kv::KvError;
use crate::runtime::WorkLost;

/// Why the store did not do it. None of them holds any stored content.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The text is not a cursor of this list.
    #[error("not a cursor of this list")]
    UnknownCursor,
    /// The key, range or limit asked for cannot be.
    #[error("invalid key or range of table {table}: {detail}")]
    InvalidRange {
        /// The table.
        table: &'static str,
        /// What is wrong with it.
        detail: &'static str,
    },
    /// What is stored cannot be read.
    #[error("{table} is damaged: {detail}")]
    Damaged {
        /// The table, or `database` when it concerns all of it.
        table: &'static str,
        /// What is wrong, without any content.
        detail: String,
    },
    /// There is too little space left to take in more.
    #[error("the disk that holds {} is full: free some space", folder.display())]
    DiskFull {
        /// The data folder.
        folder: PathBuf,
    },
    /// The folder was made with another number of partitions. Rows would stay where
    /// they are, but the journal's records and due entries would have no reader.
    #[error(
        "this data has {stored} partitions, and {asked} are set: set node.partitions = {stored}"
    )]
    OtherPartitionCount {
        /// What it was made with.
        stored: u16,
        /// What was asked for.
        asked: u16,
    },
    /// The backend is away or too slow: it can be asked again.
    #[error("the store cannot be reached: {detail}")]
    Unavailable {
        /// What is away.
        detail: String,
    },
    /// The backend failed.
    #[error("the store failed: {detail}")]
    Backend {
        /// What the backend said.
        detail: String,
    },
    /// The store was closed, or has closed itself after a failed write.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// What is stored cannot be read. `detail` holds nothing of it.
    pub fn damaged(table: &'static str, detail: impl Into<String>) -> Self {
        Self::Damaged {
            table,
            detail: detail.into(),
        }
    }
}

impl From<KvError> for StoreError {
    fn from(error: KvError) -> Self {
        match error {
            KvError::Failed { .. } => Self::Closed,
            KvError::DiskFull { folder } => Self::DiskFull { folder },
            KvError::Damaged { .. } => Self::Damaged {
                table: "database",
                detail: error.to_string(),
            },
            KvError::Io { .. } => Self::Backend {
                detail: error.to_string(),
            },
            #[cfg(feature = "servers")]
            KvError::Servers { detail } => Self::Backend { detail },
            #[cfg(feature = "servers")]
            KvError::Away { detail } => Self::Unavailable { detail },
        }
    }
}

impl From<WorkLost> for StoreError {
    fn from(_: WorkLost) -> Self {
        Self::Closed
    }
}
