//! Where Kafka is, and how our topics are created in it.

use std::time::Duration;

/// How a node reaches Kafka.
#[derive(Clone, Debug)]
pub struct KafkaLogSettings {
    /// Where to begin, each `host:port`. The other brokers are found from there.
    pub brokers: Vec<String>,
    /// What the names of our topics begin with. `volley.` where nobody says otherwise.
    pub topic_prefix: String,
    /// On how many brokers each record lies. Three survive the loss of any one broker.
    pub replication: u16,
    /// How long Kafka keeps records that nobody trimmed; `None` for ever. What is read
    /// later than that is lost, so it is for those who would rather lose work than disks.
    pub retention: Option<Duration>,
}

impl KafkaLogSettings {
    /// Our topics' own settings are derived from these. Records on one broker alone have
    /// no other copy to wait for; else all but one must have a record before it counts.
    pub(super) fn in_sync(&self) -> u16 {
        self.replication.saturating_sub(1).max(1)
    }
}
