//! Whose turn it is: the partitions of a deployment are divided into ranges, and each range has one
//! owner among the nodes.
//!
//! The nodes are one consumer group on a topic without records that has a partition for each range:
//! who is assigned the partition owns the range. Kafka takes it from a node that has been silent for
//! a session and gives it to another; a node that ends in good order leaves at once. Ranges are
//! assigned stickily: of two that are one node's, who joins gets one, after it was given back.
//!
//! It only keeps nodes out of each other's way. What makes two owners impossible is the
//! transactional id of [`super::groups`]: who opens the journals of a range fences whoever had them,
//! and a node that slept through its session can commit nothing when it wakes. Nor can it submit:
//! the deadline of an attempt is shorter than a session.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError;
use schemas::{PartitionCount, PartitionRange};

use super::KafkaLogSettings;
use super::client::{Kafka, Listener};
use super::members::{self, Nodes};
use super::topics::{ensure_kept, owner_name};
use super::turns::{Taken, Turns};
use crate::log::{HoldsTurn, LogError};
use crate::runtime::Runtime;

/// How long an owner may be silent: the shortest that brokers allow by default, and longer than
/// the deadline of an attempt.
const SESSION: Duration = Duration::from_secs(6);

/// How long is waited until the group was left.
const LEAVE_WITHIN: Duration = Duration::from_secs(2);

/// How long who gives a range back may take: a drain, and the last commits. Whoever takes longer is
/// fenced by the next owner.
const GIVE_BACK_WITHIN: Duration = Duration::from_secs(25);

/// How often it is looked what is ours.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// After so many looks it is asked who is there: each time three questions for the brokers, once a
/// second from each node.
const ASK_AFTER: u64 = 10;

/// And after so many when there was no answer: the library keeps half an answer for good.
const ASK_AFTER_FAILURE: u64 = 100;

/// Milliseconds after which the client asks which brokers there are.
pub(super) const REFRESHED_EVERY_MS: &str = "5000";

const OWNS: &str = "volley_owns_journals";

/// This node as a member that owns ranges, or waits for them. Dropped, it has left.
#[derive(Debug)]
pub(crate) struct Membership {
    turns: Arc<Turns>,
    ended: Arc<AtomicBool>,
    /// Disconnected when the group was left.
    left: Mutex<Receiver<()>>,
}

impl Membership {
    /// Joins. From now on `nodes` is told who else is there.
    ///
    /// # Errors
    /// [`LogError::Unavailable`] while Kafka does not answer, [`LogError::Backend`] when it
    /// refuses, [`LogError::OtherTopic`] when the deployment has another number of owners.
    pub(crate) async fn join(
        settings: &KafkaLogSettings,
        owners: PartitionCount,
        nodes: &Nodes,
        runtime: &Runtime,
    ) -> Result<Arc<Self>, LogError> {
        metrics::describe_gauge!(
            OWNS,
            "How many ranges of partitions this node owns; 0 while it waits for its turn."
        );
        tell(0);
        let kafka = Arc::new(Kafka::new(settings, runtime)?);
        let topic: Arc<str> = owner_name(settings).into();
        let found = ensure_kept(&kafka, settings, &topic, owners).await?;
        check(&topic, found, owners)?;
        let turns = Turns::of(owners.get());
        let consumer = consumer(&kafka, &topic, nodes, &turns)?;
        let (leaving, left) = channel();
        let member = Self {
            turns: Arc::clone(&turns),
            ended: Arc::default(),
            left: Mutex::new(left),
        };
        let follower = Follower {
            consumer,
            group: topic,
            nodes: nodes.clone(),
            turns,
            ended: Arc::clone(&member.ended),
        };
        runtime.spawn_dedicated("owner", async move {
            follower.follow();
            tell(0);
            // It leaves the group.
            drop(follower);
            drop(leaving);
        });
        Ok(Arc::new(member))
    }

