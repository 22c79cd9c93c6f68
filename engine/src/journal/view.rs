//! Rows as the changes applied so far have left them, before they are durable.

use schemas::record::{KeyPart, Projection, Record};

use crate::store::StoreError;

/// Reads and writes rows inside one group commit. What was put is what the next
/// change reads.
pub trait View {
    /// The row with this key.
    ///
    /// # Errors
    /// When the store cannot be read, or the row in it is damaged.
    fn get<R: Record>(&mut self, key: &[KeyPart]) -> Result<Option<R>, StoreError>;

    /// The first `limit` rows whose key starts with `prefix` and is not before `from`,
    /// in key order. `from` starts with `prefix` too.
    ///
    /// # Errors
    /// As [`View::get`].
    fn list<R: Record>(
        &mut self,
        prefix: &[KeyPart],
        from: &[KeyPart],
        limit: usize,
    ) -> Result<Vec<R>, StoreError>;

    /// Puts a row. Only projections are written by the journal.
    ///
    /// # Errors
    /// When the row cannot be encoded.
    fn put<R: Record<Writing = Projection>>(&mut self, row: &R) -> Result<(), StoreError>;

    /// Removes a row; removing what is not there is no error.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn delete<R: Record<Writing = Projection>>(
        &mut self,
        key: &[KeyPart],
    ) -> Result<(), StoreError>;
}
