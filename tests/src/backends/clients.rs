//! Clients of Kafka that are none of ours, from their published packages.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::jars::cache;

const KAFKAJS: &str = "kafkajs@2.2.4";
const CONFLUENT: &str = "confluent-kafka==2.16.1";

const KAFKAJS_PRODUCER: &str = include_str!("clients/kafkajs.mjs");
const CONFLUENT_PRODUCER: &str = include_str!("clients/confluent.py");

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
    let folder = prepared("confluent-kafka-2.16.1", |folder| {
        run(Command::new("python3").args(["-m", "venv"]).arg(folder));
        let mut pip = Command::new(folder.join("bin/pip"));
        run(pip.args(["install", "--quiet", CONFLUENT]));
    });
    let mut python = Command::new(folder.join("bin/python"));
    run(python
        .args(["-c", CONFLUENT_PRODUCER])
        .args(sending.arguments()));
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

fn run(command: &mut Command) {
    let output = command.output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}
