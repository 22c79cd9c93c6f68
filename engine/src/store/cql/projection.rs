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
use schemas::position::Sequence;
use schemas::record::{KeyPart, Projection, Record};
use scylla::value::CqlValue;

use super::CqlRows;
use super::columns::{Cell, key_cells, to_cells};
use super::statement::Verb;
use super::table::{CqlTable, Schema};
use crate::store::error::StoreError;

/// Writes of one call that are on their way at once. On two cores with the server beside, 64
/// write 24,000 to 29,000 rows a second and 256 no more; at 1 kB each they hold 64 kB.
pub(crate) const WRITES_IN_FLIGHT: usize = 64;

/// The bits of a stamp that are the position: 2^40 journal records of one partition, years at
/// 10,000 a second. The epoch has the 23 above it; the sign stays clear.
const POSITION_BITS: u32 = 40;
const EPOCH_BITS: u32 = 63 - POSITION_BITS;

/// What a row includes: the epoch of the journals, which grows whenever they are made anew, and
/// the position in one of them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Stamp(i64);

impl Stamp {
    /// # Errors
    /// [`StoreError::Backend`] when the epoch has no place in 23 bits or the position none in 40.
    pub(crate) fn new(epoch: u32, position: Sequence) -> Result<Self, StoreError> {
        if epoch >> EPOCH_BITS != 0 || position >> POSITION_BITS != 0 {
            return Err(StoreError::Backend {
                detail: format!("epoch {epoch}, position {position} are beyond what rows stamp"),
            });
        }
        let position = position.cast_signed();
        Ok(Self((i64::from(epoch) << POSITION_BITS) + position))
    }
}

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

#[cfg(test)]
mod tests {
    use super::Stamp;

    #[test]
    fn a_later_epoch_is_above_every_position_of_the_one_before() {
        let stamp = |epoch, position| Stamp::new(epoch, position).expect("it fits");
        assert!(stamp(1, (1 << 40) - 1) < stamp(2, 0));
        assert!(stamp(1, 7) < stamp(1, 8));
        assert!(stamp((1 << 23) - 1, (1 << 40) - 1).0 > 0);
        assert!(Stamp::new(1 << 23, 0).is_err() && Stamp::new(0, 1 << 40).is_err());
    }
}
