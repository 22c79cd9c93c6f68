//! Reading all rows of a table, a page at a time.

use schemas::record::Record;

use super::VerifyError;
use crate::store::kv::{Direction, KvRead, Space};
use crate::store::{StoreError, key, row};

/// How many rows are read at a time.
const PAGE: usize = 1_000;

/// Hands every row of a table to `each`, in the order of their keys.
pub(super) fn each<R: Record>(
    kv: &dyn KvRead,
    mut each: impl FnMut(R) -> Result<(), VerifyError>,
) -> Result<(), VerifyError> {
    let space = Space::of(R::TABLE);
    let mut start = key::encode(R::TABLE, &[])?;
    let end = key::prefix_end(&start);
    loop {
        let page = kv.scan(space, &start, &end, Direction::Forward, PAGE)?;
        let is_last = page.len() < PAGE;
        for (key, bytes) in page {
            let row: R = row::decode(&bytes)?;
            if key::encode(R::TABLE, &row.key())? != key {
                let detail = "a row lies under another row's key";
                return Err(StoreError::damaged(R::TABLE.name, detail).into());
            }
            each(row)?;
            start = key::successor(&key);
        }
        if is_last {
            return Ok(());
        }
    }
}

/// One row.
pub(super) fn get<R: Record>(
    kv: &dyn KvRead,
    key: &[schemas::record::KeyPart],
) -> Result<Option<R>, VerifyError> {
    let bytes = kv.get(Space::of(R::TABLE), &key::encode(R::TABLE, key)?)?;
    Ok(bytes.map(|bytes| row::decode(&bytes)).transpose()?)
}
