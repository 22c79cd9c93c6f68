//! The file: frames one after the other, each with two parts, and at the end what there must be
//! of each kind and a digest of all before.
//!
//! ```text
//! magic 16 | header frame | row | … | work | … | journal | … | end frame
//! frame: kind u8 | length of the first part u32 | of the second u32 | first | second
//! ```

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use schemas::{MessageClass, Partition, PartitionCount};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Counts, JOURNAL, TransferError, WORK};
use crate::store::table_of_key;

/// Another format has another number.
const MAGIC: &[u8; 16] = b"volley-export 1\n";

/// The longest part: a checkpoint with all that may be open is some megabytes. A length beyond
/// it is no length.
const PART_MAX: u32 = 64 << 20;

/// What a file says of itself, first of all.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Header {
    /// The release that wrote it.
    pub(super) release: String,
    /// Partitions of the folder.
    pub(super) partitions: u16,
}

/// One thing that is moved.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// A row, as the embedded store keeps it.
    Row { key: Vec<u8>, row: Vec<u8> },
    /// A record of a work log, in the order of its partition's.
    Work {
        class: MessageClass,
        partition: Partition,
        payload: Vec<u8>,
    },
    /// An entry of the journals.
    Journal { key: Vec<u8>, entry: Vec<u8> },
}

const HEADER: u8 = b'H';
const ROW: u8 = b'R';
const WORK_RECORD: u8 = b'W';
const JOURNAL_ENTRY: u8 = b'J';
const END: u8 = b'E';

/// Writes a file beside its name, and gives it the name when all of it is on the disk.
pub(super) struct Writer {
    file: PathBuf,
    being_written: PathBuf,
    output: BufWriter<File>,
    digest: Sha256,
    counts: Counts,
}

impl Writer {
    pub(super) fn create(file: &Path, header: &Header) -> Result<Self, TransferError> {
        if file.exists() {
            let file = file.to_owned();
            return Err(TransferError::Exists { file });
        }
        let mut name = file.as_os_str().to_owned();
        name.push(".part");
        let being_written = PathBuf::from(name);
        let mut options = OpenOptions::new();
        // It holds people's numbers and texts.
        options.write(true).create(true).truncate(true).mode(0o600);
        let opened = options.open(&being_written);
        let mut writer = Self {
            output: BufWriter::with_capacity(1 << 20, opened.map_err(failed(&being_written))?),
            file: file.to_owned(),
            being_written,
            digest: Sha256::new(),
            counts: Counts::new(),
        };
        writer.put(MAGIC)?;
        writer.frame(HEADER, &json(header)?, &[])?;
        Ok(writer)
    }

    pub(super) fn item(&mut self, item: &Item) -> Result<(), TransferError> {
        let (name, written) = match item {
            Item::Row { key, row } => (name_of(key)?, self.frame(ROW, key, row)),
            Item::Work {
                class,
                partition,
                payload,
            } => {
                let place = place(*class, *partition);
                (WORK, self.frame(WORK_RECORD, &place, payload))
            }
            Item::Journal { key, entry } => (JOURNAL, self.frame(JOURNAL_ENTRY, key, entry)),
        };
        written?;
        *self.counts.entry(name.to_owned()).or_default() += 1;
        Ok(())
    }

    /// Removes what was written: it holds people's numbers and is of no use.
    pub(super) fn discard(self) {
        if let Err(error) = std::fs::remove_file(&self.being_written) {
            tracing::warn!(%error, "half an export cannot be removed");
        }
    }

    /// Ends the file. It is there when this returns, and not before.
    pub(super) fn finish(mut self) -> Result<Whole, TransferError> {
        let counts = json(&self.counts)?;
        let digest: [u8; 32] = self.digest.clone().finalize().into();
        self.frame(END, &counts, &digest)?;
        let Self {
            file,
            being_written,
            output,
            counts,
            ..
        } = self;
        let written = output.into_inner().map_err(io::IntoInnerError::into_error);
        written
            .and_then(|output| output.sync_all())
            .map_err(failed(&being_written))?;
        std::fs::rename(&being_written, &file).map_err(failed(&file))?;
        sync_folder(&file).map_err(failed(&file))?;
        Ok(Whole { counts, digest })
    }

