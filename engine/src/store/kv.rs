//! What an embedded backend has to do: keep bytes in order, write a batch at once or
//! not at all, and say when it is durable.
//!
//! Rows, journals and logs all stand on this one trait, in one database, so one write
//! with one fsync can carry all three.

use std::path::PathBuf;

use futures::future::BoxFuture;
use schemas::Partition;
use schemas::record::{Table, tables};

/// The ordered maps of one database. Tables that grow with every message have one each:
/// a file of theirs then covers the few keys that were written together, and is merged
/// with those around them instead of with everything. So have contacts, which a campaign goes
/// through while it writes other rows all the time, and the table that is asked about every
/// message and mostly holds nothing of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Space {
    /// Rows of the other [`schemas::record::Record`]s, by table and key.
    Rows,
    /// Messages.
    Messages,
    /// Bindings of providers' texts.
    Bindings,
    /// Due entries.
    Due,
    /// Journal records, by partition and sequence.
    Journal,
    /// Log records, by topic, partition and offset.
    Log,
    /// Who must not be texted, or may be again.
    Consents,
    /// Contacts, and the lists that they are on.
    Contacts,
}

impl Space {
    /// Every space, in the order of [`Space::index`].
    pub(crate) const ALL: [Self; 8] = [
        Self::Rows,
        Self::Messages,
        Self::Bindings,
        Self::Due,
        Self::Journal,
        Self::Log,
        Self::Consents,
        Self::Contacts,
    ];

    /// Where the rows of a table lie.
    pub(crate) const fn of(table: Table) -> Self {
        if table.tag == tables::MESSAGES.tag {
            Self::Messages
        } else if table.tag == tables::BINDINGS.tag {
            Self::Bindings
        } else if table.tag == tables::DUE.tag || table.tag == tables::DUE_LOOK_UPS.tag {
            Self::Due
        } else if table.tag == tables::CONSENTS.tag {
            Self::Consents
        } else if table.tag == tables::CONTACTS.tag || table.tag == tables::LIST_MEMBERS.tag {
            Self::Contacts
        } else {
            Self::Rows
        }
    }

    /// Whether rows of tables lie there.
    pub(crate) const fn holds_rows(self) -> bool {
        match self {
            Self::Rows
            | Self::Messages
            | Self::Bindings
            | Self::Due
            | Self::Consents
            | Self::Contacts => true,
            Self::Journal | Self::Log => false,
        }
    }

    /// Its place in an array with one entry for each space.
    pub(crate) const fn index(self) -> usize {
        match self {
            Self::Rows => 0,
            Self::Messages => 1,
            Self::Bindings => 2,
            Self::Due => 3,
            Self::Journal => 4,
            Self::Log => 5,
            Self::Consents => 6,
            Self::Contacts => 7,
        }
    }

    /// Its name on disk. Never changed.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Rows => "rows",
            Self::Messages => "messages",
            Self::Bindings => "bindings",
            Self::Due => "due",
            Self::Journal => "journal",
            Self::Log => "log",
            Self::Consents => "consents",
            Self::Contacts => "contacts",
        }
    }
}

/// Which way a scan goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Direction {
    /// From the smallest key.
    Forward,
    /// From the greatest key.
    Backward,
}

/// One put (`Some`) or one deletion (`None`).
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct KvChange {
    pub(crate) space: Space,
    pub(crate) key: Vec<u8>,
    pub(crate) value: Option<Vec<u8>>,
    /// The partition whose owner makes it; `None` for what belongs to all of them.
    pub(crate) partition: Option<Partition>,
}

/// Changes that are written together or not at all. No key occurs twice.
#[derive(Clone, Default)]
pub(crate) struct KvBatch {
    pub(crate) changes: Vec<KvChange>,
}

/// What was found: keys with their values, in the order asked for.
pub(crate) type KvPairs = Vec<(Vec<u8>, Vec<u8>)>;

