//! Where the records of a delimited file begin and end, and on which physical line.
//!
//! The rules are those of RFC 4180 with the leniencies that real files need: lines end in LF,
//! CR LF or a lone CR; rows may be of any length; a quote in the middle of an unquoted cell is an
//! ordinary character. What follows a closing quote must be a delimiter or the end of the line,
//! because that is what betrays a quote that was opened by accident. Such a quote spoils one
//! physical line: reading goes on behind the line where the quote was opened, instead of
//! swallowing everything up to the next quote or the end of the file. Limits on the bytes and
//! lines of a record bound both the memory and the rereading.

use std::io::{self, Read};
use std::ops::Range;

use schemas::job::ImportPosition;

use super::reject::RejectReason;

/// Longest record, in bytes of the file.
pub const MAX_RECORD_BYTES: usize = 64 * 1024;

/// Longest cell, in bytes after unquoting: no text holds more than 1,600 characters, and no
/// character takes more than 4 bytes.
pub const MAX_FIELD_BYTES: usize = 6_400;

/// Most physical lines of one record. An address has ten; a quote opened by accident would
/// otherwise be sought for in every line of the next 64 KiB, line after line.
pub const MAX_RECORD_LINES: u64 = 100;

/// What is read ahead, in bytes: several records of the longest kind, so that moving the rest to
/// the front is rare.
const BUFFER_BYTES: usize = 4 * MAX_RECORD_BYTES;

/// The cells of one record, unquoted, in one buffer that is used again for the next.
#[derive(Debug, Default)]
pub(super) struct Cells {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Cells {
    /// How many cells the record has.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The bytes of a cell, if the record is that long.
    pub(super) fn get(&self, index: usize) -> Option<&[u8]> {
        let end = *self.ends.get(index)?;
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        Some(&self.bytes[start..end])
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    fn end_cell(&mut self) {
        self.ends.push(self.bytes.len());
    }
}

/// One thing found in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// The end of the file.
    End,
    /// A record; its cells are in [`RecordScanner::cells`].
    Record {
        /// The physical line where it starts.
        line: u64,
    },
    /// A record that cannot be taken apart.
    Broken {
        /// The physical line where it starts.
        line: u64,
        /// The index of the cell at fault, if it is one cell's.
        cell: Option<usize>,
        /// What is wrong.
        reason: RejectReason,
    },
}

/// Reads records one after another.
pub(super) struct RecordScanner<R> {
    reader: R,
    buffer: Vec<u8>,
    filled: Range<usize>,
    at_end: bool,
    delimiter: u8,
    position: ImportPosition,
    cells: Cells,
}

impl<R: Read> RecordScanner<R> {
    /// Starts reading at `position`, where `reader` stands.
    pub(super) fn new(reader: R, delimiter: u8, position: ImportPosition) -> Self {
        Self {
            reader,
            buffer: vec![0; BUFFER_BYTES],
            filled: 0..0,
            at_end: false,
            delimiter,
            position,
            cells: Cells::default(),
        }
    }

    /// The place behind what was found last.
    pub(super) fn position(&self) -> ImportPosition {
        self.position
    }

    /// The cells of the record found last.
    pub(super) fn cells(&self) -> &Cells {
        &self.cells
    }

    /// From now on cells end at `delimiter`.
    pub(super) fn set_delimiter(&mut self, delimiter: u8) {
        self.delimiter = delimiter;
    }

    /// What comes next, up to [`MAX_RECORD_BYTES`] and a little more, without taking it.
    pub(super) fn peek(&mut self) -> io::Result<&[u8]> {
        self.fill()?;
        Ok(&self.buffer[self.filled.clone()])
    }

    /// Passes over `bytes` in the current line.
    pub(super) fn skip(&mut self, bytes: usize) {
        self.take(bytes, 0);
    }

    /// Finds the header, which is a record but is not counted as one.
    pub(super) fn next_header(&mut self) -> io::Result<Found> {
        let found = self.next_record()?;
        self.position.records = 0;
        Ok(found)
    }

    /// Finds the next record and moves behind it; lines of white space are passed over.
    pub(super) fn next_record(&mut self) -> io::Result<Found> {
        loop {
            self.fill()?;
            let data = &self.buffer[self.filled.clone()];
            if data.is_empty() {
                return Ok(Found::End);
            }
            if let Some(bytes) = blank_line(data) {
                self.take(bytes, 1);
                continue;
            }
            let line = self.position.line;
            self.position.records += 1;
            self.cells.clear();
            let parsed = Parser::new(data, self.delimiter, &mut self.cells).parse();
            return match parsed {
                Parsed::Record { bytes, lines } => {
                    self.take(bytes, lines);
                    Ok(Found::Record { line })
                }
                Parsed::Broken {
                    keep,
                    lines,
                    cell,
                    reason,
                } => {
                    self.take(keep, lines);
                    self.skip_line()?;
                    Ok(Found::Broken { line, cell, reason })
                }
            };
        }
    }

