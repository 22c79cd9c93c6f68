//! From a file to servers.

use std::collections::BTreeMap;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{Either, join_all, select};
use schemas::{MessageClass, Partition, PartitionCount, PartitionRange};

use super::file::{Item, Next, Reader, Whole};
use super::{Counts, TransferError, WORK};
use crate::log::{
    GroupTopic, Groups, HeldTurn, KafkaLogSettings, Log, LogError, Membership, Nodes, Topic,
    begin_import, begun_import, open_log,
};
use crate::runtime::Runtime;
use crate::storage::Servers;
use crate::store::cluster::{FIRST_GROUP, first_group, read_journals};
use crate::store::{Store, cql};

/// Rows that are written in one go: of the largest, audience chunks of 48 kB, 24 MB.
const ROWS: usize = 500;

/// What one append of work may hold: a quarter of what it takes at most.
const APPEND_BYTES: usize = 1 << 20;
const APPEND_RECORDS: usize = 1_000;

/// How long the turn to own the journals may take to come where no node runs: a session of a node
/// that was killed, and what Kafka needs to notice it.
const TURN_WITHIN: Duration = Duration::from_secs(20);

/// What became of an import.
#[derive(Debug)]
pub struct Imported {
    /// What was moved.
    pub counts: Counts,
    /// All of it was there already, by an earlier call.
    pub was_done: bool,
}

/// A lane of a partition.
type Place = (MessageClass, Partition);

/// Moves what a file holds to servers on which nothing is, or goes on where an import of the same
/// file broke off. No node may run on them. Memory does not grow with the file. Must be called on
/// the tokio runtime that the servers' clients are to live on.
///
/// # Errors
/// [`TransferError`], which names the cure.
pub async fn import(
    servers: &Servers,
    file: &Path,
    partitions: PartitionCount,
    runtime: &Runtime,
) -> Result<Imported, TransferError> {
    let reader = Reader::open(file)?;
    if reader.partitions != partitions {
        return Err(TransferError::OtherPartitionCount {
            stored: reader.partitions.get(),
            asked: partitions.get(),
        });
    }
    // Nothing is written of a file that is not whole.
    let mut ends = BTreeMap::<Place, u64>::new();
    let Whole { counts, digest } = reader.each(|item| {
        if let Item::Work {
            class, partition, ..
        } = item
        {
            *ends.entry((class, partition)).or_default() += 1;
        }
        Ok(())
    })?;
    let store = cql::connect(&servers.cql, runtime).await?;
    let kafka = KafkaLogSettings::from(&servers.kafka);
    let log = open_log(&store, &kafka, partitions, runtime).await?;
    let _turns = turns(&kafka, (partitions, servers.kafka.owners), runtime).await?;
    let groups = GroupTopic::open(&kafka, PartitionRange::whole(partitions), runtime).await?;
    let is_new = read_journals(&groups).await?.is_new();
    let [a, b, c, d, e, f, g, h, ..] = digest;
    let mark = i64::from_be_bytes([a, b, c, d, e, f, g, h]);
    match begun_import(&store, &kafka).await? {
        Some(begun) if begun != mark && is_new => return Err(TransferError::AnotherFile),
        Some(begun) if begun == mark && !is_new => {
            let was_done = true;
            return Ok(Imported { counts, was_done });
        }
        Some(_) | None if !is_new => return Err(not_empty("its journals")),
        Some(_) => tracing::info!("an import that broke off goes on"),
        None => {
            refuse_others(&store, &log, partitions).await?;
            begin_import(&store, &kafka, mark).await?;
        }
    }
    let journal = write(&store, &log, file, digest).await?;
    compare(&store, &log, &counts, &ends).await?;
    // From here on it counts.
    let records = first_group(journal);
    groups.commit(&records, &[]).await?;
    let was_done = false;
    Ok(Imported { counts, was_done })
}

/// This process's turns, while no node has one or waits for one.
async fn turns(
    kafka: &KafkaLogSettings,
    (partitions, owners): (PartitionCount, PartitionCount),
    runtime: &Runtime,
) -> Result<Vec<HeldTurn>, TransferError> {
    let owners = owners.min(partitions);
    let all = async {
        let member = Membership::join(kafka, owners, &Nodes::visitor(), runtime).await?;
        let ranges = PartitionRange::divide(partitions, owners);
        Ok::<_, LogError>(join_all(ranges.map(|range| Arc::clone(&member).turn(range))).await)
    };
    match select(pin!(all), pin!(runtime.sleep(TURN_WITHIN))).await {
        Either::Left((turns, _)) => Ok(turns?),
        Either::Right(_) => Err(TransferError::NodeRuns),
    }
}

