//! Which rows a list is of: checked once at the port, the same for every backend.

use schemas::record::{KeyPart, Table};

use super::LIST_LIMIT;
use super::cursor::Cursor;
use super::error::StoreError;
use super::key;

/// Rows of one partition whose keys start with `prefix`.
#[derive(Clone, Copy)]
pub(super) struct RowRange<'a> {
    /// The whole partition key, and perhaps more.
    pub(super) prefix: &'a [KeyPart],
    /// Where the list begins.
    pub(super) start: Start<'a>,
}

/// Where a list begins, whichever way it goes.
#[derive(Clone, Copy)]
pub(super) enum Start<'a> {
    /// With the first row under the prefix.
    Whole,
    /// Behind the row with this key, in the bytes of [`key::encode`].
    After(&'a [u8]),
    /// With these key parts, inclusive.
    From(&'a [KeyPart]),
}

impl<'a> RowRange<'a> {
    /// All rows under a prefix.
    ///
    /// # Errors
    /// [`StoreError::InvalidRange`] unless `prefix` holds the whole partition key.
    pub(super) fn whole(table: Table, prefix: &'a [KeyPart]) -> Result<Self, StoreError> {
        check_prefix(table, prefix)?;
        let start = Start::Whole;
        Ok(Self { prefix, start })
    }

    /// The rows under a prefix behind a cursor.
    ///
    /// # Errors
    /// As [`RowRange::whole`]; [`StoreError::UnknownCursor`] when the cursor is of another
    /// list.
    pub(super) fn after(
        table: Table,
        prefix: &'a [KeyPart],
        cursor: &'a Cursor,
    ) -> Result<Self, StoreError> {
        check_prefix(table, prefix)?;
        let start = Start::After(cursor.key_in(&key::encode(table, prefix)?)?);
        Ok(Self { prefix, start })
    }

    /// The rows under a prefix from `from` on, which begins with it.
    ///
    /// # Errors
    /// [`StoreError::InvalidRange`] as in [`RowRange::whole`], and when `from` lies outside.
    pub(super) fn from(
        table: Table,
        prefix: &'a [KeyPart],
        from: &'a [KeyPart],
    ) -> Result<Self, StoreError> {
        if !from.starts_with(prefix) {
            return Err(invalid(table, "the first key lies outside the prefix"));
        }
        check_prefix(table, prefix)?;
        let start = Start::From(from);
        Ok(Self { prefix, start })
    }
}

/// # Errors
/// [`StoreError::InvalidRange`] unless `prefix` holds the whole partition key.
pub(super) fn check_prefix(table: Table, prefix: &[KeyPart]) -> Result<(), StoreError> {
    if prefix.len() < table.partition_parts {
        return Err(invalid(table, "the whole partition key must be given"));
    }
    Ok(())
}

/// # Errors
/// [`StoreError::InvalidRange`] unless `limit` is 1 to [`LIST_LIMIT`].
pub(super) fn check_limit(table: Table, limit: usize) -> Result<(), StoreError> {
    if !(1..=LIST_LIMIT).contains(&limit) {
        return Err(invalid(table, "the limit must be 1 to 10000"));
    }
    Ok(())
}

/// What is wrong with a key or range.
pub(super) const fn invalid(table: Table, detail: &'static str) -> StoreError {
    StoreError::InvalidRange {
        table: table.name,
        detail,
    }
}
