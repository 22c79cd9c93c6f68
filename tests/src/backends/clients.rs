//! Clients of Kafka that are none of ours, from their published packages.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use super::jars::cache;
use crate::world::say;

const KAFKAJS: &str = "kafkajs@2.2.4";
/// The client, and what it takes to see whether JSON is what a schema says.
const CONFLUENT: [&str; 3] = [
    "confluent-kafka==2.16.1",
    "jsonschema==4.26.0",
    "rfc3339-validator==0.1.4",
];

const KAFKAJS_PRODUCER: &str = include_str!("clients/kafkajs.mjs");
const CONFLUENT_PRODUCER: &str = include_str!("clients/confluent.py");
const CONFLUENT_EVENTS: &str = include_str!("clients/events.py");

/// The schema of events, as it is published.
const SCHEMA: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../schemas/events/asyncapi.json"
);

/// What a client sends, and where.
#[derive(Clone, Copy, Debug)]
pub struct Sending<'a> {
    /// Where the brokers are.
    pub brokers: &'a str,
    /// The topic.
    pub topic: &'a str,
    /// The API key.
    pub key: &'a str,
    /// How many requests of each kind.
    pub count: u32,
    /// The last seven digits of the first number.
    pub first: u32,
}

/// Three requests for each of `count`, in JSON and as CloudEvents of both modes, and the first
/// three once more.
///
/// # Panics
/// When it fails.
pub fn kafkajs(sending: &Sending<'_>) {
    let folder = prepared("kafkajs-2.2.4", |folder| {
        let mut npm = Command::new("npm");
        npm.args(["install", "--silent", "--no-audit", "--no-fund", KAFKAJS]);
        npm.arg("--prefix").arg(folder);
        run(&mut npm);
    });
    let script = folder.join("producer.mjs");
    fs::write(&script, KAFKAJS_PRODUCER).expect("the cache can be written");
    run(Command::new("node").arg(script).args(sending.arguments()));
}

/// One request for each of `count`, its number in national form.
///
/// # Panics
/// When it fails.
pub fn confluent(sending: &Sending<'_>) {
    run(python(CONFLUENT_PRODUCER).args(sending.arguments()));
}

/// A record of the topic of events.
#[derive(Debug, Deserialize)]
pub struct EventRecord {
    /// Its key.
    pub key: String,
    /// Where it lies.
    pub partition: i32,
    /// At which place there.
    pub offset: i64,
    /// What it tells.
    pub value: serde_json::Value,
}

/// Every committed record of a topic of events, those of a partition in order. Each is what the
/// published schema says; and a transaction that somebody aborted in the topic is not among them.
///
/// # Panics
/// When it is otherwise, or the client fails.
pub fn events(brokers: &str, topic: &str) -> Vec<EventRecord> {
    let mut client = python(CONFLUENT_EVENTS);
    let told = run(client.args([brokers, topic, SCHEMA]));
    let record = |line: &str| serde_json::from_str(line).expect("a record");
    told.lines().map(record).collect()
}

/// Python with the client, and a program.
fn python(program: &str) -> Command {
    let folder = prepared("confluent-kafka-2.16.1-jsonschema-4.26.0", |folder| {
        run(Command::new("python3").args(["-m", "venv"]).arg(folder));
        let mut pip = Command::new(folder.join("bin/pip"));
        run(pip.args(["install", "--quiet"]).args(CONFLUENT));
    });
    let mut python = Command::new(folder.join("bin/python"));
    python.args(["-c", program]);
    python
}

impl Sending<'_> {
    fn arguments(&self) -> [String; 5] {
        let Self {
            brokers,
            topic,
            key,
            count,
            first,
        } = self;
        [
            (*brokers).to_owned(),
            (*topic).to_owned(),
            (*key).to_owned(),
            count.to_string(),
            first.to_string(),
        ]
    }
}

/// A folder of the cache that was filled once.
fn prepared(name: &str, fill: impl FnOnce(&Path)) -> PathBuf {
    let cache = cache();
    fs::create_dir_all(&cache).expect("the cache can be written");
    let lock = File::create(cache.join(format!("{name}.lock"))).expect("the cache can be written");
    lock.lock().expect("a file can be locked");
    let (folder, filled) = (cache.join(name), cache.join(format!("{name}.filled")));
    if !filled.exists() {
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("the cache can be written");
        fill(&folder);
        File::create(filled).expect("the cache can be written");
    }
    folder
}

/// What it prints; what it tells beside that is told.
fn run(command: &mut Command) -> String {
    let output = command.output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    if !said.is_empty() {
        say(said.trim_end());
    }
    String::from_utf8(output.stdout).expect("text")
}
