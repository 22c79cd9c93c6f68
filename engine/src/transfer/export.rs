//! From a folder to a file.

use std::path::Path;

use schemas::job::{Job, JobProgress, JobState};
use schemas::position::{CommittedPosition, SourceId};
use schemas::record::{Record, tables};
use schemas::{MessageClass, Partition, PartitionCount, PartitionRange};

use super::file::{Header, Item, Reader, Writer};
use super::{Counts, TransferError};
use crate::journal::{checkpoint, partition_count};
use crate::log::{Topic, embedded};
use crate::store::kv::{Direction, KvRead, Space};
use crate::store::overlay::Overlay;
use crate::store::{FolderError, key, open_kv, row};

/// How many rows or records are read at a time: of the largest, audience chunks of 48 kB, 12 MB.
const PAGE: usize = 250;

/// What the backend keeps for itself lies behind all rows.
const ROWS_END: &[u8] = &[u8::MAX];

/// Writes everything in a folder that nobody serves to a file. The folder stays as it is; `asked`
/// partitions it has where no node has committed anything to its journals. Blocks for as long as
/// reading it takes; memory does not grow with it.
///
/// # Errors
/// [`TransferError`], which names the cure. What was written is no file of that name then.
pub fn export(folder: &Path, file: &Path, asked: PartitionCount) -> Result<Counts, TransferError> {
    let entries = folder.read_dir().map_err(|_| FolderError::NotAFolder {
        folder: folder.to_owned(),
    })?;
    // Opened, it would become a folder of ours.
    if entries.count() == 0 {
        let folder = folder.to_owned();
        return Err(TransferError::Nothing { folder });
    }
    let kv = open_kv(folder)?;
    let partitions = partition_count::stored(&mut Overlay::new(&*kv))?.unwrap_or(asked);
    let header = Header {
        release: env!("CARGO_PKG_VERSION").to_owned(),
        partitions: partitions.get(),
    };
    let mut writer = Writer::create(file, &header)?;
    if let Err(error) = write(&*kv, partitions, &mut writer) {
        writer.discard();
        return Err(error);
    }
    let written = writer.finish()?;
    // As an import will see it.
    let read = Reader::open(file)?.each(|_| Ok(()))?;
    if read != written {
        return Err(TransferError::Damaged {
            file: file.to_owned(),
            detail: "the disk gives back something else than was written".to_owned(),
        });
    }
    Ok(read.counts)
}

/// What there is, in the order in which an import needs it.
pub(super) fn write(
    kv: &dyn KvRead,
    partitions: PartitionCount,
    writer: &mut Writer,
) -> Result<(), TransferError> {
    refuse_uploads(kv, PartitionRange::whole(partitions))?;
    for space in Space::ALL.into_iter().filter(|space| space.holds_rows()) {
        each(kv, space, &[], ROWS_END, |key, row| {
            match of_row(key, row)? {
                Some(item) => writer.item(&item),
                None => Ok(()),
            }
        })?;
    }
    for class in MessageClass::ALL {
        for partition in partitions.all() {
            work(kv, class, partition, writer)?;
        }
    }
    for (key, entry) in checkpoint::entries(kv, partitions)? {
        writer.item(&Item::Journal { key, entry })?;
    }
    Ok(())
}

/// An uploaded file is no row, and a node on servers has no other's.
fn refuse_uploads(kv: &dyn KvRead, whole: PartitionRange) -> Result<(), TransferError> {
    let mut jobs = 0;
    let start = key::encode(tables::JOBS, &[])?;
    let end = key::prefix_end(&start);
    each(kv, Space::of(tables::JOBS), &start, &end, |_, row| {
        let job = row::decode::<Job>(&row)?;
        let key = JobProgress::key_of(job.id, whole);
        let progress = Overlay::new(kv).get::<JobProgress>(&key)?;
        let is_over = progress.is_some_and(|progress| match progress.state {
            JobState::Completed | JobState::Failed => true,
            JobState::Pending | JobState::Running => false,
        });
        jobs += u64::from(!is_over);
        Ok(())
    })?;
    match jobs {
        0 => Ok(()),
        jobs => Err(TransferError::ImportsUnderWay { jobs }),
    }
}

/// A row as it is on servers; `None` for one that means nothing there.
fn of_row(key: Vec<u8>, row: Vec<u8>) -> Result<Option<Item>, TransferError> {
    let tag = key.first().copied();
    if tables::OF_NODES.iter().any(|table| tag == Some(table.tag)) {
        return Ok(None);
    }
    if tag != Some(CommittedPosition::TABLE.tag) {
        return Ok(Some(Item::Row { key, row }));
    }
    let position = row::decode::<CommittedPosition>(&row)?;
    let row = match position.source {
        // What was read is left behind.
        SourceId::Work(_) | SourceId::Callbacks => row::encode(&CommittedPosition {
            position: 0,
            ..position
        })?,
        SourceId::Audience(_) | SourceId::Due(_) | SourceId::Import(_) => row,
    };
    Ok(Some(Item::Row { key, row }))
}

/// What a lane of a partition holds that has no outcome.
fn work(
    kv: &dyn KvRead,
    class: MessageClass,
    partition: Partition,
    writer: &mut Writer,
) -> Result<(), TransferError> {
    let key = CommittedPosition::key_of(partition, &SourceId::Work(class));
    let position = Overlay::new(kv).get::<CommittedPosition>(&key)?;
    let mut next = position.map_or(0, |position| position.position);
    loop {
        let records = embedded::unread(kv, Topic::Work(class), partition, next, PAGE)?;
        let Some((last, _)) = records.last() else {
            return Ok(());
        };
        next = last + 1;
        for (_, payload) in records {
            writer.item(&Item::Work {
                class,
                partition,
                payload,
            })?;
        }
    }
}

/// Every pair of a range, some at a time.
fn each(
    kv: &dyn KvRead,
    space: Space,
    start: &[u8],
    end: &[u8],
    mut take: impl FnMut(Vec<u8>, Vec<u8>) -> Result<(), TransferError>,
) -> Result<(), TransferError> {
    let mut start = start.to_vec();
    loop {
        let page = kv.scan(space, &start, end, Direction::Forward, PAGE)?;
        let Some((last, _)) = page.last() else {
            return Ok(());
        };
        start = key::successor(last);
        for (key, value) in page {
            take(key, value)?;
        }
    }
}
