//! The journals' topic: what one group commit changed, a record for each partition, all of
//! them in one transaction of Kafka; and in the same transaction what other systems are told of
//! it, in the topic of events.
//!
//! The transactional id belongs to the partitions' owner, whichever node that is: who opens
//! the topic ends the transaction that its predecessor left open and fences it, so that none
//! of its commits succeeds any more.
//!
//! Two waits of 100 ms are avoided: a transaction is only committed when every record of it
//! was acknowledged, since the client waits for the rest in steps of so much; and the first
//! record after a commit, which the broker refuses until it has written its markers, is sent
//! again after a millisecond.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Message, ToBytes};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use schemas::{Partition, PartitionRange};

use super::client::{BATCH_BYTES, Kafka, Listener, WAIT, deliver_all};
use super::read::{READERS, Readers};
use super::topics::{ensure_kept, events_name, journal_name};
use super::{KafkaLogSettings, Place, written};
use crate::log::groups::{EventRecord, Groups, ShowRecord, owner_of};
use crate::log::{LogError, Offset, RECORDS_LIMIT};
use crate::runtime::Runtime;

/// How long a transaction may take before the brokers end it: longer than they need to find
/// another leader, and than a single broker needs to start again.
const TRANSACTION: Duration = Duration::from_secs(30);

/// How long the records of a transaction are tried.
const RECORDS: Duration = Duration::from_secs(20);

/// How long is waited after a transaction that failed, so that brokers that are away are not
/// asked in a circle.
const AGAIN_AFTER: Duration = Duration::from_millis(250);

/// A range of a deployment's journals, as its owner writes them.
pub(crate) struct GroupTopic {
    kafka: Arc<Kafka>,
    topic: Arc<str>,
    range: PartitionRange,
    events: Arc<str>,
    /// How many partitions the topic of events has: as many, where nobody made it otherwise.
    events_partitions: usize,
    producer: BaseProducer<Acknowledged>,
    runtime: Runtime,
}

/// How long the broker holds a fetch at the end of a partition. The last thing there is a
/// transaction's marker and no record, so that only the answer to such a fetch tells that
/// nothing more comes; and there is nothing else to wait for.
const FETCH_HELD: Duration = Duration::from_millis(10);

/// Why a transaction did not happen.
enum Failed {
    /// It was not committed; the same records can be sent again.
    Undone(KafkaError),
    /// Somebody else owns the partitions, or the client is of no use any more.
    ForGood(KafkaError),
}

impl GroupTopic {
    /// Takes the range over from whoever had it. The topic must be there.
    ///
    /// # Errors
    /// [`LogError::Unavailable`] while Kafka does not answer, [`LogError::Backend`] when it
    /// refuses.
    pub(crate) async fn open(
        settings: &KafkaLogSettings,
        range: PartitionRange,
        runtime: &Runtime,
    ) -> Result<Self, LogError> {
        let kafka = Arc::new(Kafka::new(settings, runtime)?);
        let config = config(&kafka, &settings.topic_prefix, &owner_of(range));
        let opener = Arc::clone(&kafka);
        let open = move || {
            let producer: BaseProducer<Acknowledged> =
                config.create_with_context(Acknowledged::default())?;
            producer.init_transactions(2 * WAIT)?;
            Ok(producer)
        };
        let producer = runtime.blocking(open).await?;
        let events = Arc::from(events_name(settings));
        let events_partitions = ensure_kept(&kafka, settings, &events, range.all()).await?;
        Ok(Self {
            events,
            events_partitions,
            topic: journal_name(settings).into(),
            range,
            producer: producer.map_err(|error: KafkaError| opener.failed(&error))?,
            runtime: runtime.clone(),
            kafka,
        })
    }

