//! Rows that the journal's owner has read or written. It is their only writer, so what it
//! remembers of them is what is stored, also that there is none.

use quick_cache::Weighter;
use quick_cache::sync::Cache;

/// Bytes that are remembered: 32 MiB, some 50,000 messages with the rows around them, which at
/// 1,000 texts a second is what was touched in the last half minute.
const REMEMBERED_BYTES: u64 = 32 << 20;

/// What an entry takes beside its key and its row, about.
const AROUND_BYTES: u64 = 100;

/// A message's row is some 500 bytes.
const ESTIMATED_ROWS: usize = 50_000;

/// What is known of rows by their keys.
pub(super) struct Remembered {
    rows: Cache<Vec<u8>, Option<Vec<u8>>, ByBytes>,
}

impl Remembered {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        Self {
            rows: Cache::with_weighter(ESTIMATED_ROWS, REMEMBERED_BYTES, ByBytes),
        }
    }

    /// What is stored under a key; `None` when that is not known.
    pub(super) fn get(&self, key: &[u8]) -> Option<Option<Vec<u8>>> {
        self.rows.get(key)
    }

    /// This is stored under the key.
    pub(super) fn put(&self, key: Vec<u8>, row: Option<Vec<u8>>) {
        self.rows.insert(key, row);
    }
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<Vec<u8>, Option<Vec<u8>>> for ByBytes {
    fn weight(&self, key: &Vec<u8>, row: &Option<Vec<u8>>) -> u64 {
        (key.len() + row.as_ref().map_or(0, Vec::len)) as u64 + AROUND_BYTES
    }
}
