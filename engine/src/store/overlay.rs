//! The store as one group commit sees it: what is stored, under what the group has
//! changed so far.
//!
//! Every operation of the group reads its predecessors' changes here; at the end the
//! changes become one batch. A savepoint before each operation lets one that fails
//! leave nothing of itself while the others go on.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as BTreeEntry;

use schemas::Partition;
use schemas::record::{KeyPart, Record};

use super::error::StoreError;
use super::key;
use super::kv::{Direction, KvBatch, KvChange, KvPairs, KvRead, Space};
use super::row;

/// Stored bytes, and the changes of one group commit over them.
pub(crate) struct Overlay<'a> {
    kv: &'a dyn KvRead,
    entries: [BTreeMap<Vec<u8>, Entry>; Space::ALL.len()],
    /// What to put back at a rollback, oldest first.
    undo: Vec<Undo>,
    /// Bytes of keys and values changed so far.
    bytes: usize,
    announced: u32,
    /// The partition that changes are made for.
    partition: Option<Partition>,
}

/// What is known of one key.
#[derive(Clone, Default)]
struct Entry {
    /// What is stored; `None` when nobody asked yet.
    stored: Option<Option<Vec<u8>>>,
    /// What the group makes of it: `Some(None)` deletes it.
    pending: Option<Option<Vec<u8>>>,
    /// The partition that it was changed for last.
    partition: Option<Partition>,
}

impl Entry {
    /// What the group sees; `None` when that is not known.
    fn current(&self) -> Option<Option<&Vec<u8>>> {
        let known = self.pending.as_ref().or(self.stored.as_ref());
        known.map(Option::as_ref)
    }
}

struct Undo {
    space: Space,
    key: Vec<u8>,
    pending: Option<Option<Vec<u8>>>,
}

/// A place in a group to which it can be rolled back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Savepoint {
    undo: usize,
    bytes: usize,
}

impl<'a> Overlay<'a> {
    /// An overlay without changes.
    pub(crate) fn new(kv: &'a dyn KvRead) -> Self {
        Self {
            kv,
            entries: Default::default(),
            undo: Vec::new(),
            bytes: 0,
            announced: 0,
            partition: None,
        }
    }

    /// What is changed from here on is this partition's, or belongs to all of them.
    pub(crate) fn enter(&mut self, partition: Option<Partition>) {
        self.partition = partition;
    }

    /// The record with this key.
    pub(crate) fn get<R: Record>(&mut self, key: &[KeyPart]) -> Result<Option<R>, StoreError> {
        let key = key::encode(R::TABLE, key)?;
        match self.look_up(Space::of(R::TABLE), key)? {
            Some(bytes) => row::decode(bytes).map(Some),
            None => Ok(None),
        }
    }

    /// Puts a record. Where the group has read its key before, fields that a newer
    /// release stored there are kept.
    pub(crate) fn put<R: Record>(&mut self, record: &R) -> Result<(), StoreError> {
        let key = key::encode(R::TABLE, &record.key())?;
        let known = self.entries[Space::of(R::TABLE).index()].get(&key);
        let bytes = match known.and_then(Entry::current).flatten() {
            Some(previous) => row::encode_over(record, previous)?,
            None => row::encode(record)?,
        };
        self.set(Space::of(R::TABLE), key, Some(bytes));
        Ok(())
    }

    /// Deletes the record with this key, if there is one.
    pub(crate) fn delete<R: Record>(&mut self, key: &[KeyPart]) -> Result<(), StoreError> {
        let key = key::encode(R::TABLE, key)?;
        self.set(Space::of(R::TABLE), key, None);
        Ok(())
    }

    /// At most `limit` records whose keys start with `prefix`, in ascending order, from
    /// the key parts `from` on (inclusive) where given.
    pub(crate) fn list<R: Record>(
        &self,
        prefix: &[KeyPart],
        from: Option<&[KeyPart]>,
        limit: usize,
    ) -> Result<Vec<R>, StoreError> {
        let prefix = key::encode(R::TABLE, prefix)?;
        let end = key::prefix_end(&prefix);
        let start = match from {
            Some(from) => key::encode(R::TABLE, from)?.max(prefix),
            None => prefix,
        };
        self.scan_raw(Space::of(R::TABLE), &start, &end, Direction::Forward, limit)?
            .iter()
            .map(|(_, bytes)| row::decode(bytes))
            .collect()
    }

