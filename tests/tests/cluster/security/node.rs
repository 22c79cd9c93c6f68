//! A whole node on a Kafka and a Cassandra that speak TLS and know their users; and what it says
//! where it is refused.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use engine::ingress::topics;
use engine::runtime::Runtime;
use engine::settings::{KafkaSecurity, Mechanism, TlsSettings};
use sandbox::book::Record;
use schemas::{MessageClass, Secret};
use tests::backends::ground::Ground;
use tests::backends::kafka::doors::{self, Door};
use tests::backends::kafka::{Kafka, PRODUCER};
use tests::backends::{cassandra, kafka, locked_cassandra};
use tests::child::{ChildNode, ChildSettings};
use tests::fixture;
use tests::user::User;
use tests::world::{Keeping, Plan, World};

const DOOR: Door = Door::PasswordOverTls(Mechanism::ScramSha512);

/// A password that nobody has, and no log may show.
const WRONG: &str = "wrong-horse-battery";

/// Tables and topics behind the locked doors. Both tests are led to them, to make the tables
/// once; who is refused gets to none.
fn ground() -> Option<&'static Ground> {
    static GROUND: OnceLock<Option<Ground>> = OnceLock::new();
    let make = || {
        let (cassandra, kafka) = (locked_cassandra()?, kafka()?);
        let tasks = fixture::tasks();
        let runtime = Runtime::of_machine(tasks.handle().clone());
        let ground = Ground::behind(cassandra, (kafka, DOOR), "locked", &runtime);
        Some(tasks.block_on(ground))
    };
    GROUND.get_or_init(make).as_ref()
}

#[test]
fn a_node_works_on_servers_that_take_only_whom_they_know() {
    let servers = || Some((ground()?, kafka()?));
    let Some((ground, kafka)) = servers() else {
        return;
    };
    let world = World::start(Plan {
        program: env!("CARGO_BIN_EXE_node").to_owned(),
        folder: fixture::folder(env!("CARGO_TARGET_TMPDIR"), "locked"),
        partitions: 8,
        providers: 1,
        rate: 100.0,
        seed: 1,
        keeping: Keeping::OnServers(Box::new(ground.clone())),
    });
    let mut node = ChildNode::start(&world.settings);
    let data = world.settings.data();
    let user = world.tasks.block_on(async {
        let user = User::sign_up(&data).await;
        user.send("+14155550101", "by the API").await;
        user
    });
    let key = user.key().expose();
    let topic = topics::requests(&ground.kafka, MessageClass::Marketing);
    let request = r#"{"to":"+14155550102","body":"by Kafka"}"#;
    produce(kafka, &topic, &format!("volley-key:{key}\t{request}\n"));
    node.run_until(|| world.taken() >= 2);
    node.stop();
    let folder = world.settings.folder.clone();
    let mut texts: Vec<String> = Vec::new();
    for record in world.close().book() {
        if let Record::Text(text) = record.expect("a record") {
            texts.push(text.body.into_owned());
        }
    }
    texts.sort_unstable();
    assert_eq!(texts, ["by Kafka", "by the API"]);
    assert_keeps_secrets(&folder);
}

fn produce(kafka: &Kafka, topic: &str, line: &str) {
    let headers = ["--topic", topic, "--reader-property", "parse.headers=true"];
    kafka.tool(PRODUCER, &headers, line);
}

/// One that is refused: what of its settings is wrong, and what it must say.
struct Refused {
    name: &'static str,
    wrong: fn(&mut Ground, &TlsSettings),
    says: &'static str,
}

