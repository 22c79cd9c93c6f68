//! The book's writer: a bounded buffer in memory and one thread that empties it.

use super::{BOOK_FILE, Book, BookError, BookSink, Record, write_line};
use crate::seam;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Bytes of lines that may wait for the disk: about two seconds at the highest
/// rate we promise. Beyond it, whoever appends waits.
const WAITING_BYTES: usize = 64 << 20;

/// Longest time a line stays in memory.
const FLUSH_EVERY: Duration = Duration::from_millis(20);

#[derive(Default)]
struct Waiting {
    lines: Vec<u8>,
    /// Bytes ever appended, and those of them handed to the system.
    appended: u64,
    written: u64,
    closing: bool,
    /// The first write that failed; from then on lines are dropped.
    failure: Option<std::io::Error>,
}

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    /// Wakes the writer early: closing, or the buffer is half full.
    work: Condvar,
    /// Wakes those who wait for a write: the buffer was emptied and written.
    room: Condvar,
}

impl Shared {
    fn hold(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The book of a running sandbox.
pub(crate) struct FileBook {
    path: PathBuf,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl FileBook {
    /// Opens the book in `folder` (making both when missing), hands every whole
    /// record in it to `seen`, cuts off a torn last line, and starts the writer.
    pub(crate) fn open(
        folder: &Path,
        mut seen: impl FnMut(Record<'static>),
    ) -> Result<Self, BookError> {
        let path = folder.join(BOOK_FILE);
        let failed = |what| {
            let path = path.clone();
            move |cause| BookError::File { what, path, cause }
        };
        std::fs::create_dir_all(folder).map_err(failed("make the folder of"))?;
        let options = OpenOptions::new().create(true).append(true).clone();
        let file = options.open(&path).map_err(failed("open"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(BookError::InUse(path)),
            Err(TryLockError::Error(cause)) => return Err(failed("lock")(cause)),
        }
        let mut book = Book::read(&path)?;
        for record in &mut book {
            seen(record?);
        }
        file.set_len(book.whole_bytes())
            .map_err(failed("cut the torn line of"))?;
        let shared = Arc::new(Shared::default());
        let for_thread = Arc::clone(&shared);
        let thread = seam::spawn_thread("sandbox-book", move || {
            write_until_closed(&for_thread, file)
        })
        .map_err(failed("start the writer of"))?;
        Ok(Self {
            path,
            shared,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Waits until everything appended before can be read from the file.
    pub(crate) fn flush(&self) {
        let mut waiting = self.shared.hold();
        let end = waiting.appended;
        while waiting.written < end && waiting.failure.is_none() {
            waiting = self
                .shared
                .room
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Writes what waits, syncs, and ends the writer.
    ///
    /// # Errors
    /// The first write that failed since the start: the book has a hole from there.
    pub(crate) fn close(&self) -> Result<(), BookError> {
        self.shared.hold().closing = true;
        self.shared.work.notify_all();
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        // A writer that panicked has left its failure or nothing to write.
        let joined = thread.map_or(Ok(()), JoinHandle::join);
        let failure = self.shared.hold().failure.take().or_else(|| {
            joined
                .err()
                .map(|_| std::io::Error::other("the writer of the book panicked"))
        });
        failure.map_or(Ok(()), |cause| {
            Err(BookError::File {
                what: "write",
                path: self.path.clone(),
                cause,
            })
        })
    }
}

impl BookSink for FileBook {
    fn append(&self, record: &Record<'_>) {
        let mut line = Vec::with_capacity(512);
        write_line(&mut line, record);
        let mut waiting = self.shared.hold();
        while waiting.lines.len() >= WAITING_BYTES && waiting.failure.is_none() && !waiting.closing
        {
            waiting = self
                .shared
                .room
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if waiting.failure.is_some() {
            return;
        }
        let was_below = waiting.lines.len() < WAITING_BYTES / 2;
        waiting.lines.extend_from_slice(&line);
        waiting.appended += u64::try_from(line.len()).unwrap_or_default();
        if was_below && waiting.lines.len() >= WAITING_BYTES / 2 {
            self.shared.work.notify_one();
        }
    }
}

fn write_until_closed(shared: &Shared, mut file: File) {
    let mut lines = Vec::new();
    loop {
        let mut waiting = shared.hold();
        if !waiting.closing && waiting.lines.len() < WAITING_BYTES / 2 {
            let waited = shared.work.wait_timeout(waiting, FLUSH_EVERY);
            waiting = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let closing = waiting.closing;
        let end = waiting.appended;
        mem::swap(&mut waiting.lines, &mut lines);
        drop(waiting);
        let mut written = file.write_all(&lines);
        lines.clear();
        if closing && written.is_ok() {
            written = file.sync_data();
        }
        if let Err(cause) = written {
            tracing::error!(%cause, "the sandbox cannot write its book");
            shared.hold().failure.get_or_insert(cause);
        }
        let mut waiting = shared.hold();
        waiting.written = end;
        let ended = closing && waiting.lines.is_empty();
        drop(waiting);
        shared.room.notify_all();
        if ended {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Book, BookError, BookSink, FileBook, Record};
    use crate::book::{BOOK_FILE, StopRecord};
    use std::fs::OpenOptions;
    use std::io::Write;
    use std::path::PathBuf;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("sandbox-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        folder
    }

    fn stamps(folder: &std::path::Path) -> Vec<u64> {
        let records = Book::read(folder).into_iter().flatten().flatten();
        records
            .filter_map(|record| match record {
                Record::Stop(stop) => Some(stop.at),
                Record::Start(_) | Record::Text(_) | Record::Receipt(_) | Record::Stall(_) => None,
            })
            .collect()
    }

    #[test]
    fn a_torn_line_is_left_out_and_cut_off() -> Result<(), Box<dyn std::error::Error>> {
        let folder = folder("torn");
        let book = FileBook::open(&folder, |_| ())?;
        book.append(&Record::Stop(StopRecord { at: 1 }));
        book.close()?;
        let mut file = OpenOptions::new()
            .append(true)
            .open(folder.join(BOOK_FILE))?;
        file.write_all(b"{\"stop\":{\"a")?;
        drop(file);
        drop(book);
        assert_eq!(stamps(&folder), [1]);
        let mut seen = 0;
        let again = FileBook::open(&folder, |_| seen += 1)?;
        again.append(&Record::Stop(StopRecord { at: 2 }));
        again.close()?;
        assert_eq!(seen, 1);
        assert_eq!(stamps(&folder), [1, 2]);
        std::fs::remove_dir_all(&folder)?;
        Ok(())
    }

    #[test]
    fn a_damaged_line_is_an_error_that_names_it() -> Result<(), Box<dyn std::error::Error>> {
        let folder = folder("damaged");
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join(BOOK_FILE), "{\"stop\":{\"at\":1}}\n{\"st\n{}\n")?;
        let opened = FileBook::open(&folder, |_| ());
        assert!(matches!(
            opened.err(),
            Some(BookError::Damaged { line: 2, .. })
        ));
        std::fs::remove_dir_all(&folder)?;
        Ok(())
    }

    #[test]
    fn one_sandbox_per_book() -> Result<(), Box<dyn std::error::Error>> {
        let folder = folder("lock");
        let book = FileBook::open(&folder, |_| ())?;
        assert!(matches!(
            FileBook::open(&folder, |_| ()).err(),
            Some(BookError::InUse(_))
        ));
        book.close()?;
        std::fs::remove_dir_all(&folder)?;
        Ok(())
    }
}
