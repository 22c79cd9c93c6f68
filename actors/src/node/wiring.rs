//! How the parts of a node know each other.

use std::sync::Arc;
use std::time::Duration;

use engine::dispatch::chunks::Chunks;
use engine::dispatch::outcome::OutcomeRules;
use engine::dispatch::routing::Routing;
use engine::log::Topic;
use engine::pacing::LookupSchedule;
use schemas::MessageClass;
use schemas::provider::ProviderOrder;
use tokio::sync::{Semaphore, mpsc};

use super::NodeParts;
use super::starter::Starter;
use crate::campaign::coordinator::{CoordinatorParts, FREEZING};
use crate::control::{Control, ControlError, News};
use crate::dispatch::begin::{Beginner, Gate};
use crate::dispatch::dispatcher::{Dispatcher, DispatcherParts};
use crate::dispatch::holds::Holds;
use crate::dispatch::messages::{Weighed, WorkAppended};
use crate::dispatch::outcomes::OutcomeWriter;
use crate::dispatch::source::Readers;
use crate::provider::health::HealthWriter;
use crate::provider::pacing::Pacing;
use crate::provider::resting::Resting;
use crate::provider::sender::{ProviderSender, SenderParts};
use crate::receipt::callbacks::CallbackReader;
use crate::receipt::look_up::{LookUpPaces, LookUps};
use crate::receipt::reconciler::{ReconcilerParts, StatusReconciler};
use crate::shares::divider::Divider;
use crate::supervision::{ChildSpec, Escalation, Post, RestartPolicy, supervise};

