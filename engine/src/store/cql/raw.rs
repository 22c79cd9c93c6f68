//! Rows as bytes, the way the embedded store writes them, in the tables that the journal's
//! owner writes: whoever has a key and a row, and not the record that they are of, finds the
//! table by the key's first byte.
//!
//! So the group commit is one code for both backends: what it makes of a change is bytes, and
//! only here they become columns.

use std::marker::PhantomData;

use futures::FutureExt;
use futures::future::BoxFuture;
use schemas::campaign::CampaignTally;
use schemas::consent::Consent;
use schemas::contact::{Contact, ListMember};
use schemas::due::{DueEntry, DueLookUps};
use schemas::held::{HeldCount, HeldMessage};
use schemas::job::{JobProgress, JobReject};
use schemas::position::CommittedPosition;
use schemas::provider::ProviderStamp;
use schemas::record::{Key, Projection, Record, Table};
use schemas::text::{Binding, ParkedReceipt, UnknownAttempt};
use schemas::{Message, record};

use super::CqlRows;
use super::columns::{key_of_bytes, parts_of_bytes};
use super::projection::Projected;
use super::table::Schema;
use crate::store::Order;
use crate::store::cluster::{Stamp, Tables};
use crate::store::error::StoreError;
use crate::store::kv::{KvChange, KvPairs};
use crate::store::range::RowRange;
use crate::store::{key, row};

/// One table of bytes.
trait RawTable: Send + Sync {
    /// The row with this key.
    fn get<'a>(
        &'a self,
        rows: &'a CqlRows,
        key: &'a [u8],
    ) -> BoxFuture<'a, Result<Option<Vec<u8>>, StoreError>>;

    /// At most `limit` rows of one partition with `start <= key < end`, ascending. `start` is
    /// whole parts of a key, the partition's at least.
    fn scan<'a>(
        &'a self,
        rows: &'a CqlRows,
        start: &'a [u8],
        end: &'a [u8],
        limit: usize,
    ) -> BoxFuture<'a, Result<KvPairs, StoreError>>;

    /// Puts the row with this key, or deletes it.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when it is no row of this table.
    fn project(
        &self,
        key: &[u8],
        row: Option<&[u8]>,
        stamp: Stamp,
    ) -> Result<Projected, StoreError>;
}

impl Tables for CqlRows {
    fn get<'a>(&'a self, key: &'a [u8]) -> BoxFuture<'a, Result<Option<Vec<u8>>, StoreError>> {
        async move { table(key)?.get(self, key).await }.boxed()
    }

    fn scan<'a>(
        &'a self,
        start: &'a [u8],
        end: &'a [u8],
        limit: usize,
    ) -> BoxFuture<'a, Result<KvPairs, StoreError>> {
        async move { table(start)?.scan(self, start, end, limit).await }.boxed()
    }

    fn project<'a>(
        &'a self,
        rows: &'a [&'a KvChange],
        stamp: Stamp,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        async move {
            let rows = rows.iter().map(|change| {
                table(&change.key)?.project(&change.key, change.value.as_deref(), stamp)
            });
            self.project(rows.collect::<Result<_, _>>()?).await
        }
        .boxed()
    }
}

fn table(key: &[u8]) -> Result<&'static dyn RawTable, StoreError> {
    table_of(key).ok_or_else(|| StoreError::damaged("database", "a key of no table"))
}

/// The table of a key, if it is one of those that the journal's owner writes.
fn table_of(key: &[u8]) -> Option<&'static dyn RawTable> {
    let tag = key.first()?;
    let found = TABLES.iter().find(|(table, _)| table.tag == *tag);
    found.map(|(_, table)| *table)
}

macro_rules! tables {
    ($($record:ty),* $(,)?) => {
        [$((<$record as Record>::TABLE, &Of::<$record>(PhantomData))),*]
    };
}

/// Every table that the journal's owner writes.
static TABLES: [(Table, &dyn RawTable); record::tables::PROJECTIONS.len()] = tables![
    Message,
    Binding,
    DueEntry,
    DueLookUps,
    ParkedReceipt,
    CampaignTally,
    Contact,
    ListMember,
    JobProgress,
    JobReject,
    CommittedPosition,
    ProviderStamp,
    UnknownAttempt,
    HeldMessage,
    HeldCount,
    Consent,
];

struct Of<R>(PhantomData<fn() -> R>);

impl<R: Record<Writing = Projection>> RawTable for Of<R> {
    fn get<'a>(
        &'a self,
        rows: &'a CqlRows,
        key: &'a [u8],
    ) -> BoxFuture<'a, Result<Option<Vec<u8>>, StoreError>> {
        async move {
            let found = rows.get::<R>(&whole_key::<R>(key)?).await?;
            found.map(|record| row::encode(&record)).transpose()
        }
        .boxed()
    }

    fn scan<'a>(
        &'a self,
        rows: &'a CqlRows,
        start: &'a [u8],
        end: &'a [u8],
        limit: usize,
    ) -> BoxFuture<'a, Result<KvPairs, StoreError>> {
        async move {
            let from = parts_of_bytes(Schema::table::<R>()?, start).ok_or_else(no_key::<R>)?;
            let prefix = from.get(..R::TABLE.partition_parts);
            let prefix = prefix.ok_or_else(no_key::<R>)?;
            let range = if prefix.len() == from.len() {
                RowRange::whole(R::TABLE, prefix)?
            } else {
                RowRange::from(R::TABLE, prefix, &from)?
            };
            let found = rows.scan::<R>(range, Order::Ascending, limit).await?;
            let mut pairs = Vec::with_capacity(found.len());
            for record in found {
                let key = key::encode(R::TABLE, &record.key())?;
                if key.as_slice() >= end {
                    break;
                }
                pairs.push((key, row::encode(&record)?));
            }
            Ok(pairs)
        }
        .boxed()
    }

    fn project(
        &self,
        key: &[u8],
        row: Option<&[u8]>,
        stamp: Stamp,
    ) -> Result<Projected, StoreError> {
        match row {
            Some(row) => Projected::put(&row::decode::<R>(row)?, stamp),
            None => Projected::delete::<R>(&whole_key::<R>(key)?, stamp),
        }
    }
}

fn whole_key<R: Record>(key: &[u8]) -> Result<Key, StoreError> {
    key_of_bytes(Schema::table::<R>()?, key).ok_or_else(no_key::<R>)
}

fn no_key<R: Record>() -> StoreError {
    StoreError::damaged(R::TABLE.name, "a key is none of this table")
}

#[cfg(test)]
mod tests {
    use schemas::record::tables::PROJECTIONS;

    use super::{TABLES, table_of};

    #[test]
    fn every_table_of_the_journal_is_found_by_its_tag() {
        for table in PROJECTIONS {
            assert!(table_of(&[table.tag, 1]).is_some(), "{}", table.name);
        }
        let mut tags = TABLES.map(|(table, _)| table.tag);
        tags.sort_unstable();
        assert!(tags.windows(2).all(|pair| pair[0] < pair[1]), "{tags:?}");
        assert!(table_of(&[0xff]).is_none() && table_of(&[]).is_none());
    }
}
