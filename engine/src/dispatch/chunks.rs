//! The chunks of frozen audiences that were read last. A chunk is sent in many parts and never
//! changes, so it is read and unpacked once and not for each of them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use schemas::audience::AudienceChunk;
use schemas::{CampaignId, Partition};

use crate::store::{Store, StoreError};

/// Chunks that are kept: those of two campaigns in eight partitions, 48 kB each. With more at
/// the same time each is read for every part.
const KEPT: usize = 16;

/// Reads chunks, and keeps those that were read last. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Chunks {
    store: Store,
    kept: Arc<Mutex<VecDeque<Arc<AudienceChunk>>>>,
}

impl Chunks {
    /// Those of this store.
    pub fn of(store: Store) -> Self {
        Self {
            store,
            kept: Arc::default(),
        }
    }

    /// A chunk; `None` when it is not frozen yet.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn read(
        &self,
        campaign: CampaignId,
        partition: Partition,
        number: u32,
    ) -> Result<Option<Arc<AudienceChunk>>, StoreError> {
        if let Some(kept) = self.kept(campaign, partition, number) {
            return Ok(Some(kept));
        }
        let key = AudienceChunk::key_of(campaign, partition, number);
        let Some(chunk) = self.store.get::<AudienceChunk>(&key).await? else {
            return Ok(None);
        };
        let chunk = Arc::new(chunk);
        self.keep(Arc::clone(&chunk));
        Ok(Some(chunk))
    }

    fn kept(
        &self,
        campaign: CampaignId,
        partition: Partition,
        number: u32,
    ) -> Option<Arc<AudienceChunk>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |chunk: &&Arc<AudienceChunk>| {
            (chunk.campaign, chunk.partition, chunk.chunk) == (campaign, partition, number)
        };
        kept.iter().find(is_it).map(Arc::clone)
    }

    fn keep(&self, chunk: Arc<AudienceChunk>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        // The one before it is done with.
        let is_before = |other: &Arc<AudienceChunk>| {
            (other.campaign, other.partition) == (chunk.campaign, chunk.partition)
        };
        kept.retain(|other| !is_before(other));
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(chunk);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use schemas::audience::AudienceChunk;
    use schemas::{CampaignId, Partition};

    use super::{Chunks, KEPT};
    use crate::store::MemoryKv;
    use crate::store::subject::in_memory;

    const CAMPAIGN: CampaignId = CampaignId::from_bytes([7; 16]);

    /// A chunk is read once while it is used, again when others came between, and one that is
    /// not frozen yet is looked for each time.
    #[tokio::test]
    async fn a_chunk_is_read_once_while_it_is_used() {
        let store = in_memory(&MemoryKv::new()).store;
        let chunk = |partition: u16, chunk| AudienceChunk {
            campaign: CAMPAIGN,
            partition: Partition(partition),
            chunk,
            entries: Vec::new(),
        };
        let chunks = Chunks::of(store.clone());
        let read = async |partition: u16, number| {
            let read = chunks.read(CAMPAIGN, Partition(partition), number);
            read.await.expect("the store is read")
        };
        let kept = u16::try_from(KEPT).expect("few");
        assert!(read(0, 0).await.is_none());
        for partition in 0..=kept {
            store.put_once(&chunk(partition, 0)).await.expect("stored");
        }
        let first = read(0, 0).await.expect("it is frozen");
        assert_eq!((first.partition, first.chunk), (Partition(0), 0));
        let again = read(0, 0).await.expect("it is frozen");
        assert!(Arc::ptr_eq(&first, &again));
        for partition in 1..=kept {
            let other = read(partition, 0).await.expect("it is frozen");
            assert_eq!(other.partition, Partition(partition));
        }
        let anew = read(0, 0).await.expect("it is frozen");
        assert!(!Arc::ptr_eq(&first, &anew));
        // The next chunk takes the place of the one before it.
        store.put_once(&chunk(0, 1)).await.expect("stored");
        assert_eq!(read(0, 1).await.expect("it is frozen").chunk, 1);
        let anew = read(0, 0).await.expect("it is frozen");
        assert_eq!(anew.chunk, 0);
    }
}
