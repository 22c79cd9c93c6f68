//! Rows that only the journal's owner writes.
//!
//! Every put and deletion carries a stamp made of the epoch and the journal position that it
//! includes, and CQL keeps of each cell the one with the greatest. So an older writer always
//! loses, in whatever order writes arrive, however often they are repeated: a node that was
//! frozen and writes on waking changes nothing that its successor has written. That holds
//! because a row is always written whole, nulls too, and because a table's rows are all
//! stamped: those that are replaced by condition are stamped by the servers' clocks, and are
//! other tables.

use futures::{StreamExt, TryStreamExt};
use schemas::record::{KeyPart, Projection, Record};
use scylla::value::CqlValue;

use super::CqlRows;
use super::columns::{Cell, key_cells, to_cells};
use super::statement::Verb;
use super::table::{CqlTable, Schema};
use crate::store::cluster::{Stamp, WRITES_IN_FLIGHT};
use crate::store::error::StoreError;

/// One row to be put or deleted.
pub(crate) struct Projected {
    table: &'static CqlTable,
    verb: Verb,
    values: Vec<Cell>,
}

impl Projected {
    /// Puts a row.
    ///
    /// # Errors
    /// [`StoreError::Backend`] when it does not fit its columns.
    pub(crate) fn put<R>(row: &R, stamp: Stamp) -> Result<Self, StoreError>
    where
        R: Record<Writing = Projection>,
    {
        Self::moved(row, stamp)
    }

    /// Puts a row of any table where there is none yet. Those that are replaced by condition
    /// get a stamp, too: it is far below the servers' clocks, by which every later write of
    /// theirs goes.
    ///
    /// # Errors
    /// As [`Projected::put`].
    pub(crate) fn moved<R: Record>(row: &R, stamp: Stamp) -> Result<Self, StoreError> {
        let table = Schema::table::<R>()?;
        let mut values = to_cells(table, row)?;
        values.push(Some(CqlValue::BigInt(stamp.0)));
        let verb = Verb::PutStamped;
        Ok(Self {
            table,
            verb,
            values,
        })
    }

    /// Deletes a row. Of a put and a deletion with the same stamp, the deletion stays.
    ///
    /// # Errors
    /// [`StoreError::InvalidRange`] unless `key` is a whole key.
    pub(crate) fn delete<R>(key: &[KeyPart], stamp: Stamp) -> Result<Self, StoreError>
    where
        R: Record<Writing = Projection>,
    {
        let table = Schema::table::<R>()?;
        if key.len() != table.key_parts {
            return Err(StoreError::InvalidRange {
                table: table.name,
                detail: "only a row with a whole key is deleted",
            });
        }
        let mut values = vec![Some(CqlValue::BigInt(stamp.0))];
        values.extend(key_cells(table, key)?);
        let verb = Verb::DeleteStamped;
        Ok(Self {
            table,
            verb,
            values,
        })
    }
}

impl CqlRows {
    /// Writes many rows, in no order. They are durable when it returns; after an error some of
    /// them may be, and all of them can be written again.
    ///
    /// # Errors
    /// [`StoreError::Backend`], which names what is down.
    pub(crate) async fn project(&self, changes: Vec<Projected>) -> Result<(), StoreError> {
        let writes = changes.into_iter().map(|change| self.write_stamped(change));
        let writes = futures::stream::iter(writes).buffer_unordered(WRITES_IN_FLIGHT);
        writes.try_collect().await
    }

    /// The same for tables that have no rows, where nothing is hidden by what is null.
    ///
    /// # Errors
    /// As [`CqlRows::project`].
    pub(super) async fn project_new(&self, changes: Vec<Projected>) -> Result<(), StoreError> {
        let writes = changes.into_iter().map(|change| async move {
            let (table, values) = (change.table, change.values);
            let statement = self.access.prepare(table, change.verb).await?;
            let written = self.access.attempt(table, &statement, true, &values).await;
            written.map(drop).map_err(|error| error.of(table))
        });
        let writes = futures::stream::iter(writes).buffer_unordered(WRITES_IN_FLIGHT);
        writes.try_collect().await
    }

    async fn write_stamped(&self, change: Projected) -> Result<(), StoreError> {
        let Projected {
            table,
            verb,
            values,
        } = change;
        let statement = self.access.prepare(table, verb).await?;
        self.access.execute(table, &statement, &values).await?;
        Ok(())
    }
}
