//! Requests from Kafka: what clients of all sorts produce arrives, once each, however often it is
//! produced or read; what cannot be taken in is set aside, can be looked at and sent again.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use engine::ingress::dead_letter::{DeadLetter, RecordWriter};
use engine::ingress::requests::{Place, RecordReader};
use engine::ingress::topics;
use engine::runtime::Runtime;
use engine::settings::KafkaSettings;
use sandbox::book::{BOOK_FILE, Book, Record};
use sandbox::{FaultPlan, Sandbox, SandboxConfig};
use schemas::MessageClass;
use tests::backends::clients::{self, Sending};
use tests::backends::kafka::{Kafka, PRODUCER};
use tests::child::{ChildNode, ChildSettings};
use tests::fixture;
use tests::user::start_disabled;

use super::node::{machine, numbers, sum};

/// What the names of this test's topics begin with.
const PREFIX: &str = "ingress";

/// Requests of each kind from each client.
const COUNT: u32 = 20;

/// How often it is looked whether something has come about, and how often before the test gives
/// up: a minute.
const LOOK_EVERY: Duration = Duration::from_millis(50);
const LOOKS: u32 = 1_200;

/// What cannot be taken in, and the word that says why.
const POISON: [(&str, &str, &str); 5] = [
    ("", "not json", "unauthorized"),
    ("{key}", "not json", "invalid_json"),
    (
        "{key}",
        r#"{"to":"+12025550199","body":"x","bdy":"y"}"#,
        "unknown_field",
    ),
    ("{key}", r#"{"to":"12","body":"x"}"#, "invalid_phone"),
    (
        "{key}",
        r#"{"to":"+12025550199","body":"x","class":"transactional"}"#,
        "invalid_value",
    ),
];

/// The parts that outlive a node.
struct Setup {
    kafka: &'static Kafka,
    sandbox: Sandbox,
    node: ChildSettings,
    runtime: Runtime,
}

#[test]
fn what_anybody_produces_arrives_once() {
    let _machine = machine();
    let Some(kafka) = tests::backends::kafka() else {
        return;
    };
    let folder = fixture::folder(env!("CARGO_TARGET_TMPDIR"), "ingress");
    let tasks = fixture::tasks();
    let sandbox = sandbox(&folder.join("book"));
    let setup = Setup {
        kafka,
        node: node_settings(kafka, &folder, &sandbox),
        sandbox,
        runtime: Runtime::of_machine(tasks.handle().clone()),
    };
    let expected = tasks.block_on(produced_and_read_again(&setup));
    setup.sandbox.shutdown().expect("the book is closed");
    let mut texts: BTreeMap<String, u32> = BTreeMap::new();
    for record in Book::read(&folder.join("book").join(BOOK_FILE)).expect("a book") {
        if let Record::Text(text) = record.expect("a record") {
            *texts.entry(text.body.into_owned()).or_default() += 1;
        }
    }
    let twice: Vec<_> = texts.iter().filter(|(_, times)| **times != 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    assert_eq!(texts.len() as u32, expected);
}

/// Produces everything, with a node that is killed meanwhile, and has it read three times more.
/// Tells how many texts there must be.
///
/// Nothing is sent until the node that is killed is gone: a marketing text that it was about to
/// send would be `unknown` and might never have left.
async fn produced_and_read_again(setup: &Setup) -> u32 {
    let (node, user, provider) = start_disabled(&setup.node).await;
    let expected = produce(setup, user.key().expose(), || node.kill());
    let mut node = ChildNode::start(&setup.node);
    user.enable(provider, true).await;
    assert_set_aside(setup).await;
    left(setup, &mut node, expected).await;
    node.stop();
    let ends = ends(setup).await;
    assert_eq!(positions(setup), ends);
    let records = ends.values().sum();
    for _ in 0..3 {
        for (topic, partition) in ends.keys() {
            let partition = partition.to_string();
            let words = ["kafka", "rewind", topic, &partition, "0"];
            setup.node.given(&words);
        }
        let node = ChildNode::start(&setup.node);
        read(setup, records).await;
        node.stop();
        assert_eq!(positions(setup), ends);
    }
    expected
}

/// Produces requests with three clients, and what cannot be taken in; something happens after the
/// first client.
fn produce(setup: &Setup, key: &str, then: impl FnOnce()) -> u32 {
    let brokers = setup.kafka.bootstrap();
    let topic = topics::requests(&settings(setup.kafka), MessageClass::Marketing);
    let sending = |first| Sending {
        brokers: &brokers,
        topic: &topic,
        key,
        count: COUNT,
        first,
    };
    clients::kafkajs(&sending(5_550_000));
    then();
    clients::confluent(&sending(5_551_000));
    let console = |header: &str, value: &str| {
        // Headers, then what parts them from the value.
        format!("volley-key:{header}\t{value}\n")
    };
    let mut lines: String = (0..COUNT)
        .map(|index| {
            let number = 5_552_000 + index;
            let value = format!(r#"{{"to":"+1202{number}","body":"console {index}"}}"#);
            console(key, &value)
        })
        .collect();
    for (header, value, _) in POISON {
        lines += &console(&header.replace("{key}", key), value);
    }
    let headers = ["--topic", &topic, "--reader-property", "parse.headers=true"];
    setup.kafka.tool(PRODUCER, &headers, &lines);
    // Three kinds by kafkajs, one by each of the others.
    5 * COUNT
}

/// Where the topics end, but for empty partitions.
async fn ends(setup: &Setup) -> BTreeMap<Place, u64> {
    let kafka = settings(setup.kafka);
    let topics = MessageClass::ALL.map(|class| (topics::requests(&kafka, class), class));
    let reader = RecordReader::open(&kafka, topics, &setup.runtime).expect("a reader");
    let kept = reader.partitions().await.expect("Kafka answers");
    let ends = kept.into_iter().map(|(place, kept)| (place, kept.end));
    ends.filter(|(_, end)| *end > 0).collect()
}

/// How far a node that has stopped has read.
fn positions(setup: &Setup) -> BTreeMap<Place, u64> {
    let mut positions = BTreeMap::new();
    for class in MessageClass::ALL {
        let topic = topics::requests(&settings(setup.kafka), class);
        for line in setup.node.given(&["kafka", "positions", &topic]).lines() {
            let mut words = line
                .split(' ')
                .skip(1)
                .map(|word| word.parse().expect("a number"));
            let mut number = || words.next().expect("a number");
            let partition = u32::try_from(number()).expect("a partition");
            positions.insert((topic.clone(), partition), number());
        }
    }
    positions
}

/// Waits until the node has read so many records since it started, by its own numbers.
async fn read(setup: &Setup, records: u64) {
    for _ in 0..LOOKS {
        let page = numbers(&setup.node).await;
        if sum(&page, "volley_kafka_records_total") == records {
            return;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    panic!("the records are not read");
}

/// Waits until so many texts have left.
async fn left(setup: &Setup, node: &mut ChildNode, expected: u32) {
    let mut taken: u64 = 0;
    for _ in 0..LOOKS {
        let accounts = setup.sandbox.statistics().accounts;
        let counts = accounts.iter().map(|account| account.counts.texts_taken);
        taken = counts.sum();
        if taken >= u64::from(expected) {
            return;
        }
        node.must_run();
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let page = numbers(&setup.node).await;
    panic!("{taken} texts of {expected} have left:\n{page}");
}

/// Every poison record is set aside with its reason, and comes back when it is sent again.
async fn assert_set_aside(setup: &Setup) {
    let letters = dead_letters(setup, POISON.len()).await;
    let mut codes: Vec<&str> = letters.iter().map(|letter| letter.code.as_str()).collect();
    codes.sort_unstable();
    let mut expected = POISON.map(|(_, _, code)| code);
    expected.sort_unstable();
    assert_eq!(codes, expected);
    let writer = RecordWriter::open(&settings(setup.kafka)).expect("a writer");
    for letter in &letters {
        assert_eq!(letter.record.origin.topic, "ingress.requests.marketing");
        writer.replay(letter).await.expect("it is sent again");
    }
    let again = dead_letters(setup, 2 * POISON.len()).await;
    assert_eq!(again.len(), 2 * POISON.len());
}

/// What is set aside, once it is so many records.
async fn dead_letters(setup: &Setup, count: usize) -> Vec<DeadLetter> {
    let topic = topics::dead_letters(&topics::requests(
        &settings(setup.kafka),
        MessageClass::Marketing,
    ));
    let topics = [(topic.clone(), MessageClass::Marketing)];
    let reader =
        RecordReader::open(&settings(setup.kafka), topics, &setup.runtime).expect("a reader");
    let assigned = reader.assign([((topic, 0), 0)].into()).await;
    assigned.expect("assigned");
    let mut letters = Vec::new();
    for _ in 0..LOOKS {
        if letters.len() >= count {
            break;
        }
        let records = reader.read().await.expect("Kafka answers");
        letters.extend(records.into_iter().filter_map(DeadLetter::of));
    }
    letters
}

fn sandbox(book: &Path) -> Sandbox {
    Sandbox::start(SandboxConfig {
        listen: "127.0.0.1:0".parse().expect("an address"),
        accounts: vec![fixture::sandbox_account(1, 500.0)],
        book_folder: book.to_owned(),
        seed: 1,
        faults: FaultPlan::none(),
        threads: 1,
    })
    .expect("the sandbox starts")
}

fn settings(kafka: &Kafka) -> KafkaSettings {
    kafka.settings(PREFIX)
}

fn node_settings(kafka: &Kafka, folder: &Path, sandbox: &Sandbox) -> ChildSettings {
    let program = env!("CARGO_BIN_EXE_node");
    let written = ChildSettings::write(program, folder, 8, sandbox.address(), 1, 500.0);
    let brokers = kafka.bootstrap();
    written.and(&format!(
        "[kafka]\nbrokers = \"{brokers}\"\nprefix = \"{PREFIX}\"\n"
    ));
    written
}
