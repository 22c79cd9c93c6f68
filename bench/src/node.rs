//! The engine under test, in a child process, so that CPU time and memory are its own.
//!
//! `prepare` imports the contacts through the importer of a node and writes the
//! campaign down; `node` opens a copy of that folder, starts the campaign when it is
//! told to, and measures until every outcome is durable.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use actors::import::Imports;
use actors::node::{Node, NodeParts};
use engine::dispatch::read_ahead::READ_AHEAD;
use engine::log::Topic;
use engine::provider::ProviderAccount;
use engine::runtime::Runtime;
use engine::storage::{JournalSettings, Storage};
use engine::store::Store;
use schemas::account::Account;
use schemas::campaign::{Campaign, CampaignState, CampaignTally, ControlRecord};
use schemas::contact::ContactList;
use schemas::job::{Job, JobProgress, JobState, JobWork};
use schemas::{
    AccountId, CampaignId, JobId, ListId, MessageClass, MessageStatus, Partition, PartitionCount,
    Secret,
};
use serde::{Deserialize, Serialize};

use crate::child;
use crate::failure::{BenchError, machine, refused};
use crate::machine::{boot_micros, cpu_micros, peak_memory_bytes};
use crate::provider::Reach;
use crate::recipients::{self, TEMPLATE};
use crate::stamps;

/// Threads of the shared runtime, as a node has on two processors.
const WORKERS: usize = 2;

/// How often a run looks whether it is at its end: what it can be wrong by. A look
/// reads one row for each partition.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A run in which nothing happens for this long has failed.
const STANDSTILL_MICROS: u64 = 60_000_000;

/// How long each message may be sent, in seconds.
const VALIDITY_SECONDS: u32 = 86_400;

pub(crate) const ACCOUNT: AccountId = AccountId::from_bytes([0x11; 16]);
const LIST: ListId = ListId::from_bytes([0x22; 16]);
const JOB: JobId = JobId::from_bytes([0x33; 16]);
pub(crate) const CAMPAIGN: CampaignId = CampaignId::from_bytes([0x44; 16]);

/// What `prepare` tells when the contacts are imported.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Prepared {
    /// Seconds from the job to its end.
    pub seconds: f64,
    /// The most memory the importing node held, in bytes.
    pub peak_memory_bytes: u64,
}

/// What `node` tells when every outcome is durable. Times in microseconds since boot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Dispatched {
    /// When the campaign was started.
    pub started_at: u64,
    /// When the last outcome was seen durable.
    pub done_at: u64,
    /// CPU time between the two, in microseconds.
    pub cpu_micros: u64,
    /// The most memory the process ever held, in bytes.
    pub peak_memory_bytes: u64,
    /// Recipients.
    pub recipients: u64,
    /// Of them, those that the provider accepted.
    pub accepted: u64,
}

/// Runs `work` on an arbiter, with the shared runtime that a node has.
///
/// # Errors
/// What `work` says, or the machine when it has no threads left.
fn on_arbiter<F>(work: impl FnOnce(Runtime) -> F) -> Result<(), BenchError>
where
    F: Future<Output = Result<(), BenchError>>,
{
    let shared = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .map_err(machine("the shared runtime cannot be started"))?;
    let runtime = Runtime::of_machine(shared.handle().clone());
    let ended = actix_rt::System::new().block_on(work(runtime));
    // What is still open belongs to a node whose figures are told.
    shared.shutdown_background();
    ended
}

/// A node over an embedded store, with default settings.
struct Running {
    storage: Storage,
    node: Node,
    imports: Imports,
}

