//! An append whose records are on their way, and what becomes of it.

use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{DeliveryResult, ProducerContext};
use tokio::sync::oneshot;

use super::client::{Kafka, Listener};
use crate::log::{Appended, LogError, Offset, Topic};

/// What an append comes to: the offset of its first record.
pub(super) type Answer = oneshot::Receiver<Result<Offset, LogError>>;

/// An append that waits for all of its records.
pub(super) struct Pending {
    topic: Topic,
    state: Mutex<State>,
}

struct State {
    /// Records that nothing was heard of.
    missing: usize,
    first: Option<Offset>,
    failure: Option<LogError>,
    answer: Option<oneshot::Sender<Result<Offset, LogError>>>,
}

impl Pending {
    /// An append of so many records.
    pub fn new(topic: Topic, records: usize) -> (Arc<Self>, Answer) {
        let (sender, answer) = oneshot::channel();
        let state = Mutex::new(State {
            missing: records,
            first: None,
            failure: None,
            answer: Some(sender),
        });
        (Arc::new(Self { topic, state }), answer)
    }

    /// Whether all that can be heard was heard.
    pub fn is_over(&self) -> bool {
        self.state().missing == 0
    }

    /// The record with this place in the append, from 0, lies at this offset, or it failed.
    fn heard(&self, place: u64, delivered: Result<Offset, LogError>, appended: &Appended) {
        let mut state = self.state();
        match delivered {
            Ok(offset) => {
                let first = offset.wrapping_sub(place);
                if *state.first.get_or_insert(first) != first {
                    state.failure = Some(LogError::Backend {
                        detail: "Kafka put others' records between those of an append".to_owned(),
                    });
                }
            }
            Err(error) => state.failure = Some(error),
        }
        state.missing = state.missing.saturating_sub(1);
        if state.missing > 0 {
            return;
        }
        let result = match (state.failure.take(), state.first) {
            (None, Some(first)) => {
                // Who hears of it finds it: it is durable.
                appended.announce(1 << self.topic.index());
                Ok(first)
            }
            (failure, _) => Err(failure.unwrap_or(LogError::Closed)),
        };
        if let Some(answer) = state.answer.take() {
            // Whoever asked may have gone.
            let _ = answer.send(result);
        }
    }

    /// Whatever is heard of it, it does not count.
    pub fn spoil(&self, error: LogError) {
        self.state().failure = Some(error);
    }

    /// So many records were never handed over, for this reason.
    pub fn cut_off(&self, left: usize, error: LogError, appended: &Appended) {
        self.state().missing -= left.saturating_sub(1);
        self.heard(0, Err(error), appended);
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One record of an append.
pub(super) struct Record {
    pub append: Arc<Pending>,
    /// Its place in the append, from 0.
    pub place: u64,
}

/// Hears what became of each record.
pub(super) struct Deliveries {
    pub kafka: Arc<Kafka>,
    pub appended: Arc<Appended>,
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        Listener.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        Listener.error(error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<Record>;

    fn delivery(&self, result: &DeliveryResult<'_>, record: Box<Record>) {
        let delivered = match result {
            Ok(message) => Offset::try_from(message.offset()).map_err(|_| LogError::Backend {
                detail: "Kafka has a record and does not say where".to_owned(),
            }),
            Err((error, _)) => Err(self.kafka.failed(error)),
        };
        record.append.heard(record.place, delivered, &self.appended);
    }
}
