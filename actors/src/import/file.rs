//! The file of a job, read in batches.
//!
//! Where reading panics, be it over a single record, the batch is read again from its beginning:
//! three times in all, some moments apart. Then the file is given up with the line behind which
//! it happens, and what was imported of it stays. A file must not bring down the node, and with
//! it everybody else, again with each start.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use engine::contacts::{ContactReader, ImportFileError, ImportOptions, ImportedContact, Record};
use engine::runtime::{Runtime, WorkLost};
use schemas::change::Reject;
use schemas::job::ImportPosition;

use crate::dispatch::careful::PAUSES;

/// Records of one commit: some 200 kB of contacts, read again after a crash at most.
const RECORDS_A_BATCH: usize = 1_000;

/// Opens the file at a byte.
type Open<R> = Arc<dyn Fn(u64) -> io::Result<R> + Send + Sync>;

/// The file of a job.
pub(super) struct ImportFile<R> {
    open: Open<R>,
    options: ImportOptions,
    /// Behind the last batch.
    position: Option<ImportPosition>,
    reader: Option<ContactReader<R>>,
}

/// What was read of a file.
pub(super) struct Batch {
    pub(super) contacts: Vec<ImportedContact>,
    pub(super) rejects: Vec<Reject>,
    /// Behind it.
    pub(super) position: ImportPosition,
    pub(super) is_last: bool,
}

/// A file cannot be imported, or not further.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    /// It is not what it should be.
    #[error(transparent)]
    File(#[from] ImportFileError),
    /// Reading it panicked as often as it may.
    #[error(
        "reading it failed three times behind line {line}, by a fault of ours: the records up \
         to there are imported; import the others without the one that does it"
    )]
    Panics {
        /// Where the last batch ended; 0 is the beginning.
        line: u64,
    },
}

impl ImportFile<BufReader<File>> {
    /// A file on the disk, behind what was read of it before.
    pub(super) fn new(
        path: PathBuf,
        options: ImportOptions,
        position: Option<ImportPosition>,
    ) -> Self {
        let open = move |byte| {
            let mut file = File::open(&path)?;
            file.seek(SeekFrom::Start(byte))?;
            Ok(BufReader::new(file))
        };
        Self {
            open: Arc::new(open),
            options,
            position,
            reader: None,
        }
    }
}

impl<R: BufRead + Send + 'static> ImportFile<R> {
    /// Reads the next batch.
    ///
    /// # Errors
    /// [`WorkLost`] when the process ends.
    pub(super) async fn next(
        &mut self,
        runtime: &Runtime,
    ) -> Result<Result<Batch, FileError>, WorkLost> {
        let mut pauses = PAUSES.into_iter();
        loop {
            let (open, options) = (Arc::clone(&self.open), self.options.clone());
            let (position, reader) = (self.position, self.reader.take());
            let read = move || {
                let reader = match reader {
                    Some(reader) => reader,
                    None => reader_at(&*open, &options, position)?,
                };
                read_batch(reader)
            };
            let read = move || catch_unwind(AssertUnwindSafe(read));
            match runtime.blocking(read).await? {
                Ok(Ok((reader, batch))) => {
                    (self.reader, self.position) = (Some(reader), Some(batch.position));
                    return Ok(Ok(batch));
                }
                Ok(Err(error)) => return Ok(Err(error.into())),
                Err(_) => tracing::error!("reading an imported file panicked"),
            }
            let Some(pause) = pauses.next() else {
                let line = position.map_or(0, |position| position.line.saturating_sub(1));
                return Ok(Err(FileError::Panics { line }));
            };
            runtime.sleep(pause).await;
        }
    }
}

fn reader_at<R: BufRead>(
    open: &dyn Fn(u64) -> io::Result<R>,
    options: &ImportOptions,
    position: Option<ImportPosition>,
) -> Result<ContactReader<R>, ImportFileError> {
    let reader = ContactReader::new(open(0)?, options)?;
    let Some(position) = position else {
        return Ok(reader);
    };
    let layout = reader.layout().clone();
    ContactReader::resume(open(position.byte)?, layout, position, options)
}

fn read_batch<R: BufRead>(
    mut reader: ContactReader<R>,
) -> Result<(ContactReader<R>, Batch), ImportFileError> {
    let (mut contacts, mut rejects) = (Vec::with_capacity(RECORDS_A_BATCH), Vec::new());
    let mut is_last = false;
    while contacts.len() + rejects.len() < RECORDS_A_BATCH {
        match reader.next_record()? {
            Some(Record::Contact(contact)) => contacts.push(contact),
            Some(Record::Rejected(reject)) => rejects.push(Reject {
                line: reject.line,
                column: reject.column,
                reason: reject.reason.code().to_owned(),
            }),
            None => {
                is_last = true;
                break;
            }
        }
    }
    let position = reader.position();
    let batch = Batch {
        contacts,
        rejects,
        position,
        is_last,
    };
    Ok((reader, batch))
}

#[cfg(test)]
mod tests;