    /// Waits until it is this node's turn to own a range.
    pub(crate) async fn turn(self: Arc<Self>, range: PartitionRange) -> HeldTurn {
        let place = usize::from(range.place());
        let taken = self.turns.take(place).await;
        HeldTurn {
            _taken: taken,
            place,
            member: self,
        }
    }
}

/// A turn of this node, and its membership, which lasts as long as any.
#[derive(Debug)]
pub(crate) struct HeldTurn {
    // Given back before the group is left.
    _taken: Taken,
    place: usize,
    member: Arc<Membership>,
}

impl HoldsTurn for HeldTurn {
    fn wanted_back(&self) -> BoxFuture<'_, ()> {
        self.member.turns.wanted_back(self.place).boxed()
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

/// Nodes that divide the partitions otherwise must not run beside each other: none would fence the
/// other.
fn check(topic: &str, found: usize, owners: PartitionCount) -> Result<(), LogError> {
    if found == usize::from(owners.get()) {
        return Ok(());
    }
    Err(LogError::OtherTopic {
        topic: topic.to_owned(),
        detail: format!(
            "the nodes of this deployment divide the partitions among {found} owners, and {} are \
             wanted: set kafka.owners to {found}, or stop all nodes and delete the topic, which \
             holds nothing",
            owners.get()
        ),
    })
}

fn consumer(
    kafka: &Kafka,
    topic: &str,
    nodes: &Nodes,
    turns: &Arc<Turns>,
) -> Result<BaseConsumer<Balancer>, LogError> {
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
    let balancer = Balancer(Arc::clone(turns));
    let consumer: BaseConsumer<Balancer> = config
        .create_with_context(balancer)
        .map_err(|error| kafka.failed(&error))?;
    let subscribed = consumer.subscribe(&[topic]);
    subscribed.map_err(|error| kafka.failed(&error))?;
    Ok(consumer)
}

/// Gives ranges back before another node is assigned them.
struct Balancer(Arc<Turns>);

impl ClientContext for Balancer {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        Listener.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        Listener.error(error, reason);
    }
}

impl ConsumerContext for Balancer {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(revoked) = rebalance
            // What was lost may be another's already: who still works on it is fenced.
            && !consumer.assignment_lost()
        {
            self.0.want_back(&places_in(revoked), GIVE_BACK_WITHIN);
        }
    }
}

/// The places of the ranges whose partitions a list names.
fn places_in(list: &TopicPartitionList) -> Vec<usize> {
    let elements = list.elements();
    let partitions = elements.iter().map(|each| each.partition());
    partitions.filter_map(|each| each.try_into().ok()).collect()
}

fn tell(owned: usize) {
    metrics::gauge!(OWNS).set(owned as f64);
}

/// A member of the group, on a thread of its own. All of it blocks.
struct Follower {
    consumer: BaseConsumer<Balancer>,
    group: Arc<str>,
    /// Told who the others are.
    nodes: Nodes,
    turns: Arc<Turns>,
    ended: Arc<AtomicBool>,
}

impl Follower {
    /// Stays in the group until nobody wants a turn any more. What is lost meanwhile, in an outage
    /// of the brokers for one, may come back; where another node has taken over, the next commit
    /// fails.
    fn follow(&self) {
        let mut asking = Asking::default();
        let mut was_told = false;
        while !self.ended.load(Ordering::Acquire) {
            // The topic has no records: what comes are errors, which were told.
            self.consumer.poll(LOOK_EVERY);
            let assigned = self.consumer.assignment();
            let places = assigned.map_or_else(|_| Vec::new(), |list| places_in(&list));
            if places.is_empty() && !std::mem::replace(&mut was_told, true) {
                tracing::info!("waiting for the journals, which other nodes may own");
            }
            let (owned, is_news) = self.turns.are(&places);
            if is_news {
                tracing::info!(owned, "the turns to own journals have changed");
            }
            tell(owned);
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