async fn start(
    folder: &Path,
    runtime: &Runtime,
    providers: Vec<Arc<ProviderAccount>>,
    receipts_come: bool,
) -> Result<Running, BenchError> {
    let settings = JournalSettings {
        partitions: PartitionCount::EMBEDDED,
        owners: PartitionCount::ONE,
        trim: true,
    };
    let storage = Storage::open(folder, runtime, settings).map_err(refused("the store"))?;
    let imports = Imports::own(folder.join("imports"));
    std::fs::create_dir_all(imports.folder()).map_err(machine("the folder of imports"))?;
    let parts = NodeParts {
        runtime: runtime.clone(),
        store: storage.store.clone(),
        log: storage.log.clone(),
        journal: storage.journal.clone(),
        providers,
        retry: engine::retry::RetryPolicy::default(),
        receipts_come,
        read_ahead: READ_AHEAD,
        imports: imports.clone(),
    };
    let node = Node::start(parts).await.map_err(refused("the node"))?;
    Ok(Running {
        storage,
        node,
        imports,
    })
}

impl Running {
    /// Waits a moment.
    ///
    /// # Errors
    /// When the node has failed meanwhile.
    async fn go_on(&mut self) -> Result<(), BenchError> {
        match tokio::time::timeout(LOOK_EVERY, self.node.failed()).await {
            Err(_) => Ok(()),
            Ok(cause) => Err(BenchError::Refused {
                what: "the node ended",
                cause,
            }),
        }
    }

    async fn tell_nodes(&self, record: &ControlRecord) -> Result<(), BenchError> {
        let payload = rmp_serde::to_vec_named(record).map_err(refused("a control record"))?;
        let appended = self
            .storage
            .log
            .append(Topic::Control, Partition(0), vec![payload])
            .await;
        appended.map(|_| ()).map_err(refused("the control log"))
    }
}

/// The child process `prepare`.
///
/// # Errors
/// When the import fails.
pub fn run_prepare(folder: &Path, recipients: u64) -> Result<(), BenchError> {
    on_arbiter(|runtime| async move {
        let mut running = start(folder, &runtime, Vec::new(), false).await?;
        // The file first: a node looks for jobs as soon as it has started.
        recipients::write_file(&running.imports.file_of(JOB), recipients)?;
        write_rows(&running.storage.store, &runtime).await?;
        let begun = boot_micros();
        running
            .tell_nodes(&ControlRecord::JobCreated {
                account: ACCOUNT,
                job: JOB,
            })
            .await?;
        loop {
            running.go_on().await?;
            let key = JobProgress::key_of(JOB, running.storage.journal.range());
            let progress = running.storage.store.get::<JobProgress>(&key).await;
            let progress = progress.map_err(refused("the job's progress"))?;
            let Some(progress) = progress else { continue };
            match progress.state {
                JobState::Pending | JobState::Running => {}
                JobState::Completed if progress.contacts == recipients => break,
                JobState::Completed | JobState::Failed => {
                    return Err(BenchError::Invalid(format!(
                        "the import ended with {progress:?}"
                    )));
                }
            }
        }
        let seconds = (boot_micros() - begun) as f64 / 1e6;
        running
            .node
            .drain()
            .await
            .map_err(refused("the checkpoint"))?;
        child::answer(&Prepared {
            seconds,
            peak_memory_bytes: peak_memory_bytes(),
        })
    })
}

/// The account, list, job and draft of a campaign.
async fn write_rows(store: &Store, runtime: &Runtime) -> Result<(), BenchError> {
    let (created_at, failed) = (runtime.now(), refused("a row"));
    let number_key = Secret::new("0f".repeat(32));
    let name = "bench".to_owned();
    let account = Account {
        id: ACCOUNT,
        name: name.clone(),
        number_key,
        weight: 1,
        rate_millionths: None,
        created_at,
        version: 0,
    };
    store.replace(account).await.map_err(&failed)?;
    let list = ContactList {
        account: ACCOUNT,
        id: LIST,
        name: name.clone(),
        created_at,
        version: 0,
    };
    store.replace(list).await.map_err(&failed)?;
    let work = JobWork::ImportContacts {
        list: LIST,
        default_region: None,
        phone_column: None,
    };
    let job = Job {
        account: ACCOUNT,
        id: JOB,
        work,
        created_at,
    };
    store.put_once(&job).await.map_err(&failed)?;
    let campaign = Campaign {
        account: ACCOUNT,
        id: CAMPAIGN,
        name,
        lists: vec![LIST],
        template: TEMPLATE.to_owned(),
        class: MessageClass::Marketing,
        from: None,
        providers: Vec::new(),
        rate_millionths: None,
        send_at: None,
        window: None,
        validity_seconds: VALIDITY_SECONDS,
        state: CampaignState::Draft,
        created_at,
        started_at: None,
        finished_at: None,
        version: 0,
    };
    store.replace(campaign).await.map_err(&failed)?;
    Ok(())
}

