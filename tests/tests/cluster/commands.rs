//! The command line where messages are on servers: it takes the servers' rows, beside the node
//! that serves, and the node minds what was set.

use std::collections::BTreeMap;
use std::fs;

use engine::ingress::topics;
use schemas::MessageClass;
use tests::backends::kafka::{Kafka, PRODUCER};
use tests::backends::servers;
use tests::child::{ChildNode, ChildSettings};
use tests::world::World;

use super::node::{machine, numbers, plan};

/// Requests that can be taken in.
const COUNT: usize = 30;

/// What is read again counts once; what is set aside is set aside again.
#[test]
fn a_rewind_beside_a_node_that_serves_is_minded() {
    let _machine = machine();
    let Some((cassandra, kafka)) = servers() else {
        return;
    };
    let (plan, ground, _) = plan(cassandra, kafka, "commands");
    let topic = topics::requests(&ground.kafka, MessageClass::Transactional);
    let world = World::start(plan);
    let settings = &world.settings;
    let mut node = ChildNode::start(settings);
    let account = settings.given(&["account", "create", "Acme"]);
    let key = settings.given(&["key", "create", account.trim()]);
    produce(kafka, &topic, key.trim());
    node.run_until(|| told(&world, "accepted") == COUNT);
    node.run_until(|| read(settings, &topic) == COUNT + 1);
    for partition in positions(settings, &topic).keys() {
        settings.given(&["kafka", "rewind", &topic, partition, "0"]);
    }
    // Nothing else comes: the node has looked by itself.
    node.run_until(|| told(&world, "replayed") == COUNT);
    node.run_until(|| read(settings, &topic) == COUNT + 1);
    node.run_until(|| world.taken() >= COUNT as u64);
    node.stop();
    assert_eq!(world.taken(), COUNT as u64);

    // From wherever the servers can be reached.
    settings.lose_data();
    assert_eq!(read(settings, &topic), COUNT + 1);
    let aside = settings.given(&["dlq", "list"]);
    let codes: Vec<&str> = aside
        .lines()
        .filter_map(|line| line.split(' ').nth(2))
        .collect();
    assert_eq!(codes, ["invalid_json", "invalid_json"], "{aside}");
    let address = aside.split(' ').next().expect("an address");
    let shown = settings.given(&["dlq", "show", address]);
    assert!(
        shown.contains("not json") && !shown.contains(key.trim()),
        "{shown}"
    );
    settings.given(&["dlq", "replay", address]);

    let refused = settings.command(&["kafka", "positions", "nobody.reads"]);
    must_end(&refused, 2, "commands.requests.transactional");
    assert!(!settings.data().exists(), "nothing was made of the folder");
    let away = settings.twin("away");
    move_servers(&away, &cassandra.address().to_string());
    let refused = away.command(&["kafka", "positions", &topic]);
    must_end(&refused, 7, "cannot be reached");
}

fn produce(kafka: &Kafka, topic: &str, key: &str) {
    let mut lines = format!("volley-key:{key}\tnot json\n");
    for index in 0..COUNT {
        let number = 5_550_100 + index;
        let value = format!(r#"{{"to":"+1202{number}","body":"request {index}"}}"#);
        lines += &format!("volley-key:{key}\t{value}\n");
    }
    let headers = ["--topic", topic, "--reader-property", "parse.headers=true"];
    kafka.tool(PRODUCER, &headers, &lines);
}

/// Each partition with the offset of its next record.
fn positions(settings: &ChildSettings, topic: &str) -> BTreeMap<String, usize> {
    let given = settings.given(&["kafka", "positions", topic]);
    let position = |line: &str| {
        let (place, next) = line.rsplit_once(' ')?;
        let (_, partition) = place.rsplit_once(' ')?;
        Some((partition.to_owned(), next.parse().ok()?))
    };
    given.lines().filter_map(position).collect()
}

/// How many records the positions have passed.
fn read(settings: &ChildSettings, topic: &str) -> usize {
    positions(settings, topic).values().sum()
}

/// So many records have come to this, by the node's own numbers.
fn told(world: &World, result: &str) -> usize {
    let page = world.tasks.block_on(numbers(&world.settings));
    let of_result = format!("result=\"{result}\"");
    let counts = page
        .lines()
        .filter(|line| line.starts_with("volley_kafka_records_total{") && line.contains(&of_result))
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<usize>().ok());
    counts.sum()
}

/// Its rows are where nobody listens.
fn move_servers(settings: &ChildSettings, address: &str) {
    let file = settings.folder.join("settings.toml");
    let text = fs::read_to_string(&file).expect("a file can be read");
    let moved = text.replace(address, "127.0.0.1:9");
    assert_ne!(moved, text);
    fs::write(file, moved).expect("a file can be written");
}

fn must_end(output: &std::process::Output, code: i32, word: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(word), "{said}");
}
