//! How the ranges of a process are served: each by a tree of its own, from when it has the turn of it.

use std::cell::{Cell, RefCell};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actors::import::Imports;
use actors::node::{Node, NodeParts};
use api::ownership::Ownership;
use engine::pacing::millionths;
use engine::provider::ProviderAccount;
use engine::retry::RetryPolicy;
use engine::runtime::Runtime;
use engine::storage::{Shared, Storage};
use futures::FutureExt;
use futures::future::{Either, select, select_all};
use tokio::sync::oneshot;

use super::not_opened;
use crate::simulation::Simulation;
use crate::simulation::life::Ending;
use crate::simulation::machine::Machine;

/// How long a process may take to see that its store has failed.
const NOTICES_WITHIN: Duration = Duration::from_secs(8);

/// How often whoever waits for the customers looks whether they are there.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// What every range of a process is served with.
pub(super) struct Work {
    pub(super) simulation: Rc<Simulation>,
    pub(super) machine: Arc<Machine>,
    pub(super) runtime: Runtime,
    pub(super) ownership: Ownership,
    pub(super) providers: Vec<Arc<ProviderAccount>>,
    pub(super) imports: Imports,
}

impl Work {
    /// Does something until it ends, or the process.
    pub(super) fn spawn(
        &self,
        ended: &Rc<RefCell<Option<Ending>>>,
        work: impl Future<Output = Ending> + 'static,
    ) {
        let (told, world) = (Rc::clone(ended), Arc::clone(&self.simulation.world));
        self.machine.start_local(async move {
            // A panic in the program's own task ends the program.
            let ending = AssertUnwindSafe(work).catch_unwind().await;
            let ending = ending.unwrap_or_else(|_| Ending::Failed("it panicked".to_owned()));
            told.borrow_mut().get_or_insert(ending);
            world.changed.notify_one();
        });
    }

    /// Serves a range until the end.
    pub(super) async fn serve(
        self: Rc<Self>,
        storage: Storage,
        drain: impl Future<Output = ()>,
    ) -> Ending {
        let mut closed = storage.closed.clone();
        let runtime = &self.runtime;
        let mut node = match Node::start(self.parts(&storage)).await {
            Ok(node) => node,
            Err(error) => return Ending::NotStarted(error.to_string()),
        };
        self.ownership.begins(&storage);
        let ending = {
            let failed = async { Some(Ending::Failed(node.failed().await)) };
            let store_failed = async {
                closed.wait().await;
                runtime.sleep(NOTICES_WITHIN).await;
                Some(Ending::NotNoticed)
            };
            let drained = drain.map(|()| None);
            let first = [
                failed.boxed_local(),
                store_failed.boxed_local(),
                drained.boxed_local(),
            ];
            select_all(first).await.0
        };
        match ending {
            Some(ending) => ending,
            None => match node.drain().await {
                Ok(()) => Ending::Drained,
                Err(error) => Ending::Failed(error.to_string()),
            },
        }
    }

    fn parts(&self, storage: &Storage) -> NodeParts {
        let plan = &self.simulation.plan;
        NodeParts {
            store: storage.store.patient(&self.runtime),
            log: storage.log.patient(&self.runtime),
            runtime: self.runtime.clone(),
            journal: storage.journal.clone(),
            providers: self.providers.clone(),
            retry: RetryPolicy {
                max_attempts: plan.max_attempts,
                first_delay: Duration::from_millis(plan.first_delay_ms),
                ..RetryPolicy::default()
            },
            receipts_come: plan.receipts_come,
            read_ahead: plan.read_ahead,
            imports: self.imports.clone(),
        }
    }

    /// Waits until the first owner has signed the customers up.
    async fn are_signed_up(&self) {
        while !self.simulation.are_signed_up() {
            self.runtime.sleep(LOOK_EVERY).await;
        }
    }

    /// It owns a range that is not the first: beside its own first, or beside another node's.
    fn owns_beside(&self, is_first: bool) {
        let simulation = &self.simulation;
        let name = if is_first {
            "a range was owned beside another"
        } else {
            "a range was owned beside another node"
        };
        simulation.tally.count(name);
        let now = simulation.time.now();
        simulation.begun.borrow_mut().push(now);
        if let Some(fleet) = simulation.fleet.as_ref().filter(|_| !is_first) {
            fleet.owns_beside(self.machine.life);
            let life = self.machine.life;
            simulation
                .story
                .tell(now, || format!("node {life} owns beside another"));
        }
    }
}

/// Serves every range whose turn it has until the end, as the program does: the first that fails
/// ends the process, and where all are to end in good order, all have to. Tells when it has the
/// turn of the first.
pub(super) async fn serve_all(
    work: Rc<Work>,
    shared: Shared,
    owns: oneshot::Sender<()>,
    drain: oneshot::Receiver<()>,
) -> Ending {
    let drain = drain.map(drop).shared();
    let is_first = Rc::new(Cell::new(false));
    let mut owns = Some(owns);
    let ranges = shared.ranges().map(|range| {
        let (work, shared, drain) = (Rc::clone(&work), shared.clone(), drain.clone());
        let (is_first, owns) = (Rc::clone(&is_first), owns.take());
        async move {
            let own = async {
                if owns.is_none() {
                    work.are_signed_up().await;
                }
                shared.own(range).await
            };
            let storage = match select(pin!(own), drain.clone()).await {
                Either::Left((Ok(storage), _)) => storage,
                Either::Left((Err(error), _)) => return Ending::NotStarted(not_opened(error)),
                Either::Right(_) => return Ending::Drained,
            };
            work.machine.has_taken_over();
            if let Some(owns) = owns {
                is_first.set(true);
                if let Err(cause) = sign_up(&work, &storage).await {
                    return Ending::NotStarted(cause);
                }
                let _ = owns.send(());
            } else {
                work.owns_beside(is_first.get());
            }
            work.serve(storage, drain).await
        }
        .boxed_local()
    });
    let mut left: Vec<_> = ranges.collect();
    loop {
        let (ending, _, others) = select_all(left).await;
        if ending != Ending::Drained || others.is_empty() {
            return ending;
        }
        left = others;
    }
}

/// Makes those of the customers' accounts and keys that no process before it made.
pub(super) async fn sign_up(work: &Work, storage: &Storage) -> Result<(), String> {
    let (simulation, runtime) = (&work.simulation, &work.runtime);
    // One before it may have died on the way.
    let known = simulation.customers.state().accounts.len();
    for (number, plan) in simulation.plan.accounts.iter().enumerate().skip(known) {
        let name = format!("customer {number}");
        let rate = plan.rate.map(millionths);
        let account = api::accounts::create_account(&storage.store, runtime, name, 1, rate).await;
        let account = account.map_err(|error| error.to_string())?.id;
        let key =
            api::accounts::create_key(&storage.store, runtime, account, "key".to_owned()).await;
        let (_, secret) = key
            .map_err(|error| error.to_string())?
            .expect("the account");
        let secret = secret.expose().to_owned();
        simulation
            .customers
            .state()
            .accounts
            .push((account, secret));
    }
    Ok(())
}
