//! One run of the engine: a fresh copy of a prepared folder, a node in a process of its
//! own, a provider in another.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::child::Process;
use crate::failure::{BenchError, machine};
use crate::machine::copy_folder;
use crate::node::{Dispatched, Prepared};
use crate::provider::{Booked, Counted, Listening, Reach, book_folder};
use crate::report::mebibytes;

/// Segments per second of a provider account that must not be the limit: the fastest
/// there is.
const NO_LIMIT: f64 = 1_000_000.0;

/// Folders with imported contacts and a campaign that is not started, made once for
/// each number of recipients.
pub struct Stores {
    folder: PathBuf,
}

/// A store of one run. Dropping it deletes it.
pub struct RunStore {
    /// Its data folder.
    pub folder: PathBuf,
}

impl RunStore {
    /// One that holds nothing yet, in this folder.
    ///
    /// # Errors
    /// What the file system says.
    pub fn empty(folder: &Path) -> Result<Self, BenchError> {
        let folder = folder.join("run");
        remove(&folder);
        remove(&book_folder(&folder));
        std::fs::create_dir_all(&folder).map_err(machine("the folder of a store"))?;
        Ok(Self { folder })
    }
}

impl Drop for RunStore {
    fn drop(&mut self) {
        remove(&self.folder);
        remove(&book_folder(&self.folder));
    }
}

fn remove(folder: &Path) {
    // What is left over costs disk and nothing else; the next run removes it first.
    let _ = std::fs::remove_dir_all(folder);
}

impl Stores {
    /// Keeps stores in this folder.
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// Imports so many contacts.
    ///
    /// # Errors
    /// When the importing process fails.
    pub fn prepare(&self, recipients: u64) -> Result<Prepared, BenchError> {
        let folder = self.prepared(recipients);
        remove(&folder);
        let arguments = ["--data", &folder.to_string_lossy(), "--recipients"];
        let mut arguments: Vec<String> = arguments.map(str::to_owned).into();
        arguments.push(recipients.to_string());
        Process::start("prepare", &arguments)?.hear()
    }

    /// Deletes what was prepared.
    pub fn forget(&self, recipients: u64) {
        remove(&self.prepared(recipients));
    }

    /// A fresh copy of what was prepared.
    ///
    /// # Errors
    /// What the file system says.
    pub fn copy(&self, recipients: u64) -> Result<RunStore, BenchError> {
        let run = RunStore {
            folder: self.folder.join("run"),
        };
        remove(&run.folder);
        remove(&book_folder(&run.folder));
        copy_folder(&self.prepared(recipients), &run.folder)?;
        Ok(run)
    }

    fn prepared(&self, recipients: u64) -> PathBuf {
        self.folder.join(format!("prepared-{recipients}"))
    }
}

/// Starts a node process that is ready to dispatch.
///
/// # Errors
/// When it fails to start.
pub fn start_node(store: &RunStore, reach: &Reach) -> Result<Process, BenchError> {
    let mut arguments = vec![
        "--data".to_owned(),
        store.folder.to_string_lossy().into_owned(),
    ];
    arguments.extend(reach.arguments());
    let mut node = Process::start("node", &arguments)?;
    node.hear::<()>()?;
    Ok(node)
}

/// The figures of one run.
#[derive(Clone, Debug, Serialize)]
pub struct EngineRun {
    /// From the start of the campaign until every outcome was durable.
    pub messages_per_second: f64,
    /// CPU time of the node over the same span, in seconds per 1,000 messages.
    pub cpu_seconds_per_1000: f64,
    /// The most memory the node process ever held, in MiB.
    pub peak_memory_mib: f64,
    /// From the start of the campaign to the first text at the provider; not measured
    /// on the sandbox.
    pub first_message_ms: Option<f64>,
}

impl EngineRun {
    fn of(dispatched: &Dispatched, first_at: Option<u64>) -> Self {
        let micros = dispatched.done_at - dispatched.started_at;
        let messages = dispatched.recipients as f64;
        let first = first_at.map(|at| at.saturating_sub(dispatched.started_at) as f64 / 1e3);
        Self {
            messages_per_second: messages * 1e6 / micros as f64,
            cpu_seconds_per_1000: dispatched.cpu_micros as f64 / 1e3 / messages,
            peak_memory_mib: mebibytes(dispatched.peak_memory_bytes),
            first_message_ms: first,
        }
    }
}

/// Starts the counter.
///
/// # Errors
/// When it cannot listen.
pub fn start_counter() -> Result<(Process, Listening), BenchError> {
    let mut counter = Process::start("counter", &[])?;
    let listening = counter.hear()?;
    Ok((counter, listening))
}

/// Starts the sandbox, with its book beside the store.
///
/// # Errors
/// When it cannot listen, or its book has no place.
pub fn start_sandbox(store: &RunStore) -> Result<(Process, Listening), BenchError> {
    let book = book_folder(&store.folder);
    std::fs::create_dir_all(&book).map_err(machine("the folder of the book"))?;
    let arguments = ["--data".to_owned(), book.to_string_lossy().into_owned()];
    let mut sandbox = Process::start("sandbox", &arguments)?;
    let listening = sandbox.hear()?;
    Ok((sandbox, listening))
}

/// Sends a whole campaign to the counter. Fails unless it counted every recipient
/// exactly once.
///
/// # Errors
/// [`BenchError::Invalid`] for another count; what a process says.
pub fn against_counter(
    stores: &Stores,
    recipients: u64,
    connections: u32,
) -> Result<EngineRun, BenchError> {
    let store = stores.copy(recipients)?;
    let (mut counter, listening) = start_counter()?;
    let reach = Reach {
        address: listening.address,
        connections,
        rate: NO_LIMIT,
        callbacks: true,
    };
    let mut node = start_node(&store, &reach)?;
    counter.ask::<()>("watch")?;
    let dispatched: Dispatched = node.ask("start")?;
    let counted: Counted = counter.ask("count")?;
    check(&dispatched, recipients, counted.texts)?;
    Ok(EngineRun::of(&dispatched, Some(counted.first_at)))
}

/// Sends a whole campaign to the sandbox, which knows every text. Receipts are fetched.
///
/// # Errors
/// [`BenchError::Invalid`] unless its book holds every recipient's text exactly once;
/// what a process says.
pub fn against_sandbox(
    stores: &Stores,
    recipients: u64,
    connections: u32,
) -> Result<EngineRun, BenchError> {
    let store = stores.copy(recipients)?;
    let (mut sandbox, listening) = start_sandbox(&store)?;
    let reach = Reach {
        address: listening.address,
        connections,
        rate: NO_LIMIT,
        callbacks: false,
    };
    let mut node = start_node(&store, &reach)?;
    let dispatched: Dispatched = node.ask("start")?;
    drop(node);
    let booked: Booked = sandbox.ask("count")?;
    check(&dispatched, recipients, booked.texts)?;
    if booked.distinct != recipients {
        let distinct = booked.distinct;
        return Err(BenchError::Invalid(format!(
            "{distinct} distinct texts for {recipients}"
        )));
    }
    Ok(EngineRun::of(&dispatched, None))
}

fn check(dispatched: &Dispatched, recipients: u64, arrived: u64) -> Result<(), BenchError> {
    let Dispatched {
        recipients: frozen,
        accepted,
        ..
    } = dispatched;
    if [*frozen, *accepted, arrived]
        .iter()
        .all(|count| *count == recipients)
    {
        return Ok(());
    }
    Err(BenchError::Invalid(format!(
        "{recipients} contacts, {frozen} recipients, {accepted} accepted, {arrived} texts arrived"
    )))
}
