//! Appends. One record goes out as it comes, in one stream with all others. Several go out
//! as one batch, which Kafka takes or refuses as a whole and never tears apart: so they lie
//! together whoever else appends, and whoever reads sees all of them or none.
//!
//! The C library decides by itself when to send a batch: when it is full, or when its first
//! record has waited for `linger.ms`. So the producer of whole appends gets one append at a
//! time, its records may wait for ten seconds, and it is told that all are there by `flush`.
//! An append that took longer than half of that to hand over, because this thread was held
//! up, may be torn, and is not acknowledged.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::{Either, select};
use rdkafka::config::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use tokio::sync::mpsc;

use super::Place;
use super::client::{BATCH_BYTES, Kafka, WAIT};
use super::pending::{Deliveries, Pending, Record};
use crate::log::{Appended, LogError, Offset, RECORDS_LIMIT, Topic};
use crate::runtime::Runtime;

/// Single records that may be on their way: what four seconds of the fastest intake we have
/// measured bring. The C library counts some 200 bytes around each.
const SINGLES: usize = 100_000;

/// KiB of single records that may be on their way: 64 MiB, as much as the door takes in
/// bodies at once.
const SINGLES_KIB: usize = 64 << 10;

/// Appends of several records that may wait for their turn: with 4 MiB each as much as
/// single records may take.
const WHOLE_WAITING: usize = 16;

/// How long the first record of an append may wait for the last. The library wants it to be
/// less than how long a record may live.
const LINGER: Duration = WAIT.saturating_sub(Duration::from_millis(1));

/// How often the library is told that a batch is complete before it is given time. It
/// looks only while it is being told, for some microseconds, so it takes several times.
const TELL: u32 = 20;

/// Rounds of that before the broker is taken for slow or away: some 50 ms.
const QUICK_ROUNDS: u32 = 250;

/// Between two such rounds.
const QUICK: Duration = Duration::from_micros(200);

/// Between two rounds when it is slow or away.
const SLOW: Duration = Duration::from_millis(10);

type Sender = BaseProducer<Deliveries>;

/// Who appends.
pub(super) struct Producers {
    kafka: Arc<Kafka>,
    singles: Arc<Singles>,
    whole: mpsc::Sender<Whole>,
    runtime: Runtime,
}

/// An append of several records.
struct Whole {
    place: Place,
    payloads: Vec<Vec<u8>>,
    pending: Arc<Pending>,
    /// On the boot clock: nobody waits for it any more then.
    expires: u64,
}

impl Producers {
    /// Starts both producers, each with a thread of its own.
    pub fn start(
        kafka: &Arc<Kafka>,
        appended: &Arc<Appended>,
        runtime: &Runtime,
    ) -> Result<Self, LogError> {
        let make = |linger: Duration| Maker {
            kafka: Arc::clone(kafka),
            appended: Arc::clone(appended),
            config: config(kafka, linger),
        };
        // A millisecond: what comes at the same time goes out together.
        let singles = Arc::new(Singles::new(make(Duration::from_millis(1)))?);
        let served = Arc::clone(&singles);
        runtime.spawn_dedicated("log-singles", async move { served.serve() });
        let (whole, waiting) = mpsc::channel(WHOLE_WAITING);
        let maker = make(LINGER);
        let producer = maker.make()?;
        let clock = runtime.clone();
        runtime.spawn_dedicated("log-batches", send_whole(maker, producer, waiting, clock));
        Ok(Self {
            kafka: Arc::clone(kafka),
            singles,
            whole,
            runtime: runtime.clone(),
        })
    }

    /// Appends records and waits until they are durable.
    pub async fn append(
        &self,
        topic: Topic,
        place: Place,
        payloads: Vec<Vec<u8>>,
    ) -> Result<Offset, LogError> {
        let (pending, answer) = Pending::new(topic, payloads.len());
        if let [payload] = payloads.as_slice() {
            let sent = send(&self.singles.producer(), &place, payload, &pending, 0);
            sent.map_err(|error| self.kafka.failed(&error))?;
        } else {
            let expires = self.runtime.boot() + WAIT.as_micros() as u64;
            let whole = Whole {
                place,
                payloads,
                pending,
                expires,
            };
            let (queue, timer) = (self.whole.send(whole), self.runtime.sleep(WAIT));
            match select(Box::pin(queue), Box::pin(timer)).await {
                Either::Left((queued, _)) => queued.map_err(|_| LogError::Closed)?,
                Either::Right(_) => return Err(self.kafka.silent()),
            }
        }
        // Dropped without an answer only when its thread is gone.
        answer.await.map_err(|_| LogError::Closed)?
    }
}

