//! A node: everything that runs on the current arbiter over one storage, started by
//! one function, whoever runs it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use actix::Actor;
use engine::dispatch::outcome::OutcomeRules;
use engine::dispatch::routing::Routing;
use engine::journal::{CommitError, Journal};
use engine::log::{Log, LogError, Topic};
use engine::pacing::{Limiter, LookupSchedule, Pace, PaceError};
use engine::provider::ProviderAccount;
use engine::retry::RetryPolicy;
use engine::runtime::Runtime;
use engine::store::{Store, StoreError};
use schemas::change::Change;
use schemas::message::DueKind;
use schemas::position::{CommittedPosition, SourceId};
use schemas::provider::{ProviderStamp, SubmitOutcome};
use schemas::{MessageClass, ProviderId};
use tokio::sync::mpsc;

use crate::campaign::coordinator::{CampaignCoordinator, CoordinatorParts};
use crate::control::{Control, Start};
use crate::dispatch::begin::Beginner;
use crate::dispatch::dispatcher::{Dispatcher, DispatcherParts, WorkAppended};
use crate::dispatch::outcomes::OutcomeWriter;
use crate::dispatch::source::Readers;
use crate::import::importer::{Importer, ImporterParts};
use crate::provider::lane::Pacing;
use crate::provider::sender::{Close, ProviderSender, SenderParts};
use crate::receipt::look_up::{LookUpPaces, LookUps};
use crate::receipt::reconciler::{ReconcilerParts, StatusReconciler};
use crate::supervision::{ChildSpec, Escalation, Post, supervise};

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
    /// Whether providers can call us; if not, receipts are fetched sooner.
    pub receipts_come: bool,
    /// Where uploaded files are kept.
    pub imports: PathBuf,
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
    /// A provider account's rate is out of range.
    #[error("the rate of provider {name}: {error}")]
    Pace {
        /// Its name.
        name: String,
        /// What is wrong.
        error: PaceError,
    },
}

/// A running node.
pub struct Node {
    runtime: Runtime,
    journal: Journal,
    senders: Vec<Post<ProviderSender>>,
    causes: mpsc::Receiver<String>,
    outcomes_done: tokio::sync::oneshot::Receiver<()>,
}

/// How long a graceful end waits for answers that are on the way. An answer that takes
/// longer leaves its attempt open, and the next start settles it.
const DRAIN: Duration = Duration::from_secs(10);

/// How often a drain looks whether the last attempt has ended.
const DRAIN_LOOK: Duration = Duration::from_millis(20);

