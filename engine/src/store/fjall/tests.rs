//! Snapshots of the database on disk.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use fjall::AbstractTree;
use schemas::record::{Table, tables};

use super::super::kv::{Direction, Kv, KvBatch, KvChange, KvRead, Space};
use super::super::subject::runtime;
use super::{FjallKv, FolderError, manifests};

/// What is written while a snapshot is held: some seven memtables of each space.
const WRITTEN_MEANWHILE: usize = 128 << 20;

/// What all spaces may keep in memory: three memtables of 2 to 3 MiB each.
const MEMTABLES: u64 = 54 << 20;

/// Rows of each space, and the bytes of one.
const ROWS: usize = 100;
/// See [`ROWS`].
const ROW_BYTES: usize = 16 << 10;

/// Batches written while snapshots are taken.
const BATCHES: u32 = 400;

/// Snapshots held at a time.
const HELD: usize = 20;

fn open(folder: &tempfile::TempDir) -> FjallKv {
    FjallKv::open(folder.path()).expect("the folder opens")
}

/// The same value under a key of each space.
fn everywhere(key: &[u8], value: &[u8]) -> KvBatch {
    let change = |space| KvChange {
        space,
        key: key.to_vec(),
        value: Some(value.to_vec()),
        partition: None,
    };
    KvBatch {
        changes: Space::ALL.map(change).to_vec(),
    }
}

fn values(kv: &dyn KvRead, key: &[u8]) -> Vec<Option<Vec<u8>>> {
    let value = |space| kv.get(space, key).expect("it can be read");
    Space::ALL.map(value).to_vec()
}

fn keys(kv: &dyn KvRead, space: Space, direction: Direction) -> Vec<Vec<u8>> {
    let pairs = kv.scan(space, b"a", b"z", direction, 100);
    let pairs = pairs.expect("it can be read");
    pairs.into_iter().map(|(key, _)| key).collect()
}

#[test]
fn a_snapshot_does_not_see_what_comes_later() {
    let folder = tempfile::tempdir().expect("a folder");
    let kv = open(&folder);
    kv.write(everywhere(b"b", b"old")).expect("write");
    kv.write(everywhere(b"d", b"old")).expect("write");
    let snapshot = kv.snapshot().expect("a snapshot");
    kv.write(everywhere(b"b", b"new")).expect("write");
    kv.write(everywhere(b"c", b"new")).expect("write");
    let remove = |space| KvChange {
        space,
        key: b"d".to_vec(),
        value: None,
        partition: None,
    };
    let changes = Space::ALL.map(remove).to_vec();
    kv.write(KvBatch { changes }).expect("write");
    for space in Space::ALL {
        kv.space(space).rotate_memtable_and_wait().expect("written");
    }
    let old = vec![Some(b"old".to_vec()); Space::ALL.len()];
    assert_eq!(values(&*snapshot, b"b"), old);
    assert_eq!(values(&*snapshot, b"d"), old);
    assert_eq!(values(&*snapshot, b"c"), vec![None; Space::ALL.len()]);
    for space in Space::ALL {
        let forward = keys(&*snapshot, space, Direction::Forward);
        assert_eq!(forward, [b"b", b"d"]);
        let backward = keys(&*snapshot, space, Direction::Backward);
        assert_eq!(backward, [b"d", b"b"]);
    }
    assert_eq!(keys(&kv, Space::Due, Direction::Forward), [b"b", b"c"]);
}