    async fn read_all(&self, each: ShowRecord<'_>) -> Result<(), LogError> {
        let readers = Readers::new(&self.kafka, &self.runtime, FETCH_HELD);
        let partitions = futures::stream::iter(self.range.partitions());
        let readers = &readers;
        let mut reads = partitions
            .map(|partition| async move { (partition, self.read_one(readers, partition).await) })
            .buffered(READERS);
        while let Some((partition, records)) = reads.next().await {
            for (offset, record) in records? {
                each(partition, offset, record)?;
            }
        }
        Ok(())
    }

    async fn read_one(
        &self,
        readers: &Readers,
        partition: Partition,
    ) -> Result<Vec<(Offset, Vec<u8>)>, LogError> {
        let place = self.place(partition);
        let bounds = readers.bounds(place.clone()).await?;
        let (mut next, mut all) = (bounds.first, Vec::new());
        while next < bounds.end {
            let records = readers.read(place.clone(), next, RECORDS_LIMIT).await?;
            // Where there are none, there are markers of transactions only.
            next = match records.last() {
                Some((last, _)) => last + 1,
                None => bounds.end.min(next + RECORDS_LIMIT as u64),
            };
            all.extend(records);
        }
        Ok(all)
    }

    /// Blocks.
    fn commit_all(
        &self,
        records: &[(Partition, Vec<u8>)],
        events: &[EventRecord],
    ) -> Result<Vec<(Partition, Offset)>, LogError> {
        let mut warned = false;
        loop {
            match self.transaction(records, events) {
                Ok(offsets) => return Ok(offsets),
                Err(Failed::ForGood(error)) => return Err(self.ended(&error)),
                Err(Failed::Undone(error)) => {
                    if !std::mem::replace(&mut warned, true) {
                        tracing::warn!(%error, "a group commit is tried again until Kafka takes it");
                    }
                    self.producer.poll(AGAIN_AFTER);
                    self.abort().map_err(|error| self.ended(&error))?;
                }
            }
        }
    }

    fn place(&self, partition: Partition) -> Place {
        Place {
            topic: Arc::clone(&self.topic),
            partition: partition.0.into(),
        }
    }

    fn transaction(
        &self,
        records: &[(Partition, Vec<u8>)],
        events: &[EventRecord],
    ) -> Result<Vec<(Partition, Offset)>, Failed> {
        let told = |error| self.failed(error);
        let all = records.len() + events.len();
        self.producer.client().context().begin(all);
        self.producer.begin_transaction().map_err(told)?;
        for (index, (partition, payload)) in records.iter().enumerate() {
            let record = BaseRecord::<[u8], [u8], usize>::with_opaque_to(&self.topic, index)
                .partition(partition.0.into())
                .payload(payload);
            self.send(record)?;
        }
        for (index, event) in events.iter().enumerate() {
            let partition = usize::from(event.partition.0) % self.events_partitions;
            let index = records.len() + index;
            let record = BaseRecord::<str, [u8], usize>::with_opaque_to(&self.events, index)
                .partition(i32::try_from(partition).unwrap_or(0))
                .key(&event.key)
                .payload(&event.payload);
            self.send(record)?;
        }
        deliver_all(&self.producer);
        let offsets = self.producer.client().context().ended().map_err(told)?;
        loop {
            match self.producer.commit_transaction(TRANSACTION) {
                Ok(()) => break,
                // Nobody knows yet: asked again, it tells.
                Err(KafkaError::Transaction(error))
                    if error.is_retriable() && !error.txn_requires_abort() => {}
                Err(error) => return Err(told(error)),
            }
        }
        written("journal", records.len());
        written("events", events.len());
        let partitions = records.iter().map(|(partition, _)| *partition);
        Ok(partitions.zip(offsets).collect())
    }

    fn send<K: ToBytes + ?Sized>(
        &self,
        record: BaseRecord<'_, K, [u8], usize>,
    ) -> Result<(), Failed> {
        let sent = self.producer.send(record);
        sent.map_err(|(error, _)| self.failed(error))
    }

