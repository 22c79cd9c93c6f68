//! The store port: rows by key, over a backend that stays private.
//!
//! A row is any [`Record`]; its verbs are those of its way of writing, and the others
//! do not compile on it. Reads see what is committed. Nobody who holds a [`Store`] can
//! tell, or may ask, which backend runs:
//!
//! - [`embedded`]: one database and one writer in this process. Every write goes through
//!   one group commit ([`writer`]) that it shares with the log and the journal, so that
//!   one fsync carries all three and they can change together;
//! - `cql` (with the feature `cluster`): tables of ScyllaDB or Cassandra; and `cluster`, the
//!   journal's own way to write them.
//!
//! What the embedded backend stands on:
//!
//! - [`kv`]: what a database does; [`fjall`] on disk, [`memory`] for simulations;
//! - [`folder`]: the data folder, its version and its lock; [`commit_record`]: that
//!   nothing committed is missing from it;
//! - [`key`], [`row`], [`unknown`]: from records to bytes;
//! - [`overlay`], [`submit`], [`writer`]: the group commit.

#[cfg(feature = "cluster")]
use std::sync::Arc;
use std::time::Duration;

use schemas::record::{Key, KeyPart, Record, Versioned, WriteOnce};

use self::embedded::EmbeddedRows;
use self::range::RowRange;
use crate::runtime::Runtime;

#[cfg(feature = "servers")]
pub(crate) mod cluster;
mod commit_record;
mod commit_times;
#[cfg(any(test, feature = "testkit"))]
pub mod contract;
#[cfg(feature = "cluster")]
pub mod cql;
mod cursor;
pub(crate) mod embedded;
mod error;
mod examine;
mod fail_stop;
mod fjall;
mod folder;
pub(crate) mod key;
pub(crate) mod kv;
mod latest;
pub(crate) mod memory;
pub(crate) mod overlay;
mod range;
pub(crate) mod row;
mod submit;
mod unknown;
pub(crate) mod writer;

#[cfg(test)]
mod folder_tests;
#[cfg(test)]
mod golden;
#[cfg(any(test, all(feature = "testkit", feature = "cluster")))]
pub(crate) mod golden_samples;
#[cfg(test)]
pub(crate) mod subject;
#[cfg(test)]
mod writer_tests;

pub use commit_times::{COMMIT_RECORDS, describe as describe_metrics};
pub use cursor::Cursor;
pub use embedded::OpenError;
pub(crate) use embedded::open_kv;
pub use error::StoreError;
pub use examine::{Examined, Standing, examine};
pub use folder::FolderError;
#[cfg(feature = "cluster")]
pub use folder::ServedFolder;
pub(crate) use latest::KEY as LATEST;
pub use memory::{Fate, MemoryKv};
pub(crate) use row::table_of_key;
pub use writer::{WriterClosed, WriterEnd};

/// The most rows of one page or list: 10,000 rows of 500 bytes are 5 MB.
pub const LIST_LIMIT: usize = 10_000;

/// Rows of every kind. Cloning is cheap and shares the store.
#[derive(Clone)]
pub struct Store {
    backend: Backend,
    /// Whoever asks here waits for servers that are away, by this clock.
    patience: Option<Runtime>,
}

/// Where the rows are.
#[derive(Clone)]
enum Backend {
    Embedded(EmbeddedRows),
    #[cfg(feature = "cluster")]
    Cql(cql::CqlRows),
}

/// Has the backend that runs do something.
macro_rules! on_backend {
    ($store:expr, $rows:ident => $work:expr) => {
        match &$store.backend {
            Backend::Embedded($rows) => $work,
            #[cfg(feature = "cluster")]
            Backend::Cql($rows) => $work,
        }
    };
}

/// Asks again while the backend is away, for those who can wait.
macro_rules! patiently {
    ($store:expr, $work:expr) => {
        loop {
            match (&$store.patience, $work) {
                (Some(runtime), Err(StoreError::Unavailable { detail })) => {
                    tracing::debug!(detail, "the servers are asked again");
                    runtime.sleep(AGAIN_AFTER).await;
                }
                (_, done) => break done,
            }
        }
    };
}

/// How long is waited before a server that is away is asked again.
pub(crate) const AGAIN_AFTER: Duration = Duration::from_millis(200);

/// What became of [`Store::put_once`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PutOnce<R> {
    /// The row is stored.
    Stored,
    /// The key was taken: this row is there.
    Exists(R),
}

/// What became of [`Store::replace`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replaced<R> {
    /// The row is stored; this is it, with its new version.
    Stored(R),
    /// Another version is there now, or none.
    Conflict(Option<R>),
}

