//! What cannot be taken in goes to `<topic>.dlq` as it was, with the reason and where it stood;
//! from there people look at it and send it again.

use rdkafka::message::{Header, Headers, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};

use super::IngressError;
use super::record::{IDEMPOTENCY_HEADER, Incoming, Origin, Poison};
use super::topics;
use crate::settings::KafkaSettings;

/// What our own headers begin with, but for the one of the API key.
const OURS: &str = "volley-error";
const CODE: &str = "volley-error-code";
const DETAIL: &str = "volley-error-detail";
const TOPIC: &str = "volley-error-topic";
const PARTITION: &str = "volley-error-partition";
const OFFSET: &str = "volley-error-offset";
const TIMESTAMP: &str = "volley-error-timestamp";

/// A record that was set aside.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// The record as it was, where it stood.
    pub record: Incoming,
    /// Why it was not taken in.
    pub code: String,
    /// More of that.
    pub detail: String,
}

/// Writes records to topics.
#[derive(Clone)]
pub struct RecordWriter {
    producer: FutureProducer,
}

impl std::fmt::Debug for RecordWriter {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("RecordWriter")
    }
}

impl RecordWriter {
    /// A writer; nothing is asked of Kafka yet.
    ///
    /// # Errors
    /// When the settings are refused.
    pub fn open(settings: &KafkaSettings) -> Result<Self, IngressError> {
        let mut config = settings.client();
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            // One broker that restarts is back in 5 s; a caller tries again after this.
            .set("delivery.timeout.ms", "10000")
            // What is set aside at once is one batch of records; 16 MiB are some of them.
            .set("queue.buffering.max.kbytes", "16384");
        let producer = config
            .create()
            .map_err(IngressError::of("a producer for Kafka"))?;
        Ok(Self { producer })
    }

    /// Sets records aside. Durable when it returns; after an error some may be there, and
    /// setting them aside again makes a second copy of those.
    ///
    /// # Errors
    /// When Kafka does not take them within ten seconds.
    pub async fn set_aside(&self, records: &[(Incoming, Poison)]) -> Result<(), IngressError> {
        let writes = records.iter().map(|(record, poison)| {
            let topic = topics::dead_letters(&record.origin.topic);
            self.write(topic, record, headers_aside(record, poison))
        });
        futures::future::try_join_all(writes).await.map(drop)
    }

    /// Sends a record again to where it came from, without our reason, and with a key under
    /// which it counts once however often it is sent again.
    ///
    /// # Errors
    /// When Kafka does not take it within ten seconds.
    pub async fn replay(&self, letter: &DeadLetter) -> Result<(), IngressError> {
        let record = &letter.record;
        let mut headers = copied(record);
        if !has_header(record, IDEMPOTENCY_HEADER) && !has_header(record, "ce_id") {
            headers = with(
                headers,
                IDEMPOTENCY_HEADER,
                &record.origin.idempotency_key(),
            );
        }
        self.write(record.origin.topic.clone(), record, headers)
            .await
    }

    async fn write(
        &self,
        topic: String,
        record: &Incoming,
        headers: OwnedHeaders,
    ) -> Result<(), IngressError> {
        let mut outgoing = FutureRecord::<[u8], [u8]>::to(&topic).headers(headers);
        if let Some(key) = &record.key {
            outgoing = outgoing.key(key);
        }
        if let Some(value) = &record.value {
            outgoing = outgoing.payload(value);
        }
        let written = self
            .producer
            .send(outgoing, rdkafka::util::Timeout::Never)
            .await;
        let failed = IngressError::of("a record cannot be written");
        written.map(drop).map_err(|(error, _)| failed(error))
    }
}

impl DeadLetter {
    /// A record of a topic of dead letters, as the one that it was. `None` when nothing tells
    /// where it came from: somebody else has written it.
    pub fn of(mut record: Incoming) -> Option<Self> {
        let text = |name: &str| record.text_header(name).ok().flatten();
        let origin = Origin {
            topic: text(TOPIC)?,
            partition: text(PARTITION)?.parse().ok()?,
            offset: text(OFFSET)?.parse().ok()?,
            timestamp: text(TIMESTAMP)?.parse().ok()?,
        };
        let (code, detail) = (text(CODE)?, text(DETAIL).unwrap_or_default());
        record.origin = origin;
        Some(Self {
            record,
            code,
            detail,
        })
    }
}

fn has_header(record: &Incoming, name: &str) -> bool {
    let mut headers = record.headers.iter();
    headers.any(|(header, _)| header.eq_ignore_ascii_case(name))
}

/// A record's own headers, without what we wrote when it was set aside before.
fn copied(record: &Incoming) -> OwnedHeaders {
    let own = record
        .headers
        .iter()
        .filter(|(name, _)| !name.starts_with(OURS));
    own.fold(OwnedHeaders::new(), |headers, (key, value)| {
        let value = Some(value);
        headers.insert(Header { key, value })
    })
}

fn headers_aside(record: &Incoming, poison: &Poison) -> OwnedHeaders {
    let origin = &record.origin;
    let told = [
        (CODE, poison.code.to_owned()),
        (DETAIL, poison.detail.clone()),
        (TOPIC, origin.topic.clone()),
        (PARTITION, origin.partition.to_string()),
        (OFFSET, origin.offset.to_string()),
        (TIMESTAMP, origin.timestamp.to_string()),
    ];
    let told = told.iter();
    told.fold(copied(record), |headers, (name, value)| {
        with(headers, name, value)
    })
}

fn with(headers: OwnedHeaders, key: &str, value: &str) -> OwnedHeaders {
    let value = Some(value);
    headers.insert(Header { key, value })
}

/// Headers as they were read; one without a value has an empty one.
pub(super) fn headers_of(headers: Option<&impl Headers>) -> Vec<(String, Vec<u8>)> {
    let Some(headers) = headers else {
        return Vec::new();
    };
    let header = |header: Header<'_, &[u8]>| {
        (
            header.key.to_owned(),
            header.value.unwrap_or_default().to_vec(),
        )
    };
    headers.iter().map(header).collect()
}
