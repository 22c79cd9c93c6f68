//! Everything that keeps something, opened together: store, log, journal and intake
//! over one writer, so that what they do at the same time becomes durable together.

#[cfg(feature = "testkit")]
mod in_memory;
#[cfg(feature = "cluster")]
mod on_servers;
#[cfg(feature = "servers")]
mod shared;

use std::path::Path;
use std::sync::Arc;
#[cfg(feature = "servers")]
use std::time::Duration;

#[cfg(feature = "servers")]
use futures::future::BoxFuture;
use schemas::{PartitionCount, PartitionRange};

use crate::intake::Intake;
use crate::journal::{Difference, Journal, Projector, compare_with_rebuilt};
use crate::log::Log;
#[cfg(feature = "servers")]
use crate::log::others::Hearing;
#[cfg(feature = "servers")]
use crate::log::{Groups, LogError, Turn};
use crate::runtime::Runtime;
#[cfg(feature = "servers")]
use crate::store::cluster::{Tables, Waiting};
use crate::store::embedded::Embedded;
use crate::store::kv::Kv;
use crate::store::{MemoryKv, OpenError, Store, StoreError, WriterClosed};
use crate::verify::Verifier;

#[cfg(feature = "testkit")]
pub use self::in_memory::{MemoryServers, Network, Request, Trip};
#[cfg(feature = "cluster")]
pub use self::on_servers::Servers;
#[cfg(feature = "servers")]
pub use self::shared::Shared;

/// How the journal is kept.
#[derive(Clone, Copy, Debug)]
pub struct JournalSettings {
    /// How many partitions there are.
    pub partitions: PartitionCount,
    /// Into how many ranges they are divided, each of which has an owner of its own; one where all
    /// is in a folder.
    pub owners: PartitionCount,
    /// Whether records that a checkpoint includes are removed. Kept, they allow every
    /// projection to be made again.
    pub trim: bool,
}

impl JournalSettings {
    /// How many ranges there are.
    pub fn ranges(&self) -> PartitionCount {
        self.owners.min(self.partitions)
    }
}

/// Why storage on servers cannot be opened.
#[cfg(feature = "servers")]
#[derive(Debug, thiserror::Error)]
pub enum ServersError {
    /// The rows cannot be had.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The journals or logs cannot.
    #[error(transparent)]
    Log(#[from] LogError),
    /// What is on them is half of something.
    #[error(
        "the import of a folder into these servers is not finished: run `volley store import` with \
         its file again"
    )]
    HalfImported,
}

/// What a node that is to own the journals of a deployment asks of its servers.
#[cfg(feature = "servers")]
pub(crate) trait Deployment: Send + Sync {
    /// Waits until it is this node's turn to own a range of journals.
    fn turn(&self, range: PartitionRange) -> BoxFuture<'_, Result<Turn, LogError>>;

    /// Takes a range of journals over, and fences whoever had them.
    fn take_over(&self, range: PartitionRange) -> BoxFuture<'_, Result<Arc<dyn Groups>, LogError>>;

    /// Whether an import of a folder has begun here, of which nothing counts until it is whole.
    fn is_half_imported(&self) -> BoxFuture<'_, Result<bool, LogError>>;

    /// The owner's tables.
    fn tables(&self) -> Arc<dyn Tables>;

    /// How the owner waits for what it reads.
    fn waiting(&self) -> Waiting;
}

/// How long it may take until the last of what was begun is written.
#[cfg(feature = "servers")]
const ENDS_WITHIN: Duration = Duration::from_secs(5);

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
    /// On servers, this node's turn to own the journals. Whoever drops it hands them on, so
    /// nothing may be committed any more.
    #[cfg(feature = "servers")]
    pub turn: Option<Turn>,
    /// On servers, who hears of appends of other nodes.
    #[cfg(feature = "servers")]
    _hearing: Option<Arc<Hearing>>,
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
            Projector::recover(
                view,
                PartitionRange::whole(settings.partitions),
                settings.trim,
            )
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
            Projector::recover(
                view,
                PartitionRange::whole(settings.partitions),
                settings.trim,
            )
        })?;
        Ok(Self::over(embedded, runtime, settings))
    }

    fn over(embedded: Embedded<Projector>, runtime: &Runtime, settings: JournalSettings) -> Self {
        let partitions = settings.partitions;
        Self {
            store: embedded.store,
            log: embedded.log,
            intake: Intake::embedded(embedded.participant.operations(), partitions),
            journal: Journal::new(embedded.participant, PartitionRange::whole(partitions)),
            closed: embedded.closed,
            verifier: Verifier::new(&embedded.kv, runtime.clone()),
            #[cfg(feature = "servers")]
            turn: None,
            #[cfg(feature = "servers")]
            _hearing: None,
            kv: embedded.kv,
        }
    }

    /// Gives the turn to another, once nothing more is written for this one.
    #[cfg(feature = "servers")]
    pub async fn give_back(self, runtime: &Runtime) {
        let Self {
            journal,
            mut closed,
            turn,
            ..
        } = self;
        drop(journal);
        let ended = std::pin::pin!(closed.wait());
        let pause = std::pin::pin!(runtime.sleep(ENDS_WITHIN));
        // Whoever still writes by then is fenced by the next owner.
        let _ = futures::future::select(ended, pause).await;
        drop(turn);
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
