//! The store port over CQL: the tables of `schemas/cql` in ScyllaDB or Cassandra.
//!
//! - [`table`]: what a table looks like, as its file says;
//! - [`value`], [`to_value`], [`from_value`], [`columns`]: from records to columns and back;
//! - [`statement`], [`session`]: what is asked, and of whom; [`error`]: what is down;
//! - [`conditional`]: put once and replace, whose outcome is always found out;
//! - [`raw`]: the tables of the journal's owner as bytes;
//! - [`projection`]: rows of the journal's owner, of which an older writer's always lose;
//! - [`migration`]: how the tables come to be.
//!
//! Reads and writes need a quorum of the local data centre, so who has read a row has read
//! what stays. Nothing here is a queue of its own: whoever waits, waits for the servers.

use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt};
use schemas::record::{Key, KeyPart, Record};
use scylla::response::{PagingState, PagingStateResponse};
use scylla::value::CqlValue;

use self::columns::{Cell, from_cells, key_cells, key_of_bytes};
use self::session::Access;
use self::statement::{From, Scan, Verb};
use self::table::Schema;
use super::Order;
use super::error::StoreError;
use super::range::{RowRange, Start};

mod columns;
mod conditional;
#[cfg(feature = "testkit")]
pub mod contract;
mod error;
mod from_value;
mod migration;
pub(crate) mod projection;
pub(crate) mod raw;
mod session;
mod statement;
mod table;
#[cfg(test)]
mod tests;
mod tls;
mod to_value;
mod transfer;
mod value;

pub use migration::{MigrateError, Migrated, migrate};
pub use session::connect;
pub(super) use statement::describe;

/// Lists of [`CqlRows::scan_each`] that are read at once: each may hold as many rows as all of
/// them together, so more would cost memory; fewer, a round trip for each.
const LISTS_AT_ONCE: usize = 4;

/// Rows of [`CqlRows::get_each`] that are read at once: as many as writes are on their way.
const ROWS_AT_ONCE: usize = crate::store::cluster::WRITES_IN_FLIGHT;

/// Rows in tables.
#[derive(Clone)]
pub(crate) struct CqlRows {
    access: Access,
}

impl CqlRows {
    pub(super) async fn get<R: Record>(&self, key: &[KeyPart]) -> Result<Option<R>, StoreError> {
        let found = self.read_row::<R>(Verb::Get, key).await?;
        let table = Schema::table::<R>()?;
        found.map(|cells| from_cells(table, &cells)).transpose()
    }

    pub(super) async fn get_each<R: Record>(
        &self,
        keys: &[Key],
    ) -> Result<Vec<Option<R>>, StoreError> {
        let mut reads: Vec<BoxFuture<'_, _>> = Vec::with_capacity(keys.len());
        for key in keys {
            reads.push(Box::pin(self.get(key)));
        }
        let reads = futures::stream::iter(reads).buffered(ROWS_AT_ONCE);
        reads.try_collect().await
    }

