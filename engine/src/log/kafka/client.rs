//! What every client of the log has in common: settings, bounds, and what its errors mean.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, Producer, ProducerContext};

use super::{KafkaLogSettings, Place};
use crate::kafka::{self, Unreached};
use crate::log::{BYTES_LIMIT, LogError, Offset};
use crate::runtime::Runtime;

/// How long one question to Kafka may take: longer than a partition needs to find another
/// leader (measured: 2.3 to 3.3 s with three brokers, 5 s for a single one that restarts),
/// and shorter than whoever called an API waits.
pub(super) const WAIT: Duration = Duration::from_secs(10);

/// What one batch may hold, as Kafka counts it: an append of [`BYTES_LIMIT`] with what lies
/// around each of its records, at most 34 bytes.
pub(super) const BATCH_BYTES: usize = BYTES_LIMIT + (1 << 20);

/// How long a producer is left alone that has nothing to tell, first while the answer of a healthy
/// broker is due, some milliseconds, then while it is slow, then while it is away.
const PAUSES: [(u32, Duration); 3] = [
    (100, Duration::from_micros(100)),
    (200, Duration::from_millis(1)),
    (u32::MAX, Duration::from_millis(10)),
];

/// Takes what a producer tells until nothing of it is on its way any more. Blocks.
///
/// Its own `poll` is of no use for that: it counts in whole milliseconds, so it spins through the
/// last one, and it returns when its time is over, not when something was told.
pub(super) fn deliver_all<C: ProducerContext>(producer: &BaseProducer<C>) {
    let (mut in_flight, mut in_vain) = (producer.in_flight_count(), 0);
    while in_flight > 0 {
        producer.poll(Duration::ZERO);
        let left = producer.in_flight_count();
        if left < in_flight {
            in_vain = 0;
        } else if let Some((_, pause)) = PAUSES.iter().find(|(until, _)| in_vain < *until) {
            std::thread::sleep(*pause);
            in_vain += 1;
        }
        in_flight = left;
    }
}

/// A cluster, and the client for its topics.
pub(super) struct Kafka {
    /// For errors: where it should be.
    brokers: Arc<str>,
    config: ClientConfig,
    pub admin: AdminClient<Listener>,
    pub runtime: Runtime,
}

impl Kafka {
    /// Makes clients; nothing is asked of Kafka yet.
    pub fn new(settings: &KafkaLogSettings, runtime: &Runtime) -> Result<Self, LogError> {
        let brokers: Arc<str> = settings.brokers.join(",").into();
        let mut config = kafka::client(&brokers, &settings.security);
        config
            .set("socket.connection.setup.timeout.ms", "5000")
            .set_log_level(RDKafkaLogLevel::Warning);
        let admin = config
            .create_with_context(Listener)
            .map_err(|error| refused(&brokers, &error))?;
        Ok(Self {
            brokers,
            config,
            admin,
            runtime: runtime.clone(),
        })
    }

    /// Looks whether the brokers take us, by asking for a topic, which need not be there.
    ///
    /// # Errors
    /// [`LogError::Unavailable`] when none answers, [`LogError::Backend`] when they refuse us.
    pub async fn reach(&self, topic: &str) -> Result<(), LogError> {
        let reached = kafka::reach(self.config(), topic, &self.runtime).await;
        reached.map_err(|unreached| match unreached {
            Unreached::Refused(detail) => LogError::Backend { detail },
            Unreached::Silent(detail) => LogError::Unavailable { detail },
        })
    }

    /// Settings for one more client.
    pub fn config(&self) -> ClientConfig {
        self.config.clone()
    }

    /// How long a request of the admin client may take.
    pub fn options() -> AdminOptions {
        AdminOptions::new()
            .request_timeout(Some(WAIT))
            .operation_timeout(Some(WAIT))
    }

    /// Deletes the records of a partition before an offset.
    pub async fn delete_records(&self, place: &Place, before: Offset) -> Result<(), LogError> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&place.topic, place.partition, kafka::offset(before))
            .map_err(|error| self.failed(&error))?;
        let deleted = self.admin.delete_records(&list, &Self::options()).await;
        let deleted = deleted.map_err(|error| self.failed(&error))?;
        for partition in deleted.elements() {
            partition.error().map_err(|error| self.failed(&error))?;
        }
        Ok(())
    }

    /// What an error of a client means.
    pub fn failed(&self, error: &KafkaError) -> LogError {
        refused(&self.brokers, error)
    }

    /// Nothing came in time.
    pub fn silent(&self) -> LogError {
        let brokers = &self.brokers;
        LogError::Unavailable {
            detail: format!("Kafka at {brokers} does not answer"),
        }
    }
}

/// Errors hold names of topics and brokers, never what is in a record.
fn refused(brokers: &str, error: &KafkaError) -> LogError {
    let detail = format!("Kafka at {brokers}: {error}");
    let passes = error.rdkafka_error_code().is_some_and(passes);
    if passes {
        LogError::Unavailable { detail }
    } else {
        LogError::Backend { detail }
    }
}

/// Whether an error is of a kind that ends by itself when the brokers are well again.
#[allow(clippy::wildcard_enum_match_arm)] // Some 150 others, of which none passes.
fn passes(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::AllBrokersDown
            | RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::BrokerNotAvailable
            | RDKafkaErrorCode::BrokerDestroy
            | RDKafkaErrorCode::Resolve
            | RDKafkaErrorCode::MessageTimedOut
            | RDKafkaErrorCode::OperationTimedOut
            | RDKafkaErrorCode::RequestTimedOut
            | RDKafkaErrorCode::NetworkException
            | RDKafkaErrorCode::QueueFull
            | RDKafkaErrorCode::LeaderNotAvailable
            | RDKafkaErrorCode::NotLeaderForPartition
            | RDKafkaErrorCode::NotEnoughReplicas
            | RDKafkaErrorCode::NotEnoughReplicasAfterAppend
            | RDKafkaErrorCode::NotController
            | RDKafkaErrorCode::KafkaStorageError
            | RDKafkaErrorCode::WaitingForCoordinator
            | RDKafkaErrorCode::PurgeQueue
            | RDKafkaErrorCode::PurgeInflight
            // Whom a node refuses that never gets in was told when it started. Later it is a
            // broker that does not know its users yet, or that somebody is just setting up.
            | RDKafkaErrorCode::Authentication
            | RDKafkaErrorCode::SSL
    )
}

/// Takes what clients tell: a broker that is lost, a broker that is found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Listener;

impl ClientContext for Listener {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(?level, facility, message, "Kafka's client");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            // The client says it to whoever polls and here; only to the former it is news.
            Some(RDKafkaErrorCode::PartitionEOF) => {}
            // Said some times a second in an outage; whose work waits for it tells once.
            Some(RDKafkaErrorCode::AllBrokersDown | RDKafkaErrorCode::BrokerTransportFailure) => {
                tracing::debug!(%error, reason, "Kafka");
            }
            Some(_) | None => tracing::warn!(%error, reason, "Kafka"),
        }
    }
}

impl rdkafka::consumer::ConsumerContext for Listener {}
