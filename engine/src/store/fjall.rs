//! The backend on disk, over fjall. Nothing else names that crate.
//!
//! A node must stay small (at most 64 MiB with a million messages), so every buffer
//! has a bound here. At rest it is the block cache and one memtable for each space
//! (20 MiB together); while a full memtable is written out, a second one of that space
//! is filled; fjall halts the writer when four of one space wait, which bounds the
//! worst case.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "the wildcards are over other crates' growing enums"
)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use fjall::compaction::Leveled;
use fjall::config::{
    BlockSizePolicy, BloomConstructionPolicy, FilterPolicy, FilterPolicyEntry, PartitioningPolicy,
};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode, Readable};
use schemas::record::{Table, tables};

use self::errors::{folder_error, from_kv, io_error, kv_error};
use self::snapshot::FjallSnapshot;
use super::commit_record::{self, CommitRecord, Commits};
use super::folder::{DataFolder, FolderError};
use super::key::{prefix_end, successor};
use super::kv::{Direction, Kv, KvBatch, KvChange, KvError, KvPairs, KvRead, Space};

mod errors;
mod manifests;
mod snapshot;
#[cfg(test)]
mod tests;

/// Blocks read from disk and kept, for all spaces together. Recent rows are read from
/// memtables; the cache serves people who look at older ones, and the pages of contacts
/// that a campaign goes through once. With twice as many a campaign is no faster, and a node
/// holds 5 MiB more.
const BLOCK_CACHE_BYTES: u64 = 2 << 20;

/// The size of a sorted file. Rows arrive in a few ascending runs, so a merge touches
/// few files if these are small. Larger ones make merges longer, and memtables wait for
/// them: with fjall's 64 MiB a node held 40 MiB more and worked a tenth more.
const TABLE_BYTES: u64 = 8 << 20;

/// Files that memtables were written to before they are merged with older ones. Memtables
/// are small, so these are three times fjall's 4: merging takes half the time. fjall slows
/// writers at 20.
const TABLES_BEFORE_MERGE: u8 = 12;

/// A block of a file, before compression. With fjall's 4 KiB a node works a tenth more.
const BLOCK_BYTES: u32 = 16 << 10;

/// Filters say that a key is not in a file, for spaces whose rows are asked for one by
/// one. The others are read in ranges, where a filter cannot help, and by a few keys that
/// were written a moment ago.
fn filters(space: Space) -> FilterPolicy {
    match space {
        Space::Rows | Space::Messages | Space::Bindings | Space::Consents | Space::Contacts => {
            FilterPolicy::all(FilterPolicyEntry::Bloom(
                BloomConstructionPolicy::BitsPerKey(10.0),
            ))
        }
        Space::Due | Space::Journal | Space::Log => FilterPolicy::disabled(),
    }
}

/// How much each space collects in memory before it is written out as a sorted file.
/// Up to four that are full wait for that, then the writer does. Rows are read again
/// while their messages are in flight, the journal and the log hardly ever.
const fn memtable_bytes(space: Space) -> u64 {
    match space {
        Space::Messages | Space::Journal => 3 << 20,
        Space::Rows
        | Space::Bindings
        | Space::Due
        | Space::Log
        | Space::Consents
        | Space::Contacts => 2 << 20,
    }
}

/// What a memtable takes for an entry beside its key and value: a node of its list.
const ENTRY_BYTES: u64 = 64;

/// The write-ahead log's size at which fjall writes memtables out to shorten it. It
/// bounds the disk it takes and how long opening takes after a crash. fjall accepts no
/// less than 64 MiB, and its single files have 64 MB.
const WRITE_AHEAD_BYTES: u64 = 128 << 20;

/// Files kept open. Each costs a descriptor; the usual limit of a process is 1,024.
const OPEN_FILES: usize = 256;

/// Threads that write memtables out and merge files. fjall queues one step of merging for
/// each thread and memtable written. With one thread the steps may be too few: what is not
/// merged piles up, fjall halts the writer until it is, and nothing queues the next step
/// (seen: a node that stood still for good, with files of 2 MiB). With two, the first,
/// which only writes memtables out, hands merges to itself while the second is at one: a
/// tenth of a node's processor time.
const WORKER_THREADS: usize = 3;

/// Rows that one batch moves from one map to another.
const MOVED_AT_ONCE: usize = 1_000;

/// One database in `<folder>/db`.
pub(crate) struct FjallKv {
    // Fields are dropped in this order: the lock on the folder is released last.
    spaces: Spaces,
    database: Database,
    record: CommitRecord,
    /// Bytes in each active memtable, about. Only the writer's thread takes it.
    filled: Mutex<[u64; Space::ALL.len()]>,
    /// The last commits. The writer's thread holds it for as long as it writes a batch;
    /// a snapshot takes it to fall between two of them.
    commits: Mutex<Commits>,
    folder: Arc<DataFolder>,
}

