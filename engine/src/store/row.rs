//! From records to bytes and back.
//!
//! A row is two bytes and a MessagePack map with field names. The first byte is the
//! format; the second is the revision of the records' fields that wrote it. Fields are
//! only ever added, each with a default, so rows of every release are read for ever.
//! When a row that a newer release wrote is replaced, the fields that we do not know
//! are carried over; the revision tells at the cost of one comparison when there can
//! be any.

use schemas::record::{Record, Table, tables};

use super::error::StoreError;
use super::unknown;

/// The format of all rows so far.
const FORMAT: u8 = 1;

/// Raised by one whenever a field or a variant is added to any record. A test compares
/// the records' fields with those on file for this revision.
pub(crate) const REVISION: u8 = 1;

const HEADER: usize = 2;

/// The row of a record.
///
/// # Errors
/// [`StoreError::Backend`] when the record cannot be serialised, which no record of
/// plain fields does.
pub(crate) fn encode<R: Record>(record: &R) -> Result<Vec<u8>, StoreError> {
    encode_as(REVISION, record)
}

/// The row of a record that replaces `previous`, with the fields of it that this
/// release does not know.
///
/// # Errors
/// [`StoreError::Damaged`] when `previous` cannot be read.
pub(crate) fn encode_over<R: Record>(record: &R, previous: &[u8]) -> Result<Vec<u8>, StoreError> {
    let revision = header(R::TABLE, previous)?;
    if revision <= REVISION {
        return encode(record);
    }
    let understood = encode_as(revision, &decode::<R>(previous)?)?;
    let new = encode_as(revision, record)?;
    let merged = unknown::carry_over(&previous[HEADER..], &understood[HEADER..], &new[HEADER..])
        .ok_or_else(|| damaged(R::TABLE, "a row ends too early"))?;
    let mut row = vec![FORMAT, revision];
    row.extend_from_slice(&merged);
    Ok(row)
}

/// The record of a row.
///
/// # Errors
/// [`StoreError::Damaged`] with the table's name and never with what the row holds.
pub(crate) fn decode<R: Record>(row: &[u8]) -> Result<R, StoreError> {
    let revision = header(R::TABLE, row)?;
    rmp_serde::from_slice(&row[HEADER..]).map_err(|_| {
        damaged(
            R::TABLE,
            if revision > REVISION {
                "a row of a newer release cannot be read by this one"
            } else {
                "a row does not hold its fields"
            },
        )
    })
}

/// The record of a row that leaves this store for another one, where fields that we do not know
/// would be lost.
///
/// # Errors
/// As [`decode`], and for a row that a newer release wrote.
#[cfg(feature = "cluster")]
pub(crate) fn decode_known<R: Record>(row: &[u8]) -> Result<R, StoreError> {
    if header(R::TABLE, row)? > REVISION {
        let detail = "a row of a newer release: use that one";
        return Err(damaged(R::TABLE, detail));
    }
    decode(row)
}

fn encode_as<R: Record>(revision: u8, record: &R) -> Result<Vec<u8>, StoreError> {
    // A message with a short timeline is some 500 bytes.
    let mut row = Vec::with_capacity(512);
    row.push(FORMAT);
    row.push(revision);
    match rmp_serde::encode::write_named(&mut row, record) {
        Ok(()) => Ok(row),
        Err(_) => Err(StoreError::Backend {
            detail: format!("a row of {} cannot be written", R::TABLE.name),
        }),
    }
}

/// Something that is stored and is no record, such as a part of the journal; `what`
/// names it in errors. Fields go by their order and not by their names, which halves
/// the journal: a new field goes to the end of its struct and has a default.
///
/// # Errors
/// [`StoreError::Backend`] when it cannot be serialised.
pub(crate) fn encode_plain<T: serde::Serialize>(
    what: &'static str,
    value: &T,
) -> Result<Vec<u8>, StoreError> {
    let mut bytes = vec![FORMAT, REVISION];
    match rmp_serde::encode::write(&mut bytes, value) {
        Ok(()) => Ok(bytes),
        Err(_) => Err(StoreError::Backend {
            detail: format!("{what} cannot be written"),
        }),
    }
}

/// What [`encode_plain`] wrote.
///
/// # Errors
/// [`StoreError::Damaged`], which names `what`.
pub(crate) fn decode_plain<T: serde::de::DeserializeOwned>(
    what: &'static str,
    bytes: &[u8],
) -> Result<T, StoreError> {
    let [FORMAT, _, fields @ ..] = bytes else {
        return Err(StoreError::damaged(what, "an entry has an unknown format"));
    };
    rmp_serde::from_slice(fields)
        .map_err(|_| StoreError::damaged(what, "an entry does not hold its fields"))
}

