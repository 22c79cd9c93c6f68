//! Supervision: a child that fails is built anew by its factory.
//!
//! actix restarts nothing after a panic; the address just answers `Closed`. So every
//! child holds a [`Lifeline`], which tells its supervisor when it is dropped without
//! having been finished. The supervisor waits a delay that doubles with each failure
//! and builds the child again. When the restarts in a window use up the budget, it depends
//! on the child. Where the node is nothing without it, the whole node stops with a cause,
//! so that an operator is called and a fresh process starts from the journal. One campaign
//! or import is put aside instead, for as long as a window: others must not suffer for it,
//! and if it was not its own fault, it goes on by itself.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use actix::prelude::*;
use engine::runtime::{BootMicros, Runtime};
use futures::FutureExt;
use tokio::task::JoinHandle;

use crate::instruments::{PUT_ASIDE, RESTARTS};

/// How often and how fast a child is built again.
#[derive(Debug, Clone, Copy)]
pub struct RestartPolicy {
    /// Before the first restart in a window.
    pub first_delay: Duration,
    /// The delay doubles up to this.
    pub max_delay: Duration,
    /// Restarts allowed within [`RestartPolicy::window`].
    pub budget: usize,
    /// How long a restart counts.
    pub window: Duration,
    /// What becomes of a child whose budget is used up.
    pub spent: Spent,
}

/// What becomes of a child that failed too often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spent {
    /// The node stops.
    StopNode,
    /// It is left alone for a window, then it has a new budget.
    PutAside,
}

impl RestartPolicy {
    /// For one campaign or import: three attempts in five minutes, with 500 ms and 1 s between
    /// them, in which what has befallen the whole process may pass.
    pub fn of_work() -> Self {
        Self {
            first_delay: Duration::from_millis(500),
            budget: 2,
            spent: Spent::PutAside,
            ..Self::default()
        }
    }
}

impl Default for RestartPolicy {
    /// 100 ms doubling to 5 s; ten restarts in five minutes. A child that fails more
    /// often fails for a reason that another restart does not mend.
    fn default() -> Self {
        Self {
            first_delay: Duration::from_millis(100),
            max_delay: Duration::from_secs(5),
            budget: 10,
            window: Duration::from_secs(300),
            spent: Spent::StopNode,
        }
    }
}

/// The restarts of one child.
#[derive(Debug)]
pub struct Restarts {
    policy: RestartPolicy,
    recent: VecDeque<BootMicros>,
}

impl Restarts {
    /// None yet.
    pub fn new(policy: RestartPolicy) -> Self {
        Self {
            policy,
            recent: VecDeque::new(),
        }
    }

    /// How long to wait before the next restart, or `None` when the budget is used up.
    pub fn next(&mut self, now: BootMicros) -> Option<Duration> {
        let window = u64::try_from(self.policy.window.as_micros()).unwrap_or(u64::MAX);
        while self
            .recent
            .front()
            .is_some_and(|at| now.saturating_sub(*at) >= window)
        {
            self.recent.pop_front();
        }
        if self.recent.len() >= self.policy.budget {
            return None;
        }
        let doublings = u32::try_from(self.recent.len()).unwrap_or(u32::MAX).min(16);
        self.recent.push_back(now);
        Some((self.policy.first_delay * 2_u32.pow(doublings)).min(self.policy.max_delay))
    }
}

/// Held by a child; tells the supervisor when the child is gone.
#[derive(Debug)]
pub struct Lifeline {
    generation: u64,
    ended: tokio::sync::mpsc::Sender<Ended>,
    finished: bool,
}

#[derive(Debug)]
struct Ended {
    generation: u64,
    finished: bool,
}

impl Lifeline {
    /// The child has done what it was for: it shall not be built again.
    pub fn finish(&mut self) {
        self.finished = true;
    }
}

impl Drop for Lifeline {
    fn drop(&mut self) {
        let ended = Ended {
            generation: self.generation,
            finished: self.finished,
        };
        // One slot a generation and one generation at a time: there is room.
        let _ = self.ended.try_send(ended);
    }
}

/// Where a child can be reached now. It changes with each restart.
pub struct Post<A: Actor> {
    address: Arc<RwLock<Option<Addr<A>>>>,
}

impl<A: Actor> Clone for Post<A> {
    fn clone(&self) -> Self {
        Self {
            address: Arc::clone(&self.address),
        }
    }
}

impl<A: Actor> Default for Post<A> {
    fn default() -> Self {
        Self {
            address: Arc::new(RwLock::new(None)),
        }
    }
}

