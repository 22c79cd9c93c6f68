//! Servers in memory, for simulations of several nodes: what [`super::Deployment`] asks for,
//! with everything between a node and its servers left to a [`Network`].
//!
//! What is asked arrives some time after it was sent, whatever became of the node meanwhile, and
//! is done then: so what a dead or frozen node has sent can still come, behind what its successor
//! has done. An answer can be lost where the work is done. What was done is never lost, as it is
//! on servers that keep several copies.

mod journals;
mod state;
mod tables;
mod turn;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use schemas::{Partition, PartitionRange};

use self::state::State;
use self::turn::Membership;
use super::{Deployment, JournalSettings, Shared};
use crate::log::embedded::EmbeddedLog;
use crate::log::{Appended, Groups, Log, LogError, Turn};
use crate::runtime::Runtime;
use crate::store::cluster::{Tables, Waiting};
use crate::store::{MemoryKv, Store, StoreError};

/// What is asked of the servers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Request {
    /// A transaction over the journals.
    Commit,
    /// A row of the journals' owner.
    Put,
    /// A row that is written once or by condition, or an append to a log.
    Write,
    /// Rows or records.
    Read,
    /// To take the journals over.
    TakeOver,
    /// That old records are deleted.
    Trim,
}

/// The way of one request to the servers and back, in microseconds.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Trip {
    /// Until it is sent: until then it dies with its node.
    pub before: u64,
    /// From then until it arrives.
    pub there: u64,
    /// From then until its answer arrives.
    pub back: u64,
    /// Whether it does not arrive.
    pub is_lost: bool,
    /// Whether its answer does not.
    pub is_unanswered: bool,
}

/// What lies between one node and the servers.
pub trait Network: Send + Sync + 'static {
    /// The time that is the same for all, in microseconds.
    fn now(&self) -> u64;
    /// The way of the next request.
    fn trip(&self, request: Request) -> Trip;
    /// Whether the node is there: what falls with a process that died tells the servers nothing.
    fn is_up(&self) -> bool;
    /// The node has got its turn to own a range.
    fn has_turn(&self, range: PartitionRange);
    /// The node was told that another has taken over.
    fn is_fenced(&self);
}

/// Microseconds after which a request without an answer is given up.
const GIVEN_UP_AFTER: u64 = 1_500_000;

/// How often a request is sent that does not arrive, by those who know that it can be.
const ATTEMPTS: u32 = 2;

/// Servers that several nodes share. Clones are the same servers.
#[derive(Clone, Default)]
pub struct MemoryServers {
    state: Arc<Mutex<State>>,
}

impl MemoryServers {
    /// Empty ones.
    pub fn new() -> Self {
        Self::default()
    }

    /// Rows and logs as they are.
    pub fn rows(&self) -> MemoryKv {
        self.state().kv.clone()
    }

    /// Lets these ranges, by their places, go to another node than the first, if there is another.
    pub fn keep_apart(&self, places: impl IntoIterator<Item = u16>) {
        self.state().apart = places.into_iter().collect();
    }

    /// Whether somebody owns anything.
    pub fn is_owned(&self) -> bool {
        !self.state().owners.is_empty()
    }

    /// Lets everything arrive that is due.
    pub fn settle(&self, now: u64) {
        self.state().settle(now);
    }

    /// Everything as the next owners would find it: the journals, and the rows with those of the
    /// last group; and how many of these are not in their tables.
    ///
    /// # Errors
    /// When the journals cannot be read.
    pub fn image(&self, settings: JournalSettings) -> Result<(MemoryKv, u64), LogError> {
        self.state().image(settings)
    }

