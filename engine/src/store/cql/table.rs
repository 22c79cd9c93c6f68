//! What a table looks like, as its file in `schemas/cql` says: columns with their types, and
//! which field of the record each of them holds. The files' README has the grammar.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use schemas::cql::FILES;
use schemas::record::Record;

use super::error::failed;
use crate::store::error::StoreError;

/// The version that a statement brings when its file does not say.
const FIRST_VERSION: u32 = 1;

/// What a column holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Blob,
    Text,
    Int,
    BigInt,
    Boolean,
    /// A day, counted from 1970. Only in keys.
    Date,
    Blobs,
    Texts,
    TextMap,
    CountMap,
    /// Text that holds JSON.
    Json,
}

/// Where a column's value comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Origin {
    /// A field of the record, by the names on the way to it.
    Field(Vec<String>),
    /// A part of the key that is made from other fields.
    Key,
    /// The write that put this version of the row.
    Write,
}

/// One column.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) origin: Origin,
    /// In JSON: what is written for a field's stored name, both ways.
    pub(super) names: Vec<(String, String)>,
    /// The columns that must hold something for this one's field to be there: the first of
    /// each struct that it lies in.
    pub(super) within: Vec<usize>,
}

/// One table.
#[derive(Debug)]
pub(super) struct CqlTable {
    pub(super) name: &'static str,
    /// All columns, those of the key first and in its order.
    pub(super) columns: Vec<Column>,
    /// How many of them are the partition key.
    pub(super) partition_parts: usize,
    /// How many of them are the key.
    pub(super) key_parts: usize,
    /// The column of the write, where rows are written conditionally.
    pub(super) write: Option<usize>,
    /// What makes the table, each with the version of the schema that brings it.
    pub(super) statements: Vec<(u32, String)>,
}

impl CqlTable {
    pub(super) fn key_columns(&self) -> &[Column] {
        &self.columns[..self.key_parts]
    }

    pub(super) fn clustering_columns(&self) -> &[Column] {
        &self.columns[self.partition_parts..self.key_parts]
    }

    #[cfg(test)]
    pub(super) fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    pub(super) fn has_json(&self) -> bool {
        self.columns.iter().any(|column| column.kind == Kind::Json)
    }
}

/// Every table by its name.
#[derive(Debug)]
pub(super) struct Schema {
    pub(super) tables: BTreeMap<&'static str, CqlTable>,
}

impl Schema {
    /// What the files say. A file that cannot be understood is a fault of this program; its
    /// tests read every one.
    pub(super) fn of_files() -> Result<&'static Self, StoreError> {
        static SCHEMA: OnceLock<Result<Schema, String>> = OnceLock::new();
        let schema = SCHEMA.get_or_init(|| {
            let tables = FILES.iter().map(|file| {
                let table = read(file.table, file.text);
                let table = table.map_err(|wrong| format!("{}.cql: {wrong}", file.table))?;
                Ok((file.table, table))
            });
            let tables = tables.collect::<Result<_, String>>()?;
            Ok(Self { tables })
        });
        schema.as_ref().map_err(|wrong| StoreError::Backend {
            detail: wrong.clone(),
        })
    }

    /// The table of a record.
    ///
    /// # Errors
    /// [`StoreError::Backend`] when it has none, which no record has.
    pub(super) fn table<R: Record>() -> Result<&'static CqlTable, StoreError> {
        let found = Self::of_files()?.tables.get(R::TABLE.name);
        found.ok_or_else(|| failed(R::TABLE.name, "there is no such table"))
    }

    /// The version that these tables have when every statement was run.
    pub(super) fn version(&self) -> u32 {
        let statements = self.tables.values().flat_map(|table| &table.statements);
        let versions = statements.map(|(version, _)| *version);
        versions.max().unwrap_or(FIRST_VERSION)
    }
}