impl FjallKv {
    /// Opens the database of a data folder, or creates it in a new folder.
    pub(crate) fn open(folder: &Path) -> Result<Self, FolderError> {
        let folder = DataFolder::open(folder)?;
        let checked = manifests::check(&folder.database_path());
        checked.map_err(|error| FolderError::from_io(folder.path(), error))?;
        // Damaged files make fjall panic in places; that must not look like a bug of ours.
        let opened = catch_unwind(AssertUnwindSafe(|| open_database(&folder.database_path())));
        let (database, spaces) = match opened {
            Ok(Ok(parts)) => parts,
            Ok(Err(error)) => return Err(folder_error(folder.path(), error)),
            Err(_) => {
                return Err(FolderError::Damaged {
                    folder: folder.path().to_owned(),
                    detail: "the database cannot be read".to_owned(),
                });
            }
        };
        let path = folder.path();
        let record = CommitRecord::open(path);
        let (record, noted) = record.map_err(|error| FolderError::from_io(path, error))?;
        let mut commits = Commits::default();
        for (space, commit) in spaces.iter().zip(&mut commits) {
            let stored = space.get(commit_record::KEY);
            let stored = stored.map_err(|error| folder_error(path, error))?;
            *commit = stored.map_or(0, |bytes| commit_record::decode(&bytes));
        }
        if commits
            .iter()
            .zip(&noted)
            .any(|(stored, noted)| stored < noted)
        {
            return Err(FolderError::Damaged {
                folder: path.to_owned(),
                detail: "its last commits are missing".to_owned(),
            });
        }
        folder.created()?;
        let path = path.to_owned();
        let kv = Self {
            spaces,
            database,
            record,
            filled: Mutex::new([0; Space::ALL.len()]),
            commits: Mutex::new(commits),
            folder: Arc::new(folder),
        };
        for table in [tables::CONSENTS, tables::CONTACTS, tables::LIST_MEMBERS] {
            let moved = kv.move_to_its_space(table);
            moved.map_err(|error| from_kv(&path, error))?;
        }
        Ok(kv)
    }

    /// The rows of a table lay among all others once.
    fn move_to_its_space(&self, table: Table) -> Result<(), KvError> {
        let mut start = vec![table.tag];
        let end = prefix_end(&start);
        loop {
            let some = self.scan(Space::Rows, &start, &end, Direction::Forward, MOVED_AT_ONCE)?;
            let Some((last, _)) = some.last() else {
                return Ok(());
            };
            // Not from the beginning: what is removed there would be stepped over each time.
            start = successor(last);
            let changes = some.into_iter().flat_map(|(key, value)| {
                let change = |space, value| KvChange {
                    space,
                    key: key.clone(),
                    value,
                    partition: None,
                };
                [
                    change(Space::Rows, None),
                    change(Space::of(table), Some(value)),
                ]
            });
            let changes = changes.collect();
            self.write(KvBatch { changes })?;
        }
    }

    /// Closes memtables that are full, here and now. Left to fjall, this waits in one
    /// queue with its merges, and meanwhile a memtable takes whatever comes.
    fn rotate_full(&self, sizes: [u64; Space::ALL.len()]) -> Result<(), KvError> {
        let mut filled = self.filled.lock().unwrap_or_else(PoisonError::into_inner);
        for space in Space::ALL {
            let filled = &mut filled[space.index()];
            *filled += sizes[space.index()];
            if *filled >= memtable_bytes(space) {
                *filled = 0;
                self.space(space)
                    .rotate_memtable()
                    .map_err(|error| self.error(error))?;
            }
        }
        Ok(())
    }

    fn space(&self, space: Space) -> &Keyspace {
        &self.spaces[space.index()]
    }

    fn error(&self, error: fjall::Error) -> KvError {
        kv_error(self.folder.path(), error)
    }
}

type Spaces = [Keyspace; Space::ALL.len()];

