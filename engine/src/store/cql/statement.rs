//! The statements: written from a table's columns, prepared once, kept.
//!
//! Every part of the partition key is bound, so that the driver sends each to a replica. What
//! may be sent twice without harm is marked idempotent, so that the driver asks another node
//! when a connection breaks; conditional writes are not.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "what a verb or scan does not share with the named ones is one case"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use scylla::client::session::Session;
use scylla::statement::prepared::PreparedStatement;
use scylla::statement::{Consistency, SerialConsistency, Statement};

use super::error::of_prepare;
use super::table::{Column, CqlTable};
use crate::store::Order;
use crate::store::error::StoreError;

const STATEMENTS: &str = "volley_cql_statements_total";

/// Says what the number means, once for each process.
pub(in crate::store) fn describe() {
    metrics::describe_counter!(
        STATEMENTS,
        "Statements that servers of rows were asked to execute, by table and by what they do."
    );
}

/// How long a read may take, further nodes included. Servers give up after 5 s (Cassandra's
/// `read_request_timeout`, ScyllaDB's too) and then say what is down, which is worth more than
/// our own word.
const READ_TIMEOUT: Duration = Duration::from_secs(6);

/// How long a write may take. Servers give up after 2 s, and after 1 s of contention.
const WRITE_TIMEOUT: Duration = Duration::from_secs(6);

/// Rows that one answer of a list holds: 24 MB of the largest rows, audience chunks of 48 kB.
const PAGE_ROWS: i32 = 500;

/// What a statement does; with its table, all that its text depends on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Verb {
    /// The row with a key, as a quorum has it.
    Get,
    /// The row with a key, behind every conditional write that is under way.
    GetSerial,
    /// A row, unless its key is taken.
    PutOnce,
    /// A row, if the version is the one given.
    Replace,
    /// A row, with a stamp.
    PutStamped,
    /// The end of a row, with a stamp.
    DeleteStamped,
    /// Some rows of a partition.
    Scan(Scan),
    /// The first column of every row.
    Count,
}

impl Verb {
    /// For operators.
    const fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::GetSerial => "get_serial",
            Self::PutOnce => "put_once",
            Self::Replace => "replace",
            Self::PutStamped => "put",
            Self::DeleteStamped => "delete",
            Self::Scan(_) => "scan",
            Self::Count => "count",
        }
    }
}

/// Which rows of a partition. Parts are counted without those of the partition key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Scan {
    /// So many parts are those of the prefix.
    pub(super) prefix: usize,
    /// Where it begins.
    pub(super) from: From,
    /// Which way it goes.
    pub(super) order: Order,
}

/// Where a scan begins.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum From {
    /// With the first row.
    Whole,
    /// Behind a whole key.
    After,
    /// With so many parts of a key, inclusive.
    Parts(usize),
    /// With one prefix, up to and with another of the same length.
    Between,
}

