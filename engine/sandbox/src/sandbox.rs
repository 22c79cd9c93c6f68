//! A running sandbox: sockets, threads and book around the core.

use crate::book::{BookError, BookSink, FileBook, Record, StopRecord};
use crate::config::{AccountConfig, ConfigError, SandboxConfig};
use crate::core::{Core, Restore};
use crate::seam::{self, Clock, SystemClock};
use crate::stalls::{self, Stalls};
use crate::statistics::Statistics;
use crate::workers::{self, Workers};
use crate::{sender, server};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::sync::{Notify, watch};

/// Why a sandbox cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The book cannot be opened or read back.
    #[error(transparent)]
    Book(#[from] BookError),
    /// The address cannot be listened on.
    #[error("the sandbox cannot listen on {address}: {cause}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// The system's reason.
        cause: io::Error,
    },
    /// A thread or its runtime cannot be started.
    #[error("the sandbox cannot start a thread: {0}")]
    Thread(io::Error),
}

/// What all threads of a sandbox share.
pub(crate) struct Shared {
    pub core: Core,
    pub clock: Arc<dyn Clock>,
    pub book: Arc<FileBook>,
    pub stalls: Stalls,
    /// Wakes the sender of receipts: one was planned that is due before all others.
    pub receipts_changed: Notify,
}

impl Shared {
    pub(crate) fn statistics(&self) -> Statistics {
        Statistics {
            at: self.clock.now_us(),
            accounts: self.core.statistics(),
            unauthenticated: self.core.unauthenticated(),
            receipts_waiting: self.core.receipts_waiting(),
            stalls: self.stalls.statistics(),
        }
    }
}

/// A running sandbox. Dropping it stops it like [`Sandbox::shutdown`], without the result.
pub struct Sandbox {
    shared: Arc<Shared>,
    accounts: Vec<AccountConfig>,
    address: SocketAddr,
    workers: Option<Workers>,
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
}

impl Sandbox {
    /// Reads the folder's book back, then listens and sends what receipts are due.
    ///
    /// # Errors
    /// A bad setting, a book that cannot be used, a taken port.
    pub fn start(config: SandboxConfig) -> Result<Self, StartError> {
        Self::start_with_clock(config, Arc::new(SystemClock::start()))
    }

    /// The same with another clock.
    ///
    /// # Errors
    /// As [`Sandbox::start`].
    pub fn start_with_clock(
        config: SandboxConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StartError> {
        config.check()?;
        let shared = Arc::new(open(&config, clock)?);
        let (for_connections, for_threads) = (Arc::clone(&shared), Arc::clone(&shared));
        let workers = Workers::start(
            "sandbox",
            config.listen,
            config.threads,
            move |stream| server::serve(Arc::clone(&for_connections), stream),
            move |number| {
                let shared = Arc::clone(&for_threads);
                seam::spawn_task(async move { stalls::watch_worker(&shared, number).await });
            },
        );
        let address = config.listen;
        let workers = workers.map_err(|cause| StartError::Listen { address, cause })?;
        shared.core.begin(shared.clock.now_us());
        let mut sandbox = Self {
            accounts: config.accounts,
            address: workers.address(),
            workers: Some(workers),
            stop: watch::Sender::new(false),
            threads: Vec::new(),
            shared,
        };
        sandbox.start_threads().map_err(StartError::Thread)?;
        Ok(sandbox)
    }

    fn start_threads(&mut self) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let (runtime, stop) = (workers::runtime()?, self.stop.subscribe());
        self.threads
            .push(seam::spawn_thread("sandbox-receipts", move || {
                runtime.block_on(sender::run(shared, stop));
            })?);
        let shared = Arc::clone(&self.shared);
        let watch = move || stalls::watch_process(&shared);
        self.threads
            .push(seam::spawn_thread("sandbox-stalls", watch)?);
        Ok(())
    }

    /// The bound address; the base URL is `http://` and this.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The accounts it was started with.
    pub fn accounts(&self) -> &[AccountConfig] {
        &self.accounts
    }

    /// The counts so far.
    pub fn statistics(&self) -> Statistics {
        self.shared.statistics()
    }

    /// Waits (20 ms at most, unless the disk is slow) until the book's file holds
    /// everything decided so far, for a judge that reads it while the sandbox runs.
    pub fn flush_book(&self) {
        self.shared.book.flush();
    }

    /// Stops listening, lets receipts under way end (2 s at most), and writes and
    /// syncs the book. Answers still held back are not sent; receipts without a
    /// result in the book are sent by the next start on it. Blocks.
    ///
    /// # Errors
    /// When the book could not be written whole since the start.
    pub fn shutdown(mut self) -> Result<(), BookError> {
        self.stop()
    }

    fn stop(&mut self) -> Result<(), BookError> {
        let Some(workers) = self.workers.take() else {
            return Ok(());
        };
        drop(workers);
        self.stop.send_replace(true);
        self.shared.stalls.stop();
        for thread in self.threads.drain(..) {
            // A panic was printed by its thread; the book is still to be closed.
            let _ = thread.join();
        }
        let at = self.shared.clock.now_us();
        self.shared.book.append(&Record::Stop(StopRecord { at }));
        self.shared.book.close()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            tracing::error!(%error, "the sandbox stopped with a hole in its book");
        }
    }
}

/// Opens the book and fills the core from it.
fn open(config: &SandboxConfig, clock: Arc<dyn Clock>) -> Result<Shared, StartError> {
    // The core needs the book to write to, and the book is read before it can be
    // written: what it holds goes through a core whose own sink is not used yet.
    let later = Arc::new(LateBook::default());
    let core = Core::new(
        config.seed,
        &config.accounts,
        &config.faults,
        Arc::clone(&later) as Arc<dyn BookSink>,
    )?;
    let mut restore = Restore::of(core);
    let book = FileBook::open(&config.book_folder, |record| restore.apply(&record))?;
    let book = Arc::new(book);
    let _ = later.book.set(Arc::clone(&book));
    Ok(Shared {
        core: restore.finish(),
        clock,
        book,
        stalls: Stalls::default(),
        receipts_changed: Notify::new(),
    })
}

/// A book that is known only after the core that writes to it.
#[derive(Default)]
struct LateBook {
    book: std::sync::OnceLock<Arc<FileBook>>,
}

impl BookSink for LateBook {
    fn append(&self, record: &Record<'_>) {
        if let Some(book) = self.book.get() {
            book.append(record);
        }
    }
}
