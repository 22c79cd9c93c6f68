//! From records to the columns of their rows and back.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "what does not fit its column is one case, whatever it is"
)]

use schemas::record::{Key, KeyPart, Record};
use scylla::value::{CqlDate, CqlValue};

use super::from_value::from_value;
use super::table::{Column, CqlTable, Kind, Origin};
use super::to_value::to_value;
use super::value::{Value, carry_over};
use crate::store::error::StoreError;

/// What one column of one row holds; `None` is null.
pub(super) type Cell = Option<CqlValue>;

/// CQL counts days from 2^31 before 1970.
const DAYS_BEFORE_1970: i64 = 1 << 31;

/// The cells of a row, in the order of the table's columns.
///
/// # Errors
/// [`StoreError::InvalidRange`] for a key that cannot be; [`StoreError::Backend`] for a field
/// that its column cannot hold.
pub(super) fn to_cells<R: Record>(table: &CqlTable, row: &R) -> Result<Vec<Cell>, StoreError> {
    let unfit = |column: &Column| StoreError::Backend {
        detail: format!("a row of {} does not fit {}", table.name, column.name),
    };
    let value = to_value(row).map_err(|_| StoreError::Backend {
        detail: format!("a row of {} cannot be written", table.name),
    })?;
    let key = row.key();
    if key.len() != table.key_parts {
        return Err(unfit(&table.columns[0]));
    }
    let mut cells = key_cells(table, &key)?;
    for column in &table.columns[table.key_parts..] {
        let field = match &column.origin {
            Origin::Field(path) => value.at(path).unwrap_or(&Value::Null),
            Origin::Key | Origin::Write => &Value::Null,
        };
        cells.push(to_cell(column, field).ok_or_else(|| unfit(column))?);
    }
    Ok(cells)
}

/// The record of a row's cells, in the order of the table's columns.
///
/// # Errors
/// [`StoreError::Damaged`], with nothing of what the row holds.
pub(super) fn from_cells<R: Record>(table: &CqlTable, cells: &[Cell]) -> Result<R, StoreError> {
    let damaged = || StoreError::damaged(table.name, "a row does not hold its fields");
    let mut value = Value::Map(Vec::new());
    for (column, cell) in table.columns.iter().zip(cells) {
        let (Origin::Field(path), Some(cell)) = (&column.origin, cell) else {
            continue;
        };
        if column.within.iter().all(|first| cells[*first].is_some()) {
            value.put(path, from_cell(column, cell).ok_or_else(damaged)?);
        }
    }
    from_value(value).map_err(|_| damaged())
}

/// `new` with what of `previous`, the row that it replaces, this release does not know. Whole
/// columns that it does not know are not among these cells, and are left as they are.
pub(super) fn keep_unknown<R: Record>(
    table: &CqlTable,
    previous: &[Cell],
    new: &mut [Cell],
) -> Result<(), StoreError> {
    let understood = to_cells(table, &from_cells::<R>(table, previous)?)?;
    for (index, column) in table.columns.iter().enumerate() {
        if column.kind != Kind::Json || previous[index] == understood[index] {
            continue;
        }
        let json = |cell: &Cell| match cell {
            Some(CqlValue::Text(text)) => serde_json::from_str(text).ok(),
            _ => None,
        };
        if let (Some(previous), Some(understood), Some(json)) = (
            json(&previous[index]),
            json(&understood[index]),
            json(&new[index]),
        ) {
            let merged: serde_json::Value = carry_over(&previous, &understood, &json);
            new[index] = Some(CqlValue::Text(merged.to_string()));
        }
    }
    Ok(())
}

/// The cells of the leading parts of a key.
///
/// # Errors
/// [`StoreError::InvalidRange`] for a text with U+0000, a number beyond its column, an instant
/// before 1970.
pub(super) fn key_cells(table: &CqlTable, parts: &[KeyPart]) -> Result<Vec<Cell>, StoreError> {
    let invalid = |detail| StoreError::InvalidRange {
        table: table.name,
        detail,
    };
    if parts.len() > table.key_parts {
        return Err(invalid("the key has more parts than the table's"));
    }
    let pairs = parts.iter().zip(table.key_columns());
    let cells = pairs.map(|(part, column)| match (part, column.kind) {
        (KeyPart::Id(id), Kind::Blob) => Ok(CqlValue::Blob(id.to_vec())),
        (KeyPart::U16(number), Kind::Int) => Ok(CqlValue::Int(i32::from(*number))),
        (KeyPart::U64(number), Kind::BigInt) => match i64::try_from(*number) {
            Ok(number) => Ok(CqlValue::BigInt(number)),
            Err(_) => Err(invalid("a number in a key is too large")),
        },
        (KeyPart::I64(number), Kind::BigInt) if *number >= 0 => Ok(CqlValue::BigInt(*number)),
        (KeyPart::I64(_), Kind::BigInt) => Err(invalid("a time in a key lies before 1970")),
        (KeyPart::I64(day), Kind::Date) => match u32::try_from(day + DAYS_BEFORE_1970) {
            Ok(day) => Ok(CqlValue::Date(CqlDate(day))),
            Err(_) => Err(invalid("a day in a key is out of range")),
        },
        (KeyPart::Text(text), Kind::Text) if !text.contains('\0') => {
            Ok(CqlValue::Text(text.clone()))
        }
        (KeyPart::Text(_), Kind::Text) => Err(invalid("a text in a key must not hold U+0000")),
        _ => Err(invalid("a part of the key is of another kind")),
    });
    cells.map(|cell| cell.map(Some)).collect()
}

