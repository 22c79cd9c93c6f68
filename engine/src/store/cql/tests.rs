//! Whether the files of `schemas/cql` and the records say the same, and every record goes to
//! its columns and back.

use std::collections::{BTreeMap, BTreeSet};

use schemas::MessageStatus;
use schemas::cql::FILES;
use schemas::record::{Record, Table, tables};
use scylla::value::CqlValue;

use super::columns::{from_cells, keep_unknown, key_of_bytes, to_cells};
use super::table::{CqlTable, Kind, Origin, Schema};
use super::to_value::to_value;
use super::value::Value;
use crate::store::golden_samples::{self, Samples, show_all};
use crate::store::key;

fn table(name: &str) -> &'static CqlTable {
    &Schema::of_files().expect("the files").tables[name]
}

/// The paths of all fields that are no struct, by table.
#[derive(Default)]
struct Fields {
    tables: BTreeMap<&'static str, (Table, BTreeSet<String>)>,
}

impl Samples for Fields {
    fn sample<R: Record>(&mut self, _: &'static str, record: R) {
        let of_table = self.tables.entry(R::TABLE.name);
        let (_, fields) = of_table.or_insert((R::TABLE, BTreeSet::new()));
        let value = to_value(&record).expect("plain fields");
        collect(table(R::TABLE.name), &value, &mut Vec::new(), fields);
    }
}

/// A map is one column, a struct is many: only where no column holds the whole.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "every other value is a field"
)]
fn collect(table: &CqlTable, value: &Value, path: &mut Vec<String>, to: &mut BTreeSet<String>) {
    let whole = Origin::Field(path.clone());
    match value {
        Value::Map(fields) if !table.columns.iter().any(|column| column.origin == whole) => {
            for (name, value) in fields {
                path.push(name.clone());
                collect(table, value, path, to);
                path.pop();
            }
        }
        _ => {
            to.insert(path.join("."));
        }
    }
}

#[test]
fn the_files_and_the_records_agree_field_by_field() {
    let mut shown = Fields::default();
    show_all(&mut shown);
    // The one field that is not written while it is empty.
    let (_, messages) = shown.tables.get_mut("messages").expect("messages");
    messages.insert("h".to_owned());
    let files: Vec<_> = FILES.iter().map(|file| file.table).collect();
    assert_eq!(shown.tables.keys().copied().collect::<Vec<_>>(), files);
    for (name, (of_record, fields)) in shown.tables {
        let table = table(name);
        assert_eq!(table.partition_parts, of_record.partition_parts, "{name}");
        let columns = table
            .columns
            .iter()
            .filter_map(|column| match &column.origin {
                Origin::Field(path) => Some(path.join(".")),
                Origin::Key | Origin::Write => None,
            });
        assert_eq!(columns.collect::<BTreeSet<_>>(), fields, "{name}");
        let is_projection = tables::PROJECTIONS.contains(&of_record);
        assert_eq!(table.write.is_none(), is_projection, "{name}: written_by");
        let versions: Vec<_> = table
            .statements
            .iter()
            .map(|(version, _)| *version)
            .collect();
        assert!(versions.is_sorted() && !versions.is_empty(), "{name}");
    }
}

struct ThereAndBack;

impl Samples for ThereAndBack {
    fn sample<R: Record>(&mut self, name: &'static str, record: R) {
        let table = table(R::TABLE.name);
        let cells = to_cells(table, &record).expect("it fits");
        let back: R = from_cells(table, &cells).expect("it is read");
        assert_eq!(to_value(&back), to_value(&record), "{name}");
        assert_eq!(back.key(), record.key(), "{name}");
        for (column, cell) in table.columns.iter().zip(&cells) {
            assert!(
                kind_of(column.kind, cell.as_ref()),
                "{name}: {}",
                column.name
            );
        }
        let key = record.key();
        let bytes = key::encode(R::TABLE, &key).expect("a key");
        assert_eq!(key_of_bytes(table, &bytes), Some(key), "{name}");
        assert_eq!(
            key_of_bytes(table, &bytes[..bytes.len() - 1]),
            None,
            "{name}"
        );
    }
}

