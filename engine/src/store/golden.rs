//! Rows of every release, kept on file: they must be read for ever.
//!
//! `tests/golden/rows-<revision>` holds one row of each record as that revision wrote
//! it, in hexadecimal. A change of the records' fields makes the newest of them differ
//! from what is written now: raise [`super::row::REVISION`] and write a new set with
//! `cargo test -p engine write_golden_rows -- --ignored`; the old ones stay.

use std::fs;
use std::path::PathBuf;

use schemas::record::Record;

use super::golden_samples::{Samples, show_all};
use super::row;

/// One row of each record: a name, the row as it is written now, and a reader that
/// says what a stored row is when written again.
struct Sample {
    name: &'static str,
    written: Vec<u8>,
    read_and_write: fn(&[u8]) -> Vec<u8>,
}

impl Samples for Vec<Sample> {
    fn sample<R: Record>(&mut self, name: &'static str, record: R) {
        self.push(Sample {
            name,
            written: row::encode(&record).expect("encode"),
            read_and_write: |stored| {
                let record: R = row::decode(stored).expect("rows are read for ever");
                row::encode(&record).expect("encode")
            },
        });
    }
}

fn samples() -> Vec<Sample> {
    let mut samples = Vec::new();
    show_all(&mut samples);
    samples
}

fn folder(revision: u8) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/rows-{revision}"))
}

fn to_hex(bytes: &[u8]) -> String {
    let lines = bytes.chunks(32).map(|line| {
        let digits: String = line.iter().map(|byte| format!("{byte:02x}")).collect();
        digits + "\n"
    });
    lines.collect()
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text
        .chars()
        .filter(|digit| !digit.is_whitespace())
        .collect();
    let byte = |pair: &[char]| u8::from_str_radix(&String::from_iter(pair), 16);
    digits
        .chunks(2)
        .map(|pair| byte(pair).expect("hexadecimal digits"))
        .collect()
}

#[test]
fn rows_of_every_revision_are_read() {
    for revision in 1..=row::REVISION {
        for sample in samples() {
            let path = folder(revision).join(format!("{}.hex", sample.name));
            let Ok(text) = fs::read_to_string(&path) else {
                // Records that came later have no old rows; the newest set is whole.
                assert_ne!(revision, row::REVISION, "{} is missing", path.display());
                continue;
            };
            let again = (sample.read_and_write)(&from_hex(&text));
            assert_eq!(
                to_hex(&again),
                to_hex(&sample.written),
                "{}",
                path.display()
            );
        }
    }
}

#[test]
fn the_newest_rows_on_file_are_what_is_written_now() {
    for sample in samples() {
        let path = folder(row::REVISION).join(format!("{}.hex", sample.name));
        let text = fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(
            text,
            to_hex(&sample.written),
            "{}: fields have changed, so raise REVISION and write a new set",
            path.display(),
        );
    }
}

#[test]
#[ignore = "writes the rows of a new revision"]
fn write_golden_rows() {
    let folder = folder(row::REVISION);
    fs::create_dir_all(&folder).expect("create");
    for sample in samples() {
        let path = folder.join(format!("{}.hex", sample.name));
        if !path.exists() {
            fs::write(path, to_hex(&sample.written)).expect("write");
        }
    }
}
