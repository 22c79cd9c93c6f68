//! Cursors: where a page of a list ended.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use super::error::StoreError;

/// Bytes of the check that tells a cursor from any other text.
const CHECK_BYTES: usize = 4;

/// Where a page of a list ended; the next page begins after it. Opaque to callers: as
/// text it is base64url of the last row's key and a check over it.
#[derive(Clone, PartialEq, Eq)]
pub struct Cursor(Vec<u8>);

impl Cursor {
    pub(crate) fn of_key(key: Vec<u8>) -> Self {
        Self(key)
    }

    /// The key of the last row, when it lies in the range of `prefix`.
    pub(crate) fn key_in(&self, prefix: &[u8]) -> Result<&[u8], StoreError> {
        if self.0.starts_with(prefix) {
            Ok(&self.0)
        } else {
            Err(StoreError::UnknownCursor)
        }
    }
}

impl fmt::Debug for Cursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Keys may hold what a caller chose.
        formatter.write_str("Cursor")
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = self.0.clone();
        bytes.extend_from_slice(&check(&self.0));
        formatter.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl FromStr for Cursor {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown = || StoreError::UnknownCursor;
        let mut key = URL_SAFE_NO_PAD.decode(text).map_err(|_| unknown())?;
        let length = key.len().checked_sub(CHECK_BYTES).ok_or_else(unknown)?;
        let found = key.split_off(length);
        if found == check(&key) {
            Ok(Self(key))
        } else {
            Err(StoreError::UnknownCursor)
        }
    }
}

fn check(key: &[u8]) -> [u8; CHECK_BYTES] {
    let hash = Sha256::digest(key);
    [hash[0], hash[1], hash[2], hash[3]]
}