/// Which way a list goes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Order {
    /// From the smallest key.
    Ascending,
    /// From the greatest key.
    Descending,
}

/// One page of a list.
#[derive(Clone, Debug)]
pub struct Page<R> {
    /// The rows, in the order asked for.
    pub rows: Vec<R>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<Cursor>,
}

impl Store {
    /// Rows that `kv` reads and `operations` write.
    #[cfg(feature = "testkit")]
    pub(crate) fn over(
        kv: std::sync::Arc<dyn kv::Kv>,
        operations: writer::Operations,
        runtime: &Runtime,
    ) -> Self {
        Self {
            backend: Backend::Embedded(EmbeddedRows::new(kv, operations, runtime.clone())),
            patience: None,
        }
    }

    /// The same store for commands to what was taken in, such as a pause: they are few and
    /// small, and whoever needs one when the disk is nearly full needs it most, so nothing that
    /// is written here is refused for want of space.
    pub fn for_commands(&self) -> Self {
        let backend = match &self.backend {
            Backend::Embedded(rows) => Backend::Embedded(rows.for_commands()),
            // Its servers say nothing of their disks.
            #[cfg(feature = "cluster")]
            Backend::Cql(_) => self.backend.clone(),
        };
        let patience = self.patience.clone();
        Self { backend, patience }
    }

    /// The same store for those who go on by themselves and have nobody to tell: they wait for
    /// as long as servers are away. A write whose answer was lost may then meet itself: the row
    /// that is there is told as [`PutOnce::Exists`] or [`Replaced::Conflict`].
    pub fn patient(&self, runtime: &Runtime) -> Self {
        Self {
            backend: self.backend.clone(),
            patience: Some(runtime.clone()),
        }
    }

    /// The same rows as the owner of the journals writes them.
    ///
    /// # Errors
    /// [`StoreError::Backend`] when they are not in CQL.
    #[cfg(feature = "cluster")]
    pub(crate) fn cql_tables(&self) -> Result<Arc<dyn cluster::Tables>, StoreError> {
        match &self.backend {
            Backend::Cql(rows) => Ok(Arc::new(rows.clone())),
            Backend::Embedded(_) => Err(StoreError::Backend {
                detail: "journals on Kafka need rows in CQL".to_owned(),
            }),
        }
    }

    /// The row with this key.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when it cannot be read, [`StoreError::Backend`] when the
    /// backend fails, [`StoreError::Unavailable`] while it is away.
    pub async fn get<R: Record>(&self, key: &[KeyPart]) -> Result<Option<R>, StoreError> {
        patiently!(self, on_backend!(self, rows => rows.get(key).await))
    }

