//! Jobs that run in the background, such as imports: what was asked for, how far it
//! is, and what was rejected.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::id::{AccountId, JobId, ListId};
use crate::position::Sequence;
use crate::record::{Key, KeyPart, Projection, Record, Table, WriteOnce, tables};
use crate::slice::{Partition, PartitionRange};
use crate::time::UnixMicros;

/// What was asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// Who asked.
    pub account: AccountId,
    /// Its id.
    pub id: JobId,
    /// The work itself.
    pub work: JobWork,
    /// When it was asked for.
    pub created_at: UnixMicros,
}

/// The kinds of jobs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobWork {
    /// Contacts from an uploaded file into a list.
    ImportContacts {
        /// Where to.
        list: ListId,
        /// Region of numbers in national form, such as `ET`.
        default_region: Option<String>,
        /// The column of the number, where it has an unusual name.
        phone_column: Option<String>,
    },
}

impl Job {
    /// The key of one job.
    pub fn key_of(account: AccountId, id: JobId) -> Key {
        vec![
            KeyPart::Id(*account.as_bytes()),
            KeyPart::Id(*id.as_bytes()),
        ]
    }
}

impl Record for Job {
    type Writing = WriteOnce;
    const TABLE: Table = tables::JOBS;

    fn key(&self) -> Key {
        Self::key_of(self.account, self.id)
    }
}

/// Bytes of a piece of a file: far below what a server takes in one row. Each lies by itself, so
/// that some can be written at once: conditional writes into one partition wait for each other.
pub const PIECE_BYTES: usize = 256 * 1_024;

/// A piece of a job's file, for nodes that have not got it on their disks. The last one is shorter
/// than [`PIECE_BYTES`], or empty.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobFilePiece {
    /// The job.
    pub job: JobId,
    /// Its number, from 0.
    pub piece: u32,
    /// What is in it.
    #[serde(with = "serde_bytes")]
    pub bytes: Vec<u8>,
}

/// People's numbers are in it.
impl std::fmt::Debug for JobFilePiece {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { job, piece, bytes } = self;
        write!(formatter, "piece {piece} of {job}, {} bytes", bytes.len())
    }
}

impl JobFilePiece {
    /// The key of one piece.
    pub fn key_of(job: JobId, piece: u32) -> Key {
        vec![KeyPart::Id(*job.as_bytes()), KeyPart::U64(u64::from(piece))]
    }
}

impl Record for JobFilePiece {
    type Writing = WriteOnce;
    const TABLE: Table = tables::JOB_FILES;

    fn key(&self) -> Key {
        Self::key_of(self.job, self.piece)
    }
}

/// Where a job stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Not begun yet.
    Pending,
    /// Under way.
    Running,
    /// Done; single records may have been rejected.
    Completed,
    /// Ended by an error that concerns the whole of it.
    Failed,
}

/// How far the owner of some partitions is with its part of a job: the records of people who are
/// there. total = contacts + merged + rejected.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct JobProgress {
    /// The job.
    pub job: JobId,
    /// Where that owner keeps it.
    #[serde(default)]
    pub partition: Partition,
    /// Where it stands.
    pub state: JobState,
    /// Records read.
    pub records: u64,
    /// Records that put a number on the list.
    pub contacts: u64,
    /// Records whose number was on the list already; their fields were taken over.
    pub merged: u64,
    /// Records that were refused; see [`JobReject`].
    pub rejected: u64,
    /// Where to go on reading, as the reader of the file wrote it down.
    pub resume: Option<ImportPosition>,
    /// Why the whole of it failed.
    pub error: Option<String>,
    /// When this row last changed.
    pub updated_at: UnixMicros,
    /// The journal sequence that this row includes.
    pub sequence: Sequence,
}

/// A place in an imported file, between two records.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ImportPosition {
    /// Bytes before it.
    pub byte: u64,
    /// The physical line it lies on, from 1.
    pub line: u64,
    /// Records before it.
    pub records: u64,
}

impl JobProgress {
    /// The key of one owner's part.
    pub fn key_of(job: JobId, range: PartitionRange) -> Key {
        let mut key = Self::partition_key(job);
        key.push(KeyPart::U16(range.home_of(job.as_bytes()).0));
        key
    }

    /// What the keys of all parts begin with.
    pub fn partition_key(job: JobId) -> Key {
        vec![KeyPart::Id(*job.as_bytes())]
    }

    /// A whole job, of the parts that have begun of so many; `None` before the first.
    pub fn whole(parts: impl IntoIterator<Item = Self>, of: u16) -> Option<Self> {
        let (mut whole, mut completed) = (None::<Self>, 0);
        for part in parts {
            completed += u16::from(part.state == JobState::Completed);
            let Some(whole) = &mut whole else {
                whole = Some(part);
                continue;
            };
            whole.records += part.records;
            whole.contacts += part.contacts;
            whole.merged += part.merged;
            whole.rejected += part.rejected;
            whole.updated_at = whole.updated_at.max(part.updated_at);
            if part.state == JobState::Failed {
                (whole.state, whole.error) = (part.state, part.error);
            }
        }
        if let Some(whole) = &mut whole
            && whole.state != JobState::Failed
        {
            let is_completed = completed == of;
            whole.state = if is_completed {
                JobState::Completed
            } else {
                JobState::Running
            };
        }
        whole
    }
}

impl Record for JobProgress {
    type Writing = Projection;
    const TABLE: Table = tables::JOB_PROGRESS;

    fn key(&self) -> Key {
        let mut key = Self::partition_key(self.job);
        key.push(KeyPart::U16(self.partition.0));
        key
    }
}

/// A record that was refused.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct JobReject {
    /// The job.
    pub job: JobId,
    /// The physical line where the record starts, from 1.
    pub line: u64,
    /// The column it was refused for, where it was one.
    pub column: Option<String>,
    /// Why: a stable code.
    pub reason: String,
    /// The journal sequence that this row includes.
    pub sequence: Sequence,
}

impl Record for JobReject {
    type Writing = Projection;
    const TABLE: Table = tables::JOB_REJECTS;

    fn key(&self) -> Key {
        vec![KeyPart::Id(*self.job.as_bytes()), KeyPart::U64(self.line)]
    }
}