    /// What a quorum has acknowledged to its reader is on a quorum, and as durable there as the
    /// servers' commit logs are.
    #[expect(clippy::unused_async, reason = "as the other backend has it")]
    pub(super) async fn settled(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// At most `limit` rows of a range.
    pub(super) async fn scan<R: Record>(
        &self,
        range: RowRange<'_>,
        order: Order,
        limit: usize,
    ) -> Result<Vec<R>, StoreError> {
        let table = Schema::table::<R>()?;
        let prefix = range.prefix.len() - table.partition_parts;
        let mut values = key_cells(table, range.prefix)?;
        let of_prefix = values.split_off(table.partition_parts);
        let from = match range.start {
            Start::Whole => {
                values.extend(of_prefix);
                From::Whole
            }
            Start::After(last) => {
                let last = key_of_bytes(table, last).ok_or(StoreError::UnknownCursor)?;
                values.extend(key_cells(table, &last)?.split_off(table.partition_parts));
                values.extend(of_prefix);
                From::After
            }
            Start::From(from) => {
                let from = key_cells(table, from)?.split_off(table.partition_parts);
                let parts = from.len();
                values.extend(from);
                values.extend(of_prefix);
                From::Parts(parts)
            }
        };
        if table.clustering_columns().is_empty() && from == From::After {
            // A partition of one row has none behind it.
            return Ok(Vec::new());
        }
        let scan = Scan {
            prefix,
            from,
            order,
        };
        self.read_rows(scan, values, limit).await
    }

    /// The rows under each of the first prefixes, as many as are read to their end within
    /// `limit` rows. Neighbours of one partition are read in one go.
    pub(super) async fn scan_each<R: Record>(
        &self,
        prefixes: &[Vec<KeyPart>],
        limit: usize,
    ) -> Result<Vec<Vec<R>>, StoreError> {
        let parts = R::TABLE.partition_parts;
        let runs = prefixes.chunk_by(|prefix, next| is_next(prefix, next, parts));
        // One row more tells whether the end was reached.
        let mut reads: Vec<BoxFuture<'_, _>> = Vec::new();
        for run in runs {
            let read = async move { (run, self.scan_run::<R>(run, limit + 1).await) };
            reads.push(Box::pin(read));
        }
        let mut reads = futures::stream::iter(reads).buffered(LISTS_AT_ONCE);
        let (mut lists, mut left) = (Vec::with_capacity(prefixes.len()), limit);
        while let Some((run, found)) = reads.next().await {
            let found = found?;
            let cut = found.get(left).map(Record::key);
            left = left.saturating_sub(found.len());
            let mut found = found.into_iter().peekable();
            for prefix in run {
                if cut.as_ref().is_some_and(|cut| cut.starts_with(prefix)) {
                    return Ok(lists);
                }
                let mut rows = Vec::new();
                while let Some(row) = found.next_if(|row| row.key().starts_with(prefix)) {
                    rows.push(row);
                }
                lists.push(rows);
            }
        }
        Ok(lists)
    }

    /// The rows under prefixes that lie side by side.
    async fn scan_run<R: Record>(
        &self,
        run: &[Vec<KeyPart>],
        limit: usize,
    ) -> Result<Vec<R>, StoreError> {
        let (Some(first), Some(last)) = (run.first(), run.last()) else {
            return Ok(Vec::new());
        };
        let table = Schema::table::<R>()?;
        let mut values = key_cells(table, first)?;
        let from = if run.len() > 1 {
            values.extend(key_cells(table, last)?.split_off(table.partition_parts));
            From::Between
        } else {
            From::Whole
        };
        let scan = Scan {
            prefix: first.len() - table.partition_parts,
            from,
            order: Order::Ascending,
        };
        self.read_rows(scan, values, limit).await
    }

    async fn read_rows<R: Record>(
        &self,
        scan: Scan,
        mut values: Vec<Cell>,
        limit: usize,
    ) -> Result<Vec<R>, StoreError> {
        let table = Schema::table::<R>()?;
        let bound = i32::try_from(limit).unwrap_or(i32::MAX);
        values.push(Some(CqlValue::Int(bound)));
        let statement = self.access.prepare(table, Verb::Scan(scan)).await?;
        let (mut rows, mut state) = (Vec::new(), PagingState::start());
        loop {
            let page = self.access.page(table, &statement, &values, state).await?;
            for cells in page.rows {
                rows.push(from_cells(table, &cells)?);
            }
            match page.next {
                PagingStateResponse::HasMorePages { state: next } if rows.len() < limit => {
                    state = next;
                }
                PagingStateResponse::HasMorePages { .. } | PagingStateResponse::NoMorePages => {
                    return Ok(rows);
                }
            }
        }
    }

    /// The cells of one row.
    async fn read_row<R: Record>(
        &self,
        verb: Verb,
        key: &[KeyPart],
    ) -> Result<Option<Vec<Cell>>, StoreError> {
        let table = Schema::table::<R>()?;
        let values = key_cells(table, key)?;
        let statement = self.access.prepare(table, verb).await?;
        let found = self.access.execute(table, &statement, &values).await?;
        Ok(found.rows.into_iter().next())
    }
}

/// Whether no key lies between those under one prefix and those under the next, and both lie in
/// one partition.
fn is_next(prefix: &[KeyPart], next: &[KeyPart], partition_parts: usize) -> bool {
    let (Some((last, before)), Some((next_last, next_before))) =
        (prefix.split_last(), next.split_last())
    else {
        return false;
    };
    if before != next_before || before.len() < partition_parts {
        return false;
    }
    match (last, next_last) {
        (KeyPart::U16(last), KeyPart::U16(next)) => last.checked_add(1) == Some(*next),
        (KeyPart::U64(last), KeyPart::U64(next)) => last.checked_add(1) == Some(*next),
        (KeyPart::I64(last), KeyPart::I64(next)) => last.checked_add(1) == Some(*next),
        _ => false,
    }
}