    /// Ends what is left of a transaction.
    fn abort(&self) -> Result<(), KafkaError> {
        loop {
            match self.producer.abort_transaction(TRANSACTION) {
                Ok(()) => return Ok(()),
                Err(KafkaError::Transaction(error)) if error.is_retriable() => {}
                // None was begun.
                Err(_) if self.producer.client().fatal_error().is_none() => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Why nothing more is committed here. The client tells the first reason, not the last.
    fn ended(&self, error: &KafkaError) -> LogError {
        let detail = match self.producer.client().fatal_error() {
            Some((RDKafkaErrorCode::Fenced | RDKafkaErrorCode::ProducerFenced, _)) => {
                "another node has taken over the journals of this deployment".to_owned()
            }
            Some((code, reason)) => {
                format!("the journals' transactions have ended: {code}, {reason}")
            }
            None => format!("the journals' transactions have ended: {error}"),
        };
        LogError::Backend { detail }
    }

    fn failed(&self, error: KafkaError) -> Failed {
        let is_fatal = matches!(&error, KafkaError::Transaction(error) if error.is_fatal());
        if is_fatal || self.producer.client().fatal_error().is_some() {
            Failed::ForGood(error)
        } else {
            Failed::Undone(error)
        }
    }
}

impl Groups for GroupTopic {
    fn read<'a>(&'a self, each: ShowRecord<'a>) -> BoxFuture<'a, Result<(), LogError>> {
        self.read_all(each).boxed()
    }

    fn commit<'a>(
        &'a self,
        records: &'a [(Partition, Vec<u8>)],
        events: &'a [EventRecord],
    ) -> BoxFuture<'a, Result<Vec<(Partition, Offset)>, LogError>> {
        async move { self.commit_all(records, events) }.boxed()
    }

    fn trim(&self, partition: Partition, before: Offset) -> BoxFuture<'_, Result<(), LogError>> {
        async move {
            let place = self.place(partition);
            self.kafka.delete_records(&place, before).await
        }
        .boxed()
    }
}

fn config(kafka: &Kafka, prefix: &str, transactional_id: &str) -> ClientConfig {
    let mut config = kafka.config();
    config
        .set("transactional.id", format!("{prefix}{transactional_id}"))
        .set("transaction.timeout.ms", TRANSACTION.as_millis().to_string())
        .set("message.timeout.ms", RECORDS.as_millis().to_string())
        .set("request.timeout.ms", "5000")
        .set("acks", "all")
        // A group is whole when it comes: nothing is waited for.
        .set("linger.ms", "0")
        .set("retry.backoff.ms", "1")
        .set("retry.backoff.max.ms", "100")
        .set("batch.size", BATCH_BYTES.to_string())
        .set("message.max.bytes", BATCH_BYTES.to_string());
    config
}

/// Hears where the records of the transaction under way lie.
#[derive(Default)]
struct Acknowledged {
    offsets: Mutex<Vec<Option<Result<Offset, KafkaError>>>>,
}

impl Acknowledged {
    fn begin(&self, records: usize) {
        let mut offsets = self.lock();
        offsets.clear();
        offsets.resize_with(records, || None);
    }

    /// The offsets of all of them, or why one of them has none.
    fn ended(&self) -> Result<Vec<Offset>, KafkaError> {
        let unheard = || {
            let code = RDKafkaErrorCode::MessageTimedOut;
            Err(KafkaError::MessageProduction(code))
        };
        let offsets = std::mem::take(&mut *self.lock());
        let offsets = offsets.into_iter();
        offsets.map(|heard| heard.unwrap_or_else(unheard)).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Option<Result<Offset, KafkaError>>>> {
        self.offsets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Acknowledged {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        Listener.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        Listener.error(error, reason);
    }
}

impl ProducerContext for Acknowledged {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, index: usize) {
        let heard = match result {
            Ok(message) => Ok(Offset::try_from(message.offset()).unwrap_or(0)),
            Err((error, _)) => Err(error.clone()),
        };
        // Of a transaction that was given up, nothing is waited for.
        if let Some(place) = self.lock().get_mut(index) {
            *place = Some(heard);
        }
    }
}
