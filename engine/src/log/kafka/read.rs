//! Reads. A few consumers, each with one partition at a time by plain assignment. A read
//! that goes on where another ended finds the consumer that has fetched on meanwhile.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use tokio::sync::Semaphore;

use super::Place;
use super::client::{Kafka, Listener, WAIT};
use crate::kafka;
use crate::log::{Bounds, LogError, Offset, RECORDS_LIMIT};
use crate::runtime::Runtime;

/// Reads at the same time. Each has a consumer with two threads and one for each broker;
/// the smallest machine has two cores.
pub(super) const READERS: usize = 4;

/// KiB that a consumer fetches ahead: 8 MiB, a whole append and what follows.
const AHEAD_KIB: usize = 8 << 10;

/// Records that were read, with their offsets.
type Records = Vec<(Offset, Vec<u8>)>;

/// Who reads.
pub(super) struct Readers {
    kafka: Arc<Kafka>,
    runtime: Runtime,
    /// How long a fetch at the end is held by the broker: a record that comes meanwhile is
    /// answered at once.
    held: Duration,
    turns: Semaphore,
    idle: Mutex<Vec<Reader>>,
}

impl Readers {
    /// No consumer is made before it is needed.
    pub fn new(kafka: &Arc<Kafka>, runtime: &Runtime, held: Duration) -> Self {
        Self {
            kafka: Arc::clone(kafka),
            runtime: runtime.clone(),
            held,
            turns: Semaphore::new(READERS),
            idle: Mutex::new(Vec::new()),
        }
    }

    /// The first offset that is there and the next that will be given.
    pub async fn bounds(&self, place: Place) -> Result<Bounds, LogError> {
        self.with_reader(None, move |reader| reader.bounds(&place))
            .await
    }

    /// Everything from an offset on that is there now, up to so many records.
    pub async fn read(
        &self,
        place: Place,
        from: Offset,
        limit: usize,
    ) -> Result<Records, LogError> {
        let position = Position { place, next: from };
        self.with_reader(Some(position.clone()), move |reader| {
            reader.read(position, limit)
        })
        .await
    }

    async fn with_reader<T: Send + 'static>(
        &self,
        wanted: Option<Position>,
        ask: impl FnOnce(&mut Reader) -> Result<T, LogError> + Send + 'static,
    ) -> Result<T, LogError> {
        let _turn = self.turns.acquire().await.map_err(|_| LogError::Closed)?;
        let idle = self.take(wanted.as_ref());
        let (kafka, held) = (Arc::clone(&self.kafka), self.held);
        let work = move || {
            let mut reader = match idle {
                Some(reader) => reader,
                None => Reader::new(kafka, held)?,
            };
            let answer = ask(&mut reader);
            Ok::<_, LogError>((reader, answer))
        };
        let (reader, answer) = self.runtime.blocking(work).await??;
        self.idle().push(reader);
        answer
    }

    /// The idle consumer that is where this read begins, else the one that was idle longest.
    fn take(&self, wanted: Option<&Position>) -> Option<Reader> {
        let mut idle = self.idle();
        let fitting = idle
            .iter()
            .position(|reader| reader.position.as_ref() == wanted);
        if idle.is_empty() {
            None
        } else {
            Some(idle.remove(fitting.unwrap_or(0)))
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Reader>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        // Closing a consumer waits for its threads.
        let idle = std::mem::take(&mut *self.idle());
        let runtime = self.runtime.clone();
        self.runtime.spawn(async move {
            let _ = runtime.blocking(move || drop(idle)).await;
        });
    }
}

/// Where a consumer is.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Position {
    place: Place,
    next: Offset,
}

/// One consumer. All of it blocks.
struct Reader {
    kafka: Arc<Kafka>,
    consumer: BaseConsumer<Listener>,
    /// What it fetches, from where.
    position: Option<Position>,
}

