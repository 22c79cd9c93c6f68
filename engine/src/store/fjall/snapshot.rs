//! One moment of the database on disk, readable while the writer goes on.
//!
//! fjall's own snapshots are not used, for two reasons. While one is held, every memtable
//! that is filled meanwhile stays in memory, and verifying millions of messages beside a
//! node at full speed takes as long as writing hundreds of megabytes. And one that is
//! opened while a batch is being written may show half of it later: a memtable that is
//! written out just then makes numbers visible that the batch already has.
//!
//! So this holds what each map consists of at that moment: its memtables and sorted files.
//! None of it changes but the active memtable, whose newer entries have greater numbers.
//! Files that are merged meanwhile are removed when the snapshot ends.

use std::ops::Bound;
use std::sync::Arc;

use fjall::{AbstractTree, AnyTree, Keyspace, SeqNo, UserKey, UserValue};
use lsm_tree::Tree;

use super::super::folder::DataFolder;
use super::super::kv::{Direction, KvError, KvPairs, KvRead, Space};
use super::{Spaces, kv_error};

type Bounds = (Bound<Vec<u8>>, Bound<Vec<u8>>);

type Pairs = Box<dyn DoubleEndedIterator<Item = lsm_tree::Result<(UserKey, UserValue)>>>;

/// Reads a range of one map as it was. What it holds has no name outside its crate.
type ReadRange = Box<dyn Fn(&Bounds) -> Pairs + Send + Sync>;

/// Everything at one moment.
pub(super) struct FjallSnapshot {
    // Dropped before the lock: files that were merged meanwhile are then removed by name,
    // and whoever opens the folder next gives the names again.
    spaces: [ReadRange; Space::ALL.len()],
    folder: Arc<DataFolder>,
}

impl FjallSnapshot {
    /// Everything with a number below `end`. No batch may be under way, and every later
    /// one must have greater numbers.
    pub(super) fn new(spaces: &Spaces, end: SeqNo, folder: Arc<DataFolder>) -> Self {
        Self {
            spaces: spaces.each_ref().map(|space| hold(space, end)),
            folder,
        }
    }

    fn range(&self, space: Space, bounds: &Bounds) -> impl DoubleEndedIterator<Item = Pair> {
        let path = self.folder.path();
        (self.spaces[space.index()])(bounds).map(move |pair| match pair {
            Ok((key, value)) => Ok((key.to_vec(), value.to_vec())),
            Err(error) => Err(kv_error(path, error.into())),
        })
    }
}

type Pair = Result<(Vec<u8>, Vec<u8>), KvError>;

fn hold(space: &Keyspace, end: SeqNo) -> ReadRange {
    let tree = match &space.tree {
        AnyTree::Standard(tree) => tree,
        // None of our spaces keeps its values apart; its keys would lie here too.
        AnyTree::Blob(tree) => &tree.index,
    };
    let version = tree.get_version_history_lock().latest_version();
    Box::new(move |bounds| {
        let pairs = Tree::create_internal_range(version.clone(), bounds, end, None);
        Box::new(pairs.map(|pair| pair.map(|pair| (pair.key.user_key, pair.value))))
    })
}

impl KvRead for FjallSnapshot {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, KvError> {
        let only = (Bound::Included(key.to_vec()), Bound::Included(key.to_vec()));
        let found = self.range(space, &only).next().transpose()?;
        Ok(found.map(|(_, value)| value))
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
        let bounds = (
            Bound::Included(start.to_vec()),
            Bound::Excluded(end.to_vec()),
        );
        let range = self.range(space, &bounds);
        match direction {
            Direction::Forward => range.take(limit).collect(),
            Direction::Backward => range.rev().take(limit).collect(),
        }
    }
}