fn read(name: &'static str, text: &str) -> Result<CqlTable, String> {
    let mut table = CqlTable {
        name,
        columns: Vec::new(),
        partition_parts: 0,
        key_parts: 0,
        write: None,
        statements: Vec::new(),
    };
    let (mut version, mut statement) = (FIRST_VERSION, String::new());
    let mut key = String::new();
    for line in text.lines() {
        let (cql, comment) = match line.split_once("--") {
            Some((cql, comment)) => (cql.trim(), comment.trim()),
            None => (line.trim(), ""),
        };
        if let Some(number) = comment.strip_prefix("version ").filter(|_| cql.is_empty()) {
            version = number.parse().map_err(|_| format!("{line}: no version"))?;
        }
        if cql.is_empty() {
            continue;
        }
        if let Some(parts) = cql.strip_prefix("PRIMARY KEY ") {
            parts.clone_into(&mut key);
        } else if !cql.starts_with("CREATE TABLE") && !cql.starts_with(')') {
            let added = cql.strip_prefix(&format!("ALTER TABLE {name} ADD "));
            let column = added.unwrap_or(cql).trim_end_matches([',', ';']);
            table.columns.push(read_column(column, comment)?);
        }
        statement.push_str(cql);
        statement.push(' ');
        if cql.ends_with(';') {
            let whole = statement.trim_end().trim_end_matches(';').to_owned();
            table.statements.push((version, whole));
            statement.clear();
        }
    }
    read_key(&mut table, &key)?;
    find_structs(&mut table.columns);
    table.write = table
        .columns
        .iter()
        .position(|column| column.origin == Origin::Write);
    Ok(table)
}

fn read_column(cql: &str, comment: &str) -> Result<Column, String> {
    let (name, cql_type) = cql
        .split_once(' ')
        .ok_or_else(|| format!("{cql}: a column has a name and a type"))?;
    let (comment, names) = match comment.split_once(" as JSON") {
        Some((comment, names)) => (comment, Some(names)),
        None => (comment, None),
    };
    let origin = match comment {
        "" => Origin::Field(vec![name.to_owned()]),
        "key" => Origin::Key,
        "write" => Origin::Write,
        other => match other.strip_prefix("of ") {
            Some(path) => Origin::Field(path.split('.').map(str::to_owned).collect()),
            None => {
                return Err(format!(
                    "{name}: {other} says nothing of where it comes from"
                ));
            }
        },
    };
    let kind = match (cql_type, names) {
        ("text", Some(_)) => Kind::Json,
        ("text", None) => Kind::Text,
        ("blob", None) => Kind::Blob,
        ("int", None) => Kind::Int,
        ("bigint", None) => Kind::BigInt,
        ("boolean", None) => Kind::Boolean,
        ("date", None) => Kind::Date,
        ("frozen<list<blob>>", None) => Kind::Blobs,
        ("frozen<list<text>>", None) => Kind::Texts,
        ("frozen<map<text, text>>", None) => Kind::TextMap,
        ("frozen<map<text, bigint>>", None) => Kind::CountMap,
        _ => {
            return Err(format!(
                "{name}: {cql_type} is a type that is not used here"
            ));
        }
    };
    let names = names.unwrap_or_default().split_whitespace();
    let names = names.map(|pair| match pair.split_once('=') {
        Some((written, stored)) => Ok((stored.to_owned(), written.to_owned())),
        None => Err(format!("{name}: {pair} is not of the form at=w")),
    });
    Ok(Column {
        name: name.to_owned(),
        kind,
        origin,
        names: names.collect::<Result<_, _>>()?,
        within: Vec::new(),
    })
}

/// `((account, day), id)`: the columns must be the first ones, in this order.
fn read_key(table: &mut CqlTable, key: &str) -> Result<(), String> {
    let inner = key.strip_prefix("((").and_then(|key| key.split_once(')'));
    let (partition, clustering) =
        inner.ok_or_else(|| format!("{key}: write the partition key in brackets of its own"))?;
    let split = |parts: &str| -> Vec<String> {
        let parts = parts.trim_end_matches(')').split(',');
        let parts = parts.map(|part| part.trim().to_owned());
        parts.filter(|part| !part.is_empty()).collect()
    };
    let (partition, clustering) = (split(partition), split(clustering));
    table.partition_parts = partition.len();
    table.key_parts = partition.len() + clustering.len();
    let declared = partition.iter().chain(&clustering);
    let columns = table.columns.iter().map(|column| &column.name);
    if !declared.eq(columns.take(table.key_parts)) {
        return Err(format!("{key}: the columns of the key must come first"));
    }
    Ok(())
}

fn find_structs(columns: &mut [Column]) {
    let mut first: BTreeMap<Vec<String>, usize> = BTreeMap::new();
    for (index, column) in columns.iter_mut().enumerate() {
        let Origin::Field(path) = &column.origin else {
            continue;
        };
        for depth in 1..path.len() {
            let of_struct = *first.entry(path[..depth].to_vec()).or_insert(index);
            column.within.push(of_struct);
        }
    }
}
