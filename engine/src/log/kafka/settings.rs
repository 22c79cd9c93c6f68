//! Where Kafka is, and how our topics are created in it.

use std::time::Duration;

use crate::settings::{KafkaSecurity, KafkaSettings};

/// How a node reaches Kafka.
#[derive(Clone, Debug)]
pub struct KafkaLogSettings {
    /// Where to begin, each `host:port`. The other brokers are found from there.
    pub brokers: Vec<String>,
    /// What the names of our topics begin with. `volley.` where nobody says otherwise.
    pub topic_prefix: String,
    /// On how many brokers each record lies. Three survive the loss of any one broker. `None`:
    /// as the brokers have it.
    pub replication: Option<u16>,
    /// How long Kafka keeps records that nobody trimmed; `None` for ever. What is read
    /// later than that is lost, so it is for those who would rather lose work than disks.
    pub retention: Option<Duration>,
    /// How the brokers are reached.
    pub security: KafkaSecurity,
}

impl KafkaLogSettings {
    /// Our topics' own settings are derived from these. Records on one broker alone have
    /// no other copy to wait for; else all but one must have a record before it counts.
    pub(super) fn in_sync(&self) -> Option<u16> {
        let in_sync = |copies: u16| copies.saturating_sub(1).max(1);
        self.replication.map(in_sync)
    }
}

/// Of a node: nothing is deleted that was not read, and no broker is named where `[kafka]`
/// names none.
impl From<&KafkaSettings> for KafkaLogSettings {
    fn from(settings: &KafkaSettings) -> Self {
        let brokers = settings.brokers.iter().flat_map(|list| list.split(','));
        Self {
            brokers: brokers.map(str::to_owned).collect(),
            topic_prefix: format!("{}.", settings.prefix),
            replication: settings.replication,
            retention: None,
            security: settings.security.clone(),
        }
    }
}