    /// The rows with these whole keys, in their order, each as [`Store::get`] has it. From servers
    /// many are read at once.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub async fn get_each<R: Record>(&self, keys: &[Key]) -> Result<Vec<Option<R>>, StoreError> {
        patiently!(self, on_backend!(self, rows => rows.get_each(keys).await))
    }

    /// Waits until everything that could be read before is durable, for those who tell
    /// somebody of it.
    ///
    /// # Errors
    /// As [`Store::put_once`], but for a full disk.
    pub async fn settled(&self) -> Result<(), StoreError> {
        on_backend!(self, rows => rows.settled().await)
    }

    /// Stores a row unless its key is taken. Durable when it returns.
    ///
    /// Only write-once records have it:
    /// ```
    /// # use engine::store::{Store, StoreError};
    /// async fn remember(store: Store, key: schemas::account::ApiKey) -> Result<(), StoreError> {
    ///     store.put_once(&key).await.map(|_| ())
    /// }
    /// ```
    /// What is replaced by version does not compile:
    /// ```compile_fail,E0271
    /// # use engine::store::{Store, StoreError};
    /// async fn remember(store: Store, row: schemas::account::Account) -> Result<(), StoreError> {
    ///     store.put_once(&row).await.map(|_| ())
    /// }
    /// ```
    /// Neither does what only the journal writes:
    /// ```compile_fail,E0271
    /// # use engine::store::{Store, StoreError};
    /// async fn remember(store: Store, row: schemas::Message) -> Result<(), StoreError> {
    ///     store.put_once(&row).await.map(|_| ())
    /// }
    /// ```
    ///
    /// # Errors
    /// [`StoreError::DiskFull`] while less than 64 MiB are free; [`StoreError::Backend`]
    /// when the write failed and [`StoreError::Closed`] ever after. CQL:
    /// [`StoreError::Unavailable`] while its servers are away, and then the row may be there
    /// or not.
    pub async fn put_once<R>(&self, row: &R) -> Result<PutOnce<R>, StoreError>
    where
        R: Record<Writing = WriteOnce>,
    {
        patiently!(self, on_backend!(self, rows => rows.put_once(row).await))
    }

    /// Replaces a row whose version is still the one that was read, 0 for none. Durable
    /// when it returns.
    ///
    /// Only records with a version have it:
    /// ```
    /// # use engine::store::{Store, StoreError};
    /// async fn change(store: Store, row: schemas::account::Account) -> Result<(), StoreError> {
    ///     store.replace(row).await.map(|_| ())
    /// }
    /// ```
    /// What is written once does not compile:
    /// ```compile_fail,E0277
    /// # use engine::store::{Store, StoreError};
    /// async fn change(store: Store, row: schemas::account::ApiKey) -> Result<(), StoreError> {
    ///     store.replace(row).await.map(|_| ())
    /// }
    /// ```
    /// Neither does what only the journal writes:
    /// ```compile_fail,E0277
    /// # use engine::store::{Store, StoreError};
    /// async fn change(store: Store, row: schemas::contact::Contact) -> Result<(), StoreError> {
    ///     store.replace(row).await.map(|_| ())
    /// }
    /// ```
    ///
    /// # Errors
    /// As [`Store::put_once`]; only new rows are refused for want of space.
    pub async fn replace<R: Versioned + Clone>(&self, row: R) -> Result<Replaced<R>, StoreError> {
        match &self.patience {
            None => on_backend!(self, rows => rows.replace(row).await),
            // Whether a write without an answer was done nobody knows. Done once more it finds
            // its own row, which is a conflict like any other: whoever asked reads it again.
            Some(_) => patiently!(
                self,
                on_backend!(self, rows => rows.replace(row.clone()).await)
            ),
        }
    }

    /// A page of the rows whose keys start with `prefix`, after a cursor of an earlier
    /// page. Rows that come or go meanwhile neither repeat nor hide others.
    ///
    /// # Errors
    /// [`StoreError::InvalidRange`] unless `prefix` holds the whole partition key and
    /// `limit` is 1 to [`LIST_LIMIT`]; [`StoreError::UnknownCursor`] when `after` is of
    /// another list.
    pub async fn list<R: Record>(
        &self,
        prefix: &[KeyPart],
        after: Option<&Cursor>,
        order: Order,
        limit: usize,
    ) -> Result<Page<R>, StoreError> {
        let range = match after {
            Some(cursor) => RowRange::after(R::TABLE, prefix, cursor)?,
            None => RowRange::whole(R::TABLE, prefix)?,
        };
        range::check_limit(R::TABLE, limit)?;
        // One row more tells whether there is a next page.
        let mut found: Vec<R> = patiently!(
            self,
            on_backend!(self, rows => rows.scan(range, order, limit + 1).await)
        )?;
        let more = found.len() > limit;
        found.truncate(limit);
        let next = match found.last().filter(|_| more) {
            Some(last) => Some(Cursor::of_key(key::encode(R::TABLE, &last.key())?)),
            None => None,
        };
        Ok(Page { rows: found, next })
    }

    /// At most `limit` rows whose keys start with `prefix`, from the key parts `from`
    /// on, inclusive. `from` begins with `prefix` and may be a whole key or a part of
    /// one.
    ///
    /// # Errors
    /// [`StoreError::InvalidRange`] as in [`Store::list`], and when `from` does not
    /// begin with `prefix`.
    pub async fn list_from<R: Record>(
        &self,
        prefix: &[KeyPart],
        from: &[KeyPart],
        order: Order,
        limit: usize,
    ) -> Result<Vec<R>, StoreError> {
        let range = RowRange::from(R::TABLE, prefix, from)?;
        range::check_limit(R::TABLE, limit)?;
        patiently!(
            self,
            on_backend!(self, rows => rows.scan(range, order, limit).await)
        )
    }

    /// The rows under each of these prefixes, ascending: for many short ranges. It answers
    /// for the first prefixes alone, as many as are read to their end within `limit` rows.
    ///
    /// # Errors
    /// [`StoreError::InvalidRange`] as in [`Store::list`].
    pub async fn list_each<R: Record>(
        &self,
        prefixes: &[Vec<KeyPart>],
        limit: usize,
    ) -> Result<Vec<Vec<R>>, StoreError> {
        for prefix in prefixes {
            range::check_prefix(R::TABLE, prefix)?;
        }
        range::check_limit(R::TABLE, limit)?;
        patiently!(
            self,
            on_backend!(self, rows => rows.scan_each(prefixes, limit).await)
        )
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Store")
    }
}
