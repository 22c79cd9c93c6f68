//! The verbs of the store port over one database: reads go to it, writes through its
//! group commit.

use std::sync::Arc;

use schemas::record::{Key, KeyPart, Record, Versioned, WriteOnce};

use super::{each, ranges};
use crate::runtime::Runtime;
use crate::store::error::StoreError;
use crate::store::kv::{Direction, Kv, Space};
use crate::store::overlay::Overlay;
use crate::store::range::{RowRange, Start};
use crate::store::writer::{Admission, Operations};
use crate::store::{Order, PutOnce, Replaced, key, row};

/// Rows in one database.
#[derive(Clone)]
pub(in crate::store) struct EmbeddedRows {
    kv: Arc<dyn Kv>,
    operations: Operations,
    runtime: Runtime,
}

/// Keys from `start` up to, not including, `end`.
pub(super) struct KeyRange {
    pub(super) start: Vec<u8>,
    pub(super) end: Vec<u8>,
}

impl EmbeddedRows {
    pub(in crate::store) fn new(kv: Arc<dyn Kv>, operations: Operations, runtime: Runtime) -> Self {
        Self {
            kv,
            operations,
            runtime,
        }
    }

    pub(in crate::store) fn for_commands(&self) -> Self {
        Self {
            operations: self.operations.for_commands(),
            ..self.clone()
        }
    }

    pub(in crate::store) async fn get<R: Record>(
        &self,
        key: &[KeyPart],
    ) -> Result<Option<R>, StoreError> {
        // One row is a few blocks at most, and what is asked for is mostly in memory:
        // handing it to another thread would cost more than it could block.
        let bytes = self
            .kv
            .get(Space::of(R::TABLE), &key::encode(R::TABLE, key)?)?;
        bytes.map(|bytes| row::decode(&bytes)).transpose()
    }

    pub(in crate::store) async fn get_each<R: Record>(
        &self,
        keys: &[Key],
    ) -> Result<Vec<Option<R>>, StoreError> {
        let keys: Vec<_> = keys
            .iter()
            .map(|key| key::encode(R::TABLE, key))
            .collect::<Result<_, _>>()?;
        // Not on another thread, as in `get`: they are few, and mostly in memory.
        each::get_each(&*self.kv, Space::of(R::TABLE), &keys)?
            .into_iter()
            .map(|bytes| bytes.map(|bytes| row::decode(&bytes)).transpose())
            .collect()
    }

    pub(in crate::store) async fn settled(&self) -> Result<(), StoreError> {
        self.operations.settled().await
    }

    pub(in crate::store) async fn put_once<R>(&self, row: &R) -> Result<PutOnce<R>, StoreError>
    where
        R: Record<Writing = WriteOnce>,
    {
        let key = key::encode(R::TABLE, &row.key())?;
        let bytes = row::encode(row)?;
        let put = move |overlay: &mut Overlay<'_>| {
            if let Some(taken) = overlay.get_raw(Space::of(R::TABLE), &key)? {
                return Ok(PutOnce::Exists(row::decode(taken)?));
            }
            overlay.put_raw(Space::of(R::TABLE), key, bytes);
            Ok(PutOnce::Stored)
        };
        self.operations.run(Admission::Intake, put).await
    }

    pub(in crate::store) async fn replace<R: Versioned>(
        &self,
        mut row: R,
    ) -> Result<Replaced<R>, StoreError> {
        let read = row.version();
        let admission = match read {
            0 => Admission::Intake,
            _ => Admission::Outcome,
        };
        let replace = move |overlay: &mut Overlay<'_>| {
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

    /// At most `limit` rows of a range. Many rows may block, so another thread reads them.
    pub(in crate::store) async fn scan<R: Record>(
        &self,
        range: RowRange<'_>,
        order: Order,
        limit: usize,
    ) -> Result<Vec<R>, StoreError> {
        let range = KeyRange::of::<R>(range, order)?;
        let kv = Arc::clone(&self.kv);
        let read = move || read_rows(&*kv, &range, order, limit);
        let found = self.runtime.blocking(read).await??;
        Ok(found.into_iter().map(|(_, row)| row).collect())
    }

    pub(in crate::store) async fn scan_each<R: Record>(
        &self,
        prefixes: &[Vec<KeyPart>],
        limit: usize,
    ) -> Result<Vec<Vec<R>>, StoreError> {
        let prefixes = prefixes.iter().map(|prefix| key::encode(R::TABLE, prefix));
        let prefixes: Vec<Vec<u8>> = prefixes.collect::<Result<_, _>>()?;
        let kv = Arc::clone(&self.kv);
        let read = move || ranges::read_each(&*kv, &prefixes, limit);
        self.runtime.blocking(read).await?
    }
}

impl KeyRange {
    fn of<R: Record>(range: RowRange<'_>, order: Order) -> Result<Self, StoreError> {
        let start = key::encode(R::TABLE, range.prefix)?;
        let mut keys = Self {
            end: key::prefix_end(&start),
            start,
        };
        match (range.start, order) {
            (Start::Whole, _) => {}
            (Start::After(last), Order::Ascending) => keys.start = key::successor(last),
            (Start::After(last), Order::Descending) => keys.end = last.to_vec(),
            (Start::From(from), Order::Ascending) => keys.start = key::encode(R::TABLE, from)?,
            (Start::From(from), Order::Descending) => {
                keys.end = key::prefix_end(&key::encode(R::TABLE, from)?);
            }
        }
        Ok(keys)
    }
}

/// Rows with their keys.
pub(super) fn read_rows<R: Record>(
    kv: &dyn Kv,
    range: &KeyRange,
    order: Order,
    limit: usize,
) -> Result<Vec<(Vec<u8>, R)>, StoreError> {
    let direction = match order {
        Order::Ascending => Direction::Forward,
        Order::Descending => Direction::Backward,
    };
    kv.scan(
        Space::of(R::TABLE),
        &range.start,
        &range.end,
        direction,
        limit,
    )?
    .into_iter()
    .map(|(key, bytes)| Ok((key, row::decode(&bytes)?)))
    .collect()
}
