//! Requests for messages that other systems produce to Kafka, one topic for each class.
//!
//! Producers choose keys, partitions and formats as they like. Each record says by an API key in
//! its header `volley-key` whose it is: brokers know who may write to a topic, but do not tell a
//! consumer who wrote a record, so a name in it would prove nothing.
//!
//! - [`record`]: what a record is, and the request it carries: plain JSON, or a CloudEvent;
//! - [`dead_letter`]: what cannot be taken in, on its way to `<topic>.dlq` and back;
//! - [`topics`]: the topics, made where they are missing;
//! - [`requests`]: reading them from positions of our own.

pub mod cloud_event;
mod consumers;
pub mod dead_letter;
pub mod record;
pub mod requests;
pub mod topics;

use crate::kafka::Unreached;

/// Kafka could not do it. Every one of these may pass by itself.
#[derive(Debug, thiserror::Error)]
pub enum IngressError {
    /// Something that was tried failed.
    #[error("{what}: {cause}")]
    Failed {
        /// What was tried.
        what: &'static str,
        /// What the client library said; it knows no content.
        cause: rdkafka::error::KafkaError,
    },
    /// The brokers refuse us, or do not answer.
    #[error("{detail}")]
    Unreached {
        /// Why, and the cure.
        detail: String,
    },
}

impl IngressError {
    pub(crate) fn of(what: &'static str) -> impl Fn(rdkafka::error::KafkaError) -> IngressError {
        move |cause| Self::Failed { what, cause }
    }
}

impl From<Unreached> for IngressError {
    fn from(unreached: Unreached) -> Self {
        let (Unreached::Refused(detail) | Unreached::Silent(detail)) = unreached;
        Self::Unreached { detail }
    }
}
