//! Files as they come, read by the whole reader.

use std::io::Read;

use schemas::job::ImportPosition;

use super::{ContactReader, FileLayout, ImportFileError, ImportOptions, Record, Reject};

mod files;
mod laws;
mod messy;
mod rate;

fn options(region: Option<&str>) -> ImportOptions {
    ImportOptions {
        default_region: region.map(str::to_owned),
        phone_column: None,
    }
}

/// Reads to the end, with the position behind each record.
fn read_on<R: Read>(mut reader: ContactReader<R>) -> Vec<(Record, ImportPosition)> {
    let mut records = Vec::new();
    while let Some(record) = reader.next_record().expect("memory can be read") {
        records.push((record, reader.position()));
    }
    records
}

fn read_all(bytes: &[u8], region: Option<&str>) -> Vec<(Record, ImportPosition)> {
    read_on(ContactReader::new(bytes, &options(region)).expect("a contacts file"))
}

fn layout_of(bytes: &[u8]) -> FileLayout {
    ContactReader::new(bytes, &options(None))
        .expect("a contacts file")
        .layout()
        .clone()
}

fn refusal(bytes: &[u8]) -> ImportFileError {
    ContactReader::new(bytes, &options(None))
        .err()
        .expect("the file is refused")
}

/// A record in one line: `5 +14155552671 name=Ann` or `6 ! Phone invalid_number`.
fn told(record: &Record) -> String {
    match record {
        Record::Contact(contact) => {
            let mut line = format!("{} {}", contact.line, contact.phone.as_str());
            for (name, value) in &contact.fields {
                line += &format!(" {name}={value:?}");
            }
            line
        }
        Record::Rejected(Reject {
            line,
            column,
            reason,
        }) => {
            format!("{line} ! {} {reason}", column.as_deref().unwrap_or("-"))
        }
    }
}