/// The key whose bytes [`crate::store::key::encode`] made; `None` for others.
pub(super) fn key_of_bytes(table: &CqlTable, bytes: &[u8]) -> Option<Key> {
    parts_of_bytes(table, bytes).filter(|key| key.len() == table.key_parts)
}

/// The same of the leading parts of a key.
pub(super) fn parts_of_bytes(table: &CqlTable, bytes: &[u8]) -> Option<Key> {
    let (_tag, mut rest) = bytes.split_first()?;
    let mut key = Vec::with_capacity(table.key_parts);
    for column in table.key_columns() {
        if rest.is_empty() {
            break;
        }
        let part = match column.kind {
            Kind::Blob => KeyPart::Id(*take(&mut rest)?),
            Kind::Int => KeyPart::U16(u16::from_be_bytes(*take(&mut rest)?)),
            Kind::BigInt | Kind::Date => {
                // A signed number has its sign flipped, and there are no negative ones; an
                // unsigned one that a `bigint` holds has that bit clear.
                let number = u64::from_be_bytes(*take(&mut rest)?);
                match number >> 63 {
                    0 if column.kind == Kind::BigInt => KeyPart::U64(number),
                    _ => KeyPart::I64((number ^ (1 << 63)).cast_signed()),
                }
            }
            Kind::Text => {
                let end = rest.iter().position(|byte| *byte == 0)?;
                let text = String::from_utf8(rest[..end].to_vec()).ok()?;
                rest = &rest[end + 1..];
                KeyPart::Text(text)
            }
            _ => return None,
        };
        key.push(part);
    }
    rest.is_empty().then_some(key)
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (taken, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(taken)
}

/// `None` when the column cannot hold it.
fn to_cell(column: &Column, value: &Value) -> Option<Cell> {
    let texts = |items: &[Value]| -> Option<Vec<CqlValue>> {
        let texts = items.iter().map(|item| match item {
            Value::Text(text) => Some(CqlValue::Text(text.clone())),
            _ => None,
        });
        texts.collect()
    };
    let map = |fields: &[(String, Value)], of: fn(&Value) -> Option<CqlValue>| {
        let entries = fields
            .iter()
            .map(|(key, value)| Some((CqlValue::Text(key.clone()), of(value)?)));
        Some(CqlValue::Map(entries.collect::<Option<_>>()?))
    };
    let cell = match (column.kind, value) {
        (_, Value::Null) => return Some(None),
        (Kind::Blob, value) => CqlValue::Blob(bytes_of(value)?),
        (Kind::Text, Value::Text(text)) => CqlValue::Text(text.clone()),
        (Kind::Int, Value::Int(number)) => CqlValue::Int(i32::try_from(*number).ok()?),
        (Kind::BigInt, Value::Int(number)) => CqlValue::BigInt(*number),
        (Kind::Boolean, Value::Bool(is_so)) => CqlValue::Boolean(*is_so),
        (Kind::Blobs, Value::List(items)) => {
            let blobs = items.iter().map(|item| bytes_of(item).map(CqlValue::Blob));
            CqlValue::List(blobs.collect::<Option<_>>()?)
        }
        (Kind::Texts, Value::List(items)) => CqlValue::List(texts(items)?),
        (Kind::TextMap, Value::Map(fields)) => map(fields, |value| match value {
            Value::Text(text) => Some(CqlValue::Text(text.clone())),
            _ => None,
        })?,
        (Kind::CountMap, Value::Map(fields)) => map(fields, |value| match value {
            Value::Int(number) => Some(CqlValue::BigInt(*number)),
            _ => None,
        })?,
        (Kind::Json, value) => CqlValue::Text(value.to_json(&column.names).to_string()),
        _ => return None,
    };
    Some(Some(cell))
}

/// Bytes, or an array of them, which is a list to serde.
fn bytes_of(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::Bytes(bytes) => Some(bytes.clone()),
        Value::List(items) => {
            let bytes = items.iter().map(|item| match item {
                Value::Int(number) => u8::try_from(*number).ok(),
                _ => None,
            });
            bytes.collect()
        }
        _ => None,
    }
}

/// `None` when the column holds something else than it should.
fn from_cell(column: &Column, cell: &CqlValue) -> Option<Value> {
    let value = match (column.kind, cell) {
        (Kind::Json, CqlValue::Text(text)) => {
            Value::of_json(serde_json::from_str(text).ok()?, &column.names)?
        }
        (Kind::Date, _) => return None,
        (_, cell) => plain(cell)?,
    };
    Some(value)
}

fn plain(cell: &CqlValue) -> Option<Value> {
    Some(match cell {
        CqlValue::Blob(bytes) => Value::Bytes(bytes.clone()),
        CqlValue::Text(text) => Value::Text(text.clone()),
        CqlValue::Int(number) => Value::Int(i64::from(*number)),
        CqlValue::BigInt(number) => Value::Int(*number),
        CqlValue::Boolean(is_so) => Value::Bool(*is_so),
        CqlValue::List(items) => Value::List(items.iter().map(plain).collect::<Option<_>>()?),
        CqlValue::Map(entries) => {
            let entries = entries.iter().map(|(key, value)| match key {
                CqlValue::Text(key) => Some((key.clone(), plain(value)?)),
                _ => None,
            });
            Value::Map(entries.collect::<Option<_>>()?)
        }
        _ => return None,
    })
}