/// Ordered maps of bytes to bytes, for reading: what is there now, or what was there at
/// one moment. Keys that begin with the byte 0xff are the backend's own. Calls may block.
/// Who has seen one change of a batch sees all of them in every later read.
pub(crate) trait KvRead: Send + Sync + 'static {
    /// The value of one key.
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, KvError>;

    /// At most `limit` pairs with `start <= key < end`. An empty range is no error.
    fn scan(
        &self,
        space: Space,
        start: &[u8],
        end: &[u8],
        direction: Direction,
        limit: usize,
    ) -> Result<KvPairs, KvError>;
}

/// Ordered maps that are written. Write and sync are called from the writer's own thread
/// only.
pub(crate) trait Kv: KvRead {
    /// Everything as it is at this moment, which lies between two batches: each is in it
    /// whole or not at all. Writing goes on beside it. It pins what it shows, so it must
    /// end: files that were merged meanwhile stay on the disk, but memory that it needs
    /// does not grow with what is written. May wait for the batch that is being written.
    fn snapshot(&self) -> Result<Box<dyn KvRead>, KvError>;

    /// Writes the whole batch or nothing. It may be forgotten in a crash until
    /// [`Kv::sync`] returned. After an error the database must not be written any more.
    fn write(&self, batch: KvBatch) -> Result<(), KvError>;

    /// Makes everything written so far durable. After an error nobody knows what is on
    /// the disk: a second try could succeed without having written it.
    fn sync(&self) -> Result<(), KvError>;

    /// The same database where it is no part of this process, and so far away that whoever
    /// writes waits for it.
    fn far(&self) -> Option<&dyn FarKv> {
        None
    }

    /// Bytes that can still be stored, as far as the disk tells.
    fn free_bytes(&self) -> Result<u64, KvError>;

    /// The folder, for errors that people read.
    fn folder(&self) -> PathBuf;
}

/// A database on servers, as its writer's thread uses it.
pub(crate) trait FarKv: Send + Sync {
    /// Fetches rows that will be read soon, by their keys: reads take so long that what a group
    /// will read is better fetched together, before it is applied. What cannot be fetched now is
    /// fetched when it is read.
    fn fetch(&self, keys: Vec<Vec<u8>>) -> BoxFuture<'_, ()>;

    /// [`Kv::write`] and [`Kv::sync`] in one: the batch is durable when it returns. Its rows can be
    /// read, by this database too, when what it gives back has ended, which must be before
    /// anything else is asked here.
    fn commit(&self, batch: KvBatch) -> BoxFuture<'_, Result<Settling<'_>, KvError>>;
}

/// A batch that is durable, on its way to where its rows are read.
pub(crate) type Settling<'a> = BoxFuture<'a, Result<(), KvError>>;

/// Why the database could not do it.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum KvError {
    /// A write or sync failed before: only the next start knows what is there.
    #[error("the disk that holds {} has failed before", folder.display())]
    Failed {
        /// The data folder.
        folder: PathBuf,
    },
    /// No space left.
    #[error("the disk that holds {} is full: free some space and start again", folder.display())]
    DiskFull {
        /// The data folder.
        folder: PathBuf,
    },
    /// What is stored cannot be read.
    #[error("the data in {} is damaged ({detail}): restore the folder from a copy", folder.display())]
    Damaged {
        /// The data folder.
        folder: PathBuf,
        /// What is wrong, without any content.
        detail: String,
    },
    /// Servers refused, or another process took over.
    #[cfg(feature = "servers")]
    #[error("{detail}")]
    Servers {
        /// What they said, without any content.
        detail: String,
    },
    /// Servers do not answer just now. Real ones are waited for.
    #[cfg(feature = "servers")]
    #[cfg_attr(not(any(test, feature = "testkit")), allow(dead_code))]
    #[error("{detail}")]
    Away {
        /// Which, without any content.
        detail: String,
    },
    /// The disk failed in another way.
    #[error("the disk that holds {} failed: {detail}", folder.display())]
    Io {
        /// The data folder.
        folder: PathBuf,
        /// What the system said.
        detail: String,
    },
}