fn kind_of(kind: Kind, cell: Option<&CqlValue>) -> bool {
    match cell {
        None => true,
        Some(CqlValue::Blob(_)) => kind == Kind::Blob,
        Some(CqlValue::Text(_)) => matches!(kind, Kind::Text | Kind::Json),
        Some(CqlValue::Int(_)) => kind == Kind::Int,
        Some(CqlValue::BigInt(_)) => kind == Kind::BigInt,
        Some(CqlValue::Boolean(_)) => kind == Kind::Boolean,
        Some(CqlValue::Date(_)) => kind == Kind::Date,
        Some(CqlValue::List(_)) => matches!(kind, Kind::Blobs | Kind::Texts),
        Some(CqlValue::Map(_)) => matches!(kind, Kind::TextMap | Kind::CountMap),
        Some(_) => false,
    }
}

#[test]
fn every_record_goes_to_columns_and_back_unchanged() {
    show_all(&mut ThereAndBack);
}

#[test]
fn what_is_not_there_is_null_and_not_there_again() {
    let mut message = golden_samples::message();
    message.reason = None;
    message.timeline.clear();
    message.held = Some(schemas::held::HeldList::Providers(vec![
        schemas::ProviderId::of_name("one"),
    ]));
    ThereAndBack.sample("message", message);
    let mut campaign = golden_samples::campaign();
    campaign.window = None;
    campaign.providers.clear();
    ThereAndBack.sample("campaign", campaign);
}

/// A struct is there when the first of its columns is: what a newer release has added to one
/// that we took away does not bring it back in pieces.
#[test]
fn a_struct_without_its_first_column_is_not_there() {
    let table = table("campaigns");
    let mut cells = to_cells(table, &golden_samples::campaign()).expect("it fits");
    let from = table.column("window_from").expect("a column");
    cells[from] = None;
    let campaign: schemas::campaign::Campaign = from_cells(table, &cells).expect("it is read");
    assert_eq!(campaign.window, None);
}

#[test]
fn what_json_a_newer_release_wrote_is_kept_and_read_by_people() {
    let table = table("messages");
    let mut message = golden_samples::message();
    let mut previous = to_cells(table, &message).expect("it fits");
    let timeline = table.column("timeline").expect("a column");
    let Some(CqlValue::Text(text)) = &mut previous[timeline] else {
        panic!("a text");
    };
    assert!(text.contains(r#""event":"attempt_begun""#), "{text}");
    assert!(text.contains(r#""status":"submitting""#), "{text}");
    *text = text.replace(r#""attempt":1"#, r#""attempt":1,"mood":"good""#);
    message.status = MessageStatus::Delivered;
    message.timeline.push(message.timeline[0].clone());
    let mut new = to_cells(table, &message).expect("it fits");
    keep_unknown::<schemas::Message>(table, &previous, &mut new).expect("it is read");
    let Some(CqlValue::Text(text)) = &new[timeline] else {
        panic!("a text");
    };
    assert_eq!(text.matches("mood").count(), 1, "{text}");
    let back: schemas::Message = from_cells(table, &new).expect("it is read");
    assert_eq!(back, message);
}

#[test]
fn what_cannot_be_read_names_the_table_and_not_the_content() {
    let table = table("messages");
    let mut cells = to_cells(table, &golden_samples::message()).expect("it fits");
    let recipient = table.column("recipient").expect("a column");
    cells[recipient] = Some(CqlValue::Text("15005550006".to_owned()));
    let error = from_cells::<schemas::Message>(table, &cells).expect_err("damaged");
    let error = error.to_string();
    assert!(error.starts_with("messages is damaged"), "{error}");
    assert!(!error.contains("1500"), "{error}");
}
