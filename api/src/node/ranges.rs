//! The ranges of partitions that a node on servers owns. Each has a tree of actors of its own, on an
//! arbiter of its own, so that it can be given back to another node while the others go on.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;

use actix::{Arbiter, System};
use actors::node::{DrainError, Node};
use engine::runtime::{Runtime, Scope};
use engine::storage::{Shared, Storage};
use futures::FutureExt;
use futures::future::{Either, select, select_all};
use schemas::PartitionRange;
use tokio::sync::{mpsc, oneshot, watch};

use super::{MakeParts, StartError};
use crate::ownership::Ownership;

/// Why nothing more is done for a range.
#[derive(Debug, thiserror::Error)]
pub(super) enum RangeError {
    /// It cannot be taken over.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A part of its tree failed for good.
    #[error("{0}")]
    Failed(String),
    /// It did not end in good order.
    #[error(transparent)]
    Drain(#[from] DrainError),
}

/// All ranges of a deployment, of which this node owns some or none, or waits for them.
pub(super) struct Ranges {
    stop: watch::Sender<bool>,
    /// What each came to; as many as there are ranges.
    ended: mpsc::Receiver<Result<(), RangeError>>,
}

/// One of them, as this node works on it.
#[derive(Clone)]
struct Work {
    range: PartitionRange,
    shared: Shared,
    runtime: Runtime,
    ownership: Ownership,
    make: MakeParts,
    /// Whose arbiters the actors live on.
    system: System,
    stopped: watch::Receiver<bool>,
}

impl Ranges {
    /// Waits for the turn of every range, and until there was one.
    ///
    /// # Errors
    /// [`StartError`] when the first that it owns cannot be started; [`StartError::Stopped`] when
    /// `stop` comes before.
    pub(super) async fn begin(
        shared: &Shared,
        runtime: &Runtime,
        ownership: &Ownership,
        make: MakeParts,
        stop: impl Future<Output = ()>,
    ) -> Result<Self, StartError> {
        let (stopper, stopped) = watch::channel(false);
        let (began, mut begins) = mpsc::channel(1);
        let (end, ended) = mpsc::channel(1);
        for range in shared.ranges() {
            let work = Work {
                range,
                shared: shared.clone(),
                runtime: runtime.clone(),
                ownership: ownership.clone(),
                make: Arc::clone(&make),
                system: System::current(),
                stopped: stopped.clone(),
            };
            let (began, end) = (began.clone(), end.clone());
            runtime.spawn(async move {
                let done = AssertUnwindSafe(work.run(&began)).catch_unwind().await;
                let panicked = |_| Err(RangeError::Failed("it panicked".to_owned()));
                let done = done.unwrap_or_else(panicked);
                // Nobody listens where the process ends.
                let _ = end.send(done).await;
            });
        }
        let mut ranges = Self {
            stop: stopper,
            ended,
        };
        // What is left to hear comes from them.
        drop((began, end));
        let heard = {
            let (begun, stops) = (pin!(begins.recv()), pin!(stop));
            match select(select(begun, stops), pin!(ranges.ended.recv())).await {
                Either::Left((Either::Left(_), _)) => Ok(()),
                Either::Left((Either::Right(_), _)) => Err(StartError::Stopped),
                Either::Right((Some(Err(RangeError::Start(error))), _)) => Err(error),
                Either::Right((ended, _)) => Err(StartError::Range(words(ended))),
            }
        };
        let Err(heard) = heard else {
            return Ok(ranges);
        };
        // A turn may have come just now.
        if let Err(error) = ranges.stop().await {
            tracing::warn!(%error, "a range did not end in good order");
        }
        Err(heard)
    }

    /// Waits until the node must stop by itself, and tells why.
    pub(super) async fn failed(&mut self) -> String {
        words(self.ended.recv().await)
    }