/// What follows from outcomes, as the settings have it.
pub(super) fn rules(parts: &NodeParts) -> OutcomeRules {
    OutcomeRules {
        retry: parts.retry,
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

/// How often the orders to provider accounts are read: they hold within a second.
const READ_ORDERS_EVERY: Duration = Duration::from_millis(500);

/// What the parts of a node share.
pub(super) struct Wiring {
    /// Who gives work out.
    dispatcher: Post<Dispatcher>,
    /// Where attempts begin.
    pub(super) gate: Arc<Gate>,
    escalation: Escalation,
    routing: Arc<Routing>,
    readers: Readers,
    holds: Holds,
    resting: Resting,
}

impl Wiring {
    /// Nothing runs yet.
    pub(super) fn new(
        parts: &NodeParts,
        routing: Arc<Routing>,
        escalation: Escalation,
        holds: Holds,
        resting: Resting,
    ) -> Self {
        let readers = Readers {
            runtime: parts.runtime.clone(),
            store: parts.store.clone(),
            log: parts.log.clone(),
            journal: parts.journal.clone(),
            routing: Arc::clone(&routing),
            chunks: Chunks::of(parts.store.clone()),
        };
        Self {
            dispatcher: Post::default(),
            gate: Arc::default(),
            escalation,
            routing,
            readers,
            holds,
            resting,
        }
    }

    /// Starts the dispatcher and who writes outcomes down.
    pub(super) fn start_dispatching(&self, parts: &NodeParts, pacings: &[Pacing]) {
        let (outcomes, ended) = mpsc::unbounded_channel();
        let writer = OutcomeWriter {
            runtime: parts.runtime.clone(),
            journal: parts.journal.clone(),
            rules: rules(parts),
            dispatcher: self.dispatcher.clone(),
            escalation: self.escalation.clone(),
        };
        let writer = writer.run(ended);
        parts
            .runtime
            .spawn(self.escalation.guard("the writer of outcomes", writer));
        let dispatcher = DispatcherParts {
            readers: self.readers.clone(),
            beginner: Beginner {
                runtime: parts.runtime.clone(),
                journal: parts.journal.clone(),
                routing: Arc::clone(&self.routing),
                outcomes,
                gate: Arc::clone(&self.gate),
            },
            holds: self.holds.clone(),
            providers: parts.providers.iter().map(|account| account.id).collect(),
            resting: self.resting.clone(),
            read_ahead: parts.read_ahead,
            pacings: pacings.into(),
            escalation: self.escalation.clone(),
        };
        let spec = ChildSpec {
            name: "dispatcher".to_owned(),
            post: self.dispatcher.clone(),
            policy: RestartPolicy::default(),
            factory: Box::new(move |line| Dispatcher::new(dispatcher.clone(), line)),
        };
        supervise(&parts.runtime, self.escalation.clone(), spec);
        for class in MessageClass::ALL {
            self.watch_lane(parts, class);
        }
    }

    /// Tells the dispatcher of appended work.
    fn watch_lane(&self, parts: &NodeParts, class: MessageClass) {
        let mut appended = parts.log.appended(Topic::Work(class));
        let dispatcher = self.dispatcher.clone();
        let watch = async move {
            while appended.changed().await.is_ok() {
                dispatcher.tell(WorkAppended(class));
            }
        };
        parts
            .runtime
            .spawn(self.escalation.guard("the watch of a lane", watch));
    }

    /// Starts a sender for each provider account.
    pub(super) fn start_senders(
        &self,
        parts: &NodeParts,
        pacings: Vec<Pacing>,
    ) -> Vec<Post<ProviderSender>> {
        let mut posts = Vec::new();
        for (index, (account, pacing)) in parts.providers.iter().zip(pacings).enumerate() {
            let sender = SenderParts {
                runtime: parts.runtime.clone(),
                account: Arc::clone(account),
                index,
                pacing,
                dispatcher: self.dispatcher.clone(),
                journal: parts.journal.clone(),
            };
            let post = Post::default();
            let spec = ChildSpec {
                name: "provider_sender".to_owned(),
                post: post.clone(),
                policy: RestartPolicy::default(),
                factory: Box::new(move |line| ProviderSender::new(sender.clone(), line)),
            };
            supervise(&parts.runtime, self.escalation.clone(), spec);
            posts.push(post);
        }
        posts
    }

    /// Starts who asks for receipts that do not come.
    pub(super) fn start_reconciler(&self, parts: &NodeParts, paces: LookUpPaces) {
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
            policy: RestartPolicy::default(),
            factory: Box::new(move |line| StatusReconciler::new(reconciler.clone(), line)),
        };
        supervise(&parts.runtime, self.escalation.clone(), spec);
    }

    /// Starts who commits what other nodes are told.
    pub(super) fn start_callbacks(&self, parts: &NodeParts, reader: CallbackReader) {
        let reader = reader.run(self.escalation.clone());
        let reader = self.escalation.guard("the reader of callbacks", reader);
        parts.runtime.spawn(reader);
    }

    /// Starts who writes down how provider accounts do: of several owners the first, as it finds
    /// them.
    pub(super) fn start_health(&self, parts: &NodeParts, pacings: Vec<Pacing>) {
        if parts.journal.range().place() > 0 {
            return;
        }
        let (runtime, store) = (parts.runtime.clone(), parts.store.clone());
        let accounts = parts.providers.iter().cloned().zip(pacings);
        let writer = HealthWriter::new((runtime, store), accounts, self.escalation.clone());
        let writer = self.escalation.guard("the writer of health", writer.run());
        parts.runtime.spawn(writer);
    }

    /// Starts who reads what operators order of provider accounts.
    pub(super) fn start_orders(&self, parts: &NodeParts, pacings: Vec<Pacing>) {
        let (runtime, store) = (parts.runtime.clone(), parts.store.clone());
        let accounts = parts.providers.iter().cloned();
        let mut accounts: Vec<_> = accounts.zip(pacings).map(|pair| (pair, None)).collect();
        let (escalation, shares) = (self.escalation.clone(), self.holds.shares().clone());
        let watch = async move {
            loop {
                for (index, ((account, pacing), obeyed)) in accounts.iter_mut().enumerate() {
                    let key = ProviderOrder::key_of(account.id);
                    match store.get::<ProviderOrder>(&key).await {
                        Ok(order) => {
                            let order = order.unwrap_or_else(|| ProviderOrder::none(account.id));
                            if *obeyed == Some(order.version) {
                                continue;
                            }
                            let version = order.version;
                            if let Some(rate) = pacing.obey(&order, account) {
                                shares.set_provider(index, account, rate);
                            }
                            // What was ordered before this process began is nothing new.
                            if obeyed.replace(version).is_some() {
                                pacing.ordered(runtime.boot());
                            }
                        }
                        Err(error) => return escalation.raise(error.to_string()),
                    }
                }
                runtime.sleep(READ_ORDERS_EVERY).await;
            }
        };
        parts
            .runtime
            .spawn(self.escalation.guard("the reader of orders", watch));
    }

    /// Starts who divides limits with other owners.
    pub(super) fn start_dividing(&self, parts: &NodeParts) {
        if !self.holds.shares().is_divided() {
            return;
        }
        let divider = Divider {
            runtime: parts.runtime.clone(),
            store: parts.store.clone(),
            journal: parts.journal.clone(),
            shares: self.holds.shares().clone(),
        };
        let escalation = self.escalation.clone();
        let divide = async move {
            if let Err(error) = divider.run().await {
                escalation.raise(error.to_string());
            }
        };
        let divide = self.escalation.guard("the divider of limits", divide);
        parts.runtime.spawn(divide);
    }

    /// Starts campaigns and imports, those under way and those to come.
    pub(super) fn start_control(&self, parts: &NodeParts, mut control: Control, under_way: News) {
        let shared = CoordinatorParts {
            runtime: parts.runtime.clone(),
            store: parts.store.clone(),
            journal: parts.journal.clone(),
            routing: Arc::clone(&self.routing),
            dispatcher: self.dispatcher.clone(),
            holds: self.holds.clone(),
            freezing: Arc::new(Semaphore::new(FREEZING)),
            resting: self.resting.clone(),
            escalation: self.escalation.clone(),
            account: schemas::AccountId::from_bytes([0; 16]),
            campaign: schemas::CampaignId::from_bytes([0; 16]),
        };
        let mut starter = Starter::new(shared, parts.imports.clone());
        let (dispatcher, escalation) = (self.dispatcher.clone(), self.escalation.clone());
        let watch = async move {
            let mut news: Result<_, ControlError> = Ok(under_way);
            loop {
                match news {
                    Ok(News { starts, accounts }) => {
                        for account in &accounts {
                            dispatcher.tell(Weighed::of(account));
                        }
                        starts.into_iter().for_each(|start| starter.start(start));
                    }
                    Err(error) => return escalation.raise(error.to_string()),
                }
                news = control.next().await;
            }
        };
        // Coordinators and importers live on this arbiter.
        #[allow(clippy::disallowed_methods)]
        actix::spawn(self.escalation.guard("the control", watch));
    }
}
