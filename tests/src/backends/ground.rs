//! What nodes of a cluster stand on: a keyspace and topics of their own in servers that they
//! may share with others.

use engine::log::{KafkaLogSettings, Log, LogError, open_log};
use engine::runtime::Runtime;
use engine::settings::{CqlSettings, KafkaSettings, TlsSettings};
use engine::store::{Store, cql};
use schemas::PartitionCount;

use super::cassandra::Cassandra;
use super::kafka::Kafka;
use super::kafka::doors::Door;

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
            cql: cassandra.settings(name),
            kafka: kafka.settings(name),
        };
        ground.migrate(runtime).await;
        ground
    }

    /// The same behind a broker's door and in a node that may be locked.
    ///
    /// # Panics
    /// As [`Ground::make`].
    pub async fn behind(
        cassandra: &Cassandra,
        (kafka, door): (&Kafka, Door),
        name: &str,
        runtime: &Runtime,
    ) -> Self {
        let ground = Self {
            cql: cassandra.settings(name),
            kafka: kafka.doors().settings(door, name),
        };
        ground.migrate(runtime).await;
        ground
    }

    async fn migrate(&self, runtime: &Runtime) {
        let migrated = cql::migrate(&self.cql, runtime).await;
        migrated.expect("the tables are made");
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
        let mut sections = format!(
            "[cql]\nnodes = {:?}\nkeyspace = {:?}\nreplication = {}\n",
            cql.nodes, cql.keyspace, cql.replication,
        );
        let mut add = |key: &str, value: &str| sections += &format!("{key} = {value:?}\n");
        if let (Some(user), Some(password)) = (&cql.user, &cql.password) {
            add("user", user);
            add("password", password.expose());
        }
        sections += &tls(cql.tls.as_ref());
        sections += &format!(
            "[kafka]\nbrokers = {:?}\nprefix = {:?}\nreplication = 1\nowners = {}\n",
            kafka.brokers.as_deref().expect("brokers"),
            kafka.prefix,
            kafka.owners.get(),
        );
        let mut add = |key: &str, value: &str| sections += &format!("{key} = {value:?}\n");
        if let Some(login) = &kafka.security.login {
            add("user", &login.user);
            add("password", login.password.expose());
            add("mechanism", login.mechanism.as_str());
        }
        if let Some(identity) = &kafka.security.identity {
            add(
                "certificate_file",
                &identity.certificate_file.to_string_lossy(),
            );
            add("key_file", &identity.key_file.to_string_lossy());
        }
        sections + &tls(kafka.security.tls.as_ref())
    }
}

fn tls(tls: Option<&TlsSettings>) -> String {
    let Some(tls) = tls else {
        return String::new();
    };
    let ca_file = tls.ca_file.as_ref();
    let ca_file = ca_file.map(|file| format!("ca_file = {file:?}\n"));
    format!("tls = true\n{}", ca_file.unwrap_or_default())
}
