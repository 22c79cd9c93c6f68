//! A node: everything that runs on the current arbiter over one storage, started by
//! one function, whoever runs it.

mod recovery;
mod starter;
mod wiring;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use engine::dispatch::routing::Routing;
use engine::journal::{CommitError, Journal};
use engine::log::{Log, LogError};
use engine::pacing::PaceError;
use engine::pacing::share::Undividable;
use engine::provider::ProviderAccount;
use engine::retry::RetryPolicy;
use engine::runtime::{Runtime, WorkLost};
use engine::store::{Store, StoreError};
use schemas::PartitionRange;
use tokio::sync::mpsc;

use crate::control::{Control, ControlError};
use crate::dispatch::begin::Gate;
use crate::dispatch::holds::Holds;
use crate::import::Imports;
use crate::provider::resting::Resting;
use crate::provider::sender::{Close, ProviderSender};
use crate::receipt::callbacks::CallbackError;
use crate::receipt::look_up::LookUpPaces;
use crate::shares::{Shares, connections};
use crate::supervision::{Escalation, Post};
use recovery::{
    commit_callbacks, limit_senders, open_due_cursors, pace_providers, settle_open_attempts,
};
use wiring::Wiring;

/// What a node is started from.
pub struct NodeParts {
    /// Time, chance and tasks.
    pub runtime: Runtime,
    /// Rows.
    pub store: Store,
    /// Logs.
    pub log: Log,
    /// The journal.
    pub journal: Journal,
    /// The provider accounts.
    pub providers: Vec<Arc<ProviderAccount>>,
    /// How often and how soon what was not taken is tried again.
    pub retry: RetryPolicy,
    /// Whether providers can call us; if not, receipts are fetched sooner.
    pub receipts_come: bool,
    /// How many messages are read ahead of those that are sent, of each kind of source:
    /// [`engine::dispatch::read_ahead::READ_AHEAD`].
    pub read_ahead: usize,
    /// Where uploaded files are kept.
    pub imports: Imports,
}