impl<A: Actor> Post<A> {
    /// The child's address, while it lives.
    pub fn address(&self) -> Option<Addr<A>> {
        self.address
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Sends without waiting; tells whether the mailbox took it. A child that is being
    /// built again takes nothing: whoever sends must be able to say it again.
    pub fn tell<M>(&self, message: M) -> bool
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<M>,
        A::Context: actix::dev::ToEnvelope<A, M>,
    {
        self.address()
            .is_some_and(|address| address.try_send(message).is_ok())
    }

    fn set(&self, address: Option<Addr<A>>) {
        *self.address.write().unwrap_or_else(PoisonError::into_inner) = address;
    }
}

/// What a supervisor needs to know of a child.
pub struct ChildSpec<A: Actor> {
    /// Its name in logs.
    pub name: String,
    /// Where it can be reached.
    pub post: Post<A>,
    /// How often it is built again.
    pub policy: RestartPolicy,
    /// Builds it.
    pub factory: Box<dyn Fn(Lifeline) -> A>,
}

/// Told when a child's restart budget is used up.
#[derive(Clone, Debug)]
pub struct Escalation(tokio::sync::mpsc::Sender<String>);

impl Escalation {
    /// A task without which the node cannot go on, and which nobody builds anew.
    pub fn guard<F: Future<Output = ()>>(
        &self,
        name: &'static str,
        task: F,
    ) -> impl Future<Output = ()> + use<F> {
        let escalation = self.clone();
        async move {
            if AssertUnwindSafe(task).catch_unwind().await.is_err() {
                escalation.raise(format!("{name} panicked"));
            }
        }
    }

    /// Escalates over this channel; the node stops at the first cause.
    pub fn new(causes: tokio::sync::mpsc::Sender<String>) -> Self {
        Self(causes)
    }

    /// Stops the node.
    pub fn raise(&self, cause: String) {
        // Only the first cause is read; a full channel holds one already.
        let _ = self.0.try_send(cause);
    }
}

/// A task of an actor panicked. The actor waits for what the task was to tell it, so it
/// must be built anew.
#[derive(Message)]
#[rtype(result = "()")]
pub struct TaskPanicked;

/// Starts a task that an actor waits for; it is to be built anew when the task panics.
pub fn spawn_for<A>(
    runtime: &Runtime,
    actor: Addr<A>,
    task: impl Future<Output = ()> + Send + 'static,
) where
    A: Actor<Context = Context<A>> + Handler<TaskPanicked>,
{
    runtime.spawn(async move {
        // What the task held is dropped with it; what it shared stands behind locks whose
        // holders leave nothing half-done.
        if AssertUnwindSafe(task).catch_unwind().await.is_err() {
            // An actor that has ended already waits for nothing.
            let _ = actor.send(TaskPanicked).await;
        }
    });
}

/// Starts a child on the current arbiter and keeps it alive until it finishes. What is
/// returned tells when that is; dropping it changes nothing.
pub fn supervise<A>(runtime: &Runtime, escalation: Escalation, spec: ChildSpec<A>) -> JoinHandle<()>
where
    A: Actor<Context = Context<A>>,
{
    let runtime = runtime.clone();
    let guard = escalation.clone();
    let watch = async move {
        let mut restarts = Restarts::new(spec.policy);
        for generation in 0_u64.. {
            let (ended, mut ends) = tokio::sync::mpsc::channel(1);
            let lifeline = Lifeline {
                generation,
                ended,
                finished: false,
            };
            spec.post.set(Some((spec.factory)(lifeline).start()));
            let end = ends.recv().await;
            spec.post.set(None);
            if end.is_some_and(|end| end.finished && end.generation == generation) {
                return;
            }
            metrics::counter!(RESTARTS, "actor" => spec.name.clone()).increment(1);
            let delay = match (restarts.next(runtime.boot()), spec.policy.spent) {
                (Some(delay), _) => delay,
                (None, Spent::StopNode) => {
                    escalation.raise(format!("{} failed too often", spec.name));
                    return;
                }
                (None, Spent::PutAside) => {
                    metrics::counter!(PUT_ASIDE, "actor" => spec.name.clone()).increment(1);
                    restarts = Restarts::new(spec.policy);
                    spec.policy.window
                }
            };
            tracing::error!(
                actor = spec.name,
                ?delay,
                "an actor failed and is built again"
            );
            runtime.sleep(delay).await;
        }
    };
    // Actors live on the arbiter that supervises them.
    #[allow(clippy::disallowed_methods)]
    actix::spawn(guard.guard("a supervisor", watch))
}

#[cfg(test)]
mod tests;
