//! What the ports' errors become at the door.

use engine::intake::IntakeError;
use engine::journal::CommitError;
use engine::log::LogError;
use engine::runtime::WorkLost;
use engine::store::StoreError;

use crate::problem::{Problem, ProblemCode};

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::UnknownCursor => Self::new(ProblemCode::InvalidCursor),
            StoreError::DiskFull { .. } => Self::new(ProblemCode::DiskFull),
            StoreError::Unavailable { .. } | StoreError::Closed => {
                Self::new(ProblemCode::Unavailable)
            }
            StoreError::InvalidRange { .. }
            | StoreError::Damaged { .. }
            | StoreError::OtherPartitionCount { .. }
            | StoreError::Backend { .. } => Self::internal(&error),
        }
    }
}

impl From<IntakeError> for Problem {
    fn from(error: IntakeError) -> Self {
        match error {
            IntakeError::Store(error) => error.into(),
            IntakeError::Log(error) => error.into(),
        }
    }
}

impl From<CommitError> for Problem {
    fn from(error: CommitError) -> Self {
        Self::internal(&error)
    }
}

impl From<LogError> for Problem {
    fn from(error: LogError) -> Self {
        match error {
            LogError::DiskFull { .. } => Self::new(ProblemCode::DiskFull),
            LogError::Unavailable { .. } | LogError::Closed => Self::new(ProblemCode::Unavailable),
            LogError::OffsetOutOfRange { .. }
            | LogError::Trimmed { .. }
            | LogError::UnknownPartition
            | LogError::InvalidLimit
            | LogError::TooLarge
            | LogError::OtherTopic { .. }
            | LogError::Damaged { .. }
            | LogError::Backend { .. } => Self::internal(&error),
        }
    }
}

impl From<WorkLost> for Problem {
    fn from(error: WorkLost) -> Self {
        Self::internal(&error)
    }
}
