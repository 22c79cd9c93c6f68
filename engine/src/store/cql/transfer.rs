//! Rows that come from an embedded store, as bytes, into tables that have none.

use std::collections::BTreeMap;

use futures::FutureExt;
use futures::future::BoxFuture;
use schemas::Message;
use schemas::account::{Account, ApiKey};
use schemas::audience::AudienceChunk;
use schemas::campaign::{Campaign, CampaignTally};
use schemas::consent::Consent;
use schemas::contact::{Contact, ContactList, ListMember};
use schemas::due::{DueEntry, DueLookUps};
use schemas::health::ProviderHealth;
use schemas::held::{HeldCount, HeldMessage};
use schemas::ingress::IngressPosition;
use schemas::job::{Job, JobFilePiece, JobProgress, JobReject};
use schemas::message::{IdempotencyKey, Intake};
use schemas::position::CommittedPosition;
use schemas::provider::{ProviderOrder, ProviderStamp};
use schemas::record::{Record, tables};
use schemas::text::{Binding, ParkedReceipt, UnknownAttempt};
use scylla::response::{PagingState, PagingStateResponse};

use super::CqlRows;
use super::projection::Projected;
use super::statement::Verb;
use super::table::Schema;
use crate::store::cluster::Stamp;
use crate::store::error::StoreError;
use crate::store::{Backend, Store, row};

/// The way in for the rows of one table.
struct Entrance {
    name: &'static str,
    tag: u8,
    moved: fn(&[u8], Stamp) -> Result<Projected, StoreError>,
    count: for<'a> fn(&'a CqlRows, u64) -> BoxFuture<'a, Result<u64, StoreError>>,
}

impl Entrance {
    const fn of<R: Record>() -> Self {
        Self {
            name: R::TABLE.name,
            tag: R::TABLE.tag,
            moved: |bytes, stamp| Projected::moved(&row::decode_known::<R>(bytes)?, stamp),
            count: |rows, most| rows.count::<R>(most).boxed(),
        }
    }
}

/// Every table but those that say something of nodes.
static ENTRANCES: [Entrance; tables::ALL.len() - tables::OF_NODES.len()] = [
    Entrance::of::<Message>(),
    Entrance::of::<Intake>(),
    Entrance::of::<IdempotencyKey>(),
    Entrance::of::<Binding>(),
    Entrance::of::<DueEntry>(),
    Entrance::of::<ParkedReceipt>(),
    Entrance::of::<Campaign>(),
    Entrance::of::<CampaignTally>(),
    Entrance::of::<AudienceChunk>(),
    Entrance::of::<Contact>(),
    Entrance::of::<ListMember>(),
    Entrance::of::<ContactList>(),
    Entrance::of::<Job>(),
    Entrance::of::<JobProgress>(),
    Entrance::of::<JobReject>(),
    Entrance::of::<Account>(),
    Entrance::of::<ApiKey>(),
    Entrance::of::<CommittedPosition>(),
    Entrance::of::<ProviderStamp>(),
    Entrance::of::<UnknownAttempt>(),
    Entrance::of::<HeldMessage>(),
    Entrance::of::<Consent>(),
    Entrance::of::<ProviderOrder>(),
    Entrance::of::<HeldCount>(),
    Entrance::of::<ProviderHealth>(),
    Entrance::of::<IngressPosition>(),
    Entrance::of::<JobFilePiece>(),
    Entrance::of::<DueLookUps>(),
];

impl Store {
    /// Writes rows as the embedded store keeps them, keys and bytes, all with the stamp of one
    /// group. Repeated, it changes nothing.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] for what is no row of a table that moves, or was written by a newer
    /// release; [`StoreError::Unavailable`] while servers are away.
    pub(crate) async fn move_in(
        &self,
        found: &[(Vec<u8>, Vec<u8>)],
        group: u64,
    ) -> Result<(), StoreError> {
        let stamp = Stamp::new(super::super::cluster::EPOCH, group)?;
        let moved = found.iter().map(|(key, row)| {
            let entrance = ENTRANCES.iter().find(|it| key.first() == Some(&it.tag));
            let entrance = entrance.ok_or_else(|| {
                StoreError::damaged("database", "a row is of no table that moves")
            })?;
            (entrance.moved)(row, stamp)
        });
        let moved = moved.collect::<Result<Vec<_>, _>>()?;
        self.cql()?.project_new(moved).await
    }

    /// How many rows each table has, but that of the topics' marks; of each, `most` are counted
    /// and as many more as come with them.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] while servers are away.
    pub(crate) async fn count_rows(
        &self,
        most: u64,
    ) -> Result<BTreeMap<&'static str, u64>, StoreError> {
        let rows = self.cql()?;
        let mut counts = BTreeMap::new();
        for entrance in &ENTRANCES {
            counts.insert(entrance.name, (entrance.count)(rows, most).await?);
        }
        Ok(counts)
    }

    fn cql(&self) -> Result<&CqlRows, StoreError> {
        match &self.backend {
            Backend::Cql(rows) => Ok(rows),
            Backend::Embedded(_) => Err(StoreError::Backend {
                detail: "rows are moved to servers only".to_owned(),
            }),
        }
    }
}

impl CqlRows {
    async fn count<R: Record>(&self, most: u64) -> Result<u64, StoreError> {
        let table = Schema::table::<R>()?;
        let statement = self.access.prepare(table, Verb::Count).await?;
        let (mut count, mut state) = (0, PagingState::start());
        loop {
            let page = self.access.page(table, &statement, &[], state).await?;
            count += page.rows.len() as u64;
            match page.next {
                PagingStateResponse::HasMorePages { state: next } if count < most => state = next,
                PagingStateResponse::HasMorePages { .. } | PagingStateResponse::NoMorePages => {
                    return Ok(count);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use schemas::record::{Table, tables};

    use super::ENTRANCES;

    #[test]
    fn every_table_has_one_way_in_but_those_of_nodes() {
        let tags: Vec<u8> = ENTRANCES.iter().map(|entrance| entrance.tag).collect();
        let moves = |table: &Table| !tables::OF_NODES.contains(table);
        let moved = tables::ALL.into_iter().filter(moves);
        let moved: Vec<u8> = moved.map(|table| table.tag).collect();
        assert_eq!(tags, moved);
    }
}
