//! Moving an embedded store to servers: everything in a folder that nobody serves becomes one
//! file, and the file becomes rows in CQL and records in Kafka.
//!
//! What moves is what a fresh owner reads: rows as they are; of the work logs what was not read
//! yet; of the journals their checkpoints, with the attempts that are open. Offsets begin at 0 on
//! servers, so the positions in work logs do too. What does not move: records of journals, which
//! the rows include; the control log, which only says that rows changed; marks of topics.
//!
//! The last thing that an import writes is the first group of the journals. Until it is there,
//! no node goes on with what was written, and the same file can be imported again from wherever
//! it broke off.

mod export;
mod file;
#[cfg(feature = "cluster")]
mod import;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use crate::log::LogError;
use crate::store::kv::KvError;
use crate::store::{FolderError, StoreError};

pub use self::export::export;
#[cfg(feature = "cluster")]
pub use self::import::{Imported, import};

/// How many rows of each table there are, and how many records beside them.
pub type Counts = BTreeMap<String, u64>;

/// The name of what work logs hold, beside those of tables.
const WORK: &str = "work";
/// The same of the journals' own entries.
const JOURNAL: &str = "journal";

/// Why a store was not moved. Each names the cure.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// There is a file of this name.
    #[error("{} is there already: name another file, or remove it", file.display())]
    Exists {
        /// Its name.
        file: PathBuf,
    },
    /// The disk would not.
    #[error("{}: {cause}", file.display())]
    File {
        /// Its name.
        file: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// It is something else.
    #[error("{} is no export of volley, or one of a newer release", file.display())]
    NotAnExport {
        /// Its name.
        file: PathBuf,
    },
    /// It is not what was written.
    #[error("{} is damaged ({detail}): export the folder again", file.display())]
    Damaged {
        /// Its name.
        file: PathBuf,
        /// What is wrong, without any content.
        detail: String,
    },
    /// There is nothing in it.
    #[error("{} is empty: name the data folder", folder.display())]
    Nothing {
        /// The folder.
        folder: PathBuf,
    },
    /// Uploaded files are not read yet, and a file of the export does not hold them.
    #[error(
        "{jobs} imports are under way: serve the folder until they are completed or failed, and \
         export it then"
    )]
    ImportsUnderWay {
        /// How many.
        jobs: u64,
    },
    /// The folder has another number of partitions.
    #[error(
        "the folder had {stored} partitions, and {asked} are set: set node.partitions = {stored} \
         for all nodes on these servers"
    )]
    OtherPartitionCount {
        /// What it was made with.
        stored: u16,
        /// What is set.
        asked: u16,
    },
    /// The servers hold something.
    #[error(
        "the servers are not empty ({what}): import into a keyspace with new tables and a \
         kafka.prefix without topics"
    )]
    NotEmpty {
        /// What was found.
        what: String,
    },
    /// Another file was being imported.
    #[error(
        "another file was imported into these servers and is not finished: import that one again, \
         or this one into a keyspace with new tables and a kafka.prefix without topics"
    )]
    AnotherFile,
    /// A node has its turn.
    #[error("a node runs on these servers: stop all of them first")]
    NodeRuns,
    /// What was written is not what is there.
    #[error(
        "{what} on the servers: {found}, and in the file: {expected}: somebody else writes there. \
         Import into a keyspace with new tables and a kafka.prefix without topics"
    )]
    Differs {
        /// The table, or what else it is.
        what: String,
        /// How many were found.
        found: u64,
        /// How many were written.
        expected: u64,
    },
    /// The folder cannot be opened.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// Rows cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Logs cannot.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl From<KvError> for TransferError {
    fn from(error: KvError) -> Self {
        Self::Store(error.into())
    }
}
