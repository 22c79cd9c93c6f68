//! The witness's own reading of a delimited file: records, their cells and the physical
//! line where each starts.
//!
//! It is written apart from the importer's reader and in another way (line by line, on
//! bytes), so that one cannot repeat the other's mistake. The rules are the same: lines
//! end in LF, CR LF or a lone CR; a quote begins a quoted cell only as its first
//! character; after a closing quote comes a delimiter or the end of the line. Where
//! that is broken, the physical line on which the quote was opened is given up.

use std::collections::VecDeque;
use std::io::{self, BufRead};

/// Lines that one record may have: those beyond belong to a quote nobody closed. The
/// importer's documented limit.
const RECORD_LINES_MAX: usize = 100;

/// One record of the file.
pub(super) struct Record {
    /// The physical line where it starts, from 1.
    pub(super) line: u64,
    /// Its cells, or `None` when its quotes do not fit together.
    pub(super) cells: Option<Vec<Vec<u8>>>,
}

/// Reads records one after another.
pub(super) struct Records<R> {
    reader: R,
    delimiter: u8,
    /// Lines that were read and belong to no record yet, their ends included.
    ahead: VecDeque<Vec<u8>>,
    /// Lines given out so far.
    lines: u64,
}

enum Taken {
    /// A record of so many lines.
    Whole(Vec<Vec<u8>>, usize),
    /// A quote that was opened on this line, from 0, is never closed well.
    Spoilt(usize),
}

impl<R: BufRead> Records<R> {
    /// Starts at the first byte of a file.
    pub(super) fn new(reader: R, delimiter: u8) -> Self {
        Self {
            reader,
            delimiter,
            ahead: VecDeque::new(),
            lines: 0,
        }
    }

    /// Passes over what may stand before the header, and over the header.
    pub(super) fn skip_header(&mut self) -> io::Result<()> {
        if self.look(0)? {
            let first = &mut self.ahead[0];
            if first.starts_with(b"\xef\xbb\xbf") {
                first.drain(..3);
            }
            if first
                .get(..4)
                .is_some_and(|start| start.eq_ignore_ascii_case(b"sep="))
            {
                self.drop_lines(1);
            }
        }
        self.next_record().map(|_| ())
    }

    /// The next record; lines of white space alone are none.
    pub(super) fn next_record(&mut self) -> io::Result<Option<Record>> {
        while self.look(0)? {
            if is_blank(&self.ahead[0]) {
                self.drop_lines(1);
                continue;
            }
            let line = self.lines + 1;
            let (cells, lines) = match self.take()? {
                Taken::Whole(cells, lines) => (Some(cells), lines),
                Taken::Spoilt(opened) => (None, opened + 1),
            };
            self.drop_lines(lines);
            return Ok(Some(Record { line, cells }));
        }
        Ok(None)
    }

    fn drop_lines(&mut self, count: usize) {
        self.ahead.drain(..count);
        self.lines += count as u64;
    }

    /// Whether there is a line of this index, from 0, ahead; reads as far as needed.
    fn look(&mut self, index: usize) -> io::Result<bool> {
        while self.ahead.len() <= index {
            let mut chunk = Vec::new();
            if self.reader.read_until(b'\n', &mut chunk)? == 0 {
                return Ok(false);
            }
            self.split(chunk);
        }
        Ok(true)
    }

    /// Cuts a chunk that ends in LF behind each lone CR.
    fn split(&mut self, mut chunk: Vec<u8>) {
        while let Some(end) = lone_return(&chunk) {
            let rest = chunk.split_off(end + 1);
            self.ahead.push_back(chunk);
            chunk = rest;
        }
        if !chunk.is_empty() {
            self.ahead.push_back(chunk);
        }
    }

    fn take(&mut self) -> io::Result<Taken> {
        let mut cells = vec![Vec::new()];
        // The line on which the quoted cell was opened that the reading is inside of.
        let mut opened = None;
        for index in 0..RECORD_LINES_MAX {
            if !self.look(index)? {
                break;
            }
            let mut at = 0;
            let line = &self.ahead[index];
            let end = line.len() - ending(line);
            while let Some(cell) = cells.last_mut() {
                if opened.is_none() && cell.is_empty() && line.get(at) == Some(&b'"') && at < end {
                    opened = Some(index);
                    at += 1;
                }
                if let Some(start) = opened {
                    match quoted(&line[at..], cell) {
                        None => break,
                        Some(length) => at += length,
                    }
                    opened = None;
                    if at < end && line[at] != self.delimiter {
                        return Ok(Taken::Spoilt(start));
                    }
                } else {
                    let rest = &line[at..end];
                    let length = rest.iter().position(|byte| *byte == self.delimiter);
                    cell.extend_from_slice(&rest[..length.unwrap_or(rest.len())]);
                    at += length.unwrap_or(rest.len());
                }
                if at >= end {
                    return Ok(Taken::Whole(cells, index + 1));
                }
                at += 1;
                cells.push(Vec::new());
            }
        }
        Ok(Taken::Spoilt(opened.unwrap_or(0)))
    }
}

/// Reads the inside of a quoted cell into `cell`; gives the length up to and with its
/// closing quote, or `None` when the line ends before it.
fn quoted(text: &[u8], cell: &mut Vec<u8>) -> Option<usize> {
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        if *byte != b'"' {
            cell.push(*byte);
            at += 1;
        } else if text.get(at + 1) == Some(&b'"') {
            cell.push(b'"');
            at += 2;
        } else {
            return Some(at + 1);
        }
    }
    None
}

fn lone_return(chunk: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(found) = chunk[from..].iter().position(|byte| *byte == b'\r') {
        let at = from + found;
        match chunk.get(at + 1) {
            Some(b'\n') => from = at + 1,
            Some(_) => return Some(at),
            None => return None,
        }
    }
    None
}

fn ending(line: &[u8]) -> usize {
    if line.ends_with(b"\r\n") {
        2
    } else {
        usize::from(line.ends_with(b"\n") || line.ends_with(b"\r"))
    }
}

fn is_blank(line: &[u8]) -> bool {
    std::str::from_utf8(line).is_ok_and(|text| text.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::Records;

    fn read(file: &str) -> Vec<(u64, Option<String>)> {
        let mut records = Records::new(file.as_bytes(), b',');
        let mut read = Vec::new();
        while let Ok(Some(record)) = records.next_record() {
            let cells = record.cells.map(|cells| {
                let cells: Vec<_> = cells
                    .iter()
                    .map(|cell| String::from_utf8_lossy(cell))
                    .collect();
                cells.join("|")
            });
            read.push((record.line, cells));
        }
        read
    }

    fn told(line: u64, cells: &str) -> (u64, Option<String>) {
        (line, Some(cells.to_owned()))
    }

    #[test]
    fn cells_and_lines_are_found() {
        assert_eq!(
            read("a,b\r\n\r\n \n\"c,\n\"\"d\",e\rf\"g,\n,\"\"\nlast"),
            [
                told(1, "a|b"),
                told(4, "c,\n\"d|e"),
                told(6, "f\"g|"),
                told(7, "|"),
                told(8, "last"),
            ]
        );
    }

    #[test]
    fn a_stray_quote_spoils_one_line() {
        assert_eq!(
            read("a,\"b\nc,d\n\"e\"x,f\n\"g\nh\",\"i\nj"),
            [
                (1, None),
                told(2, "c|d"),
                (3, None),
                (4, None),
                told(6, "j")
            ]
        );
    }
}
