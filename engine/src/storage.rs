//! Everything that keeps something, opened together: store, log, journal and intake
//! over one writer, so that what they do at the same time becomes durable together.

use std::path::Path;
use std::sync::Arc;

use schemas::PartitionCount;

use crate::intake::Intake;
use crate::journal::{Difference, Journal, Projector, compare_with_rebuilt};
use crate::log::Log;
use crate::runtime::Runtime;
use crate::store::embedded::Embedded;
use crate::store::kv::Kv;
use crate::store::{MemoryKv, OpenError, Store, StoreError, WriterClosed};
use crate::verify::Verifier;

/// How the journal is kept.
#[derive(Clone, Copy, Debug)]
pub struct JournalSettings {
    /// How many partitions there are.
    pub partitions: PartitionCount,
    /// Whether records that a checkpoint includes are removed. Kept, they allow every
    /// projection to be made again.
    pub trim: bool,
}

/// Open storage.
pub struct Storage {
    /// Rows.
    pub store: Store,
    /// Logs.
    pub log: Log,
    /// The journal.
    pub journal: Journal,
    /// Single messages.
    pub intake: Intake,
    /// Tells when the writer has ended.
    pub closed: WriterClosed,
    /// Verifies all of it.
    pub verifier: Verifier,
    kv: Arc<dyn Kv>,
}

impl Storage {
    /// Opens a data folder, or creates it, and recovers its journal. Blocks, for
    /// seconds after a crash.
    ///
    /// # Errors
    /// [`OpenError`], which names the folder and the cure.
    pub fn open(
        folder: &Path,
        runtime: &Runtime,
        settings: JournalSettings,
    ) -> Result<Self, OpenError> {
        let embedded = Embedded::open(folder, runtime, |view| {
            Projector::recover(view, settings.partitions, settings.trim)
        })?;
        Ok(Self::over(embedded, runtime, settings))
    }

    /// Opens storage in memory.
    ///
    /// # Errors
    /// When what is in the memory cannot be recovered.
    pub fn in_memory(
        memory: MemoryKv,
        runtime: &Runtime,
        settings: JournalSettings,
    ) -> Result<Self, StoreError> {
        let embedded = Embedded::in_memory(memory, runtime, |view| {
            Projector::recover(view, settings.partitions, settings.trim)
        })?;
        Ok(Self::over(embedded, runtime, settings))
    }

    fn over(embedded: Embedded<Projector>, runtime: &Runtime, settings: JournalSettings) -> Self {
        let partitions = settings.partitions;
        Self {
            store: embedded.store,
            log: embedded.log,
            intake: Intake::embedded(embedded.participant.operations(), partitions),
            journal: Journal::new(embedded.participant, partitions),
            closed: embedded.closed,
            verifier: Verifier::new(&embedded.kv, runtime.clone()),
            kv: embedded.kv,
        }
    }

    /// Makes every projection again from a journal that was never trimmed and compares
    /// row by row. Tells how many rows were equal, or the first difference. Blocks.
    ///
    /// # Errors
    /// When the journal or the store cannot be read.
    pub fn compare_with_rebuilt(&self) -> Result<Result<u64, Difference>, StoreError> {
        compare_with_rebuilt(&*self.kv, self.journal.partitions())
    }
}

/// [`Storage::compare_with_rebuilt`] of a memory that nobody has open.
///
/// # Errors
/// As there.
pub fn compare_memory_with_rebuilt(
    memory: &MemoryKv,
    partitions: PartitionCount,
) -> Result<Result<u64, Difference>, StoreError> {
    compare_with_rebuilt(memory, partitions)
}