/// Rows that are written over again and again, while files are merged: what a snapshot
/// shows stays, memory does not grow meanwhile, and the files go when it ends.
#[test]
fn a_snapshot_keeps_its_rows_and_no_memory() {
    let folder = tempfile::tempdir().expect("a folder");
    let kv = open(&folder);
    let key = |number: usize| format!("k{:04}", number % ROWS).into_bytes();
    let value = |number: usize| vec![u8::try_from(number % 251).expect("a byte"); ROW_BYTES];
    for number in 0..ROWS {
        kv.write(everywhere(&key(number), &value(number)))
            .expect("write");
    }
    for space in Space::ALL {
        kv.space(space).rotate_memtable_and_wait().expect("written");
    }
    let snapshot = kv.snapshot().expect("a snapshot");
    let rounds = WRITTEN_MEANWHILE / ROW_BYTES / Space::ALL.len();
    for number in ROWS..ROWS + rounds {
        kv.write(everywhere(&key(number), &value(number + 7)))
            .expect("write");
    }
    let held = Space::ALL.map(|space| kv.space(space).tree.version_memtable_size_sum());
    let held: u64 = held.iter().sum();
    assert!(held < MEMTABLES, "{held} bytes of memtables");
    // The second round lets go of what the first has merged.
    for round in 0..2 {
        kv.write(everywhere(b"other", &[round])).expect("write");
        for space in Space::ALL {
            let space = kv.space(space);
            space.rotate_memtable_and_wait().expect("written");
            space.major_compact().expect("merged");
        }
    }
    for number in 0..ROWS {
        let as_it_was = vec![Some(value(number)); Space::ALL.len()];
        assert_eq!(values(&*snapshot, &key(number)), as_it_was);
    }
    let files = || {
        let tables = Space::ALL.map(|space| kv.space(space).path().join("tables"));
        let count = |path| std::fs::read_dir(path).expect("a folder").count();
        tables.map(count).iter().sum::<usize>()
    };
    let with_snapshot = files();
    drop(snapshot);
    let without = files();
    assert!(without < with_snapshot, "{without} of {with_snapshot} left");
}

/// Batches of one number for all spaces, while memtables are written out all the time:
/// what a snapshot shows is one number, and the same one when the next batches are there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_never_shows_half_a_batch() {
    let folder = tempfile::tempdir().expect("a folder");
    let kv = Arc::new(open(&folder));
    kv.write(everywhere(b"k", b"none")).expect("write");
    let written = Arc::new(AtomicU32::new(0));
    let runtime = runtime();
    let on_its_own = |work: fn(&FjallKv, &AtomicU32)| {
        let (kv, written) = (Arc::clone(&kv), Arc::clone(&written));
        runtime.blocking(move || {
            while written.load(Ordering::Relaxed) < BATCHES {
                work(&kv, &written);
            }
        })
    };
    let writer = on_its_own(|kv, written| {
        let number = written.fetch_add(1, Ordering::Relaxed);
        kv.write(everywhere(b"k", &number.to_be_bytes()))
            .expect("write");
    });
    let flusher = on_its_own(|kv, _| {
        for space in Space::ALL {
            kv.space(space).rotate_memtable_and_wait().expect("written");
        }
    });
    let reader = on_its_own(|kv, written| {
        let mut earlier = VecDeque::new();
        while written.load(Ordering::Relaxed) < BATCHES {
            let snapshot = kv.snapshot().expect("a snapshot");
            let first = values(&*snapshot, b"k");
            assert!(first.windows(2).all(|pair| pair[0] == pair[1]), "{first:?}");
            earlier.push_back((snapshot, first));
            if earlier.len() > HELD
                && let Some((snapshot, first)) = earlier.pop_front()
            {
                assert_eq!(values(&*snapshot, b"k"), first);
            }
        }
    });
    let done = futures::join!(writer, flusher, reader);
    assert_eq!(done, (Ok(()), Ok(()), Ok(())));
}

