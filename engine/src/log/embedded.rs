//! The embedded log: it lies in the same database as the rows and shares their group commit.
//!
//! For each partition it keeps one entry with the first and the end offset, written in the
//! same batch as the records, so that the end is right after a crash and also when every
//! record was trimmed.

use std::sync::Arc;

use schemas::Partition;
use tokio::sync::watch;

use super::{Appended, Bounds, LogError, Offset, Topic};
use crate::runtime::Runtime;
use crate::store::StoreError;
use crate::store::kv::{Direction, Kv, KvRead, Space};
use crate::store::overlay::Overlay;
use crate::store::writer::{Admission, Operations};

/// Records that one operation of the writer deletes, so that a long trim does not hold
/// up a group commit.
const TRIM_STEP: u64 = 1_000;

/// The logs of an embedded store.
#[derive(Clone)]
pub(crate) struct EmbeddedLog {
    kv: Arc<dyn Kv>,
    operations: Operations,
    runtime: Runtime,
    appended: Arc<Appended>,
}

impl EmbeddedLog {
    pub(crate) fn new(
        kv: Arc<dyn Kv>,
        operations: Operations,
        runtime: Runtime,
        appended: Arc<Appended>,
    ) -> Self {
        Self {
            kv,
            operations,
            runtime,
            appended,
        }
    }

    pub(super) fn for_commands(&self) -> Self {
        Self {
            operations: self.operations.for_commands(),
            ..self.clone()
        }
    }

    pub(super) async fn append(
        &self,
        topic: Topic,
        partition: Partition,
        payloads: Vec<Vec<u8>>,
    ) -> Result<Offset, LogError> {
        let append = move |overlay: &mut Overlay<'_>| append(overlay, topic, partition, payloads);
        Ok(self.operations.run(Admission::Intake, append).await?)
    }

    pub(super) async fn read(
        &self,
        topic: Topic,
        partition: Partition,
        from: Offset,
        limit: usize,
    ) -> Result<Vec<(Offset, Vec<u8>)>, LogError> {
        let kv = Arc::clone(&self.kv);
        let read = move || read(&*kv, topic, partition, from, limit);
        match self.runtime.blocking(read.clone()).await? {
            // A flush of the database beside a commit can show the end before the records:
            // behind that commit it is either whole or damaged.
            Err(LogError::Damaged { .. }) => {
                self.operations.settled().await?;
                self.runtime.blocking(read).await?
            }
            read => read,
        }
    }

    pub(super) fn bounds(&self, topic: Topic, partition: Partition) -> Result<Bounds, LogError> {
        Ok(Bounds::stored(&*self.kv, topic, partition)?)
    }

    pub(super) async fn trim(
        &self,
        topic: Topic,
        partition: Partition,
        before: Offset,
    ) -> Result<(), LogError> {
        let end = self.bounds(topic, partition)?.end;
        if before > end {
            return Err(LogError::OffsetOutOfRange { end });
        }
        let step = move |overlay: &mut Overlay<'_>| trim(overlay, topic, partition, before);
        while self.operations.run(Admission::Outcome, step).await? < before {}
        Ok(())
    }

    /// Who tells of appends.
    #[cfg(feature = "servers")]
    pub(super) fn announcer(&self) -> &Appended {
        &self.appended
    }

    pub(super) fn appended(&self, topic: Topic) -> watch::Receiver<u64> {
        self.appended.of(topic)
    }
}

/// Appends records within a group commit, beside other changes. Who waits for the
/// topic is told when the group is durable.
///
/// # Errors
/// What reading the partition's end says.
pub(crate) fn append(
    overlay: &mut Overlay<'_>,
    topic: Topic,
    partition: Partition,
    payloads: Vec<Vec<u8>>,
) -> Result<Offset, StoreError> {
    let bounds_key = bounds_key(topic, partition);
    let mut bounds = Bounds::decode(overlay.get_raw(Space::Log, &bounds_key)?)?;
    let first = bounds.end;
    for payload in payloads {
        let key = record_key(topic, partition, bounds.end);
        overlay.put_raw(Space::Log, key, payload);
        bounds.end += 1;
    }
    overlay.put_raw(Space::Log, bounds_key, bounds.encode());
    overlay.announce(u32::from(topic.index()));
    Ok(first)
}

