//! Freezing: the members of a campaign's lists, as they are at its start, written
//! down in chunks.
//!
//! Each partition joins its range of all lists in (slice, number) order; a number that
//! stands on several lists is one recipient. Who came on a list after the start is not
//! in. A chunk is durable before it is counted, and is the same when it is made again,
//! so a freeze that was interrupted goes on after its last chunk.

mod members;
#[cfg(test)]
mod tests;

use schemas::audience::{AudienceChunk, CHUNK_ENTRIES};
use schemas::campaign::{Campaign, CampaignTally};
use schemas::change::Change;
use schemas::{Partition, PartitionCount};

use self::members::Members;
use crate::journal::{CommitError, Journal, Verdict};
use crate::store::{PutOnce, Store, StoreError};

/// The first chunk of a partition is small, so that sending starts with little delay.
pub const FIRST_CHUNK_ENTRIES: usize = 250;

/// Freezing stopped.
#[derive(Debug, thiserror::Error)]
pub enum FreezeError {
    /// The lists or chunks cannot be read or written.
    #[error("the audience cannot be frozen: {0}")]
    Store(#[from] StoreError),
    /// The journal takes nothing more.
    #[error("the audience cannot be frozen: {0}")]
    Commit(#[from] CommitError),
}

/// One partition's freeze under way.
#[derive(Debug)]
pub struct Freeze {
    partition: Partition,
    chunk: u32,
    members: Members,
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
            members: Members::of(first, last),
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
        match chunk.entries.last() {
            Some((number, _)) => self.members.go_on_after(*number),
            None => Ok(()),
        }
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
        let entries = self.members.take(store, campaign, wanted).await?;
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
        let verdicts = journal.commit(vec![(self.partition, frozen)]).await?;
        let is_refused = matches!(verdicts.as_slice(), [Verdict::Refused(_)]);
        if is_refused && is_canceled(store, campaign, self.partition).await? {
            // Its audience ends before this chunk.
            self.done = true;
        } else {
            // Counted before, perhaps: who failed may have left a freeze that still runs.
            self.chunk += 1;
        }
        Ok(())
    }
}

/// Whether nothing more of a campaign begins in a partition.
async fn is_canceled(
    store: &Store,
    campaign: &Campaign,
    partition: Partition,
) -> Result<bool, StoreError> {
    let key = CampaignTally::key_of(campaign.id, partition);
    let tally = store.get::<CampaignTally>(&key).await?;
    Ok(tally.is_some_and(|tally| tally.canceled))
}