#[test]
fn a_damaged_list_of_files_is_refused_before_it_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let kv = open(&folder);
    kv.write(everywhere(b"k", b"v")).expect("it is written");
    drop(kv);
    let database = folder.path().join("db");
    manifests::check(&database).expect("nothing is damaged yet");
    let mut damaged = 0;
    for keyspace in std::fs::read_dir(database.join("keyspaces")).expect("keyspaces") {
        let keyspace = keyspace.expect("a keyspace").path();
        let current = std::fs::read(keyspace.join("current")).expect("current");
        let number = current[..8].try_into().expect("8 bytes");
        let list = format!("v{}", u64::from_le_bytes(number));
        for file in [keyspace.join("current"), keyspace.join(list)] {
            let whole = std::fs::read(&file).expect("it can be read");
            for (at, byte) in whole.iter().enumerate() {
                let mut flipped = whole.clone();
                flipped[at] = byte ^ (1 << (at % 8));
                std::fs::write(&file, &flipped).expect("it can be written");
                let found = manifests::check(&database);
                assert!(found.is_err(), "byte {at} of {}", file.display());
                damaged += 1;
            }
            std::fs::write(&file, &whole).expect("it can be written");
        }
    }
    assert!(damaged > 7 * 2 * 25, "{damaged}");
    manifests::check(&database).expect("all is as it was");
}

#[test]
fn a_keyspace_whose_list_is_not_named_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let kv = open(&folder);
    kv.write(everywhere(b"k", b"v")).expect("it is written");
    drop(kv);
    let keyspace = folder.path().join("db/keyspaces/1");
    std::fs::remove_file(keyspace.join("current")).expect("it is there");
    let told = match FjallKv::open(folder.path()) {
        Err(FolderError::Damaged { detail, .. }) => detail,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it opened"),
    };
    assert!(told.contains("1/current"), "{told}");
    assert!(keyspace.join("v0").exists(), "its list is gone");
}

/// What a checkpoint removes before it comes into a file never does, not even as a removal.
#[test]
fn a_record_that_is_removed_soon_comes_into_no_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let kv = open(&folder);
    let change = |number: u8, value| KvChange {
        space: Space::Journal,
        key: vec![number],
        value,
        partition: None,
    };
    let write = |changes| kv.write(KvBatch { changes }).expect("write");
    write((0..100).map(|key| change(key, Some(vec![key]))).collect());
    write((0..90).map(|key| change(key, None)).collect());
    let journal = kv.space(Space::Journal);
    journal.rotate_memtable_and_wait().expect("written");
    // The other ten, and the number of the commit.
    assert_eq!(journal.approximate_len(), 11);
    let found = kv.scan(Space::Journal, &[], &[100], Direction::Forward, 200);
    let found = found.expect("it can be read");
    let left: Vec<_> = (90..100).map(|key| (vec![key], vec![key])).collect();
    assert_eq!(found, left);
}

/// A folder of before a table had a map of its own: a STOP that it holds stays one.
#[test]
fn rows_that_lay_among_all_others_are_found_where_they_lie_now() {
    for table in [tables::CONSENTS, tables::CONTACTS, tables::LIST_MEMBERS] {
        rows_are_moved(table);
    }
}

fn rows_are_moved(table: Table) {
    let folder = tempfile::tempdir().expect("a folder");
    let key = |number: u32| [&[table.tag][..], &number.to_be_bytes()].concat();
    let others = [[tables::CAMPAIGNS.tag], [tables::LIMIT_DIVISIONS.tag]];
    let kv = open(&folder);
    let keys = (0..3_000).map(key).chain(others.map(|key| key.to_vec()));
    let changes = keys.map(|key| KvChange {
        space: Space::Rows,
        value: Some(key.clone()),
        key,
        partition: None,
    });
    let changes = changes.collect();
    kv.write(KvBatch { changes }).expect("it is written");
    drop(kv);
    // It noted six numbers then.
    let noted = std::fs::File::options()
        .write(true)
        .open(folder.path().join("commits"));
    noted.and_then(|file| file.set_len(48)).expect("it is cut");
    for _ in 0..2 {
        let kv = open(&folder);
        for number in 0..3_000 {
            let found = |space| kv.get(space, &key(number)).expect("it can be read");
            assert_eq!(found(Space::of(table)), Some(key(number)));
            assert_eq!(found(Space::Rows), None);
        }
        for other in others {
            let found = kv.get(Space::Rows, &other).expect("it can be read");
            assert_eq!(found.as_deref(), Some(&other[..]));
        }
    }
}