/// The table of a key, by the tag that it begins with.
pub(crate) fn table_of_key(key: &[u8]) -> Option<Table> {
    let tag = key.first()?;
    tables::ALL.into_iter().find(|table| table.tag == *tag)
}

fn header(table: Table, row: &[u8]) -> Result<u8, StoreError> {
    match row {
        [FORMAT, revision, ..] => Ok(*revision),
        _ => Err(damaged(table, "a row has an unknown format")),
    }
}

fn damaged(table: Table, detail: &str) -> StoreError {
    StoreError::Damaged {
        table: table.name,
        detail: detail.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use schemas::record::{CompareAndSet, Key, KeyPart, Record, Table};
    use serde::{Deserialize, Serialize};

    use super::{FORMAT, REVISION, decode, encode, encode_as, encode_over};

    const TABLE: Table = Table {
        name: "things",
        tag: 200,
        partition_parts: 1,
    };

    /// What this release knows.
    #[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
    struct Thing {
        id: u64,
        counts: BTreeMap<String, u64>,
        owner: Owner,
        events: Vec<Event>,
    }

    #[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
    struct Owner {
        name: String,
    }

    #[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
    struct Event {
        at: u64,
    }

    /// What the next release knows: more at every level.
    #[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
    struct NewerThing {
        id: u64,
        colour: String,
        counts: BTreeMap<String, u64>,
        owner: NewerOwner,
        events: Vec<NewerEvent>,
        weights: Vec<f64>,
    }

    #[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
    struct NewerOwner {
        name: String,
        nick: Option<String>,
    }

    #[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
    struct NewerEvent {
        at: u64,
        #[serde(default)]
        by: String,
    }

    macro_rules! record {
        ($name:ident) => {
            impl Record for $name {
                type Writing = CompareAndSet;
                const TABLE: Table = TABLE;

                fn key(&self) -> Key {
                    vec![KeyPart::U64(self.id)]
                }
            }
        };
    }
    record!(Thing);
    record!(NewerThing);

    fn newer() -> NewerThing {
        let event = |at, by: &str| NewerEvent {
            at,
            by: by.to_owned(),
        };
        NewerThing {
            id: 1,
            colour: "blue".to_owned(),
            counts: [("a".to_owned(), 1), ("b".to_owned(), 2)].into(),
            owner: NewerOwner {
                name: "Ada".to_owned(),
                nick: Some("A".to_owned()),
            },
            events: vec![event(1, "x"), event(2, "y")],
            weights: vec![0.5; 40],
        }
    }

    #[test]
    fn unknown_fields_survive_a_rewrite_at_every_level() {
        let stored = encode_as(REVISION + 1, &newer()).expect("encode");
        let mut thing: Thing = decode(&stored).expect("an older release reads it");
        thing.counts.remove("a");
        thing.counts.insert("b".to_owned(), 3);
        thing.owner.name = "Bo".to_owned();
        thing.events.push(Event { at: 3 });
        let rewritten = encode_over(&thing, &stored).expect("encode");
        let mut expected = newer();
        expected.counts = thing.counts.clone();
        expected.owner.name = "Bo".to_owned();
        expected.events.push(NewerEvent {
            at: 3,
            by: String::new(),
        });
        assert_eq!(decode::<NewerThing>(&rewritten).expect("decode"), expected);
        assert_eq!(rewritten[1], REVISION + 1, "it still holds newer fields");
        assert_eq!(decode::<Thing>(&rewritten).expect("decode"), thing);
    }

    #[test]
    fn an_own_row_is_replaced_as_it_is() {
        let stored = encode(&newer()).expect("encode");
        let thing: Thing = decode(&stored).expect("decode");
        let over = encode_over(&thing, &stored).expect("encode");
        assert_eq!(over, encode(&thing).expect("encode"));
    }

    #[test]
    fn what_cannot_be_read_names_the_table_and_not_the_content() {
        let mut row = encode(&newer()).expect("encode");
        row.truncate(20);
        for wrong in [&row[..], &[], &[FORMAT], &[9, 9, 9]] {
            let error = decode::<Thing>(wrong).expect_err("damaged").to_string();
            assert!(error.starts_with("things is damaged"), "{error}");
            assert!(!error.contains("blue"), "{error}");
        }
    }
}
