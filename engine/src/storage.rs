//! Everything that keeps something, opened together: store, log, journal and intake
//! over one writer, so that what they do at the same time becomes durable together.

use std::path::Path;
use std::sync::Arc;

use schemas::PartitionCount;

use crate::intake::Intake;
use crate::journal::{Difference, Journal, Projector, compare_with_rebuilt};
use crate::log::Log;
#[cfg(feature = "cluster")]
use crate::log::{GroupTopic, KafkaLogSettings, LogError, Turn, begun_import, open_log};
use crate::runtime::Runtime;
#[cfg(feature = "cluster")]
use crate::settings::{CqlSettings, KafkaSettings};
#[cfg(feature = "cluster")]
use crate::store::cluster::{ClusterKv, read_journals};
use crate::store::embedded::Embedded;
use crate::store::kv::Kv;
use crate::store::{MemoryKv, OpenError, Store, StoreError, WriterClosed};
#[cfg(feature = "cluster")]
use crate::store::{cql, writer};
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

/// Where the servers are that keep what a data folder does not.
#[cfg(feature = "cluster")]
#[derive(Clone, Debug)]
pub struct Servers {
    /// Rows.
    pub cql: CqlSettings,
    /// Journals and logs.
    pub kafka: KafkaSettings,
}

/// Why storage on servers cannot be opened.
#[cfg(feature = "cluster")]
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
    #[cfg(feature = "cluster")]
    pub turn: Option<Turn>,
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
            #[cfg(feature = "cluster")]
            turn: None,
            kv: embedded.kv,
        }
    }

    /// Opens storage on servers: rows in CQL, journals and logs in Kafka. Waits for as long as
    /// another node owns the journals.
    ///
    /// # Errors
    /// When servers cannot be reached or what is on them cannot be read; the text names the
    /// cure.
    #[cfg(feature = "cluster")]
    pub async fn on_servers(
        servers: Servers,
        runtime: &Runtime,
        settings: JournalSettings,
    ) -> Result<Self, ServersError> {
        let (sender, opened) = tokio::sync::oneshot::channel();
        let opener = runtime.clone();
        // The servers' clients live on the runtime that they are made on: the shared one, which
        // no actor holds up.
        runtime.spawn(async move {
            let _ = sender.send(Self::open_servers(&servers, &opener, settings).await);
        });
        opened.await.unwrap_or(Err(StoreError::Closed.into()))
    }

    #[cfg(feature = "cluster")]
    async fn open_servers(
        servers: &Servers,
        runtime: &Runtime,
        settings: JournalSettings,
    ) -> Result<Self, ServersError> {
        let partitions = settings.partitions;
        let store = cql::connect(&servers.cql, runtime).await?;
        let kafka = KafkaLogSettings::from(&servers.kafka);
        let log = open_log(&store, &kafka, partitions, runtime).await?;
        let turn = Turn::wait(&kafka, runtime).await?;
        let groups = GroupTopic::open(&kafka, partitions, runtime).await?;
        let found = read_journals(&groups).await?;
        if found.is_new() && begun_import(&store, &kafka).await?.is_some() {
            return Err(ServersError::HalfImported);
        }
        let kv = Arc::new(ClusterKv::open(&store, groups, found, runtime).await?);
        let starter = runtime.clone();
        let start = move || {
            writer::open(kv, &starter, Box::new(|_| {}), |view| {
                Projector::recover(view, partitions, settings.trim)
            })
        };
        let opened = runtime.blocking(start).await.map_err(StoreError::from)??;
        Ok(Self {
            intake: Intake::on_cluster(store.clone(), log.clone(), partitions),
            store,
            log,
            journal: Journal::new(opened.participant, partitions),
            closed: opened.closed,
            verifier: Verifier::new(&opened.kv, runtime.clone()),
            turn: Some(turn),
            kv: opened.kv,
        })
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
