//! The store port: rows by key, over a backend that stays private.
//!
//! A row is any [`Record`]; its verbs are those of its way of writing, and the others
//! do not compile on it. Reads see what is committed. Every write goes through one
//! group commit ([`writer`]) that it shares with the log and the journal, so that one
//! fsync carries all three and they can change together.
//!
//! - [`kv`]: what a backend does; [`fjall`] on disk, [`memory`] for simulations;
//! - [`folder`]: the data folder, its version and its lock; [`commit_record`]: that
//!   nothing committed is missing from it;
//! - [`key`], [`row`], [`unknown`]: from records to bytes;
//! - [`overlay`], [`submit`], [`writer`]: the group commit.

use std::sync::Arc;

use schemas::record::{KeyPart, Record, Table, Versioned, WriteOnce};

use self::kv::{Direction, Kv, Space};
use self::writer::{Admission, Operations};
use crate::runtime::Runtime;

mod commit_record;
#[cfg(any(test, feature = "testkit"))]
pub mod contract;
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
mod ranges;
pub(crate) mod row;
mod submit;
mod unknown;
pub(crate) mod writer;

#[cfg(test)]
mod folder_tests;
#[cfg(test)]
mod golden;
#[cfg(test)]
pub(crate) mod golden_samples;
#[cfg(test)]
pub(crate) mod subject;
#[cfg(test)]
mod writer_tests;

pub use cursor::Cursor;
pub use embedded::OpenError;
pub(crate) use embedded::open_kv;
pub use error::StoreError;
pub use examine::{Examined, Standing, examine};
pub use folder::FolderError;
pub use memory::{Fate, MemoryKv};
pub use writer::{COMMIT_RECORDS, WriterClosed, WriterEnd, describe as describe_metrics};

/// The most rows of one page or list: 10,000 rows of 500 bytes are 5 MB.
pub const LIST_LIMIT: usize = 10_000;

/// Rows of every kind. Cloning is cheap and shares the store.
#[derive(Clone)]
pub struct Store {
    kv: Arc<dyn Kv>,
    operations: Operations,
    runtime: Runtime,
}

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
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// From the smallest key.
    Ascending,
    /// From the greatest key.
    Descending,
}

impl Order {
    const fn direction(self) -> Direction {
        match self {
            Self::Ascending => Direction::Forward,
            Self::Descending => Direction::Backward,
        }
    }
}

/// One page of a list.
#[derive(Clone, Debug)]
pub struct Page<R> {
    /// The rows, in the order asked for.
    pub rows: Vec<R>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<Cursor>,
}

/// Keys from `start` up to, not including, `end`.
struct KeyRange {
    start: Vec<u8>,
    end: Vec<u8>,
}

impl Store {
    fn new(kv: Arc<dyn Kv>, operations: Operations, runtime: Runtime) -> Self {
        Self {
            kv,
            operations,
            runtime,
        }
    }

    /// The same store for commands to what was taken in, such as a pause: they are few and
    /// small, and whoever needs one when the disk is nearly full needs it most, so nothing that
    /// is written here is refused for want of space.
    pub fn for_commands(&self) -> Self {
        Self {
            operations: self.operations.for_commands(),
            ..self.clone()
        }
    }

    /// The row with this key.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when it cannot be read, [`StoreError::Backend`] when the
    /// disk fails.
    pub async fn get<R: Record>(&self, key: &[KeyPart]) -> Result<Option<R>, StoreError> {
        // One row is a few blocks at most, and what is asked for is mostly in memory:
        // handing it to another thread would cost more than it could block.
        let bytes = self
            .kv
            .get(Space::of(R::TABLE), &key::encode(R::TABLE, key)?)?;
        bytes.map(|bytes| row::decode(&bytes)).transpose()
    }

