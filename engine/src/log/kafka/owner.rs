//! Whose turn it is: of all nodes of a deployment one owns the journals, the others wait.
//!
//! The nodes are one consumer group on a topic with one partition and no records: who is
//! assigned the partition owns. Kafka takes it from a node that has been silent for a session
//! and gives it to another; a node that ends in good order leaves at once. Members that join
//! take nothing from who has it: partitions are assigned stickily.
//!
//! It only keeps nodes out of each other's way. What makes two owners impossible is the
//! transactional id of [`super::groups`]: who opens the journals fences whoever had them, and a
//! node that slept through its session can commit nothing when it wakes. Nor can it submit: the
//! deadline of an attempt is shorter than a session.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use schemas::PartitionCount;
use tokio::sync::oneshot;

use super::KafkaLogSettings;
use super::client::{Kafka, Listener};
use super::members::{self, Nodes};
use super::topics::{ensure_kept, owner_name};
use crate::log::LogError;
use crate::runtime::Runtime;

/// How long an owner may be silent: the shortest that brokers allow by default, and longer than
/// the deadline of an attempt.
const SESSION: Duration = Duration::from_secs(6);

/// How long is waited until the group was left.
const LEAVE_WITHIN: Duration = Duration::from_secs(2);

/// How often it is looked whether the partition is ours.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// After so many looks it is asked who is there: each time three questions for the brokers, once a
/// second from each node.
const ASK_AFTER: u64 = 10;

/// And after so many when there was no answer: the library keeps half an answer for good.
const ASK_AFTER_FAILURE: u64 = 100;

/// Milliseconds after which the client asks which brokers there are.
pub(super) const REFRESHED_EVERY_MS: &str = "5000";

const OWNS: &str = "volley_owns_journals";

/// This node as a member that owns. Dropped, it has left.
#[derive(Debug)]
pub(crate) struct Membership {
    ended: Arc<AtomicBool>,
    /// Disconnected when the group was left.
    left: Mutex<Receiver<()>>,
}

impl Membership {
    /// Waits until it is this node's turn. From now on `nodes` is told who else is there.
    ///
    /// # Errors
    /// [`LogError::Unavailable`] while Kafka does not answer, [`LogError::Backend`] when it
    /// refuses.
    pub(crate) async fn wait(
        settings: &KafkaLogSettings,
        nodes: &Nodes,
        runtime: &Runtime,
    ) -> Result<Self, LogError> {
        metrics::describe_gauge!(
            OWNS,
            "Whether this node owns the journals: 1, or waits for its turn: 0."
        );
        tell(false);
        let kafka = Arc::new(Kafka::new(settings, runtime)?);
        let topic: Arc<str> = owner_name(settings).into();
        ensure_kept(&kafka, settings, &topic, PartitionCount::ONE).await?;
        let consumer = consumer(&kafka, &topic, nodes)?;
        let (sender, owned) = oneshot::channel();
        let (leaving, left) = channel();
        let turn = Self {
            ended: Arc::default(),
            left: Mutex::new(left),
        };
        let follower = Follower {
            consumer,
            group: topic,
            nodes: nodes.clone(),
            ended: Arc::clone(&turn.ended),
        };
        runtime.spawn_dedicated("owner", async move {
            if follower.wait(sender) {
                follower.stay();
            }
            tell(false);
            // It leaves the group.
            drop(follower);
            drop(leaving);
        });
        owned.await.map_err(|_| LogError::Closed)?;
        Ok(turn)
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        let left = self.left.get_mut().unwrap_or_else(PoisonError::into_inner);
        // Who ends before the group was left lets the others wait for a session.
        let _ = left.recv_timeout(LEAVE_WITHIN);
    }
}

fn consumer(kafka: &Kafka, topic: &str, nodes: &Nodes) -> Result<BaseConsumer<Listener>, LogError> {
    let mut config = kafka.config();
    config
        .set("group.id", topic)
        .set("session.timeout.ms", SESSION.as_millis().to_string())
        .set("heartbeat.interval.ms", "1000")
        .set("partition.assignment.strategy", "cooperative-sticky")
        // Who is asked which nodes there are must not be a broker that is long gone.
        .set("topic.metadata.refresh.interval.ms", REFRESHED_EVERY_MS)
        .set("enable.auto.commit", "false")
        .set("client.id", &nodes.this);
    let consumer: BaseConsumer<Listener> = config
        .create_with_context(Listener)
        .map_err(|error| kafka.failed(&error))?;
    let subscribed = consumer.subscribe(&[topic]);
    subscribed.map_err(|error| kafka.failed(&error))?;
    Ok(consumer)
}

fn tell(is_ours: bool) {
    metrics::gauge!(OWNS).set(f64::from(u8::from(is_ours)));
}

/// A member of the group, on a thread of its own. All of it blocks.
struct Follower {
    consumer: BaseConsumer<Listener>,
    group: Arc<str>,
    /// Told who the others are.
    nodes: Nodes,
    ended: Arc<AtomicBool>,
}

impl Follower {
    /// Waits for the turn; false when nobody waits for it any more.
    fn wait(&self, owned: oneshot::Sender<()>) -> bool {
        let mut asking = Asking::default();
        let mut was_told = false;
        while !self.is_ours() {
            if !std::mem::replace(&mut was_told, true) {
                tracing::info!("waiting for the journals, which another node may own");
            }
            if owned.is_closed() {
                return false;
            }
            asking.look(self);
        }
        owned.send(()).is_ok()
    }

    /// Stays in the group until the turn is given back. What it loses meanwhile, in an outage of
    /// the brokers for one, may come back; where another node has taken over, the next commit
    /// fails.
    fn stay(&self) {
        let mut asking = Asking::default();
        let mut was_ours = true;
        while !self.ended.load(Ordering::Acquire) {
            let is_ours = self.is_ours();
            if is_ours != was_ours {
                tracing::warn!(
                    is_ours,
                    "the turn to own the journals was lost, or came back"
                );
            }
            was_ours = is_ours;
            asking.look(self);
        }
    }

    /// Hears who the others are, and gives back after how many looks to ask again. While Kafka
    /// does not answer, or the group is about to change, nobody knows better.
    fn ask(&self) -> u64 {
        match members::look(&self.consumer, &self.group) {
            Ok(said) => {
                if let Some(said) = said {
                    self.nodes.hear(said);
                }
                ASK_AFTER
            }
            Err(error) => {
                tracing::debug!(%error, "it is not known which nodes there are");
                ASK_AFTER_FAILURE
            }
        }
    }

    /// Looks for a while whether the partition is ours.
    fn is_ours(&self) -> bool {
        // The topic has no records: what comes are errors, which were told.
        self.consumer.poll(LOOK_EVERY);
        let assigned = self.consumer.assignment();
        let is_ours = assigned.is_ok_and(|list| list.count() > 0);
        tell(is_ours);
        is_ours
    }
}

/// Counts looks, so that it is asked now and then only.
#[derive(Default)]
struct Asking {
    looks: u64,
    ask_at: u64,
}

impl Asking {
    fn look(&mut self, follower: &Follower) {
        if self.looks >= self.ask_at {
            self.ask_at = self.looks + follower.ask();
        }
        self.looks += 1;
    }
}