impl Drop for Producers {
    fn drop(&mut self) {
        self.singles.stopped.store(true, Ordering::Relaxed);
    }
}

fn config(kafka: &Kafka, linger: Duration) -> ClientConfig {
    let mut config = kafka.config();
    config
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("linger.ms", linger.as_millis().to_string())
        .set("message.timeout.ms", WAIT.as_millis().to_string())
        .set("request.timeout.ms", "5000")
        .set("retry.backoff.ms", "50")
        .set("retry.backoff.max.ms", "500")
        .set("batch.num.messages", RECORDS_LIMIT.to_string())
        .set("batch.size", BATCH_BYTES.to_string())
        .set("message.max.bytes", BATCH_BYTES.to_string())
        .set("queue.buffering.max.messages", SINGLES.to_string())
        .set("queue.buffering.max.kbytes", SINGLES_KIB.to_string());
    config
}

/// Makes producers: a new one when one has failed for good, which an idempotent one does
/// when it cannot tell any more what a broker has of it.
struct Maker {
    kafka: Arc<Kafka>,
    appended: Arc<Appended>,
    config: ClientConfig,
}

impl Maker {
    fn make(&self) -> Result<Sender, LogError> {
        let context = Deliveries {
            kafka: Arc::clone(&self.kafka),
            appended: Arc::clone(&self.appended),
        };
        let made = self.config.create_with_context(context);
        made.map_err(|error| self.kafka.failed(&error))
    }

    /// Another producer in the place of one that has failed for good.
    fn renew(&self, producer: &Sender) -> Option<Sender> {
        let (code, reason) = producer.client().fatal_error()?;
        tracing::warn!(?code, reason, "Kafka's producer failed and is made again");
        self.make().ok()
    }
}

/// The producer of single records, shared by all who append.
struct Singles {
    maker: Maker,
    producer: Mutex<Arc<Sender>>,
    stopped: AtomicBool,
}

impl Singles {
    fn new(maker: Maker) -> Result<Self, LogError> {
        Ok(Self {
            producer: Mutex::new(Arc::new(maker.make()?)),
            maker,
            stopped: AtomicBool::new(false),
        })
    }

    fn producer(&self) -> Arc<Sender> {
        let producer = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&producer)
    }

    /// Hands out what became of each record, until nobody appends any more. Blocks.
    fn serve(&self) {
        while !self.stopped.load(Ordering::Relaxed) {
            let producer = self.producer();
            producer.poll(Duration::from_millis(100));
            if let Some(renewed) = self.maker.renew(&producer) {
                let mut current = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
                *current = Arc::new(renewed);
            }
        }
    }
}

/// Hands one record to a producer.
fn send(
    producer: &Sender,
    place: &Place,
    payload: &[u8],
    append: &Arc<Pending>,
    index: u64,
) -> Result<(), rdkafka::error::KafkaError> {
    let record = Record {
        append: Arc::clone(append),
        place: index,
    };
    let record = BaseRecord::<[u8], [u8], _>::with_opaque_to(&place.topic, Box::new(record))
        .partition(place.partition)
        .payload(payload);
    producer.send(record).map_err(|(error, _)| error)
}

/// Sends one append after the other, until nobody appends any more. Blocks in between.
async fn send_whole(
    maker: Maker,
    mut producer: Sender,
    mut waiting: mpsc::Receiver<Whole>,
    runtime: Runtime,
) {
    while let Some(whole) = waiting.recv().await {
        let records = whole.payloads.len();
        if runtime.boot() >= whole.expires {
            let late = maker.kafka.silent();
            whole.pending.cut_off(records, late, &maker.appended);
            continue;
        }
        let begun = runtime.boot();
        for (index, payload) in whole.payloads.iter().enumerate() {
            let sent = send(
                &producer,
                &whole.place,
                payload,
                &whole.pending,
                index as u64,
            );
            if let Err(error) = sent {
                let failure = maker.kafka.failed(&error);
                whole
                    .pending
                    .cut_off(records - index, failure, &maker.appended);
                break;
            }
        }
        if Duration::from_micros(runtime.boot() - begun) > LINGER / 2 {
            whole.pending.spoil(maker.kafka.silent());
        }
        let mut rounds = 0;
        while !whole.pending.is_over() {
            let is_quick = rounds < QUICK_ROUNDS;
            for _ in 0..if is_quick { TELL } else { 1 } {
                // It says that not all is sent yet.
                let _ = producer.flush(Duration::ZERO);
            }
            producer.poll(Duration::ZERO);
            std::thread::sleep(if is_quick { QUICK } else { SLOW });
            rounds += 1;
        }
        if let Some(renewed) = maker.renew(&producer) {
            producer = renewed;
        }
    }
}