    /// Waits until everything that could be read before is durable, for those who tell
    /// somebody of it.
    ///
    /// # Errors
    /// As [`Store::put_once`], but for a full disk.
    pub async fn settled(&self) -> Result<(), StoreError> {
        self.operations.settled().await
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
    /// when the write failed and [`StoreError::Closed`] ever after.
    pub async fn put_once<R>(&self, row: &R) -> Result<PutOnce<R>, StoreError>
    where
        R: Record<Writing = WriteOnce>,
    {
        let key = key::encode(R::TABLE, &row.key())?;
        let bytes = row::encode(row)?;
        let put = move |overlay: &mut overlay::Overlay<'_>| {
            if let Some(taken) = overlay.get_raw(Space::of(R::TABLE), &key)? {
                return Ok(PutOnce::Exists(row::decode(taken)?));
            }
            overlay.put_raw(Space::of(R::TABLE), key, bytes);
            Ok(PutOnce::Stored)
        };
        self.operations.run(Admission::Intake, put).await
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
    pub async fn replace<R: Versioned>(&self, mut row: R) -> Result<Replaced<R>, StoreError> {
        let read = row.version();
        let admission = match read {
            0 => Admission::Intake,
            _ => Admission::Outcome,
        };
        let replace = move |overlay: &mut overlay::Overlay<'_>| {
            let current: Option<R> = overlay.get(&row.key())?;
            if current.as_ref().map_or(0, R::version) != read {
                return Ok(Replaced::Conflict(current));
            }
            row.set_version(read + 1);
            overlay.put(&row)?;
            Ok(Replaced::Stored(row))
        };
        self.operations.run(admission, replace).await
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
        let prefix = checked_prefix(R::TABLE, prefix, limit)?;
        let mut range = KeyRange {
            end: key::prefix_end(&prefix),
            start: prefix,
        };
        if let Some(cursor) = after {
            let last = cursor.key_in(&range.start)?;
            match order {
                Order::Ascending => range.start = key::successor(last),
                Order::Descending => range.end = last.to_vec(),
            }
        }
        // One row more tells whether there is a next page.
        let mut found = self.scan::<R>(range, order, limit + 1).await?;
        let more = found.len() > limit;
        found.truncate(limit);
        let next = found
            .last()
            .filter(|_| more)
            .map(|(key, _)| Cursor::of_key(key.clone()));
        let rows = found.into_iter().map(|(_, row)| row).collect();
        Ok(Page { rows, next })
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
        if !from.starts_with(prefix) {
            return Err(StoreError::InvalidRange {
                table: R::TABLE.name,
                detail: "the first key lies outside the prefix",
            });
        }
        let prefix = checked_prefix(R::TABLE, prefix, limit)?;
        let from = key::encode(R::TABLE, from)?;
        let range = match order {
            Order::Ascending => KeyRange {
                end: key::prefix_end(&prefix),
                start: from,
            },
            Order::Descending => KeyRange {
                end: key::prefix_end(&from),
                start: prefix,
            },
        };
        let found = self.scan(range, order, limit).await?;
        Ok(found.into_iter().map(|(_, row)| row).collect())
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
        let prefixes = prefixes
            .iter()
            .map(|prefix| checked_prefix(R::TABLE, prefix, limit));
        let prefixes: Vec<Vec<u8>> = prefixes.collect::<Result<_, _>>()?;
        let kv = Arc::clone(&self.kv);
        let read = move || ranges::read_each(&*kv, &prefixes, limit);
        self.runtime.blocking(read).await?
    }

    /// Rows with their keys. Many rows may block, so another thread reads them.
    async fn scan<R: Record>(
        &self,
        range: KeyRange,
        order: Order,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, R)>, StoreError> {
        let kv = Arc::clone(&self.kv);
        let read = move || read_rows(&*kv, &range, order, limit);
        self.runtime.blocking(read).await?
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Store")
    }
}

fn read_rows<R: Record>(
    kv: &dyn Kv,
    range: &KeyRange,
    order: Order,
    limit: usize,
) -> Result<Vec<(Vec<u8>, R)>, StoreError> {
    let (space, direction) = (Space::of(R::TABLE), order.direction());
    kv.scan(space, &range.start, &range.end, direction, limit)?
        .into_iter()
        .map(|(key, bytes)| Ok((key, row::decode(&bytes)?)))
        .collect()
}

fn checked_prefix(table: Table, prefix: &[KeyPart], limit: usize) -> Result<Vec<u8>, StoreError> {
    let invalid = |detail| StoreError::InvalidRange {
        table: table.name,
        detail,
    };
    if prefix.len() < table.partition_parts {
        return Err(invalid("the whole partition key must be given"));
    }
    if !(1..=LIST_LIMIT).contains(&limit) {
        return Err(invalid("the limit must be 1 to 10000"));
    }
    key::encode(table, prefix)
}