    /// Reads until the longest record and the two bytes behind it are there, or the file ends.
    fn fill(&mut self) -> io::Result<()> {
        const NEEDED: usize = MAX_RECORD_BYTES + 2;
        if self.at_end || self.filled.len() >= NEEDED {
            return Ok(());
        }
        self.buffer.copy_within(self.filled.clone(), 0);
        self.filled = 0..self.filled.len();
        while self.filled.len() < NEEDED {
            match self.reader.read(&mut self.buffer[self.filled.end..]) {
                Ok(0) => {
                    self.at_end = true;
                    break;
                }
                Ok(count) => self.filled.end += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn take(&mut self, bytes: usize, lines: u64) {
        self.filled.start += bytes;
        self.position.byte += bytes as u64;
        self.position.line += lines;
    }

    /// Passes over the rest of the physical line, however long, with its end.
    pub(super) fn skip_line(&mut self) -> io::Result<()> {
        loop {
            self.fill()?;
            let data = &self.buffer[self.filled.clone()];
            if data.is_empty() {
                return Ok(());
            }
            match data.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
                // A CR may be half of a CR LF that is not read yet.
                Some(at) if at + 1 < data.len() || self.at_end => {
                    let bytes = at + line_end(data, at);
                    self.take(bytes, 1);
                    return Ok(());
                }
                Some(at) => self.take(at, 0),
                None => self.take(data.len(), 0),
            }
        }
    }
}

/// Length of the line end at `at`: 2 for CR LF, 1 for LF or CR, 0 for anything else.
fn line_end(data: &[u8], at: usize) -> usize {
    match data.get(at) {
        Some(b'\r') if data.get(at + 1) == Some(&b'\n') => 2,
        Some(b'\r' | b'\n') => 1,
        _ => 0,
    }
}

/// The bytes of a line that holds nothing but spaces, with its end. Tabs may be delimiters and
/// are cells then.
fn blank_line(data: &[u8]) -> Option<usize> {
    let spaces = data.iter().take_while(|byte| **byte == b' ').count();
    let end = line_end(data, spaces);
    (end > 0 || spaces == data.len()).then_some(spaces + end)
}

/// What the bytes at the front of the buffer are.
enum Parsed {
    /// A record of so many bytes and lines, with its end.
    Record { bytes: usize, lines: u64 },
    /// Not a record: reading goes on behind the line in which byte `keep` lies, `lines` below
    /// the first.
    Broken {
        keep: usize,
        lines: u64,
        cell: Option<usize>,
        reason: RejectReason,
    },
}

/// What follows a cell.
enum CellEnd {
    Delimiter,
    Line,
    Broken(Parsed),
}

struct Parser<'a> {
    data: &'a [u8],
    delimiter: u8,
    cells: &'a mut Cells,
    at: usize,
    lines: u64,
}

impl<'a> Parser<'a> {
    fn new(data: &'a [u8], delimiter: u8, cells: &'a mut Cells) -> Self {
        Self {
            data,
            delimiter,
            cells,
            at: 0,
            lines: 0,
        }
    }

    fn parse(mut self) -> Parsed {
        loop {
            let end = if self.data.get(self.at) == Some(&b'"') {
                self.quoted()
            } else {
                self.plain()
            };
            self.cells.end_cell();
            match end {
                CellEnd::Broken(broken) => return broken,
                CellEnd::Delimiter => self.at += 1,
                CellEnd::Line => {
                    let bytes = self.at + line_end(self.data, self.at);
                    return Parsed::Record {
                        bytes,
                        lines: self.lines + 1,
                    };
                }
            }
        }
    }

    fn plain(&mut self) -> CellEnd {
        let rest = &self.data[self.at..];
        let length = rest
            .iter()
            .position(|byte| *byte == self.delimiter || matches!(byte, b'\n' | b'\r'))
            .unwrap_or(rest.len());
        self.at += length;
        if self.at > MAX_RECORD_BYTES {
            return self.broken(
                MAX_RECORD_BYTES,
                self.lines,
                None,
                RejectReason::RecordTooLong,
            );
        }
        self.cells.bytes.extend_from_slice(&rest[..length]);
        if self.data.get(self.at) == Some(&self.delimiter) {
            CellEnd::Delimiter
        } else {
            CellEnd::Line
        }
    }

    fn quoted(&mut self) -> CellEnd {
        let (opened, opened_lines) = (self.at, self.lines);
        let unterminated = |parser: &Self| {
            let cell = Some(parser.cells.len());
            parser.broken(opened, opened_lines, cell, RejectReason::UnterminatedQuote)
        };
        self.at += 1;
        loop {
            let rest = &self.data[self.at..];
            let Some(length) = rest
                .iter()
                .position(|byte| matches!(byte, b'"' | b'\n' | b'\r'))
            else {
                return unterminated(self);
            };
            self.cells.bytes.extend_from_slice(&rest[..length]);
            self.at += length;
            if self.at > MAX_RECORD_BYTES {
                return unterminated(self);
            }
            let end = line_end(self.data, self.at);
            if end > 0 {
                self.cells
                    .bytes
                    .extend_from_slice(&self.data[self.at..self.at + end]);
                self.at += end;
                self.lines += 1;
                if self.lines >= MAX_RECORD_LINES {
                    return unterminated(self);
                }
            } else if self.data.get(self.at + 1) == Some(&b'"') {
                self.cells.bytes.push(b'"');
                self.at += 2;
            } else {
                self.at += 1;
                break;
            }
        }
        match self.data.get(self.at) {
            Some(byte) if *byte == self.delimiter => CellEnd::Delimiter,
            None | Some(b'\n' | b'\r') => CellEnd::Line,
            // The quote belongs to a later line's cell: the one that was opened never closes.
            Some(_) if self.lines > opened_lines => unterminated(self),
            Some(_) => {
                let cell = Some(self.cells.len());
                self.broken(opened, opened_lines, cell, RejectReason::MalformedQuote)
            }
        }
    }

    fn broken(
        &self,
        keep: usize,
        lines: u64,
        cell: Option<usize>,
        reason: RejectReason,
    ) -> CellEnd {
        CellEnd::Broken(Parsed::Broken {
            keep,
            lines,
            cell,
            reason,
        })
    }
}