/// A node cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store cannot be read.
    #[error("the node cannot start: {0}")]
    Store(#[from] StoreError),
    /// The log cannot be read.
    #[error("the node cannot start: {0}")]
    Log(#[from] LogError),
    /// The journal takes nothing.
    #[error("the node cannot start: {0}")]
    Commit(#[from] CommitError),
    /// What was under way cannot be read.
    #[error("the node cannot start: {0}")]
    Control(#[from] ControlError),
    /// What providers told meanwhile cannot be committed.
    #[error("the node cannot start: {0}")]
    Callbacks(#[from] CallbackError),
    /// There are fewer connections than owners.
    #[error("max_in_flight of provider {name}: {error}")]
    Undividable {
        /// Whose.
        name: String,
        /// What is wrong.
        error: Undividable,
    },
    /// The folder of files that are read in cannot be made.
    #[error("the folder of imports cannot be made: {0}")]
    Imports(#[from] io::Error),
    /// The process ends.
    #[error(transparent)]
    Lost(#[from] WorkLost),
    /// A provider account's rate is out of range.
    #[error("the rate of provider {name}: {error}")]
    Pace {
        /// Its name.
        name: String,
        /// What is wrong.
        error: PaceError,
    },
}

/// A node did not end in good order. Nothing is lost: what is in the journal stays there.
#[derive(Debug, thiserror::Error)]
pub enum DrainError {
    /// The journal takes nothing more.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// A part of it failed.
    #[error("the node failed while it stopped: {0}")]
    Failed(String),
}

/// A running node.
pub struct Node {
    runtime: Runtime,
    journal: Journal,
    gate: Arc<Gate>,
    senders: Vec<Post<ProviderSender>>,
    causes: mpsc::Receiver<String>,
}

/// How long a graceful end waits for answers that are on the way. An answer that takes
/// longer leaves its attempt open, and the next start settles it.
const DRAIN: Duration = Duration::from_secs(10);

/// How often a drain looks whether the last attempt has ended.
const DRAIN_LOOK: Duration = Duration::from_millis(20);

impl NodeParts {
    /// Where several owners share a folder each reads in one of its own.
    async fn divide_imports(&mut self, range: PartitionRange) -> Result<(), StartError> {
        let imports = self.imports.of(range);
        if imports != self.imports {
            self.imports = imports.clone();
            let prepare = move || imports.prepare();
            self.runtime.blocking(prepare).await??;
        }
        Ok(())
    }
}

impl Node {
    /// Settles what a crash left open, then starts to send. Must be called on an
    /// arbiter; the actors live there.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(mut parts: NodeParts) -> Result<Self, StartError> {
        let range = parts.journal.range();
        parts.providers = connections::of_range(&parts.providers, range)
            .map_err(|(name, error)| StartError::Undividable { name, error })?;
        parts.divide_imports(range).await?;
        settle_open_attempts(&parts).await?;
        let callbacks = commit_callbacks(&parts).await?;
        open_due_cursors(&parts).await?;
        let shares = Shares::of_range(range, &parts.runtime);
        let holds = Holds::new(shares.clone());
        let (runtime, store) = (parts.runtime.clone(), parts.store.clone());
        let control = Control::new(runtime, store, parts.log.clone(), holds.clone()).await?;
        // Before anything is given out: nothing begins of what was held.
        let under_way = control.under_way().await?;
        let pacings = pace_providers(&parts, &shares).await?;
        let paces = LookUpPaces::new(&parts.runtime, &parts.providers, range.ranges()).map_err(
            |error| StartError::Pace {
                name: "look-ups".to_owned(),
                error,
            },
        )?;
        let (causes, causes_read) = mpsc::channel(1);
        let escalation = Escalation::new(causes);
        let routing = Arc::new(Routing::new(&parts.providers));
        limit_senders(&parts, &routing, &shares).await?;
        let resting = Resting::of(&pacings);
        let wiring = Wiring::new(&parts, routing, escalation, holds, resting);
        wiring.start_dispatching(&parts, &pacings);
        let senders = wiring.start_senders(&parts, pacings.clone());
        wiring.start_reconciler(&parts, paces);
        wiring.start_callbacks(&parts, callbacks);
        wiring.start_health(&parts, pacings.clone());
        wiring.start_orders(&parts, pacings);
        wiring.start_dividing(&parts);
        wiring.start_control(&parts, control, under_way);
        Ok(Self {
            runtime: parts.runtime,
            journal: parts.journal,
            gate: wiring.gate,
            senders,
            causes: causes_read,
        })
    }

    /// Waits until the node must stop, and tells why.
    pub async fn failed(&mut self) -> String {
        self.causes
            .recv()
            .await
            .unwrap_or_else(|| "the node has ended".to_owned())
    }

    /// Lets nothing more go, waits for what is in flight, and writes a checkpoint.
    /// Attempts that were committed and not begun are given back.
    ///
    /// # Errors
    /// When the journal takes nothing more, or attempts stay open because a part of the node has
    /// failed meanwhile. The next start settles those.
    pub async fn drain(mut self) -> Result<(), DrainError> {
        // First of all: what began after the last look would stay open.
        self.gate.shut();
        for sender in &self.senders {
            sender.tell(Close);
        }
        let mut looks = DRAIN.as_millis() / DRAIN_LOOK.as_millis();
        while looks > 0 {
            if self.gate.is_still() && self.journal.open_attempts().await?.is_empty() {
                break;
            }
            self.runtime.sleep(DRAIN_LOOK).await;
            looks -= 1;
        }
        self.journal.checkpoint().await?;
        match self.causes.try_recv() {
            // Perhaps nobody has written down what came of them.
            Ok(cause) if looks == 0 => Err(DrainError::Failed(cause)),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}