impl Reader {
    fn new(kafka: Arc<Kafka>, held: Duration) -> Result<Self, LogError> {
        let mut config = kafka.config();
        config
            // The library wants a name. Nothing is committed under it.
            .set("group.id", "volley-log")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("isolation.level", "read_committed")
            .set("enable.partition.eof", "true")
            .set("queued.min.messages", RECORDS_LIMIT.to_string())
            .set("queued.max.messages.kbytes", AHEAD_KIB.to_string())
            .set("fetch.error.backoff.ms", "50")
            .set("fetch.wait.max.ms", held.as_millis().to_string());
        let consumer = config
            .create_with_context(Listener)
            .map_err(|error| kafka.failed(&error))?;
        Ok(Self {
            kafka,
            consumer,
            position: None,
        })
    }

    fn bounds(&mut self, place: &Place) -> Result<Bounds, LogError> {
        let bounds = self
            .consumer
            .fetch_watermarks(&place.topic, place.partition, WAIT)
            .map_err(|error| self.kafka.failed(&error))?;
        let known = |offset: i64| Offset::try_from(offset).map_err(|_| self.kafka.silent());
        Ok(Bounds {
            first: known(bounds.0)?,
            end: known(bounds.1)?,
        })
    }

    fn read(&mut self, from: Position, limit: usize) -> Result<Records, LogError> {
        let bounds = self.bounds(&from.place)?;
        bounds.check(from.next)?;
        let until = bounds.end.min(from.next.saturating_add(limit as u64));
        let mut records = Vec::new();
        if from.next == until {
            return Ok(records);
        }
        // Unless all goes well, it is not known where it is.
        let is_there = self.position.take().as_ref() == Some(&from);
        if !is_there {
            self.assign(&from)?;
        }
        let next = self.take(&from, until, !is_there, &mut records)?;
        self.position = Some(Position { next, ..from });
        Ok(records)
    }

    fn assign(&self, from: &Position) -> Result<(), LogError> {
        let place = (&*from.place.topic, from.place.partition);
        let assigned = kafka::assign(&self.consumer, place, from.next);
        assigned.map_err(|error| self.kafka.failed(&error))
    }

    /// Takes what comes, up to an offset; the answer is where to go on. `is_fresh`: it was
    /// assigned for this read.
    fn take(
        &self,
        from: &Position,
        until: Offset,
        mut is_fresh: bool,
        records: &mut Records,
    ) -> Result<Offset, LogError> {
        let deadline = self.kafka.runtime.boot() + WAIT.as_micros() as u64;
        let mut next = from.next;
        let mut trouble = None;
        while next < until {
            let now = self.kafka.runtime.boot();
            if now >= deadline {
                return Err(trouble.unwrap_or_else(|| self.kafka.silent()));
            }
            match self.consumer.poll(Duration::from_micros(deadline - now)) {
                None => {}
                Some(Ok(message)) => {
                    let offset = Offset::try_from(message.offset()).unwrap_or(0);
                    next = offset + 1;
                    records.push((offset, message.payload().unwrap_or_default().to_vec()));
                }
                // Nothing more is there: what is left up to the end are not records, but
                // markers of transactions of somebody else.
                Some(Err(KafkaError::PartitionEOF(_))) if is_fresh => return Ok(until),
                // It may have been at the end earlier: it is asked anew.
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    let place = from.place.clone();
                    self.assign(&Position { place, next })?;
                    is_fresh = true;
                }
                Some(Err(error)) => {
                    if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AutoOffsetReset) {
                        // Trimmed meanwhile.
                        return Err(self.trimmed(from));
                    }
                    trouble = Some(self.kafka.failed(&error));
                }
            }
        }
        Ok(next)
    }

    fn trimmed(&self, from: &Position) -> LogError {
        let now = self
            .consumer
            .fetch_watermarks(&from.place.topic, from.place.partition, WAIT);
        match now {
            Ok((first, _)) => LogError::Trimmed {
                first: Offset::try_from(first).unwrap_or(0),
            },
            Err(error) => self.kafka.failed(&error),
        }
    }
}
