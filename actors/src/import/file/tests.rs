use std::io::{self, BufRead, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use engine::contacts::ImportOptions;
use engine::runtime::Runtime;

use super::{Batch, FileError, ImportFile, RECORDS_A_BATCH};

/// Records of the file: two batches and a half.
const RECORDS: usize = RECORDS_A_BATCH * 5 / 2;

/// A file in memory, of which reading past a byte panics so many times.
struct Deadly {
    file: Cursor<Vec<u8>>,
    from: u64,
    panics: Arc<AtomicU32>,
}

impl Read for Deadly {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(room)?;
        self.consume(read);
        Ok(read)
    }
}

impl BufRead for Deadly {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let is_deadly = self.file.position() >= self.from;
        let less = |left: u32| left.checked_sub(1);
        let left = self
            .panics
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                if is_deadly { less(left) } else { None }
            });
        assert!(left.is_err(), "planted");
        // A little at a time, so that it is known where reading stands.
        let rest = self.file.fill_buf()?;
        Ok(&rest[..rest.len().min(64)])
    }

    fn consume(&mut self, read: usize) {
        self.file.consume(read);
    }
}

fn file() -> Vec<u8> {
    // Wide enough for a batch to be much more than what is read ahead of it.
    let note = "x".repeat(200);
    let records = (0..RECORDS).map(|number| format!("+1202555{number:04},{note}\n"));
    format!("phone,note\n{}", records.collect::<String>()).into_bytes()
}

/// A file whose second batch panics so many times.
fn deadly(panics: u32) -> (ImportFile<Deadly>, Arc<AtomicU32>) {
    let panics = Arc::new(AtomicU32::new(panics));
    let (left, bytes) = (Arc::clone(&panics), file());
    let from = bytes.len() as u64 * 7 / 10;
    let open = move |byte| {
        let mut file = Cursor::new(bytes.clone());
        file.set_position(byte);
        Ok(Deadly {
            file,
            from,
            panics: Arc::clone(&left),
        })
    };
    let file = ImportFile {
        open: Arc::new(open),
        options: ImportOptions::default(),
        position: None,
        reader: None,
    };
    (file, panics)
}

async fn read(file: &mut ImportFile<Deadly>, runtime: &Runtime) -> Result<Batch, FileError> {
    file.next(runtime).await.expect("the process goes on")
}

fn phones(batch: &Batch) -> impl Iterator<Item = String> + '_ {
    let contacts = batch.contacts.iter();
    contacts.map(|contact| contact.phone.digits().to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_panics_twice_is_read_whole_and_once() {
    let runtime = Runtime::of_machine(tokio::runtime::Handle::current());
    let (mut file, panics) = deadly(2);
    let mut read_phones = Vec::new();
    loop {
        let batch = read(&mut file, &runtime).await.expect("a batch");
        read_phones.extend(phones(&batch));
        if batch.is_last {
            break;
        }
    }
    let expected: Vec<_> = (0..RECORDS)
        .map(|number| format!("1202555{number:04}"))
        .collect();
    assert!(read_phones == expected, "{} records", read_phones.len());
    assert_eq!(panics.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_panics_three_times_is_given_up_with_its_line() {
    let runtime = Runtime::of_machine(tokio::runtime::Handle::current());
    let (mut file, panics) = deadly(4);
    let first = read(&mut file, &runtime).await.expect("a batch");
    assert_eq!(first.contacts.len(), RECORDS_A_BATCH);
    let given_up = read(&mut file, &runtime).await.err();
    // The header is a line too.
    let line = RECORDS_A_BATCH as u64 + 1;
    assert!(matches!(given_up, Some(FileError::Panics { line: told }) if told == line));
    assert_eq!(
        panics.load(Ordering::SeqCst),
        1,
        "tried three times, no more"
    );
}