/// The child process `node`: says when it is ready, starts the campaign at the first
/// line, tells its figures, and for `stamps` how the sends lie in time.
///
/// # Errors
/// When the node fails, or stands still for a minute.
pub fn run_node(folder: &Path, reach: &Reach) -> Result<(), BenchError> {
    on_arbiter(|runtime| async move {
        let account = Arc::new(reach.open()?);
        let mut running = start(folder, &runtime, vec![account], reach.callbacks).await?;
        child::answer(&())?;
        let next_line = || runtime.blocking(child::next_line);
        if next_line().await.ok().flatten().is_none() {
            return Ok(());
        }
        let dispatched = dispatch(&mut running, &runtime).await?;
        child::answer(&dispatched)?;
        while let Some(line) = next_line().await.ok().flatten() {
            let Some(seconds) = line
                .strip_prefix("stamps ")
                .and_then(|rest| rest.parse().ok())
            else {
                break;
            };
            let store = &running.storage.store;
            child::answer(&stamps::read(store, runtime.now(), seconds).await?)?;
        }
        Ok(())
    })
}

async fn dispatch(running: &mut Running, runtime: &Runtime) -> Result<Dispatched, BenchError> {
    let (started_at, cpu) = (boot_micros(), cpu_micros());
    start_campaign(running, runtime).await?;
    let (mut last, mut last_at) = (0, started_at);
    loop {
        running.go_on().await?;
        let tally = tally(&running.storage.store).await?;
        let now = boot_micros();
        let handled = tally.total_recipients - tally.pending();
        if tally.frozen && tally.pending() == 0 {
            return Ok(Dispatched {
                started_at,
                done_at: now,
                cpu_micros: cpu_micros() - cpu,
                peak_memory_bytes: peak_memory_bytes(),
                recipients: tally.total_recipients,
                accepted: tally.count(MessageStatus::Accepted)
                    + tally.count(MessageStatus::Sent)
                    + tally.count(MessageStatus::Delivered),
            });
        }
        if handled != last {
            (last, last_at) = (handled, now);
        } else if now - last_at > STANDSTILL_MICROS {
            return Err(BenchError::Invalid(format!(
                "nothing goes on after {handled} messages"
            )));
        }
    }
}

/// As the API's `start` does: the row first, then the word to all nodes.
async fn start_campaign(running: &Running, runtime: &Runtime) -> Result<(), BenchError> {
    let store = &running.storage.store;
    let stored = store
        .get::<Campaign>(&Campaign::key_of(ACCOUNT, CAMPAIGN))
        .await;
    let Some(mut campaign) = stored.map_err(refused("the campaign"))? else {
        return Err(BenchError::Invalid(
            "the folder holds no campaign".to_owned(),
        ));
    };
    campaign.state = CampaignState::Running;
    campaign.started_at = Some(runtime.now());
    store
        .replace(campaign)
        .await
        .map_err(refused("the campaign"))?;
    let record = ControlRecord::CampaignChanged {
        account: ACCOUNT,
        campaign: CAMPAIGN,
    };
    running.tell_nodes(&record).await
}

async fn tally(store: &Store) -> Result<CampaignTally, BenchError> {
    let mut sum = CampaignTally {
        frozen: true,
        ..CampaignTally::empty(CAMPAIGN, Partition(0))
    };
    for partition in PartitionCount::EMBEDDED.all() {
        let key = CampaignTally::key_of(CAMPAIGN, partition);
        let row = store
            .get::<CampaignTally>(&key)
            .await
            .map_err(refused("the numbers"))?;
        sum.add(&row.unwrap_or_else(|| CampaignTally::empty(CAMPAIGN, partition)));
    }
    Ok(sum)
}
