//! Freezing: the members of a campaign's lists, as they are at its start, written
//! down in chunks.
//!
//! Each partition joins its range of all lists in (slice, number) order; a number that
//! stands on several lists is one recipient. Who came on a list after the start is not
//! in. A chunk is durable before it is counted, and is the same when it is made again,
//! so a freeze that was interrupted goes on after its last chunk.

use std::collections::BTreeMap;

use schemas::audience::{AudienceChunk, CHUNK_ENTRIES, NumberKey};
use schemas::campaign::{Campaign, CampaignTally};
use schemas::change::Change;
use schemas::contact::ListMember;
use schemas::record::KeyPart;
use schemas::{ContactId, ListId, Partition, PartitionCount, Slice};

use crate::journal::{CommitError, Journal};
use crate::store::{Order, PutOnce, Store, StoreError};

/// The first chunk of a partition is small, so that sending starts with little delay.
pub const FIRST_CHUNK_ENTRIES: usize = 250;

/// How many members of a list are read at a time.
const MEMBERS_PAGE: usize = 1_000;

/// Freezing stopped.
#[derive(Debug, thiserror::Error)]
pub enum FreezeError {
    /// The lists or chunks cannot be read or written.
    #[error("the audience cannot be frozen")]
    Store(#[from] StoreError),
    /// The journal takes nothing more.
    #[error("the audience cannot be frozen")]
    Commit(#[from] CommitError),
}

/// One partition's freeze under way.
#[derive(Debug)]
pub struct Freeze {
    partition: Partition,
    chunk: u32,
    slice: u16,
    last_slice: u16,
    after: Option<NumberKey>,
    done: bool,
}

impl Freeze {
    /// Goes on where the partition's numbers say that freezing stopped.
    ///
    /// # Errors
    /// When the numbers or the last chunk cannot be read.
    pub async fn resume(
        store: &Store,
        campaign: &Campaign,
        partitions: PartitionCount,
        partition: Partition,
    ) -> Result<Self, StoreError> {
        let (first, last) = partitions.slices(partition);
        let tally_key = CampaignTally::key_of(campaign.id, partition);
        let tally = store.get::<CampaignTally>(&tally_key).await?;
        let (chunk, done) = tally.map_or((0, false), |tally| (tally.chunks, tally.frozen));
        let mut freeze = Self {
            partition,
            chunk,
            slice: first.number(),
            last_slice: last.number(),
            after: None,
            done,
        };
        if let Some(previous) = chunk.checked_sub(1) {
            let key = AudienceChunk::key_of(campaign.id, partition, previous);
            if let Some(chunk) = store.get::<AudienceChunk>(&key).await? {
                freeze.go_on_after(&chunk)?;
            }
        }
        Ok(freeze)
    }

    fn go_on_after(&mut self, chunk: &AudienceChunk) -> Result<(), StoreError> {
        if let Some((number, _)) = chunk.entries.last() {
            self.slice = slice_of(*number)?.number();
            self.after = Some(*number);
        }
        Ok(())
    }

    /// The partition.
    pub fn partition(&self) -> Partition {
        self.partition
    }

    /// How many chunks are frozen.
    pub fn chunks(&self) -> u32 {
        self.chunk
    }

    /// Whether the audience is frozen to its end.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// Writes and counts the next chunk.
    ///
    /// # Errors
    /// When it cannot be made durable; what was durable before stays.
    pub async fn next_chunk(
        &mut self,
        store: &Store,
        journal: &Journal,
        campaign: &Campaign,
    ) -> Result<(), FreezeError> {
        let wanted = if self.chunk == 0 {
            FIRST_CHUNK_ENTRIES
        } else {
            CHUNK_ENTRIES
        };
        let entries = self.collect(store, campaign, wanted).await?;
        let chunk = self.chunk;
        let row = AudienceChunk {
            campaign: campaign.id,
            partition: self.partition,
            chunk,
            entries,
        };
        let written = match store.put_once(&row).await? {
            PutOnce::Stored => row.entries,
            PutOnce::Exists(earlier) => {
                self.go_on_after(&earlier)?;
                earlier.entries
            }
        };
        self.done = written.len() < wanted;
        let count = u32::try_from(written.len()).unwrap_or(u32::MAX);
        let frozen = Change::AudienceFrozen {
            campaign: campaign.id,
            chunk,
            entries: count,
            last: self.done,
        };
        journal.commit(vec![(self.partition, frozen)]).await?;
        self.chunk += 1;
        Ok(())
    }

    async fn collect(
        &mut self,
        store: &Store,
        campaign: &Campaign,
        wanted: usize,
    ) -> Result<Vec<(NumberKey, ContactId)>, StoreError> {
        let mut entries = Vec::with_capacity(wanted);
        while entries.len() < wanted {
            let room = wanted - entries.len();
            let members = self.members_of_slice(store, campaign, room).await?;
            if let Some((number, _)) = members.last() {
                self.after = Some(*number);
            }
            let slice_is_read = members.len() < room;
            entries.extend(members);
            if slice_is_read {
                self.after = None;
                if self.slice == self.last_slice {
                    break;
                }
                self.slice += 1;
            }
        }
        Ok(entries)
    }

    /// Up to `room` members of the slice after the last one taken, over all lists.
    async fn members_of_slice(
        &self,
        store: &Store,
        campaign: &Campaign,
        room: usize,
    ) -> Result<Vec<(NumberKey, ContactId)>, StoreError> {
        let mut joined = BTreeMap::new();
        for list in &campaign.lists {
            let members = self.list_members(store, campaign, *list, room).await?;
            for (number, contact) in members {
                joined.entry(number).or_insert(contact);
            }
        }
        Ok(joined.into_iter().take(room).collect())
    }

    async fn list_members(
        &self,
        store: &Store,
        campaign: &Campaign,
        list: ListId,
        room: usize,
    ) -> Result<Vec<(NumberKey, ContactId)>, StoreError> {
        let prefix = ListMember::slice_key(list, Slice::from_low_bits(self.slice));
        let mut next = self.after.map_or(0, |number| number.0 + 1);
        let mut members = Vec::new();
        while members.len() < room {
            let mut from = prefix.clone();
            from.push(KeyPart::U64(next));
            let page = store
                .list_from::<ListMember>(&prefix, &from, Order::Ascending, MEMBERS_PAGE)
                .await?;
            let Some(last) = page.last() else { break };
            next = last.number.0 + 1;
            let is_end = page.len() < MEMBERS_PAGE;
            let in_time = page.iter().filter(|member| {
                campaign
                    .started_at
                    .is_none_or(|start| member.added_at <= start)
            });
            members.extend(in_time.map(|member| (member.number, member.contact)));
            if is_end {
                break;
            }
        }
        members.truncate(room);
        Ok(members)
    }
}

fn slice_of(number: NumberKey) -> Result<Slice, StoreError> {
    let phone = number.phone();
    phone
        .map(|phone| phone.slice())
        .ok_or_else(|| StoreError::damaged("audience_chunks", "an entry is not a number"))
}