    /// The bytes under a key.
    pub(crate) fn get_raw(
        &mut self,
        space: Space,
        key: &[u8],
    ) -> Result<Option<&[u8]>, StoreError> {
        Ok(self.look_up(space, key.to_vec())?.map(Vec::as_slice))
    }

    /// Puts bytes under a key.
    pub(crate) fn put_raw(&mut self, space: Space, key: Vec<u8>, value: Vec<u8>) {
        self.set(space, key, Some(value));
    }

    /// Deletes a key, if it is there.
    pub(crate) fn delete_raw(&mut self, space: Space, key: Vec<u8>) {
        self.set(space, key, None);
    }

    /// At most `limit` pairs with `start <= key < end`, the group's changes included.
    pub(crate) fn scan_raw(
        &self,
        space: Space,
        start: &[u8],
        end: &[u8],
        direction: Direction,
        limit: usize,
    ) -> Result<KvPairs, StoreError> {
        if start >= end {
            return Ok(Vec::new());
        }
        let range = self.entries[space.index()].range(start.to_vec()..end.to_vec());
        let changed: BTreeMap<&Vec<u8>, &Option<Vec<u8>>> = range
            .filter_map(|(key, entry)| Some((key, entry.pending.as_ref()?)))
            .collect();
        // Each change can hide one stored pair, so that many more are read.
        let reach = limit.saturating_add(changed.len());
        let mut pairs = self.kv.scan(space, start, end, direction, reach)?;
        if !changed.is_empty() {
            pairs.retain(|(key, _)| !changed.contains_key(key));
            let put =
                |(key, value): (&Vec<u8>, &Option<Vec<u8>>)| Some((key.clone(), value.clone()?));
            pairs.extend(changed.into_iter().filter_map(put));
            pairs.sort_unstable_by(|(left, _), (right, _)| match direction {
                Direction::Forward => left.cmp(right),
                Direction::Backward => right.cmp(left),
            });
        }
        pairs.truncate(limit);
        Ok(pairs)
    }

    /// Has those told who wait for news of `subject` (0 to 31), once the group is
    /// durable. The log's topics are the first three.
    pub(crate) fn announce(&mut self, subject: u32) {
        self.announced |= 1 << subject;
    }

    /// The subjects announced, one bit each. A rolled back operation may have set one
    /// for nothing: who waits looks again and finds nothing new.
    pub(crate) fn announced(&self) -> u32 {
        self.announced
    }

    /// Bytes of keys and values changed so far.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Marks this place.
    pub(crate) fn savepoint(&self) -> Savepoint {
        Savepoint {
            undo: self.undo.len(),
            bytes: self.bytes,
        }
    }

    /// Takes back every change made since `savepoint`.
    pub(crate) fn rollback(&mut self, savepoint: Savepoint) {
        while self.undo.len() > savepoint.undo {
            if let Some(undo) = self.undo.pop() {
                let entries = &mut self.entries[undo.space.index()];
                entries.entry(undo.key).or_default().pending = undo.pending;
            }
        }
        self.bytes = savepoint.bytes;
    }

    /// All changes, in key order within each space.
    pub(crate) fn into_batch(self) -> KvBatch {
        let mut changes = Vec::new();
        for (space, entries) in Space::ALL.into_iter().zip(self.entries) {
            changes.extend(entries.into_iter().filter_map(|(key, entry)| {
                let (value, partition) = (entry.pending?, entry.partition);
                Some(KvChange {
                    space,
                    key,
                    value,
                    partition,
                })
            }));
        }
        KvBatch { changes }
    }

    fn look_up(&mut self, space: Space, key: Vec<u8>) -> Result<Option<&Vec<u8>>, StoreError> {
        let kv = self.kv;
        let entry = match self.entries[space.index()].entry(key) {
            BTreeEntry::Occupied(mut entry) => {
                // A blind put that was rolled back leaves an entry that knows nothing.
                if entry.get().current().is_none() {
                    let stored = kv.get(space, entry.key())?;
                    entry.get_mut().stored = Some(stored);
                }
                entry.into_mut()
            }
            BTreeEntry::Vacant(entry) => {
                let stored = kv.get(space, entry.key())?;
                entry.insert(Entry {
                    stored: Some(stored),
                    ..Entry::default()
                })
            }
        };
        Ok(entry.current().flatten())
    }