const REFUSED: &[Refused] = &[
    Refused {
        name: "kafka-password",
        wrong: |ground, _| {
            let login = ground.kafka.security.login.as_mut().expect("a login");
            login.password = Secret::new(WRONG);
        },
        says: "the user is refused: check kafka.user, kafka.password and kafka.mechanism",
    },
    Refused {
        name: "kafka-plain-password",
        wrong: |ground, _| {
            let login = ground.kafka.security.login.as_mut().expect("a login");
            login.mechanism = Mechanism::Plain;
            login.password = Secret::new(WRONG);
        },
        says: "the user is refused: check kafka.user, kafka.password and kafka.mechanism",
    },
    Refused {
        name: "kafka-authority",
        wrong: |ground, foreign| ground.kafka.security.tls = Some(foreign.clone()),
        says: "TLS fails: check that kafka.ca_file has the authority",
    },
    Refused {
        name: "kafka-certificate",
        wrong: |ground, _| {
            let doors = kafka().expect("it runs").doors();
            ground.kafka = doors.settings(Door::CertificateOverTls, "locked");
            ground.kafka.security.identity = None;
        },
        says: "where brokers want a certificate of the node, kafka.certificate_file",
    },
    Refused {
        name: "kafka-no-tls",
        wrong: |ground, _| ground.kafka.security = KafkaSecurity::default(),
        says: "see whether its port wants kafka.tls and kafka.user as they are set",
    },
    Refused {
        name: "kafka-no-user",
        wrong: |ground, _| ground.kafka.security.login = None,
        says: "see whether its port wants kafka.tls and kafka.user as they are set",
    },
    Refused {
        name: "cql-password",
        wrong: |ground, _| ground.cql.password = Some(Secret::new(WRONG)),
        says: "the user is refused: check cql.user and cql.password",
    },
    Refused {
        name: "cql-no-user",
        wrong: |ground, _| (ground.cql.user, ground.cql.password) = (None, None),
        says: "a user is asked for: set cql.user and cql.password",
    },
    Refused {
        name: "cql-authority",
        wrong: |ground, foreign| ground.cql.tls = Some(foreign.clone()),
        says: "signed by nobody who is known here: set cql.ca_file",
    },
    Refused {
        name: "cql-no-tls",
        wrong: |ground, _| ground.cql.tls = None,
        says: "if it speaks TLS only, set cql.tls to true",
    },
    Refused {
        name: "cql-only-tls",
        wrong: |ground, foreign| {
            ground.cql = cassandra().expect("it runs").settings("locked");
            ground.cql.tls = Some(foreign.clone());
        },
        says: "it does not speak TLS there: set cql.tls to false",
    },
];

/// Each of them ends before it serves, and says what to do.
#[test]
fn who_is_refused_hears_why_and_tells_no_secret() {
    let servers = || Some((ground()?, kafka()?, cassandra()?));
    let Some((ground, kafka, _)) = servers() else {
        return;
    };
    let folder = fixture::folder(env!("CARGO_TARGET_TMPDIR"), "refused");
    let foreign = TlsSettings {
        ca_file: Some(kafka.doors().foreign_authority(&folder)),
    };
    let started = REFUSED.iter().map(|refused| {
        let mut ground = ground.clone();
        (refused.wrong)(&mut ground, &foreign);
        let folder = folder.join(refused.name);
        fs::create_dir(&folder).expect("a folder");
        let nowhere = "127.0.0.1:1".parse().expect("an address");
        let program = env!("CARGO_BIN_EXE_node");
        let settings = ChildSettings::write(program, &folder, 8, nowhere, 1, 1.0);
        settings.and(&ground.sections());
        listen_anywhere(&settings);
        (refused, ChildNode::spawn(&settings), settings)
    });
    let started: Vec<_> = started.collect();
    for (refused, mut node, settings) in started {
        let ended = node.ended_before(|| false).expect("it ends");
        let said = settings.last_words();
        assert!(!ended.success(), "{}: {said}", refused.name);
        assert!(said.contains(refused.says), "{}: {said}", refused.name);
        assert_keeps_secrets(&settings.folder);
    }
}

/// All of them run at once, and a port that was free a moment ago is another's by now.
fn listen_anywhere(settings: &ChildSettings) {
    let file = settings.folder.join("settings.toml");
    let text = fs::read_to_string(&file).expect("it was written");
    let listen = |address: &str| format!("\nlisten = \"{address}\"\n");
    let own = listen(&settings.listen().to_string());
    assert!(text.contains(&own));
    fs::write(file, text.replace(&own, &listen("127.0.0.1:0"))).expect("it can be written");
}

/// Nothing that a node said is a password.
fn assert_keeps_secrets(folder: &Path) {
    let said = fs::read_to_string(folder.join("log")).expect("it has a log");
    for secret in [doors::PASSWORD, tests::backends::cassandra::PASSWORD, WRONG] {
        assert!(!said.contains(secret), "a password in {}", folder.display());
    }
}
