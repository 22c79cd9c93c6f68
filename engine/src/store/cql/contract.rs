//! What the CQL backend promises beyond the port, because the journal's owner stands on it: of
//! rows with stamps, an older writer's always lose.

use futures::future::join_all;
use schemas::audience::NumberKey;
use schemas::contact::ListMember;
use schemas::job::{ImportPosition, JobProgress, JobState};
use schemas::record::{KeyPart, Record};
use schemas::{ContactId, JobId, ListId, Partition, Slice, UnixMicros};

use super::CqlRows;
use super::columns::{Cell, from_cells, key_cells, to_cells};
use super::projection::Projected;
use super::statement::Verb;
use super::table::{CqlTable, Schema};
use super::to_value::{Wrong, to_value};
use super::value::Value;
use crate::store::cluster::{Stamp, WRITES_IN_FLIGHT};
use crate::store::contract::StoreSubject;
use crate::store::golden_samples::{Samples, show_all};
use crate::store::{Backend, Order, Store};

/// Hands every case of this contract to a macro.
#[macro_export]
macro_rules! each_cql_case {
    ($run:ident) => {
        $run! {
            every_record_is_read_as_it_was_written,
            an_older_writer_always_loses,
            many_rows_are_written_at_once,
        }
    };
}

fn rows(store: &Store) -> &CqlRows {
    match &store.backend {
        Backend::Cql(rows) => rows,
        Backend::Embedded(_) => panic!("not a CQL store"),
    }
}

/// A record on its way to the servers and back.
struct Trip {
    name: &'static str,
    table: &'static CqlTable,
    values: Vec<Cell>,
    key: Vec<Cell>,
    written: Result<Value, Wrong>,
    read: fn(&CqlTable, &[Cell]) -> Result<Value, Wrong>,
}

struct Trips(Vec<Trip>);

impl Samples for Trips {
    fn sample<R: Record>(&mut self, name: &'static str, record: R) {
        let table = Schema::table::<R>().expect("a table");
        self.0.push(Trip {
            name,
            table,
            values: to_cells(table, &record).expect("it fits"),
            key: key_cells(table, &record.key()).expect("a key"),
            written: to_value(&record),
            read: |table, cells| to_value(&from_cells::<R>(table, cells).expect("it is read")),
        });
    }
}

/// Every column of every table takes what a record has for it.
pub async fn every_record_is_read_as_it_was_written(subject: &mut dyn StoreSubject) {
    let store = subject.store();
    let rows = rows(&store);
    let mut trips = Trips(Vec::new());
    show_all(&mut trips);
    for trip in trips.0 {
        let stamped = |stamp: i64| {
            let mut values = trip.values.clone();
            values.push(Some(scylla::value::CqlValue::BigInt(stamp)));
            values
        };
        let put = rows.access.prepare(trip.table, Verb::PutStamped).await;
        let put = put.expect("prepare");
        let values = stamped(1);
        rows.access
            .execute(trip.table, &put, &values)
            .await
            .expect("it is written");
        let get = rows.access.prepare(trip.table, Verb::Get).await;
        let get = get.expect("prepare");
        let found = rows.access.execute(trip.table, &get, &trip.key).await;
        let found = found.expect("it is read").rows;
        assert_eq!(found.len(), 1, "{}", trip.name);
        assert_eq!(
            (trip.read)(trip.table, &found[0]),
            trip.written,
            "{}",
            trip.name
        );
        assert!(
            get.is_token_aware() && put.is_token_aware(),
            "{}",
            trip.name
        );
    }
}

fn progress(number: u8, records: u64, error: Option<&str>) -> JobProgress {
    JobProgress {
        job: JobId::from_bytes([number; 16]),
        partition: Partition(3),
        state: JobState::Running,
        records,
        contacts: records,
        merged: 0,
        rejected: 0,
        resume: error.map(|_| ImportPosition::default()),
        error: error.map(str::to_owned),
        updated_at: UnixMicros(1),
        sequence: records,
    }
}

/// A write by the owner of an epoch at a position: a row, or its end.
type Step = (u32, u64, Option<JobProgress>);

fn write((epoch, position, row): &Step, number: u8) -> Projected {
    let stamp = Stamp::new(*epoch, *position).expect("it fits");
    let written = match row {
        Some(row) => Projected::put(
            &JobProgress {
                job: JobId::from_bytes([number; 16]),
                ..row.clone()
            },
            stamp,
        ),
        None => Projected::delete::<JobProgress>(&progress(number, 0, None).key(), stamp),
    };
    written.expect("it fits")
}

