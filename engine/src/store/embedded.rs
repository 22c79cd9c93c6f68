//! The embedded backend put together: one database, one writer, and over them the
//! store, the log and whatever takes part in their group commits.

use std::path::Path;
use std::sync::Arc;

use super::error::StoreError;
use super::fjall::FjallKv;
use super::folder::FolderError;
use super::kv::Kv;
use super::memory::MemoryKv;
use super::overlay::Overlay;
use super::writer::{self, GroupParticipant, Opened, Submitter, WriterClosed};
use super::{Backend, Store};
use crate::log::embedded::EmbeddedLog;
use crate::log::{Appended, Log};
use crate::runtime::Runtime;

#[cfg(test)]
pub(crate) mod contract;
mod each;
mod ranges;
mod rows;

pub(super) use rows::EmbeddedRows;

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The data folder cannot be opened.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// What is stored in it cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The database of a data folder alone, with nothing recovered and nobody who writes.
///
/// # Errors
/// [`FolderError`], which names the folder and the cure.
pub(crate) fn open_kv(folder: &Path) -> Result<Arc<dyn Kv>, FolderError> {
    Ok(Arc::new(FjallKv::open(folder)?))
}

/// An open store, its log, and the way to the participant `P`. The database is closed
/// when everything here is dropped and [`Embedded::closed`] has told so.
pub(crate) struct Embedded<P: GroupParticipant> {
    pub(crate) store: Store,
    pub(crate) log: Log,
    pub(crate) participant: Submitter<P>,
    pub(crate) closed: WriterClosed,
    /// For reading beside the writer.
    pub(crate) kv: Arc<dyn Kv>,
}

impl<P: GroupParticipant> Embedded<P> {
    /// Opens a data folder, or creates it. `recover` makes the participant from what
    /// is stored; it only reads. Blocks, for seconds after a crash.
    ///
    /// # Errors
    /// [`OpenError`], which names the folder and the cure.
    pub(crate) fn open(
        folder: &Path,
        runtime: &Runtime,
        recover: impl FnOnce(&mut Overlay<'_>) -> Result<P, StoreError>,
    ) -> Result<Self, OpenError> {
        let kv = Arc::new(FjallKv::open(folder)?);
        Ok(Self::over(kv, runtime, recover)?)
    }

    /// Opens a store in memory.
    ///
    /// # Errors
    /// What `recover` finds.
    pub(crate) fn in_memory(
        memory: MemoryKv,
        runtime: &Runtime,
        recover: impl FnOnce(&mut Overlay<'_>) -> Result<P, StoreError>,
    ) -> Result<Self, StoreError> {
        Self::over(Arc::new(memory), runtime, recover)
    }

    fn over(
        kv: Arc<dyn Kv>,
        runtime: &Runtime,
        recover: impl FnOnce(&mut Overlay<'_>) -> Result<P, StoreError>,
    ) -> Result<Self, StoreError> {
        let appended = Arc::new(Appended::new());
        let announce = {
            let appended = Arc::clone(&appended);
            Box::new(move |subjects| appended.announce(subjects))
        };
        let Opened {
            kv,
            participant,
            closed,
        } = writer::open(kv, runtime, announce, recover)?;
        let operations = participant.operations();
        let rows = EmbeddedRows::new(Arc::clone(&kv), operations.clone(), runtime.clone());
        let log = EmbeddedLog::new(Arc::clone(&kv), operations, runtime.clone(), appended);
        Ok(Self {
            store: Store {
                backend: Backend::Embedded(rows),
                patience: None,
            },
            log: Log::embedded(log),
            participant,
            closed,
            kv,
        })
    }
}
