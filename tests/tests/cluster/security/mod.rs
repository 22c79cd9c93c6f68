//! Servers that do not take everybody: every way in is used by all that makes a client, a whole
//! node works on such servers, and who is refused hears why and what to do, and nothing secret.

#[cfg(feature = "kafka-tls")]
mod node;

use engine::ingress::dead_letter::{DeadLetter, RecordWriter};
use engine::ingress::record::{Incoming, Origin, Poison};
use engine::ingress::requests::RecordReader;
use engine::ingress::topics;
use engine::journal::Verdict;
use engine::log::{Nodes, Topic};
use engine::runtime::Runtime;
use engine::settings::KafkaSettings;
#[cfg(feature = "kafka-tls")]
use engine::settings::Mechanism;
use engine::storage::{JournalSettings, Servers};
use schemas::change::Change;
use schemas::{AccountId, Message, MessageClass, Partition, PartitionCount};
use tests::backends::ground::Ground;
use tests::backends::kafka::doors::Door;
use tests::backends::{cassandra, kafka};
use tests::fixture;

const PARTITIONS: PartitionCount = PartitionCount::EMBEDDED;

/// Every door that this build can use.
const DOORS: &[Door] = &[
    Door::Password,
    #[cfg(feature = "kafka-tls")]
    Door::PasswordOverTls(Mechanism::Plain),
    #[cfg(feature = "kafka-tls")]
    Door::PasswordOverTls(Mechanism::ScramSha256),
    #[cfg(feature = "kafka-tls")]
    Door::PasswordOverTls(Mechanism::ScramSha512),
    #[cfg(feature = "kafka-tls")]
    Door::CertificateOverTls,
];

/// Logs, journals with their transactions, turns and requests: one deployment that is reached by
/// one door after the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_done_with_kafka_is_done_by_every_door() {
    let servers = || tokio::task::block_in_place(|| Some((cassandra()?, kafka()?)));
    let Some((cassandra, kafka)) = servers() else {
        return;
    };
    let runtime = Runtime::of_machine(tokio::runtime::Handle::current());
    let mut ground = Ground::make(cassandra, kafka, "doors", &runtime).await;
    for door in DOORS {
        ground.kafka = kafka.doors().settings(*door, "doors");
        works_on(&ground, &runtime).await;
        carries_records(&ground.kafka, &format!("{door:?}"), &runtime).await;
    }
}

async fn works_on(ground: &Ground, runtime: &Runtime) {
    let servers = Servers {
        cql: ground.cql.clone(),
        kafka: ground.kafka.clone(),
    };
    let settings = JournalSettings {
        partitions: PARTITIONS,
        owners: PartitionCount::ONE,
        trim: false,
    };
    let shared = servers.connect(Nodes::visitor(), runtime, settings).await;
    let shared = shared.expect("it connects");
    let range = shared.ranges().next().expect("all partitions");
    let storage = shared.own(range).await;
    let storage = storage.expect("it opens");
    let (topic, partition) = (Topic::Work(MessageClass::Marketing), Partition(3));
    let appended = storage.log.append(topic, partition, vec![vec![7]; 3]).await;
    let first = appended.expect("it is appended");
    let read = storage.log.read(topic, partition, first, 10).await;
    assert_eq!(read.expect("it is read").len(), 3);
    let account = AccountId::mint(runtime.now(), runtime.random_bytes());
    let envelope = fixture::envelope(account, None, "+14155550101");
    let partition = PARTITIONS.of(envelope.to.slice());
    let scheduled = Change::Scheduled {
        envelope: envelope.clone(),
        at: envelope.created_at.plus_micros(1),
    };
    let verdicts = storage.journal.commit(vec![(partition, scheduled)]).await;
    assert_eq!(verdicts.expect("it is committed"), [Verdict::Done]);
    let key = schemas::message::message_key(account, envelope.id);
    let row = storage.store.get::<Message>(&key).await;
    assert!(row.expect("it is read").is_some());
}

/// What the door for requests does: it makes topics, and writes and reads records.
async fn carries_records(kafka: &KafkaSettings, text: &str, runtime: &Runtime) {
    topics::make_missing(kafka, runtime).await.expect("topics");
    let class = MessageClass::Marketing;
    let topic = topics::requests(kafka, class);
    let record = Incoming {
        origin: Origin {
            topic: topic.clone(),
            partition: 0,
            offset: 5,
            timestamp: 0,
        },
        class,
        key: None,
        headers: Vec::new(),
        value: Some(text.as_bytes().to_vec()),
    };
    let writer = RecordWriter::open(kafka).expect("a writer");
    let poison = Poison::new("invalid_json", "no JSON");
    let written = writer.set_aside(&[(record, poison)]).await;
    written.expect("it is written");
    let aside = topics::dead_letters(&topic);
    let reader = RecordReader::open(kafka, [(aside.clone(), class)], runtime);
    let reader = reader.expect("a reader");
    let assigned = reader.assign([((aside, 0), 0)].into()).await;
    assigned.expect("assigned");
    let is_it = |letter: &DeadLetter| letter.record.value.as_deref() == Some(text.as_bytes());
    loop {
        let records = reader.read().await.expect("Kafka answers");
        if records
            .into_iter()
            .filter_map(DeadLetter::of)
            .any(|it| is_it(&it))
        {
            return;
        }
    }
}
