//! The servers themselves: what they acknowledged is there after a kill, and they end with
//! whoever started them.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use tests::backends::ask_until;
use tests::backends::cassandra::Cassandra;
use tests::backends::cql::CqlConnection;
use tests::backends::kafka::{CONSUMER, Kafka, PRODUCER, TOPICS};

/// Set for the child that [`killed_tests_leave_no_server`] kills.
const LEAVE: &str = "VOLLEY_TEST_LEAVES_A_SERVER";

#[test]
fn kafka_keeps_what_it_acknowledged_over_a_kill() {
    let Some(kafka) = Kafka::start(1) else {
        return;
    };
    kafka.tool(TOPICS, &["--create", "--topic", "kept"], "");
    let produce = ["--topic", "kept", "--producer-property", "acks=all"];
    kafka.tool(PRODUCER, &produce, "one\ntwo\nthree\n");
    kafka.kill(0);
    kafka.restart(0);
    kafka.tool(PRODUCER, &produce, "four\n");
    let consume = ["--topic", "kept", "--from-beginning", "--max-messages", "4"];
    assert_eq!(
        kafka.tool(CONSUMER, &consume, ""),
        "one\ntwo\nthree\nfour\n"
    );
}

#[test]
fn three_brokers_go_on_without_one() {
    let Some(kafka) = Kafka::start(3) else {
        return;
    };
    let create = ["--create", "--topic", "kept", "--replication-factor", "3"];
    kafka.tool(TOPICS, &create, "");
    kafka.kill(1);
    let produce = ["--topic", "kept", "--producer-property", "acks=all"];
    kafka.tool(PRODUCER, &produce, "one\n");
    kafka.restart(1);
    kafka.freeze(0);
    assert!(!kafka.answers(0));
    kafka.thaw(0);
    assert!(ask_until(|| kafka.answers(0)));
    kafka.stop(2);
    let consume = ["--topic", "kept", "--from-beginning", "--max-messages", "1"];
    assert_eq!(kafka.tool(CONSUMER, &consume, ""), "one\n");
}

#[test]
fn cassandra_keeps_what_it_acknowledged_over_a_kill() {
    let Some(cassandra) = Cassandra::start() else {
        return;
    };
    let mut node = CqlConnection::open(cassandra.address()).expect("it listens");
    let replication = "{'class': 'SimpleStrategy', 'replication_factor': 1}";
    let statements = [
        format!("CREATE KEYSPACE kept WITH replication = {replication}"),
        "CREATE TABLE kept.rows (key int PRIMARY KEY, word text)".to_owned(),
        "INSERT INTO kept.rows (key, word) VALUES (1, 'one')".to_owned(),
        "INSERT INTO kept.rows (key) VALUES (2)".to_owned(),
    ];
    for statement in statements {
        node.query(&statement).expect("it is done");
    }
    cassandra.kill();
    assert!(node.query("SELECT key FROM system.local").is_err());
    cassandra.restart();
    let mut node = CqlConnection::open(cassandra.address()).expect("it listens");
    let words = node.query("SELECT key, word FROM kept.rows").expect("rows");
    let one = Some(1_i32.to_be_bytes().to_vec());
    let two = Some(2_i32.to_be_bytes().to_vec());
    assert_eq!(words, [vec![one, Some(b"one".to_vec())], vec![two, None]]);
}

/// Runs this binary again to start a broker and get killed: neither the broker nor its
/// folder is left.
#[test]
fn killed_tests_leave_no_server() {
    let mut child = Command::new(std::env::current_exe().expect("a path"))
        .args([
            "--ignored",
            "--exact",
            "servers::leaves_a_server",
            "--nocapture",
        ])
        .env(LEAVE, "1")
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let said = BufReader::new(child.stdout.take().expect("a pipe"));
    let folder = said
        .lines()
        .map_while(Result::ok)
        .find_map(|line| Some(line.split_once("runs in ")?.1.to_owned()));
    let Some(folder) = folder else {
        // It told why it was skipped.
        assert!(child.wait().expect("it ends").success());
        return;
    };
    let folder = PathBuf::from(folder);
    let pid = fs::read_to_string(folder.join("broker-0.pid")).expect("it runs");
    let process = PathBuf::from(format!("/proc/{}/cmdline", pid.trim()));
    let runs = || fs::read(&process).is_ok_and(|words| !words.is_empty());
    assert!(runs());
    child.kill().expect("a child can be killed");
    child.wait().expect("a child can be waited for");
    // The guard works as fast as the system lets it: asked until the test gives up.
    assert!(ask_until(|| !runs() && !folder.exists()));
}

/// Not a test of its own: the process that [`killed_tests_leave_no_server`] kills.
#[test]
#[ignore = "run by killed_tests_leave_no_server"]
fn leaves_a_server() {
    if std::env::var_os(LEAVE).is_none() {
        return;
    }
    let Some(kafka) = Kafka::start(1) else {
        return;
    };
    // Frozen: it cannot end by itself.
    kafka.freeze(0);
    writeln!(io::stdout(), "it runs in {}", kafka.folder().display()).expect("a pipe");
    loop {
        std::thread::park();
    }
}