/// Servers that hold anything are somebody's.
async fn refuse_others(
    store: &Store,
    log: &Log,
    partitions: PartitionCount,
) -> Result<(), TransferError> {
    let counts = store.count_rows(1).await?;
    if let Some((table, _)) = counts.into_iter().find(|(_, count)| *count > 0) {
        return Err(not_empty(&format!("rows in {table}")));
    }
    for class in MessageClass::ALL {
        for partition in partitions.all() {
            if log.end(Topic::Work(class), partition).await? > 0 {
                return Err(not_empty("its work logs"));
            }
        }
    }
    Ok(())
}

fn not_empty(what: &str) -> TransferError {
    TransferError::NotEmpty {
        what: what.to_owned(),
    }
}

/// Writes rows and work, and gives back the journals' entries.
async fn write(
    store: &Store,
    log: &Log,
    file: &Path,
    digest: [u8; 32],
) -> Result<Vec<(Vec<u8>, Vec<u8>)>, TransferError> {
    let mut reader = Reader::open(file)?;
    let (mut rows, mut journal) = (Vec::with_capacity(ROWS), Vec::new());
    let mut lane = Lane::none();
    loop {
        match reader.next()? {
            Next::Item(Item::Row { key, row }) => {
                rows.push((key, row));
                if rows.len() == ROWS {
                    store.move_in(&rows, FIRST_GROUP).await?;
                    rows.clear();
                }
            }
            Next::Item(Item::Work {
                class,
                partition,
                payload,
            }) => {
                if lane.place != Some((class, partition)) {
                    lane.flush(log).await?;
                    lane = Lane::open(log, class, partition).await?;
                }
                lane.take(log, payload).await?;
            }
            Next::Item(Item::Journal { key, entry }) => journal.push((key, entry)),
            Next::End(whole) if whole.digest == digest => break,
            Next::End(_) => {
                return Err(TransferError::Damaged {
                    file: file.to_owned(),
                    detail: "somebody has changed it meanwhile".to_owned(),
                });
            }
        }
    }
    store.move_in(&rows, FIRST_GROUP).await?;
    lane.flush(log).await?;
    Ok(journal)
}

/// A lane of a partition that is being filled.
struct Lane {
    place: Option<Place>,
    /// So many records an earlier import has appended.
    there: u64,
    waiting: Vec<Vec<u8>>,
    bytes: usize,
}

impl Lane {
    fn none() -> Self {
        Self {
            place: None,
            there: 0,
            waiting: Vec::new(),
            bytes: 0,
        }
    }

    async fn open(
        log: &Log,
        class: MessageClass,
        partition: Partition,
    ) -> Result<Self, TransferError> {
        Ok(Self {
            place: Some((class, partition)),
            there: log.end(Topic::Work(class), partition).await?,
            ..Self::none()
        })
    }

    async fn take(&mut self, log: &Log, payload: Vec<u8>) -> Result<(), TransferError> {
        if let Some(left) = self.there.checked_sub(1) {
            self.there = left;
            return Ok(());
        }
        self.bytes += payload.len();
        self.waiting.push(payload);
        if self.bytes >= APPEND_BYTES || self.waiting.len() == APPEND_RECORDS {
            self.flush(log).await?;
        }
        Ok(())
    }

    async fn flush(&mut self, log: &Log) -> Result<(), TransferError> {
        let waiting = std::mem::take(&mut self.waiting);
        self.bytes = 0;
        if let Some((class, partition)) = self.place
            && !waiting.is_empty()
        {
            log.append(Topic::Work(class), partition, waiting).await?;
        }
        Ok(())
    }
}

/// Whether what is there is what the file says, counted anew.
async fn compare(
    store: &Store,
    log: &Log,
    counts: &Counts,
    ends: &BTreeMap<Place, u64>,
) -> Result<(), TransferError> {
    let differs = |what: &str, found, expected| TransferError::Differs {
        what: what.to_owned(),
        found,
        expected,
    };
    for (table, found) in store.count_rows(u64::MAX).await? {
        let expected = counts.get(table).copied().unwrap_or(0);
        if found != expected {
            return Err(differs(table, found, expected));
        }
    }
    for ((class, partition), expected) in ends {
        let found = log.end(Topic::Work(*class), *partition).await?;
        if found != *expected {
            return Err(differs(WORK, found, *expected));
        }
    }
    Ok(())
}