impl Node {
    /// Settles what a crash left open, then starts to send. Must be called on an
    /// arbiter; the actors live there.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(parts: NodeParts) -> Result<Self, StartError> {
        settle_open_attempts(&parts).await?;
        open_due_cursors(&parts).await?;
        let control = Control::new(parts.store.clone(), parts.log.clone()).await?;
        let pacings = pacings(&parts).await?;
        let paces = LookUpPaces::new(&parts.runtime, &parts.providers).map_err(|error| {
            StartError::Pace {
                name: "look-ups".to_owned(),
                error,
            }
        })?;
        let (causes, causes_read) = mpsc::channel(1);
        let escalation = Escalation::new(causes);
        let wiring = Wiring::new(&parts, escalation);
        let outcomes_done = wiring.start_dispatching(&parts);
        let senders = wiring.start_senders(&parts, pacings);
        wiring.start_reconciler(&parts, paces);
        wiring.start_control(&parts, control);
        Ok(Self {
            runtime: parts.runtime,
            journal: parts.journal,
            senders,
            causes: causes_read,
            outcomes_done,
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
    /// When the journal takes nothing more.
    pub async fn drain(mut self) -> Result<(), CommitError> {
        for sender in &self.senders {
            sender.tell(Close);
        }
        let looks = DRAIN.as_millis() / DRAIN_LOOK.as_millis();
        for _ in 0..looks {
            if self.journal.open_attempts().await?.is_empty() {
                break;
            }
            self.runtime.sleep(DRAIN_LOOK).await;
        }
        // The writer of outcomes has written all of those that were open.
        let _ = self.outcomes_done.try_recv();
        self.journal.checkpoint().await
    }
}

/// Attempts that a crash left open are unknown: the provider may have them or not.
async fn settle_open_attempts(parts: &NodeParts) -> Result<(), StartError> {
    let open = parts.journal.open_attempts().await?;
    if open.is_empty() {
        return Ok(());
    }
    tracing::warn!(
        attempts = open.len(),
        "attempts were open when the node stopped"
    );
    let at = parts.runtime.now();
    let rules = rules(parts);
    let changes = open.into_iter().map(|open| {
        let outcome = SubmitOutcome::Unknown {
            cause: "crash".to_owned(),
        };
        let then = rules.after(&outcome, &open.envelope, open.attempt.attempt, at, 0);
        let partition = parts.journal.partitions().of(open.attempt.message.slice());
        let attempt = open.attempt;
        (
            partition,
            Change::AttemptEnded {
                attempt,
                outcome,
                then,
                sent_at: None,
                at,
            },
        )
    });
    parts.journal.commit(changes.collect()).await?;
    Ok(())
}

/// A cursor over instants starts at the node's first start: nothing is due before it.
async fn open_due_cursors(parts: &NodeParts) -> Result<(), StartError> {
    let position = u64::try_from(parts.runtime.now().0).unwrap_or(1);
    let mut changes = Vec::new();
    for partition in parts.journal.partitions().all() {
        for source in DueKind::ALL.map(SourceId::Due) {
            let key = CommittedPosition::key_of(partition, &source);
            if parts.store.get::<CommittedPosition>(&key).await?.is_none() {
                changes.push((partition, Change::Advanced { source, position }));
            }
        }
    }
    if !changes.is_empty() {
        parts.journal.commit(changes).await?;
    }
    Ok(())
}

/// One pace for each provider account. An account that was written to shortly before
/// the start rests: its last texts count until they are a window old.
async fn pacings(parts: &NodeParts) -> Result<Vec<Pacing>, StartError> {
    let mut pacings = Vec::new();
    for account in &parts.providers {
        let pace = Pace::new(account.rate, account.burst).map_err(|error| StartError::Pace {
            name: account.name.clone(),
            error,
        })?;
        let (now, boot) = (parts.runtime.now(), parts.runtime.boot());
        let hold = pace.hold_micros(LARGEST_TEXT);
        let mut limiter = Limiter::new(pace, boot);
        let last = last_deadline(parts, account.id).await?;
        // The process that sent is gone, so its last text left before now; the deadline
        // is later than that only if the process died young.
        if last.0 + i64::try_from(hold).unwrap_or(i64::MAX) > now.0 {
            limiter.resume_after(boot, boot + hold);
        }
        pacings.push(Pacing::new(limiter, account.max_in_flight));
    }
    Ok(pacings)
}

/// Segments of the largest text there can be: 1,600 characters in UCS-2.
const LARGEST_TEXT: u32 = 24;

async fn last_deadline(
    parts: &NodeParts,
    provider: ProviderId,
) -> Result<schemas::UnixMicros, StoreError> {
    let mut last = schemas::UnixMicros::default();
    for partition in parts.journal.partitions().all() {
        let key = ProviderStamp::key_of(provider, partition);
        let stamp = parts.store.get::<ProviderStamp>(&key).await?;
        last = stamp.map_or(last, |stamp| last.max(stamp.latest_deadline));
    }
    Ok(last)
}

fn rules(parts: &NodeParts) -> OutcomeRules {
    OutcomeRules {
        retry: RetryPolicy::default(),
        receipts: receipt_schedule(parts),
        unknown: LookupSchedule::unknown_attempt(),
    }
}

fn receipt_schedule(parts: &NodeParts) -> LookupSchedule {
    if parts.receipts_come {
        LookupSchedule::receipts_expected()
    } else {
        LookupSchedule::no_receipts()
    }
}

/// What the parts of a node share.
struct Wiring {
    dispatcher: Post<Dispatcher>,
    escalation: Escalation,
    routing: Arc<Routing>,
    readers: Readers,
}

impl Wiring {
    fn new(parts: &NodeParts, escalation: Escalation) -> Self {
        let routing = Arc::new(Routing::new(&parts.providers));
        let readers = Readers {
            runtime: parts.runtime.clone(),
            store: parts.store.clone(),
            log: parts.log.clone(),
            journal: parts.journal.clone(),
            routing: Arc::clone(&routing),
        };
        Self {
            dispatcher: Post::default(),
            escalation,
            routing,
            readers,
        }
    }

    fn start_dispatching(&self, parts: &NodeParts) -> tokio::sync::oneshot::Receiver<()> {
        let (outcomes, ended) = mpsc::unbounded_channel();
        let writer = OutcomeWriter {
            runtime: parts.runtime.clone(),
            journal: parts.journal.clone(),
            rules: rules(parts),
            dispatcher: self.dispatcher.clone(),
            escalation: self.escalation.clone(),
        };
        let (done, outcomes_done) = tokio::sync::oneshot::channel();
        parts.runtime.spawn(async move {
            writer.run(ended).await;
            let _ = done.send(());
        });
        let dispatcher = DispatcherParts {
            readers: self.readers.clone(),
            beginner: Beginner {
                runtime: parts.runtime.clone(),
                journal: parts.journal.clone(),
                routing: Arc::clone(&self.routing),
                outcomes,
            },
            providers: parts.providers.iter().map(|account| account.id).collect(),
            escalation: self.escalation.clone(),
        };
        let spec = ChildSpec {
            name: "dispatcher".to_owned(),
            post: self.dispatcher.clone(),
            factory: Box::new(move |line| Dispatcher::new(dispatcher.clone(), line)),
        };
        supervise(&parts.runtime, self.escalation.clone(), spec);
        for class in MessageClass::ALL {
            self.watch_lane(parts, class);
        }
        outcomes_done
    }

    /// Tells the dispatcher of appended work.
    fn watch_lane(&self, parts: &NodeParts, class: MessageClass) {
        let mut appended = parts.log.appended(Topic::Work(class));
        let dispatcher = self.dispatcher.clone();
        parts.runtime.spawn(async move {
            while appended.changed().await.is_ok() {
                dispatcher.tell(WorkAppended(class));
            }
        });
    }

    fn start_senders(&self, parts: &NodeParts, pacings: Vec<Pacing>) -> Vec<Post<ProviderSender>> {
        let mut posts = Vec::new();
        for (index, (account, pacing)) in parts.providers.iter().zip(pacings).enumerate() {
            let sender = SenderParts {
                runtime: parts.runtime.clone(),
                account: Arc::clone(account),
                index,
                pacing,
                dispatcher: self.dispatcher.clone(),
            };
            let post = Post::default();
            let spec = ChildSpec {
                name: "provider_sender".to_owned(),
                post: post.clone(),
                factory: Box::new(move |line| ProviderSender::new(sender.clone(), line)),
            };
            supervise(&parts.runtime, self.escalation.clone(), spec);
            posts.push(post);
        }
        posts
    }

    fn start_reconciler(&self, parts: &NodeParts, paces: LookUpPaces) {
        let reconciler = ReconcilerParts {
            readers: self.readers.clone(),
            look_ups: LookUps {
                runtime: parts.runtime.clone(),
                store: parts.store.clone(),
                journal: parts.journal.clone(),
                accounts: parts.providers.clone().into(),
                paces,
                receipts: receipt_schedule(parts),
                unknown: LookupSchedule::unknown_attempt(),
            },
            escalation: self.escalation.clone(),
        };
        let spec = ChildSpec {
            name: "status_reconciler".to_owned(),
            post: Post::default(),
            factory: Box::new(move |line| StatusReconciler::new(reconciler.clone(), line)),
        };
        supervise(&parts.runtime, self.escalation.clone(), spec);
    }

    fn start_control(&self, parts: &NodeParts, mut control: Control) {
        let starter = Starter {
            coordinator: CoordinatorParts {
                runtime: parts.runtime.clone(),
                store: parts.store.clone(),
                journal: parts.journal.clone(),
                routing: Arc::clone(&self.routing),
                dispatcher: self.dispatcher.clone(),
                escalation: self.escalation.clone(),
                account: schemas::AccountId::from_bytes([0; 16]),
                campaign: schemas::CampaignId::from_bytes([0; 16]),
            },
            imports: parts.imports.clone(),
        };
        let watch = async move {
            let mut starts = control.under_way().await;
            loop {
                match starts {
                    Ok(starts) => starts.into_iter().for_each(|start| starter.start(start)),
                    Err(error) => return starter.coordinator.escalation.raise(error.to_string()),
                }
                starts = control.next().await;
            }
        };
        // Coordinators and importers live on this arbiter.
        #[allow(clippy::disallowed_methods)]
        actix::spawn(watch);
    }
}

struct Starter {
    coordinator: CoordinatorParts,
    imports: PathBuf,
}

impl Starter {
    fn start(&self, start: Start) {
        let shared = self.coordinator.clone();
        let (runtime, escalation) = (shared.runtime.clone(), shared.escalation.clone());
        match start {
            Start::Campaign(account, campaign) => {
                let parts = CoordinatorParts {
                    account,
                    campaign,
                    ..shared
                };
                let name = "campaign_coordinator";
                let build = move |line| CampaignCoordinator::new(parts.clone(), line);
                supervise(&runtime, escalation, child(name, build));
            }
            Start::Job(account, job) => {
                let parts = ImporterParts {
                    runtime: shared.runtime,
                    store: shared.store,
                    journal: shared.journal,
                    escalation: shared.escalation,
                    folder: self.imports.clone(),
                    account,
                    job,
                };
                let build = move |line| Importer::new(parts.clone(), line);
                supervise(&runtime, escalation, child("importer", build));
            }
        }
    }
}

fn child<A: Actor>(
    name: &str,
    factory: impl Fn(crate::supervision::Lifeline) -> A + 'static,
) -> ChildSpec<A> {
    ChildSpec {
        name: name.to_owned(),
        post: Post::default(),
        factory: Box::new(factory),
    }
}
