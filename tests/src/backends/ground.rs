//! What nodes of a cluster stand on: a keyspace and topics of their own in servers that they
//! may share with others.

use engine::log::{KafkaLogSettings, Log, LogError, open_log};
use engine::runtime::Runtime;
use engine::settings::{CqlSettings, KafkaSettings};
use engine::store::{Store, cql};
use schemas::PartitionCount;

use super::cassandra::Cassandra;
use super::kafka::Kafka;

/// A keyspace and topics, and what leads a node to them.
#[derive(Clone, Debug)]
pub struct Ground {
    /// Where the rows are.
    pub cql: CqlSettings,
    /// Where the logs are.
    pub kafka: KafkaSettings,
}

impl Ground {
    /// Makes the keyspace of this name, with its tables. Topics of this prefix are made by
    /// whoever opens them first.
    ///
    /// # Panics
    /// When the tables cannot be made.
    pub async fn make(cassandra: &Cassandra, kafka: &Kafka, name: &str, runtime: &Runtime) -> Self {
        let ground = Self {
            cql: CqlSettings {
                nodes: vec![cassandra.address().to_string()],
                keyspace: name.to_owned(),
                replication: 1,
                user: None,
                password: None,
            },
            kafka: KafkaSettings {
                brokers: Some(kafka.bootstrap()),
                prefix: name.to_owned(),
                replication: Some(1),
            },
        };
        let migrated = cql::migrate(&ground.cql, runtime).await;
        migrated.expect("the tables are made");
        ground
    }

    /// Its rows.
    ///
    /// # Panics
    /// When the store cannot be reached.
    pub async fn store(&self, runtime: &Runtime) -> Store {
        let store = cql::connect(&self.cql, runtime).await;
        store.expect("it connects")
    }

    /// Its logs, for so many partitions.
    ///
    /// # Errors
    /// As [`open_log`].
    pub async fn log(
        &self,
        store: &Store,
        partitions: PartitionCount,
        runtime: &Runtime,
    ) -> Result<Log, LogError> {
        let settings = KafkaLogSettings::from(&self.kafka);
        open_log(store, &settings, partitions, runtime).await
    }

    /// The sections of a node's settings.
    ///
    /// # Panics
    /// Never: it has brokers.
    pub fn sections(&self) -> String {
        let (cql, kafka) = (&self.cql, &self.kafka);
        format!(
            "[cql]\nnodes = {:?}\nkeyspace = {:?}\nreplication = {}\n\
             [kafka]\nbrokers = {:?}\nprefix = {:?}\nreplication = 1\n",
            cql.nodes,
            cql.keyspace,
            cql.replication,
            kafka.brokers.as_deref().expect("brokers"),
            kafka.prefix,
        )
    }
}
