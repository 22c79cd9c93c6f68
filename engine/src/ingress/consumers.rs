//! Consumers of partitions, one for each.
//!
//! One for all would be simpler. But a broker that has just started answers a fetch of several
//! partitions with the leaders that some of them have by now, and says of the others that they have
//! none yet; and that answer the C library takes wrongly: it then reads and writes beyond its
//! memory (librdkafka's issue 5280, open in 2.12.1). A fetch of one partition has no such answer.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;

use super::requests::Place;
use crate::kafka;

/// KiB that are read ahead of what is handed on, for each partition: a batch of records of 2 KiB.
const AHEAD_KIB: &str = "1024";

/// Milliseconds until a partition is fetched again whose records were all still waiting here.
const FULL_FOR_MS: &str = "20";

/// Consumers, each of which has one partition.
pub(super) struct Consumers {
    config: ClientConfig,
    each: BTreeMap<Place, BaseConsumer<Quiet>>,
    /// Rung by each consumer that has something again: that it rings once is enough.
    ring: SyncSender<()>,
    bell: Receiver<()>,
    /// How often they were all asked: whoever is asked first may fill a batch alone.
    asked: usize,
    /// Who failed since it was told last. Some errors come once, and their partition stands still.
    failed: Option<KafkaError>,
}

impl Consumers {
    /// Nobody yet, and with these settings whoever comes.
    pub fn new(mut config: ClientConfig) -> Self {
        config
            .set("queued.max.messages.kbytes", AHEAD_KIB)
            .set("fetch.queue.backoff.ms", FULL_FOR_MS);
        let (ring, bell) = sync_channel(1);
        Self {
            config,
            each: BTreeMap::new(),
            ring,
            bell,
            asked: 0,
            failed: None,
        }
    }

    /// From now on these partitions are read, from these offsets on. Blocks.
    ///
    /// # Errors
    /// When the client refuses.
    pub fn assign(&mut self, from: &BTreeMap<Place, u64>) -> Result<(), KafkaError> {
        self.each.retain(|place, _| from.contains_key(place));
        self.failed = None;
        for (place, offset) in from {
            let partition = i32::try_from(place.1).unwrap_or(i32::MAX);
            if !self.each.contains_key(place) {
                self.each.insert(place.clone(), self.open()?);
            }
            kafka::assign(&self.each[place], (&place.0, partition), *offset)?;
        }
        Ok(())
    }

    fn open(&self) -> Result<BaseConsumer<Quiet>, KafkaError> {
        let mut consumer: BaseConsumer<Quiet> = self.config.create_with_context(Quiet)?;
        let ring = self.ring.clone();
        consumer.set_nonempty_callback(move || {
            // Full: it rings already.
            let _ = ring.try_send(());
        });
        Ok(consumer)
    }

    /// Hands out what there is, to `take`, until it wants no more; waits for a first one for so
    /// long. Blocks.
    ///
    /// # Errors
    /// When somebody failed; what others had is handed out before. All partitions are to be
    /// assigned again then.
    pub fn poll(
        &mut self,
        wait: Duration,
        mut take: impl FnMut(&BorrowedMessage<'_>) -> Wanted,
    ) -> Result<(), KafkaError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let mut heard = self.sweep(&mut take);
        if heard == Heard::Nothing && self.failed.is_none() && self.bell.recv_timeout(wait).is_ok()
        {
            heard = self.sweep(&mut take);
        }
        match heard {
            Heard::Records => Ok(()),
            Heard::Nothing => self.failed.take().map_or(Ok(()), Err),
        }
    }

    /// Asks all of them. What failed is heard of all at once: in an outage all fail.
    fn sweep(&mut self, take: &mut impl FnMut(&BorrowedMessage<'_>) -> Wanted) -> Heard {
        let first = self.asked % self.each.len().max(1);
        self.asked = self.asked.wrapping_add(1);
        let mut heard = Heard::Nothing;
        let consumers = self.each.values();
        for consumer in consumers.clone().skip(first).chain(consumers.take(first)) {
            while let Some(polled) = consumer.poll(Duration::ZERO) {
                match polled {
                    Ok(message) => {
                        heard = Heard::Records;
                        if take(&message) == Wanted::NoMore {
                            return heard;
                        }
                    }
                    Err(error) => self.failed = Some(error),
                }
            }
        }
        heard
    }
}

/// Whether whoever takes records wants another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wanted {
    More,
    NoMore,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Heard {
    Records,
    Nothing,
}

/// Keeps what a client says besides: what fails is told by who reads.
struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(?level, facility, message, "Kafka's client");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "Kafka");
    }
}

impl ConsumerContext for Quiet {}
