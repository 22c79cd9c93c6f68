//! The book: what the sandbox took, answered and told, on disk, text by text.
//!
//! It is a file of JSON lines, [`BOOK_FILE`] in the sandbox's folder, only ever
//! appended to. A line is one [`Record`]. A last line without its line end was
//! torn by a crash; a reader leaves it out and the next start cuts it off.
//!
//! Lines go into a buffer in memory that a writer thread of its own swaps and
//! writes at least every 20 ms, so a kill of the sandbox loses at most that much
//! (it is the witness of other processes' crashes, not of its own). Shutdown
//! writes everything and syncs the file.

mod record;
mod writer;

pub use record::{
    CourseRecord, FORMAT, ReceiptRecord, ReceiptResult, Record, StallRecord, StartRecord,
    StopRecord, TextRecord,
};
pub(crate) use writer::FileBook;

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The book's file in its folder.
pub const BOOK_FILE: &str = "book.jsonl";

/// Bytes read at once: large enough that a book of a million texts reads at disk speed.
const READ_BYTES: usize = 1 << 20;

/// Why a book cannot be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    /// The system refused.
    #[error("cannot {what} the sandbox's book {path}: {cause}", path = path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        cause: io::Error,
    },
    /// Another sandbox writes this book.
    #[error("the sandbox's book {path} is in use by another sandbox", path = .0.display())]
    InUse(PathBuf),
    /// A whole line that is no record.
    #[error("the sandbox's book {path} is damaged at line {line}: {cause}", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        cause: serde_json::Error,
    },
    /// Written by a sandbox with another format.
    #[error("the sandbox's book {path} has format {format}, this one reads {FORMAT}",
        path = path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The format it tells.
        format: u32,
    },
}

/// Takes records down. A core writes to one while it decides.
pub trait BookSink: Send + Sync {
    /// Appends one record; may wait when the disk does not keep up.
    fn append(&self, record: &Record<'_>);
}

/// A book in memory, for a core that is driven without sockets.
#[derive(Default)]
pub struct MemoryBook {
    lines: Mutex<Vec<u8>>,
}

impl MemoryBook {
    /// All records so far, in the order they were appended.
    ///
    /// # Errors
    /// Only if the format could not read what it wrote.
    pub fn records(&self) -> Result<Vec<Record<'static>>, BookError> {
        let lines = self
            .lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        Book::over(Path::new("memory"), Box::new(io::Cursor::new(lines))).collect()
    }
}

impl BookSink for MemoryBook {
    fn append(&self, record: &Record<'_>) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        write_line(&mut lines, record);
    }
}

/// One record and its line end. Writing JSON into memory cannot fail for these
/// types (no maps, no foreign `Serialize`); a line that did would be left out whole.
fn write_line(lines: &mut Vec<u8>, record: &Record<'_>) {
    let before = lines.len();
    match serde_json::to_writer(&mut *lines, record) {
        Ok(()) => lines.push(b'\n'),
        Err(_) => lines.truncate(before),
    }
}

/// A book being read: an iterator over its records, oldest line first.
pub struct Book {
    path: PathBuf,
    source: Box<dyn BufRead + Send>,
    buffer: Vec<u8>,
    line: u64,
    /// Bytes of whole lines read so far.
    whole_bytes: u64,
}

impl Book {
    /// Opens the book in `path`, which is its folder or the file itself.
    /// It may still be written to: reading ends at the last whole line.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn read(path: &Path) -> Result<Self, BookError> {
        let file_path = if path.is_dir() {
            path.join(BOOK_FILE)
        } else {
            path.to_owned()
        };
        let file = File::open(&file_path).map_err(|cause| BookError::File {
            what: "open",
            path: file_path.clone(),
            cause,
        })?;
        Ok(Self::over(
            &file_path,
            Box::new(BufReader::with_capacity(READ_BYTES, file)),
        ))
    }

    fn over(path: &Path, source: Box<dyn BufRead + Send>) -> Self {
        Self {
            path: path.to_owned(),
            source,
            buffer: Vec::new(),
            line: 0,
            whole_bytes: 0,
        }
    }

    /// Bytes of the whole lines read so far: where a torn last line begins.
    pub fn whole_bytes(&self) -> u64 {
        self.whole_bytes
    }
}

impl Iterator for Book {
    type Item = Result<Record<'static>, BookError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.buffer.clear();
        let read = self.source.read_until(b'\n', &mut self.buffer);
        let length = match read {
            Ok(length) if self.buffer.ends_with(b"\n") => length,
            Ok(_) => return None,
            Err(cause) => {
                let path = self.path.clone();
                return Some(Err(BookError::File {
                    what: "read",
                    path,
                    cause,
                }));
            }
        };
        self.line += 1;
        self.whole_bytes += u64::try_from(length).unwrap_or(u64::MAX);
        let record = serde_json::from_slice(&self.buffer).map_err(|cause| BookError::Damaged {
            path: self.path.clone(),
            line: self.line,
            cause,
        });
        Some(match record {
            Ok(Record::Start(start)) if start.format != FORMAT => Err(BookError::Format {
                path: self.path.clone(),
                format: start.format,
            }),
            other => other,
        })
    }
}