    fn frame(&mut self, kind: u8, first: &[u8], second: &[u8]) -> Result<(), TransferError> {
        let mut head = [kind, 0, 0, 0, 0, 0, 0, 0, 0];
        for (part, place) in [(first, 1), (second, 5)] {
            let length = u32::try_from(part.len()).ok();
            let length = length.filter(|length| *length <= PART_MAX);
            let length = length.ok_or_else(|| {
                let cause = io::Error::other("an entry is too long for the format");
                failed(&self.being_written)(cause)
            })?;
            head[place..place + 4].copy_from_slice(&length.to_be_bytes());
        }
        self.put(&head)?;
        self.put(first)?;
        self.put(second)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), TransferError> {
        self.digest.update(bytes);
        let written = self.output.write_all(bytes);
        written.map_err(failed(&self.being_written))
    }
}

/// The name survives a power cut only when its folder was synced.
fn sync_folder(file: &Path) -> io::Result<()> {
    let folder = file.parent().filter(|folder| *folder != Path::new(""));
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// Reads a file, and does not say that it ends before all of it was seen to be whole.
pub(super) struct Reader {
    file: PathBuf,
    input: BufReader<File>,
    digest: Sha256,
    counts: Counts,
    /// Partitions of the folder that it was.
    pub(super) partitions: PartitionCount,
}

/// What a whole file holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Whole {
    pub(super) counts: Counts,
    /// Of everything in it.
    pub(super) digest: [u8; 32],
}

impl Reader {
    pub(super) fn open(file: &Path) -> Result<Self, TransferError> {
        let opened = File::open(file).map_err(failed(file))?;
        let mut reader = Self {
            file: file.to_owned(),
            input: BufReader::with_capacity(1 << 20, opened),
            digest: Sha256::new(),
            counts: Counts::new(),
            partitions: PartitionCount::ONE,
        };
        let foreign = || TransferError::NotAnExport {
            file: file.to_owned(),
        };
        let mut magic = [0; MAGIC.len()];
        match reader.input.read_exact(&mut magic) {
            Ok(()) if magic == *MAGIC => reader.digest.update(magic),
            Ok(()) => return Err(foreign()),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Err(foreign()),
            Err(error) => return Err(failed(file)(error)),
        }
        let (kind, header, _) = reader.frame()?;
        let header = serde_json::from_slice::<Header>(&header).ok();
        let header = header.filter(|_| kind == HEADER).ok_or_else(foreign)?;
        reader.partitions =
            PartitionCount::new(header.partitions).map_err(|_| reader.damaged("no partitions"))?;
        Ok(reader)
    }

    /// Hands out everything, and tells what it was when it was whole.
    pub(super) fn each(
        mut self,
        mut take: impl FnMut(Item) -> Result<(), TransferError>,
    ) -> Result<Whole, TransferError> {
        loop {
            match self.next()? {
                Next::Item(item) => take(item)?,
                Next::End(whole) => return Ok(whole),
            }
        }
    }

    /// The next item, or the end.
    pub(super) fn next(&mut self) -> Result<Next, TransferError> {
        let before = self.digest.clone();
        let (kind, first, second) = self.frame()?;
        let (name, item) = match kind {
            ROW => (
                name_of(&first)?,
                Item::Row {
                    key: first,
                    row: second,
                },
            ),
            WORK_RECORD => {
                let place = place_of(&first, self.partitions);
                let (class, partition) =
                    place.ok_or_else(|| self.damaged("a record of no partition"))?;
                let payload = second;
                (
                    WORK,
                    Item::Work {
                        class,
                        partition,
                        payload,
                    },
                )
            }
            JOURNAL_ENTRY => (
                JOURNAL,
                Item::Journal {
                    key: first,
                    entry: second,
                },
            ),
            END => return self.end(before, &first, &second).map(Next::End),
            _ => return Err(self.damaged("an entry of no kind")),
        };
        *self.counts.entry(name.to_owned()).or_default() += 1;
        Ok(Next::Item(item))
    }