    /// Gives all ranges back, with what is in flight ended.
    ///
    /// # Errors
    /// The first that did not end in good order.
    pub(super) async fn stop(mut self) -> Result<(), RangeError> {
        self.stop.send_replace(true);
        let mut all = Ok(());
        while let Some(ended) = self.ended.recv().await {
            all = all.and(ended);
        }
        all
    }
}

fn words(ended: Option<Result<(), RangeError>>) -> String {
    match ended {
        Some(Err(error)) => error.to_string(),
        Some(Ok(())) | None => "the node has ended".to_owned(),
    }
}

impl Work {
    /// Takes the range over again and again, until the node stops.
    async fn run(mut self, began: &mpsc::Sender<()>) -> Result<(), RangeError> {
        loop {
            let mut stopped = self.stopped.clone();
            let stops = pin!(stopped.wait_for(|stopped| *stopped));
            let storage = match select(pin!(self.shared.own(self.range)), stops).await {
                Either::Left((storage, _)) => storage.map_err(StartError::from)?,
                Either::Right(_) => return Ok(()),
            };
            let tree = Tree::start(&self, &storage).await?;
            self.ownership.begins(&storage);
            // The first is waited for, and nobody for the others.
            let _ = began.try_send(());
            let ended = self.own(tree, &storage).await;
            self.ownership.ends(self.range);
            ended?;
            storage.give_back(&self.runtime).await;
            if *self.stopped.borrow() {
                return Ok(());
            }
            tracing::info!(range = self.range.place(), "a range was given back");
        }
    }

    /// Owns until the range is wanted back, or the node stops.
    async fn own(&mut self, tree: Tree, storage: &Storage) -> Result<(), RangeError> {
        let mut tree = tree;
        let wanted_back = async {
            match &storage.turn {
                Some(turn) => turn.wanted_back().await,
                None => std::future::pending().await,
            }
        };
        let stopped = self.stopped.wait_for(|stopped| *stopped).map(drop);
        let ends = [wanted_back.boxed(), stopped.boxed()];
        match select(pin!(tree.failed()), select_all(ends)).await {
            Either::Left((cause, _)) => return Err(RangeError::Failed(cause)),
            Either::Right(_) => {}
        }
        Ok(tree.end().await?)
    }
}

/// The actors of a range, on an arbiter of their own.
struct Tree {
    /// Ends it in good order.
    end: Option<oneshot::Sender<()>>,
    /// How it ended, or failed.
    ended: oneshot::Receiver<Result<(), RangeError>>,
    arbiter: Arbiter,
    /// All its tasks end with it.
    _scope: Scope,
}

impl Tree {
    async fn start(work: &Work, storage: &Storage) -> Result<Self, StartError> {
        let (scoped, scope) = work.runtime.scope();
        let parts = (work.make)(storage, scoped);
        let (end, ends) = oneshot::channel();
        let (tell, ended) = oneshot::channel();
        let (starting, started) = oneshot::channel();
        // An arbiter is made by a thread of its system.
        System::set_current(work.system.clone());
        let arbiter = Arbiter::new();
        arbiter.spawn_fn(move || {
            // The actors live there, and so does who starts and ends them.
            #[allow(clippy::disallowed_methods)]
            actix::spawn(async move {
                match Node::start(parts).await {
                    Ok(node) => {
                        let _ = starting.send(Ok(()));
                        let _ = tell.send(live(node, ends).await);
                    }
                    Err(error) => drop(starting.send(Err(error))),
                }
            });
        });
        let tree = Self {
            end: Some(end),
            ended,
            arbiter,
            _scope: scope,
        };
        match started.await {
            Ok(Ok(())) => Ok(tree),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(StartError::Range("its start panicked".to_owned())),
        }
    }

    /// Waits until it must end, and tells why.
    async fn failed(&mut self) -> String {
        match (&mut self.ended).await {
            Ok(Err(error)) => error.to_string(),
            Ok(Ok(())) => "it has ended".to_owned(),
            Err(_) => "it panicked".to_owned(),
        }
    }

    /// Lets what is in flight end.
    async fn end(mut self) -> Result<(), DrainError> {
        if let Some(end) = self.end.take() {
            let _ = end.send(());
        }
        match (&mut self.ended).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(RangeError::Drain(error))) => Err(error),
            Ok(Err(error)) => Err(DrainError::Failed(error.to_string())),
            Err(_) => Err(DrainError::Failed("it panicked".to_owned())),
        }
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        self.arbiter.stop();
    }
}

/// Lets a node run until it fails or is to end.
async fn live(mut node: Node, ends: oneshot::Receiver<()>) -> Result<(), RangeError> {
    let cause = match select(pin!(node.failed()), ends).await {
        Either::Left((cause, _)) => Some(cause),
        Either::Right(_) => None,
    };
    match cause {
        Some(cause) => Err(RangeError::Failed(cause)),
        None => Ok(node.drain().await?),
    }
}