/// All orders of so many things.
fn orders(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![Vec::new()];
    }
    let shorter = orders(count - 1);
    let longer = shorter.iter().flat_map(|order| {
        (0..=order.len()).map(move |place| {
            let mut longer = order.clone();
            longer.insert(place, count - 1);
            longer
        })
    });
    longer.collect()
}

/// Four writes of one row, of two epochs, in every order, one after the other and all at once,
/// and each of them a second time: what stays is the one with the greatest stamp, whole.
pub async fn an_older_writer_always_loses(subject: &mut dyn StoreSubject) {
    let store = subject.store();
    let rows = rows(&store);
    let put = |epoch, position, error| {
        let records = u64::from(epoch) * 100 + position;
        (epoch, position, Some(progress(0, records, error)))
    };
    let ends_with_nulls = [
        put(1, 1 << 39, Some("first")),
        (1, (1 << 39) + 1, None),
        put(2, 1, Some("second")),
        put(2, 2, None),
    ];
    let ends_deleted = [
        put(1, 7, None),
        put(1, 9, Some("first")),
        put(2, 1, Some("second")),
        (2, 2, None),
    ];
    let ends_again = [
        put(1, 7, Some("first")),
        (1, 8, None),
        (2, 1, None),
        put(3, 1, Some("third")),
    ];
    let mut number = 0;
    for steps in [ends_with_nulls, ends_deleted, ends_again] {
        for order in orders(steps.len()) {
            number += 1;
            for step in &order {
                let written = rows.project(vec![write(&steps[*step], number)]).await;
                written.expect("it is written");
            }
            // A node that was frozen writes on waking.
            let again = order.iter().map(|step| write(&steps[*step], number));
            rows.project(again.collect()).await.expect("it is written");
            let expected = steps[3].2.clone().map(|row| JobProgress {
                job: JobId::from_bytes([number; 16]),
                ..row
            });
            let key = progress(number, 0, None).key();
            let there: Option<JobProgress> = store.get(&key).await.expect("get");
            assert_eq!(there, expected, "order {order:?}");
        }
    }
}

/// Thousands of rows of many partitions, by two writers who write the same.
pub async fn many_rows_are_written_at_once(subject: &mut dyn StoreSubject) {
    let store = subject.store();
    let rows = rows(&store);
    let list = ListId::from_bytes([9; 16]);
    let stamp = Stamp::new(1, 1).expect("it fits");
    let member = |number: u64| ListMember {
        list,
        slice: Slice::from_low_bits((number % 64) as u16),
        number: NumberKey(1_000_000 + number),
        contact: ContactId::from_bytes([4; 16]),
        added_by: (JobId::from_bytes([6; 16]), number),
        added_at: UnixMicros(1),
        sequence: 1,
    };
    let count = 20 * WRITES_IN_FLIGHT as u64;
    let members = || {
        let members = (0..count).map(|number| Projected::put(&member(number), stamp));
        members.collect::<Result<Vec<_>, _>>().expect("they fit")
    };
    let written = join_all([rows.project(members()), rows.project(members())]).await;
    assert!(written.iter().all(Result::is_ok), "{written:?}");
    let prefixes: Vec<_> = (0..64)
        .map(|slice| ListMember::slice_key(list, Slice::from_low_bits(slice)))
        .collect();
    let lists = store.list_each::<ListMember>(&prefixes, 10_000).await;
    let lists = lists.expect("lists");
    assert_eq!(lists.len(), 64);
    for (slice, found) in (0..64).zip(&lists) {
        let expected: Vec<_> = (0..count)
            .filter(|number| number % 64 == slice)
            .map(member)
            .collect();
        assert_eq!(*found, expected, "slice {slice}");
    }
    // Pages of a prefix behind the partition key end with it, both ways.
    for order in [Order::Ascending, Order::Descending] {
        let (prefix, mut after, mut seen) = (&prefixes[3], None, Vec::new());
        loop {
            let page = store
                .list::<ListMember>(prefix, after.as_ref(), order, 7)
                .await;
            let page = page.expect("list");
            seen.extend(page.rows);
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        if order == Order::Descending {
            seen.reverse();
        }
        assert_eq!(seen, lists[3]);
        let mut from = prefix.clone();
        from.push(KeyPart::U64(1_000_003 + 64));
        let part = store
            .list_from::<ListMember>(prefix, &from, order, 100)
            .await;
        let expected = match order {
            Order::Ascending => lists[3][1..].to_vec(),
            Order::Descending => lists[3][..2].iter().rev().cloned().collect(),
        };
        assert_eq!(part.expect("list"), expected);
    }
}
