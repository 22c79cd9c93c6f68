//! What can go wrong with a log, in words that people can act on.

use std::path::PathBuf;

use super::{BYTES_LIMIT, Offset, RECORDS_LIMIT};
use crate::runtime::WorkLost;
use crate::store::StoreError;

/// Why the log did not do it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LogError {
    /// There is nothing at this offset yet.
    #[error("the offset lies beyond the end, {end}")]
    OffsetOutOfRange {
        /// The offset that the next record will get.
        end: Offset,
    },
    /// What was there has been deleted.
    #[error("records before offset {first} have been trimmed")]
    Trimmed {
        /// The first offset that is still there, or the end.
        first: Offset,
    },
    /// The topic has no such partition.
    #[error("the topic has no such partition")]
    UnknownPartition,
    /// An append of nothing, or more than [`RECORDS_LIMIT`] records at once.
    #[error("the number of records must be 1 to {RECORDS_LIMIT}")]
    InvalidLimit,
    /// More than [`BYTES_LIMIT`] in one append.
    #[error("an append must not be larger than {BYTES_LIMIT} bytes")]
    TooLarge,
    /// What is stored cannot be read.
    #[error("the log is damaged: {detail}")]
    Damaged {
        /// What is wrong, without any content.
        detail: String,
    },
    /// There is too little space left to take in more.
    #[error("the disk that holds {} is full: free some space", folder.display())]
    DiskFull {
        /// The data folder.
        folder: PathBuf,
    },
    /// The backend is away or too slow: it can be asked again.
    #[error("the log cannot be reached: {detail}")]
    Unavailable {
        /// What is away.
        detail: String,
    },
    /// A topic of the backend is not the one that it must be. Nothing is read from any
    /// topic or appended until that is put right.
    #[error("topic {topic}: {detail}")]
    OtherTopic {
        /// Its name in the backend.
        topic: String,
        /// What is the matter, and the cure.
        detail: String,
    },
    /// The backend failed.
    #[error("the log failed: {detail}")]
    Backend {
        /// What the backend said.
        detail: String,
    },
    /// The log was closed, or has closed itself after a failed write.
    #[error("the log is closed")]
    Closed,
}

impl From<StoreError> for LogError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::DiskFull { folder } => Self::DiskFull { folder },
            StoreError::Damaged { detail, .. } => Self::Damaged { detail },
            StoreError::OtherPartitionCount { .. } => Self::Backend {
                detail: error.to_string(),
            },
            StoreError::Unavailable { detail } => Self::Unavailable { detail },
            StoreError::Backend { detail } => Self::Backend { detail },
            StoreError::Closed => Self::Closed,
            StoreError::UnknownCursor | StoreError::InvalidRange { .. } => Self::Backend {
                detail: error.to_string(),
            },
        }
    }
}

impl From<WorkLost> for LogError {
    fn from(_: WorkLost) -> Self {
        Self::Closed
    }
}