/// What was prepared, by table and verb. Their number is bounded: 25 tables with some ten verbs
/// each, most of which nobody uses.
#[derive(Default)]
pub(super) struct Statements {
    prepared: Mutex<BTreeMap<(&'static str, Verb), PreparedStatement>>,
}

impl Statements {
    /// The prepared statement of a verb on a table of this keyspace.
    ///
    /// # Errors
    /// [`StoreError::Backend`] when no node prepares it.
    pub(super) async fn get(
        &self,
        session: &Session,
        keyspace: &str,
        table: &CqlTable,
        verb: Verb,
    ) -> Result<PreparedStatement, StoreError> {
        metrics::counter!(STATEMENTS, "table" => table.name, "verb" => verb.name()).increment(1);
        let known = self.lock().get(&(table.name, verb)).cloned();
        if let Some(statement) = known {
            return Ok(statement);
        }
        let mut statement = Statement::new(text(keyspace, table, verb));
        statement.set_page_size(PAGE_ROWS);
        let prepared = session.prepare(statement).await;
        let mut prepared = prepared.map_err(|error| of_prepare(table.name, &error))?;
        set_up(&mut prepared, verb);
        self.lock().insert((table.name, verb), prepared.clone());
        Ok(prepared)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<(&'static str, Verb), PreparedStatement>> {
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn set_up(statement: &mut PreparedStatement, verb: Verb) {
    statement.set_consistency(match verb {
        Verb::GetSerial => Consistency::LocalSerial,
        _ => Consistency::LocalQuorum,
    });
    statement.set_serial_consistency(Some(SerialConsistency::LocalSerial));
    let (idempotent, timeout) = match verb {
        Verb::Get | Verb::GetSerial | Verb::Scan(_) | Verb::Count => (true, READ_TIMEOUT),
        Verb::PutStamped | Verb::DeleteStamped => (true, WRITE_TIMEOUT),
        Verb::PutOnce | Verb::Replace => (false, WRITE_TIMEOUT),
    };
    statement.set_is_idempotent(idempotent);
    statement.set_request_timeout(Some(timeout));
}

/// The text of a statement.
pub(super) fn text(keyspace: &str, table: &CqlTable, verb: Verb) -> String {
    let name = format!("{keyspace}.{}", table.name);
    let columns = names(&table.columns);
    let key = equals(table.key_columns());
    let marks = vec!["?"; table.columns.len()].join(", ");
    match verb {
        Verb::Get | Verb::GetSerial => format!("SELECT {columns} FROM {name} WHERE {key}"),
        Verb::PutOnce => format!("INSERT INTO {name} ({columns}) VALUES ({marks}) IF NOT EXISTS"),
        Verb::Replace => {
            let changed = &table.columns[table.key_parts..];
            let changed = changed.iter().map(|column| format!("{} = ?", column.name));
            let changed = changed.collect::<Vec<_>>().join(", ");
            format!("UPDATE {name} SET {changed} WHERE {key} IF version = ?")
        }
        Verb::PutStamped => {
            format!("INSERT INTO {name} ({columns}) VALUES ({marks}) USING TIMESTAMP ?")
        }
        Verb::Count => format!("SELECT {} FROM {name}", names(&table.columns[..1])),
        Verb::DeleteStamped => format!("DELETE FROM {name} USING TIMESTAMP ? WHERE {key}"),
        Verb::Scan(scan) => scan_text(&name, &columns, table, scan),
    }
}

/// Single relations and relations over several columns are never mixed on one clustering key:
/// ScyllaDB does not take that.
fn scan_text(name: &str, columns: &str, table: &CqlTable, scan: Scan) -> String {
    let partition = equals(&table.columns[..table.partition_parts]);
    let clustering = table.clustering_columns();
    let mut text = format!("SELECT {columns} FROM {name} WHERE {partition}");
    let (onward, onward_or_at, up_to) = match scan.order {
        Order::Ascending => (">", ">=", "<="),
        Order::Descending => ("<", "<=", ">="),
    };
    let mut bound = |parts: usize, relation: &str| {
        let (of, marks) = (names(&clustering[..parts]), vec!["?"; parts].join(", "));
        let _ = write!(text, " AND ({of}) {relation} ({marks})");
    };
    match scan.from {
        From::Whole if scan.prefix > 0 => {
            let _ = write!(text, " AND {}", equals(&clustering[..scan.prefix]));
        }
        From::Whole => {}
        From::Between => {
            bound(scan.prefix, ">=");
            bound(scan.prefix, "<=");
        }
        From::After | From::Parts(_) => {
            match scan.from {
                From::Parts(0) => {}
                From::Parts(parts) => bound(parts, onward_or_at),
                _ => bound(clustering.len(), onward),
            }
            if scan.prefix > 0 {
                bound(scan.prefix, up_to);
            }
        }
    }
    if !clustering.is_empty() && scan.order == Order::Descending {
        let ways = clustering
            .iter()
            .map(|column| format!("{} DESC", column.name));
        let _ = write!(text, " ORDER BY {}", ways.collect::<Vec<_>>().join(", "));
    }
    text.push_str(" LIMIT ?");
    text
}

fn names(columns: &[Column]) -> String {
    let names = columns.iter().map(|column| column.name.as_str());
    names.collect::<Vec<_>>().join(", ")
}

fn equals(columns: &[Column]) -> String {
    let equal = columns.iter().map(|column| format!("{} = ?", column.name));
    equal.collect::<Vec<_>>().join(" AND ")
}

#[cfg(test)]
mod tests {
    use super::{From, Scan, Verb, text};
    use crate::store::Order;
    use crate::store::cql::table::Schema;

    fn scan(table: &str, prefix: usize, from: From, order: Order) -> String {
        let table = &Schema::of_files().expect("the files").tables[table];
        let whole = text(
            "v",
            table,
            Verb::Scan(Scan {
                prefix,
                from,
                order,
            }),
        );
        let (_, condition) = whole.split_once("WHERE ").expect("a condition");
        condition.to_owned()
    }

    #[test]
    fn a_scan_binds_the_partition_and_ends_with_its_prefix() {
        let (up, down) = (Order::Ascending, Order::Descending);
        assert_eq!(scan("campaigns", 0, From::Whole, up), "account = ? LIMIT ?");
        assert_eq!(
            scan("campaigns", 0, From::After, down),
            "account = ? AND (id) < (?) ORDER BY id DESC LIMIT ?"
        );
        assert_eq!(
            scan("contacts", 1, From::Whole, up),
            "account = ? AND shard = ? AND slice = ? LIMIT ?"
        );
        assert_eq!(
            scan("contacts", 1, From::After, up),
            "account = ? AND shard = ? AND (slice, id) > (?, ?) AND (slice) <= (?) LIMIT ?"
        );
        assert_eq!(
            scan("due", 0, From::Parts(1), down),
            "kind = ? AND minute = ? AND partition = ? AND (due) <= (?) \
             ORDER BY due DESC, message DESC LIMIT ?"
        );
        assert_eq!(
            scan("list_members", 1, From::Between, up),
            "list = ? AND shard = ? AND (slice) >= (?) AND (slice) <= (?) LIMIT ?"
        );
    }
}