fn open_database(path: &Path) -> fjall::Result<(Database, Spaces)> {
    let database = Database::builder(path)
        .cache_size(BLOCK_CACHE_BYTES)
        .max_journaling_size(WRITE_AHEAD_BYTES)
        .max_cached_files(Some(OPEN_FILES))
        .worker_threads(WORKER_THREADS)
        // Each write says itself when it is to reach the disk.
        .manual_journal_persist(true)
        .open()?;
    let merging = Arc::new(
        Leveled::default()
            .with_table_target_size(TABLE_BYTES)
            .with_l0_threshold(TABLES_BEFORE_MERGE),
    );
    let open = |space: Space| {
        database.keyspace(space.name(), || {
            KeyspaceCreateOptions::default()
                .max_memtable_size(memtable_bytes(space))
                .data_block_size_policy(BlockSizePolicy::all(BLOCK_BYTES))
                // Left whole, the index of a file being written keeps every block that
                // the merge has read in memory until the file is done: 35 MiB at once.
                .index_block_partitioning_policy(PartitioningPolicy::all(true))
                .filter_policy(filters(space))
                .compaction_strategy(Arc::clone(&merging) as _)
        })
    };
    let [
        rows,
        messages,
        bindings,
        due,
        journal,
        log,
        consents,
        contacts,
    ] = Space::ALL;
    let spaces = [
        open(rows)?,
        open(messages)?,
        open(bindings)?,
        open(due)?,
        open(journal)?,
        open(log)?,
        open(consents)?,
        open(contacts)?,
    ];
    Ok((database, spaces))
}

impl KvRead for FjallKv {
    // Reads go through a snapshot: fjall puts a batch into the memtables change by change,
    // and a read of a keyspace itself sees what is there so far.
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, KvError> {
        match self.database.snapshot().get(self.space(space), key) {
            Ok(value) => Ok(value.map(|value| value.to_vec())),
            Err(error) => Err(self.error(error)),
        }
    }

    fn scan(
        &self,
        space: Space,
        start: &[u8],
        end: &[u8],
        direction: Direction,
        limit: usize,
    ) -> Result<KvPairs, KvError> {
        if start >= end {
            return Ok(Vec::new());
        }
        let snapshot = self.database.snapshot();
        let range = snapshot.range(self.space(space), start..end);
        let copy = |item: fjall::Guard| {
            let (key, value) = item.into_inner().map_err(|error| self.error(error))?;
            Ok((key.to_vec(), value.to_vec()))
        };
        match direction {
            Direction::Forward => range.take(limit).map(copy).collect(),
            Direction::Backward => range.rev().take(limit).map(copy).collect(),
        }
    }
}

impl Kv for FjallKv {
    fn snapshot(&self) -> Result<Box<dyn KvRead>, KvError> {
        let between = self.commits.lock().unwrap_or_else(PoisonError::into_inner);
        let end = self.database.seqno();
        let folder = Arc::clone(&self.folder);
        let snapshot = FjallSnapshot::new(&self.spaces, end, folder);
        drop(between);
        Ok(Box::new(snapshot))
    }

    /// The batch is on the disk before anybody can see it: the file is synced before
    /// the memtables are changed, so no reader learns what a power cut could take back.
    fn write(&self, batch: KvBatch) -> Result<(), KvError> {
        // A batch that fails leaves the database poisoned, so numbers may stay behind.
        let mut commits = self.commits.lock().unwrap_or_else(PoisonError::into_inner);
        let number = commits.iter().max().map_or(1, |last| last + 1);
        let capacity = batch.changes.len() + Space::ALL.len();
        let mut sizes = [0_u64; Space::ALL.len()];
        let mut writing = OwnedWriteBatch::with_capacity(self.database.clone(), capacity)
            .durability(Some(PersistMode::SyncData));
        for change in batch.changes {
            commits[change.space.index()] = number;
            let bytes = change.key.len() + change.value.as_ref().map_or(0, Vec::len);
            sizes[change.space.index()] += bytes as u64 + ENTRY_BYTES;
            let space = self.space(change.space);
            match change.value {
                Some(value) => writing.insert(space, change.key, value),
                // A record is written once: it and its removal vanish where they meet, and
                // neither comes into a file if that is before its memtable is full.
                None if change.space == Space::Journal => writing.remove_weak(space, change.key),
                None => writing.remove(space, change.key),
            }
        }
        for (space, commit) in self.spaces.iter().zip(*commits) {
            if commit == number {
                writing.insert(space, commit_record::KEY, number.to_be_bytes());
            }
        }
        writing.commit().map_err(|error| self.error(error))?;
        self.rotate_full(sizes)?;
        let noted = self.record.note(&commits);
        noted.map_err(|error| io_error(self.folder.path(), &error))
    }

    /// Nothing is left to do: see [`FjallKv::write`].
    fn sync(&self) -> Result<(), KvError> {
        Ok(())
    }

    fn free_bytes(&self) -> Result<u64, KvError> {
        let path = self.folder.path();
        match rustix::fs::statvfs(path) {
            Ok(disk) => Ok(disk.f_bavail.saturating_mul(disk.f_frsize)),
            Err(error) => Err(io_error(path, &error.into())),
        }
    }

    fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }
}
