//! The log port on a real Kafka: the whole contract, and what only a cluster can do to it.

mod outages;
mod topics;
mod writers;

use engine::log::contract::LogSubject;
use engine::log::{KafkaLogSettings, Log, LogError, Topic, TopicMarks};
use engine::runtime::Runtime;
use engine::settings::KafkaSecurity;
use futures::FutureExt;
use futures::future::BoxFuture;
use schemas::{MessageClass, Partition, PartitionCount};
use tests::backends;
use tests::backends::kafka::Kafka;

const WORK: Topic = Topic::Work(MessageClass::Marketing);
const PARTITION: Partition = Partition(3);

/// Topics of one test in a cluster, and how they are opened.
struct Topics {
    settings: KafkaLogSettings,
    partitions: PartitionCount,
    marks: TopicMarks,
    runtime: Runtime,
}

impl Topics {
    /// Topics of this name, which are not there yet.
    fn new(kafka: &Kafka, name: &str, replication: u16) -> Self {
        Self {
            settings: KafkaLogSettings {
                brokers: kafka.bootstrap().split(',').map(str::to_owned).collect(),
                topic_prefix: format!("{name}."),
                replication: Some(replication),
                retention: None,
                security: KafkaSecurity::default(),
            },
            partitions: PartitionCount::EMBEDDED,
            marks: TopicMarks::default(),
            runtime: Runtime::of_machine(tokio::runtime::Handle::current()),
        }
    }

    /// The name of [`WORK`] in the cluster.
    fn work(&self) -> String {
        format!("{}work.marketing", self.settings.topic_prefix)
    }

    async fn try_open(&self) -> Result<(Log, TopicMarks), LogError> {
        Log::on_kafka(&self.settings, self.partitions, &self.marks, &self.runtime).await
    }

    async fn open(&mut self) -> Log {
        let (log, marks) = self.try_open().await.expect("the log opens");
        self.marks = marks;
        log
    }
}

/// A log for the contract. A crash drops its clients.
struct KafkaSubject {
    topics: Topics,
    log: Option<Log>,
}

impl KafkaSubject {
    async fn new(kafka: &Kafka, name: &str) -> Self {
        let mut topics = Topics::new(kafka, name, 1);
        let log = Some(topics.open().await);
        Self { topics, log }
    }
}

impl LogSubject for KafkaSubject {
    fn log(&self) -> Log {
        self.log.as_ref().expect("open").clone()
    }

    fn crash(&mut self) -> BoxFuture<'_, ()> {
        async {
            self.log = None;
            self.log = Some(self.topics.open().await);
        }
        .boxed()
    }
}

macro_rules! run_log_cases {
    ($($case:ident,)*) => {
        mod contract {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let Some(kafka) = super::backends::kafka() else {
                    return;
                };
                let mut subject = super::KafkaSubject::new(kafka, stringify!($case)).await;
                engine::log::contract::$case(&mut subject).await;
            })*
        }
    };
}

engine::each_log_case!(run_log_cases);

/// So many records with these numbers.
fn records(numbers: std::ops::Range<u64>) -> Vec<Vec<u8>> {
    let text = |number: u64| number.to_string().into_bytes();
    numbers.map(text).collect()
}

/// Every number in [`PARTITION`] of [`WORK`], in the order of the offsets.
async fn numbers(log: &Log) -> Vec<u64> {
    let (mut found, mut from) = (Vec::new(), 0);
    loop {
        let page = log.read(WORK, PARTITION, from, 1_000).await.expect("read");
        let Some((last, _)) = page.last() else {
            return found;
        };
        from = last + 1;
        let number = |payload: Vec<u8>| String::from_utf8(payload).ok()?.parse::<u64>().ok();
        found.extend(
            page.into_iter()
                .map(|(_, payload)| number(payload).expect("a number")),
        );
    }
}