/// Deletes some records before `before`; the answer is the first offset left.
fn trim(
    overlay: &mut Overlay<'_>,
    topic: Topic,
    partition: Partition,
    before: Offset,
) -> Result<Offset, StoreError> {
    let bounds_key = bounds_key(topic, partition);
    let mut bounds = Bounds::decode(overlay.get_raw(Space::Log, &bounds_key)?)?;
    let until = before
        .min(bounds.end)
        .min(bounds.first.saturating_add(TRIM_STEP));
    if until <= bounds.first {
        return Ok(bounds.first);
    }
    for offset in bounds.first..until {
        overlay.delete_raw(Space::Log, record_key(topic, partition, offset));
    }
    bounds.first = until;
    overlay.put_raw(Space::Log, bounds_key, bounds.encode());
    Ok(until)
}

/// What there is of a partition from an offset on, or from the first record that is left.
///
/// # Errors
/// As [`Log::read`](super::Log::read).
pub(crate) fn unread(
    kv: &dyn KvRead,
    topic: Topic,
    partition: Partition,
    from: Offset,
    limit: usize,
) -> Result<Vec<(Offset, Vec<u8>)>, LogError> {
    let first = Bounds::stored(kv, topic, partition)?.first;
    read(kv, topic, partition, from.max(first), limit)
}

fn read(
    kv: &dyn KvRead,
    topic: Topic,
    partition: Partition,
    from: Offset,
    limit: usize,
) -> Result<Vec<(Offset, Vec<u8>)>, LogError> {
    let bounds = Bounds::stored(kv, topic, partition)?;
    bounds.check(from)?;
    let end = bounds.end.min(from.saturating_add(limit as u64));
    let (start_key, end_key) = (
        record_key(topic, partition, from),
        record_key(topic, partition, end),
    );
    let found = kv
        .scan(Space::Log, &start_key, &end_key, Direction::Forward, limit)
        .map_err(StoreError::from)?;
    if found.len() as u64 != end - from {
        // A trim may have come between.
        Bounds::stored(kv, topic, partition)?.check(from)?;
        return Err(LogError::Damaged {
            detail: format!("records from offset {from} to {end} are missing"),
        });
    }
    let payloads = found.into_iter().map(|(_, payload)| payload);
    Ok((from..end).zip(payloads).collect())
}

impl Bounds {
    fn stored(kv: &dyn KvRead, topic: Topic, partition: Partition) -> Result<Self, StoreError> {
        let bytes = kv.get(Space::Log, &bounds_key(topic, partition))?;
        Self::decode(bytes.as_deref())
    }

    fn decode(bytes: Option<&[u8]>) -> Result<Self, StoreError> {
        let Some(bytes) = bytes else {
            return Ok(Self::default());
        };
        let bytes: [u8; 16] = bytes.try_into().map_err(|_| StoreError::Damaged {
            table: "log",
            detail: "the bounds of a partition cannot be read".to_owned(),
        })?;
        let both = u128::from_be_bytes(bytes);
        Ok(Self {
            first: (both >> 64) as u64,
            end: both as u64,
        })
    }

    fn encode(self) -> Vec<u8> {
        let both = u128::from(self.first) << 64 | u128::from(self.end);
        both.to_be_bytes().to_vec()
    }
}

/// 0, topic, partition.
fn bounds_key(topic: Topic, partition: Partition) -> Vec<u8> {
    let [high, low] = partition.0.to_be_bytes();
    vec![0, topic.index(), high, low]
}

/// 1, topic, partition, offset: records lie in the order of their offsets.
fn record_key(topic: Topic, partition: Partition, offset: Offset) -> Vec<u8> {
    let [high, low] = partition.0.to_be_bytes();
    let mut key = vec![1, topic.index(), high, low];
    key.extend_from_slice(&offset.to_be_bytes());
    key
}
