//! The backend in memory: it knows what was synced and forgets the rest in a crash.
//!
//! What is written is visible at once, and taken back by [`MemoryKv::crash`] unless a
//! sync came after it: weaker than any disk, so nothing can lean on more.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::kv::{Direction, Kv, KvBatch, KvChange, KvError, KvPairs, KvRead, Space};

/// What free space a memory backend reports until told otherwise: 1 TiB, never short.
const PLENTY: u64 = 1 << 40;

/// An ordered store in memory. Clones share it, so that a test can open it again.
#[derive(Clone)]
pub struct MemoryKv {
    state: Arc<Mutex<State>>,
}

/// What becomes of that which a failed sync should have made durable. Nobody can know
/// before the next start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It is gone after a crash.
    Lost,
    /// It is durable all the same.
    Kept,
}

/// One map for each space.
type Spaces = [BTreeMap<Vec<u8>, Vec<u8>>; Space::ALL.len()];

struct State {
    spaces: Spaces,
    /// What stood there before each change that was not synced yet, oldest first.
    undo: Vec<KvChange>,
    writes: u64,
    syncs: u64,
    fail_write: Option<u64>,
    fail_sync: Option<(u64, Fate)>,
    free: u64,
    /// Set by a failed write or sync, as a disk's are: only a crash ends it.
    broken: bool,
}

impl Default for MemoryKv {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for MemoryKv {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("MemoryKv")
    }
}

