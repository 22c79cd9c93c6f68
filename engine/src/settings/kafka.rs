//! `[kafka]`: where requests of other systems come from.

use super::error::SettingsError;
use super::layers::Layers;

/// Section `[kafka]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaSettings {
    /// `VOLLEY_KAFKA__BROKERS`: where to begin, `host:port,…`; `None`: nothing is read from
    /// Kafka.
    pub brokers: Option<String>,
    /// `VOLLEY_KAFKA__PREFIX`: what the names of topics begin with, before a dot.
    pub prefix: String,
    /// `VOLLEY_KAFKA__REPLICATION`: on how many brokers each record of a topic lies that is made
    /// by a node; `None`: as the brokers have it.
    pub replication: Option<u16>,
}

impl KafkaSettings {
    pub(super) fn read(layers: &mut Layers) -> Result<Self, SettingsError> {
        let mut section = layers.section("kafka");
        let settings = Self {
            brokers: section.checked("brokers", brokers)?,
            prefix: section.checked("prefix", |prefix: String| {
                let letters = prefix
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
                // Kafka takes 249 characters, and `.requests.transactional.dlq` is behind it.
                let fits = (1..=200).contains(&prefix.len());
                (letters && fits).then_some(prefix).ok_or_else(|| {
                    "has 1 to 200 letters, digits, dots, underscores and hyphens".to_owned()
                })
            })?,
            replication: section.optional("replication", |replication: u16| {
                let allowed = (1..=99).contains(&replication);
                allowed
                    .then_some(replication)
                    .ok_or_else(|| "is not from 1 to 99".to_owned())
            })?,
        };
        section.finish()?;
        Ok(settings)
    }

    /// The settings that every client of these brokers has.
    #[cfg(feature = "cluster")]
    pub(crate) fn client(&self) -> rdkafka::ClientConfig {
        client(self.brokers.as_deref().unwrap_or(""))
    }
}

/// The settings that every client of some brokers has.
#[cfg(feature = "cluster")]
pub(crate) fn client(brokers: &str) -> rdkafka::ClientConfig {
    let mut config = rdkafka::ClientConfig::new();
    config
        .set("bootstrap.servers", brokers)
        .set("client.id", "volley")
        // Topics are created by us, with what we need, or not at all.
        .set("allow.auto.create.topics", "false")
        .set("socket.timeout.ms", "5000")
        // A broker that is back is found within half a second.
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", "500");
    config
}

/// Brokers, if they can be some.
fn brokers(text: String) -> Result<Option<String>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    if !cfg!(feature = "cluster") {
        return Err("needs a volley that was built with the feature `cluster`".to_owned());
    }
    let has_port = |broker: &str| {
        let port = broker.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
        matches!(port, Some(Ok(1..)))
    };
    match text.split(',').all(has_port) {
        true => Ok(Some(text)),
        false => Err("is a list such as `kafka-1:9092,kafka-2:9092`".to_owned()),
    }
}
