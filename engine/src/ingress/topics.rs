//! The topics of requests and of what was set aside, made where they are missing.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use schemas::MessageClass;

use super::IngressError;
use crate::kafka;
use crate::runtime::Runtime;
use crate::settings::KafkaSettings;

/// Partitions of a topic of requests that nobody made before: so many consumers can share it, and
/// more can be added later.
const PARTITIONS: i32 = 8;

/// What is set aside is little, and read by people.
const DEAD_LETTER_PARTITIONS: i32 = 1;

/// How long making topics may take.
const WAIT: Duration = Duration::from_secs(10);

/// The topic with the requests of a class.
pub fn requests(settings: &KafkaSettings, class: MessageClass) -> String {
    format!("{}.requests.{}", settings.prefix, class.as_str())
}

/// Where records of a topic go that cannot be taken in.
pub fn dead_letters(topic: &str) -> String {
    format!("{topic}.dlq")
}

/// Makes the topics that are missing. Those that are there stay as they are: their owners may have
/// their own mind about partitions and retention.
///
/// # Errors
/// When Kafka does not answer or refuses; who is refused hears the cure.
pub async fn make_missing(settings: &KafkaSettings, runtime: &Runtime) -> Result<(), IngressError> {
    let first = requests(settings, MessageClass::Transactional);
    kafka::reach(settings.client(), &first, runtime).await?;
    let admin: AdminClient<DefaultClientContext> = settings
        .client()
        .create()
        .map_err(IngressError::of("a client for Kafka"))?;
    let names: Vec<(String, i32)> = MessageClass::ALL
        .into_iter()
        .flat_map(|class| {
            let topic = requests(settings, class);
            let aside = dead_letters(&topic);
            [(topic, PARTITIONS), (aside, DEAD_LETTER_PARTITIONS)]
        })
        .collect();
    // -1 leaves it to the brokers' own default.
    let replicas = settings.replication.map_or(-1, i32::from);
    let topics: Vec<NewTopic<'_>> = names
        .iter()
        .map(|(name, partitions)| {
            NewTopic::new(name, *partitions, TopicReplication::Fixed(replicas))
        })
        .collect();
    let options = AdminOptions::new()
        .request_timeout(Some(WAIT))
        .operation_timeout(Some(WAIT));
    let made = admin.create_topics(&topics, &options).await;
    let failed = IngressError::of("the topics of requests cannot be made");
    for result in made.map_err(&failed)? {
        match result {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((_, code)) => return Err(failed(KafkaError::AdminOp(code))),
        }
    }
    Ok(())
}