impl MemoryKv {
    /// An empty one.
    pub fn new() -> Self {
        let state = State {
            spaces: Default::default(),
            undo: Vec::new(),
            writes: 0,
            syncs: 0,
            fail_write: None,
            fail_sync: None,
            free: PLENTY,
            broken: false,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// Another one that holds the same.
    #[cfg(feature = "testkit")]
    pub(crate) fn forked(&self) -> Self {
        let forked = Self::new();
        forked.lock().spaces = self.lock().spaces.clone();
        forked
    }

    /// Power is lost: everything that was not synced is gone, and what is left can be
    /// opened again.
    pub fn crash(&self) {
        let mut state = self.lock();
        while let Some(change) = state.undo.pop() {
            state.set(change);
        }
        state.broken = false;
        state.fail_write = None;
        state.fail_sync = None;
    }

    /// The `nth` write from now (1 is the next) fails and leaves nothing.
    pub fn fail_write(&self, nth: u64) {
        let mut state = self.lock();
        state.fail_write = Some(state.writes + nth);
    }

    /// The `nth` sync from now (1 is the next) fails. What it should have made durable
    /// is still visible, and a crash shows what became of it.
    pub fn fail_sync(&self, nth: u64, fate: Fate) {
        let mut state = self.lock();
        state.fail_sync = Some((state.syncs + nth, fate));
    }

    /// So many bytes are free from now on.
    pub fn set_free_bytes(&self, bytes: u64) {
        self.lock().free = bytes;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that holds the lock can panic between two changes of the state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Makes one change and returns the one that takes it back.
    fn set(&mut self, change: KvChange) -> KvChange {
        let KvChange {
            space,
            key,
            value,
            partition,
        } = change;
        let map = &mut self.spaces[space.index()];
        let before = match value {
            Some(value) => map.insert(key.clone(), value),
            None => map.remove(&key),
        };
        KvChange {
            space,
            key,
            value: before,
            partition,
        }
    }

    fn failed(&mut self, detail: &str) -> KvError {
        self.broken = true;
        KvError::Io {
            folder: memory_folder(),
            detail: detail.to_owned(),
        }
    }
}

fn memory_folder() -> PathBuf {
    PathBuf::from("(memory)")
}

fn pairs(
    spaces: &Spaces,
    space: Space,
    (start, end): (&[u8], &[u8]),
    direction: Direction,
    limit: usize,
) -> KvPairs {
    if start >= end {
        return Vec::new();
    }
    let range = spaces[space.index()].range(start.to_vec()..end.to_vec());
    let copy = |(key, value): (&Vec<u8>, &Vec<u8>)| (key.clone(), value.clone());
    match direction {
        Direction::Forward => range.take(limit).map(copy).collect(),
        Direction::Backward => range.rev().take(limit).map(copy).collect(),
    }
}

/// A copy of everything.
struct Snapshot(Spaces);

impl KvRead for Snapshot {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, KvError> {
        Ok(self.0[space.index()].get(key).cloned())
    }

    fn scan(
        &self,
        space: Space,
        start: &[u8],
        end: &[u8],
        direction: Direction,
        limit: usize,
    ) -> Result<KvPairs, KvError> {
        Ok(pairs(&self.0, space, (start, end), direction, limit))
    }
}

impl KvRead for MemoryKv {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, KvError> {
        Ok(self.lock().spaces[space.index()].get(key).cloned())
    }

    fn scan(
        &self,
        space: Space,
        start: &[u8],
        end: &[u8],
        direction: Direction,
        limit: usize,
    ) -> Result<KvPairs, KvError> {
        let state = self.lock();
        Ok(pairs(&state.spaces, space, (start, end), direction, limit))
    }
}

impl Kv for MemoryKv {
    fn snapshot(&self) -> Result<Box<dyn KvRead>, KvError> {
        Ok(Box::new(Snapshot(self.lock().spaces.clone())))
    }

    fn write(&self, batch: KvBatch) -> Result<(), KvError> {
        let mut state = self.lock();
        state.writes += 1;
        if state.broken || state.fail_write == Some(state.writes) {
            return Err(state.failed("injected failure of a write"));
        }
        let bytes: usize = batch
            .changes
            .iter()
            .map(|change| change.key.len() + change.value.as_ref().map_or(0, Vec::len))
            .sum();
        if bytes as u64 > state.free {
            state.broken = true;
            return Err(KvError::DiskFull {
                folder: memory_folder(),
            });
        }
        for change in batch.changes {
            let before = state.set(change);
            state.undo.push(before);
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), KvError> {
        let mut state = self.lock();
        state.syncs += 1;
        let fails = state.fail_sync.filter(|(nth, _)| *nth == state.syncs);
        if !state.broken && fails.is_some_and(|(_, fate)| fate == Fate::Kept) {
            state.undo.clear();
        }
        if state.broken || fails.is_some() {
            return Err(state.failed("injected failure of a sync"));
        }
        state.undo.clear();
        Ok(())
    }

    fn free_bytes(&self) -> Result<u64, KvError> {
        Ok(self.lock().free)
    }

    fn folder(&self) -> PathBuf {
        memory_folder()
    }
}

#[cfg(test)]
mod tests {
    use super::{Direction, Fate, Kv, KvBatch, KvChange, KvRead, MemoryKv, Space};

    fn put(key: &str, value: Option<&str>) -> KvBatch {
        KvBatch {
            changes: vec![KvChange {
                space: Space::Rows,
                key: key.as_bytes().to_vec(),
                value: value.map(|value| value.as_bytes().to_vec()),
                partition: None,
            }],
        }
    }

    #[test]
    fn a_crash_takes_back_what_was_not_synced_and_nothing_else() {
        let memory = MemoryKv::new();
        memory.write(put("kept", Some("1"))).expect("write");
        memory.write(put("changed", Some("1"))).expect("write");
        memory.sync().expect("sync");
        memory.write(put("changed", Some("2"))).expect("write");
        memory.write(put("kept", None)).expect("write");
        memory.write(put("new", Some("1"))).expect("write");
        assert_eq!(memory.get(Space::Rows, b"kept").expect("get"), None);
        memory.crash();
        let left = memory.scan(Space::Rows, b"a", b"z", Direction::Forward, 10);
        let expected = [("changed", "1"), ("kept", "1")]
            .map(|(key, value)| (key.as_bytes().to_vec(), value.as_bytes().to_vec()));
        assert_eq!(left.expect("scan"), expected);
    }

    #[test]
    fn after_a_failed_sync_nothing_is_written_until_the_crash() {
        let memory = MemoryKv::new();
        memory.fail_sync(1, Fate::Lost);
        memory.write(put("lost", Some("1"))).expect("write");
        assert!(memory.sync().is_err());
        assert!(memory.sync().is_err());
        assert!(memory.write(put("late", Some("1"))).is_err());
        memory.crash();
        assert_eq!(memory.get(Space::Rows, b"lost").expect("get"), None);
        memory.write(put("again", Some("1"))).expect("write");
        memory.sync().expect("sync");
    }

    #[test]
    fn a_sync_may_fail_and_have_kept_everything() {
        let memory = MemoryKv::new();
        memory.fail_sync(1, Fate::Kept);
        memory.write(put("kept", Some("1"))).expect("write");
        assert!(memory.sync().is_err());
        assert!(memory.write(put("late", Some("1"))).is_err());
        memory.crash();
        let kept = memory.get(Space::Rows, b"kept").expect("get");
        assert_eq!(kept, Some(b"1".to_vec()));
    }
}