    fn end(&mut self, before: Sha256, counts: &[u8], told: &[u8]) -> Result<Whole, TransferError> {
        let digest: [u8; 32] = before.finalize().into();
        if digest != told {
            return Err(self.damaged("its checksum is another"));
        }
        let counts: Option<Counts> = serde_json::from_slice(counts).ok();
        if counts.as_ref() != Some(&self.counts) {
            return Err(self.damaged("it holds another number of entries than it says"));
        }
        let behind = self.input.read(&mut [0]).map_err(failed(&self.file))?;
        if behind != 0 {
            return Err(self.damaged("it does not end at its end"));
        }
        let counts = std::mem::take(&mut self.counts);
        Ok(Whole { counts, digest })
    }

    fn frame(&mut self) -> Result<(u8, Vec<u8>, Vec<u8>), TransferError> {
        let mut head = [0; 9];
        self.take(&mut head)?;
        let [kind, a, b, c, d, e, f, g, h] = head;
        let mut part = |length: u32| {
            if length > PART_MAX {
                return Err(self.damaged("a length that cannot be"));
            }
            let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
            self.take(&mut bytes)?;
            Ok(bytes)
        };
        let first = part(u32::from_be_bytes([a, b, c, d]))?;
        let second = part(u32::from_be_bytes([e, f, g, h]))?;
        Ok((kind, first, second))
    }

    fn take(&mut self, bytes: &mut [u8]) -> Result<(), TransferError> {
        match self.input.read_exact(bytes) {
            Ok(()) => {
                self.digest.update(bytes);
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                Err(self.damaged("it is cut off"))
            }
            Err(error) => Err(failed(&self.file)(error)),
        }
    }

    fn damaged(&self, detail: &str) -> TransferError {
        TransferError::Damaged {
            file: self.file.clone(),
            detail: detail.to_owned(),
        }
    }
}

/// What comes next in a file.
pub(super) enum Next {
    /// One more.
    Item(Item),
    /// Nothing; the file is whole.
    End(Whole),
}

fn failed(file: &Path) -> impl Fn(io::Error) -> TransferError {
    let file = file.to_owned();
    move |cause| TransferError::File {
        file: file.clone(),
        cause,
    }
}

fn json<T: Serialize>(value: &T) -> Result<Vec<u8>, TransferError> {
    serde_json::to_vec(value).map_err(|_| {
        let detail = "an export cannot be written".to_owned();
        crate::store::StoreError::Backend { detail }.into()
    })
}

fn name_of(key: &[u8]) -> Result<&'static str, TransferError> {
    let table = table_of_key(key).ok_or_else(|| {
        crate::store::StoreError::damaged("database", "a key is of no table of this release")
    })?;
    Ok(table.name)
}

/// The lane, and the partition.
fn place(class: MessageClass, partition: Partition) -> [u8; 3] {
    let lane = match class {
        MessageClass::Transactional => 0,
        MessageClass::Marketing => 1,
    };
    let [high, low] = partition.0.to_be_bytes();
    [lane, high, low]
}

fn place_of(place: &[u8], partitions: PartitionCount) -> Option<(MessageClass, Partition)> {
    let [lane, high, low] = place else {
        return None;
    };
    let class = match lane {
        0 => MessageClass::Transactional,
        1 => MessageClass::Marketing,
        _ => return None,
    };
    let partition = u16::from_be_bytes([*high, *low]);
    (partition < partitions.get()).then_some((class, Partition(partition)))
}