    /// What other systems were told of messages, in the order in which it was committed: the
    /// partition, the message and what it says.
    pub fn events(&self) -> Vec<(Partition, String, Vec<u8>)> {
        self.state().events.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for MemoryServers {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("MemoryServers")
    }
}

/// The servers as one node sees them.
#[derive(Clone)]
struct Node {
    servers: MemoryServers,
    network: Arc<dyn Network>,
    /// As long as it has a turn, or waits for one.
    member: Arc<Mutex<Weak<Membership>>>,
    runtime: Runtime,
}

/// The servers did not answer.
struct Away;

impl Away {
    const DETAIL: &'static str = "the servers do not answer";
}

impl From<Away> for StoreError {
    fn from(_: Away) -> Self {
        Self::Unavailable {
            detail: Away::DETAIL.to_owned(),
        }
    }
}

impl From<Away> for LogError {
    fn from(_: Away) -> Self {
        Self::Unavailable {
            detail: Away::DETAIL.to_owned(),
        }
    }
}

impl Node {
    /// Has the servers do something, and waits for what they answer. Should nobody wait any
    /// more, what was sent is done all the same.
    async fn ask<T: Send + 'static>(
        &self,
        request: Request,
        work: impl FnOnce(&mut State) -> T + Send + 'static,
    ) -> Result<T, Away> {
        let trip = self.network.trip(request);
        self.go(trip, work).await
    }

    /// As [`Node::ask`], but for clients that find out by themselves what became of a request
    /// that was not answered: one that did not arrive is sent again, and one that was done is
    /// read back. While the servers are away they cannot.
    async fn insist<T: Send + 'static>(
        &self,
        request: Request,
        work: impl FnOnce(&mut State) -> T + Send + 'static,
    ) -> Result<T, Away> {
        let mut trip = self.network.trip(request);
        for _ in 1..ATTEMPTS {
            if !trip.is_lost {
                break;
            }
            self.pause(GIVEN_UP_AFTER).await;
            trip = self.network.trip(request);
        }
        if trip.is_unanswered && !trip.is_lost {
            trip.back += GIVEN_UP_AFTER;
            trip.is_unanswered = false;
            let done = self.go(trip, work).await;
            let read_back = self.network.trip(Request::Read);
            return if read_back.is_lost { Err(Away) } else { done };
        }
        self.go(trip, work).await
    }

    async fn go<T: Send + 'static>(
        &self,
        trip: Trip,
        work: impl FnOnce(&mut State) -> T + Send + 'static,
    ) -> Result<T, Away> {
        self.pause(trip.before).await;
        let (sender, mut answer) = tokio::sync::oneshot::channel();
        if !trip.is_lost {
            let arrives = self.network.now() + trip.there;
            let work = move |state: &mut State| drop(sender.send(work(state)));
            self.servers.state().arrive_at(arrives, Box::new(work));
        }
        if trip.is_lost || trip.is_unanswered {
            self.pause(GIVEN_UP_AFTER).await;
            self.servers.settle(self.network.now());
            return Err(Away);
        }
        self.pause(trip.there).await;
        self.servers.settle(self.network.now());
        self.pause(trip.back).await;
        answer.try_recv().map_err(|_| Away)
    }

    async fn pause(&self, micros: u64) {
        if micros > 0 {
            self.runtime.sleep(Duration::from_micros(micros)).await;
        }
    }
}

impl Deployment for Node {
    fn turn(&self, range: PartitionRange) -> BoxFuture<'_, Result<Turn, LogError>> {
        turn::wait(self, range).boxed()
    }

    fn take_over(&self, range: PartitionRange) -> BoxFuture<'_, Result<Arc<dyn Groups>, LogError>> {
        async move {
            let journals = journals::take_over(self, range).await;
            Ok(Arc::new(journals) as Arc<dyn Groups>)
        }
        .boxed()
    }

    /// No folder is moved here.
    fn is_half_imported(&self) -> BoxFuture<'_, Result<bool, LogError>> {
        std::future::ready(Ok(false)).boxed()
    }

    fn tables(&self) -> Arc<dyn Tables> {
        Arc::new(self.clone())
    }

    fn waiting(&self) -> Waiting {
        Waiting::Never
    }
}

impl MemoryServers {
    /// Connects a node.
    pub fn connect(
        &self,
        network: Arc<dyn Network>,
        runtime: &Runtime,
        settings: JournalSettings,
    ) -> Shared {
        let node = Node {
            servers: self.clone(),
            network,
            member: Arc::default(),
            runtime: runtime.clone(),
        };
        let appended = Arc::new(Appended::new());
        let (kv, operations) = tables::shared(&node, &appended);
        let store = Store::over(Arc::clone(&kv), operations.clone(), runtime);
        let log = EmbeddedLog::new(kv, operations, runtime.clone(), appended);
        let shared = (store, Log::embedded(log));
        Shared::new(Arc::new(node), shared, runtime, settings)
    }
}
