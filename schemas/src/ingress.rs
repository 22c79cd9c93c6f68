//! Requests for messages that come as Kafka records, and how far they were read.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::messages::{MessageRequest, Recipient};
use crate::record::{CompareAndSet, Key, KeyPart, Record, Table, Versioned, tables};
use crate::secret::Body;

/// What one record asks for: the fields of `POST /v1/messages`, and what a record needs besides.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordRequest {
    /// The recipient: E.164, or as people write it; in national form with a `region`.
    #[schema(value_type = String, examples("+14155550123", "(415) 555-0123"))]
    pub to: Option<Recipient>,
    /// The region of a number in national form, two letters such as `US`.
    #[schema(pattern = "^[A-Z]{2}$")]
    pub region: Option<String>,
    /// The sender; left out, that of the provider account that takes the message.
    pub from: Option<String>,
    /// The text: 1 to 1,600 characters.
    #[schema(value_type = String, min_length = 1, max_length = 1_600, examples("Your table is ready."))]
    pub body: Option<Body>,
    /// The class. The topic says it; what is written here must be the same.
    pub class: Option<String>,
    /// The id of a provider account; left out or `auto`, any.
    #[schema(pattern = "^(auto|prv_[0-9a-f]{32})$")]
    pub provider: Option<String>,
    /// Not before this instant, RFC 3339; at most 35 days ahead.
    #[schema(format = DateTime)]
    pub send_at: Option<String>,
    /// For how long it may be sent, in seconds: 1 to 36,000.
    #[schema(minimum = 1, maximum = 36_000)]
    pub validity_period: Option<u64>,
    /// The producer's own key, where no header carries it: records of one account with the same
    /// key make one message.
    pub idempotency_key: Option<String>,
}

impl RecordRequest {
    /// The request, to be judged as one that came over REST.
    pub fn into_request(self) -> MessageRequest {
        MessageRequest {
            to: self.to,
            from: self.from,
            body: self.body,
            class: self.class,
            provider: self.provider,
            send_at: self.send_at,
            validity_period: self.validity_period,
        }
    }
}

/// How far the records of one partition of a topic were read: each before `next` is taken in or
/// set aside, durably. It is ours, not a consumer group's offset: it must not expire, and what
/// was taken in is told by the same store.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct IngressPosition {
    /// The topic.
    pub topic: String,
    /// Its partition, as Kafka counts.
    pub partition: u32,
    /// The offset of the next record to read.
    pub next: u64,
    /// For [`CompareAndSet`].
    pub version: u64,
}

impl IngressPosition {
    /// The partition key of a topic's positions.
    pub fn partition_key(topic: &str) -> Key {
        vec![KeyPart::Text(topic.to_owned())]
    }

    /// The key of one position.
    pub fn key_of(topic: &str, partition: u32) -> Key {
        let mut key = Self::partition_key(topic);
        key.push(KeyPart::U64(u64::from(partition)));
        key
    }
}

impl Record for IngressPosition {
    type Writing = CompareAndSet;
    const TABLE: Table = tables::INGRESS_POSITIONS;

    fn key(&self) -> Key {
        Self::key_of(&self.topic, self.partition)
    }
}

impl Versioned for IngressPosition {
    fn version(&self) -> u64 {
        self.version
    }

    fn set_version(&mut self, version: u64) {
        self.version = version;
    }
}