    fn set(&mut self, space: Space, key: Vec<u8>, value: Option<Vec<u8>>) {
        self.bytes += key.len() + value.as_ref().map_or(0, Vec::len);
        let entry = self.entries[space.index()].entry(key.clone()).or_default();
        let pending = entry.pending.replace(value);
        entry.partition = self.partition;
        self.undo.push(Undo {
            space,
            key,
            pending,
        });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::{Direction, KvRead, Overlay, Space};
    use crate::store::kv::{Kv, KvBatch, KvChange};
    use crate::store::memory::MemoryKv;

    #[derive(Clone, Debug)]
    enum Step {
        Put(u8, u8),
        Delete(u8),
        Get(u8),
        Scan(u8, u8, bool, usize),
        Savepoint,
        Rollback,
    }

    fn step() -> impl Strategy<Value = Step> {
        let key = || 0_u8..12;
        prop_oneof![
            3 => (key(), any::<u8>()).prop_map(|(key, value)| Step::Put(key, value)),
            2 => key().prop_map(Step::Delete),
            2 => key().prop_map(Step::Get),
            2 => (key(), key(), any::<bool>(), 0_usize..6)
                .prop_map(|(start, end, back, limit)| Step::Scan(start, end, back, limit)),
            1 => Just(Step::Savepoint),
            1 => Just(Step::Rollback),
        ]
    }

    fn batch(pairs: &BTreeMap<u8, u8>) -> KvBatch {
        let change = |(key, value): (&u8, &u8)| KvChange {
            space: Space::Journal,
            key: vec![*key],
            value: Some(vec![*value]),
            partition: None,
        };
        KvBatch {
            changes: pairs.iter().map(change).collect(),
        }
    }

    fn all(memory: &MemoryKv) -> Vec<(Vec<u8>, Vec<u8>)> {
        let found = memory.scan(Space::Journal, &[], &[99], Direction::Forward, 99);
        found.expect("memory is read")
    }

    proptest! {
        /// A map, with copies of itself as savepoints, says what an overlay must show.
        #[test]
        fn it_shows_what_a_map_would(
            stored in prop::collection::btree_map(0_u8..12, any::<u8>(), 0..8),
            steps in prop::collection::vec(step(), 0..40),
        ) {
            let memory = MemoryKv::new();
            memory.write(batch(&stored)).expect("memory is written");
            let mut overlay = Overlay::new(&memory);
            let mut model = stored;
            let mut savepoints = Vec::new();
            for step in steps {
                match step {
                    Step::Put(key, value) => {
                        overlay.put_raw(Space::Journal, vec![key], vec![value]);
                        model.insert(key, value);
                    }
                    Step::Delete(key) => {
                        overlay.delete_raw(Space::Journal, vec![key]);
                        model.remove(&key);
                    }
                    Step::Get(key) => {
                        let found = overlay.get_raw(Space::Journal, &[key])?;
                        prop_assert_eq!(found.map(|value| value[0]), model.get(&key).copied());
                    }
                    Step::Scan(start, end, back, limit) => {
                        let way = if back { Direction::Backward } else { Direction::Forward };
                        let found =
                            overlay.scan_raw(Space::Journal, &[start], &[end], way, limit)?;
                        let mut expected: Vec<_> = model
                            .range(start..end.max(start))
                            .map(|(key, value)| (vec![*key], vec![*value]))
                            .collect();
                        if back {
                            expected.reverse();
                        }
                        expected.truncate(limit);
                        prop_assert_eq!(found, expected);
                    }
                    Step::Savepoint => savepoints.push((overlay.savepoint(), model.clone())),
                    Step::Rollback => {
                        if let Some((savepoint, before)) = savepoints.pop() {
                            overlay.rollback(savepoint);
                            model = before;
                        }
                    }
                }
            }
            let changes = overlay.into_batch();
            memory.write(changes).expect("memory is written");
            let expected: Vec<_> = model.into_iter().map(|(k, v)| (vec![k], vec![v])).collect();
            prop_assert_eq!(all(&memory), expected);
        }
    }
}
