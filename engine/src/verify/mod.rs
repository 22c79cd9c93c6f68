//! Verifying what is stored: the identity of every campaign, the life of every message,
//! cursors against rows, and open attempts against the journal.
//!
//! It reads records and otherwise shares no code with what wrote them: the edges of a
//! message's life, for one, are spelled out here again. What it cannot see is a row that
//! is wrong in itself and fits everything around it, such as another text; only a
//! provider's book tells that.

mod campaigns;
mod held;
mod journal;
mod live;
mod messages;
mod rows;
#[cfg(test)]
mod tests;

use std::path::Path;

use schemas::Message;
use schemas::record::Record;

pub use self::live::{Verification, Verifier, VerifierError};

use crate::journal::partition_count;
use crate::store::kv::{KvError, KvRead};
use crate::store::overlay::Overlay;
use crate::store::{FolderError, MemoryKv, StoreError, open_kv};

/// What was looked at; everything agreed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Verified {
    /// Campaigns whose numbers were counted again.
    pub campaigns: u64,
    /// Recipients in frozen audiences.
    pub recipients: u64,
    /// Messages whose lives were followed.
    pub messages: u64,
    /// Attempts that are committed and have no outcome.
    pub open_attempts: u64,
    /// Journal records that are not trimmed.
    pub journal_records: u64,
}

/// The first thing that does not agree. It names ids, never numbers or texts.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{subject}: {detail}")]
pub struct Difference {
    /// What it is about.
    pub subject: String,
    /// What was expected and what was found.
    pub detail: String,
}

impl Difference {
    fn new(subject: impl std::fmt::Display, detail: impl Into<String>) -> Self {
        Self {
            subject: subject.to_string(),
            detail: detail.into(),
        }
    }
}

/// Why verifying ended without the word that all is well.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// Something does not agree.
    #[error(transparent)]
    Differs(#[from] Difference),
    /// The folder cannot be opened.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// What is stored cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<KvError> for VerifyError {
    fn from(error: KvError) -> Self {
        Self::Store(error.into())
    }
}

/// Verifies a data folder that no node serves. Blocks for as long as reading it takes;
/// memory grows by 8 to 16 bytes for each message of all campaigns.
///
/// # Errors
/// The first difference, or why the folder cannot be read.
pub fn folder(path: &Path) -> Result<Verified, VerifyError> {
    if !path.is_dir() {
        let folder = path.to_owned();
        return Err(FolderError::NotAFolder { folder }.into());
    }
    let kv = open_kv(path)?;
    database(&*kv)
}

/// Verifies what is in memory, and shows every message to `also`, for other judges.
///
/// # Errors
/// As [`folder`].
pub fn memory(memory: &MemoryKv, also: &mut dyn FnMut(&Message)) -> Result<Verified, VerifyError> {
    let mut verified = Verified::default();
    count(memory, &mut verified, also)?;
    Ok(verified)
}

/// Every row of one kind in memory, in the order of their keys, for other judges.
///
/// # Errors
/// When a row cannot be read.
pub fn rows_in_memory<R: Record>(memory: &MemoryKv) -> Result<Vec<R>, VerifyError> {
    let mut rows = Vec::new();
    rows::each::<R>(memory, |row| {
        rows.push(row);
        Ok(())
    })?;
    Ok(rows)
}

pub(crate) fn database(kv: &dyn KvRead) -> Result<Verified, VerifyError> {
    let mut verified = Verified::default();
    count(kv, &mut verified, &mut |_| {})?;
    Ok(verified)
}

/// Counts what it looks at, also where something does not agree.
fn count(
    kv: &dyn KvRead,
    verified: &mut Verified,
    also: &mut dyn FnMut(&Message),
) -> Result<(), VerifyError> {
    let Some(partitions) = partition_count::stored(&mut Overlay::new(kv))? else {
        // No node has served it yet.
        return Ok(());
    };
    let journal = journal::read(kv, partitions, verified)?;
    let told = messages::check(kv, partitions, &journal, verified, also)?;
    let held = held::check(kv)?;
    campaigns::check(kv, partitions, &journal, &told, &held, verified)
}
