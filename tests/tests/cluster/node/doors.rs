//! The doors of nodes that share servers: open whoever owns, and while nobody does.

use engine::ingress::topics;
use engine::settings::KafkaSettings;
use schemas::{MessageClass, MessageStatus};
use tests::backends::kafka::{Kafka, PRODUCER};
use tests::backends::servers;
use tests::child::{ChildNode, ChildSettings};
use tests::person::say_stop;
use tests::user::User;
use tests::world::World;

use super::{machine, number, plan};

/// Texts that are asked for while nobody owns.
const TEXTS: u32 = 20;

/// Requests that are produced at a time, and how often, until the nodes have heard of each other.
const REQUESTS: u64 = 32;
/// See [`REQUESTS`].
const TIMES: u64 = 20;

/// The owner is killed. Before another one's turn has come, which is after a session, people ask at
/// that one for texts and for what became of them, and are answered. All of it is sent, once.
#[test]
fn texts_are_taken_in_while_nobody_owns() {
    let _machine = machine();
    let Some((cassandra, kafka)) = servers() else {
        return;
    };
    let (plan, _, _) = plan(cassandra, kafka, "doors");
    let world = World::start(plan);
    let (mut waiting, user, _) = without_an_owner(&world);
    let asked = world.tasks.block_on(async {
        let mut asked = Vec::new();
        for number in 1..=TEXTS {
            let (to, body) = (format!("+1415556{number:04}"), format!("Code {number}"));
            let id = user.send(&to, &body).await;
            assert_eq!(user.message(id).await.status, MessageStatus::Queued);
            asked.push(id);
        }
        asked
    });
    assert!(!waiting.serves(), "nobody owns");
    assert_eq!(world.taken(), 1, "nobody sends");
    waiting.run_until_it_serves();
    for id in asked {
        let told = || world.tasks.block_on(user.message(id));
        waiting.run_until(|| told().status == MessageStatus::Delivered);
    }
    assert_eq!(world.taken(), u64::from(TEXTS) + 1);
    waiting.stop();
}

/// The owner is killed, and a person says STOP at the node that waits: it is answered when that node
/// has taken over, and what was asked for before is not sent.
#[test]
fn a_stop_that_comes_while_nobody_owns_holds() {
    let _machine = machine();
    let Some((cassandra, kafka)) = servers() else {
        return;
    };
    let (plan, _, _) = plan(cassandra, kafka, "stop");
    let world = World::start(plan);
    let (mut waiting, user, twin) = without_an_owner(&world);
    let (stopped, other) = world.tasks.block_on(async {
        let stopped = user.send("+14155570001", "Unwanted").await;
        let other = user.send("+14155570002", "Wanted").await;
        say_stop(&format!("http://{}", twin.listen()), "+14155570001").await;
        (stopped, other)
    });
    waiting.run_until_it_serves();
    let told = |id| world.tasks.block_on(user.message(id));
    waiting.run_until(|| told(other).status == MessageStatus::Delivered);
    waiting.run_until(|| told(stopped).status == MessageStatus::Skipped);
    assert_eq!(told(stopped).reason.as_deref(), Some("opted_out"));
    assert_eq!(world.taken(), 2);
    waiting.stop();
}

/// A node that waits, and somebody who comes to it: one text was sent, and the owner was killed.
fn without_an_owner(world: &World) -> (ChildNode, User, ChildSettings) {
    let mut owner = ChildNode::start(&world.settings);
    let twin = world.settings.twin("twin");
    let waiting = ChildNode::spawn(&twin);
    let user = world.tasks.block_on(async {
        let user = User::sign_up(&world.settings.data()).await;
        user.at(twin.listen())
    });
    // It is answered as soon as the twin's doors are open.
    world.tasks.block_on(user.send("+14155560000", "Code 0"));
    owner.run_until(|| world.taken() == 1);
    owner.kill();
    (waiting, user, twin)
}

/// Requests from Kafka are read by both nodes, each its part of the partitions; when one is killed,
/// by the other. Each request is one text.
#[test]
fn nodes_share_what_comes_from_kafka() {
    let _machine = machine();
    let Some((cassandra, kafka)) = servers() else {
        return;
    };
    let (plan, ground, _) = plan(cassandra, kafka, "shared");
    let world = World::start(plan);
    let mut owner = ChildNode::start(&world.settings);
    let twin = world.settings.twin("twin");
    let mut waiting = ChildNode::spawn(&twin);
    let user = world.tasks.block_on(User::sign_up(&world.settings.data()));
    let key = user.key().expose();
    let read = |settings| number(&world, settings, "volley_kafka_records_total");
    let mut produced = 0;
    let produce = |produced: &mut u64| {
        requests(kafka, &ground.kafka, key, *produced);
        *produced += REQUESTS;
    };
    waiting.run_until(|| super::asked(&world, &twin, "/readyz").is_some());
    for _ in 0..TIMES {
        produce(&mut produced);
        owner.run_until(|| world.taken() == produced);
        if read(&twin) > 0 {
            break;
        }
    }
    let (by_owner, by_twin) = (read(&world.settings), read(&twin));
    assert!(by_owner > 0 && by_twin > 0, "{by_owner} and {by_twin}");
    owner.kill();
    produce(&mut produced);
    waiting.run_until(|| world.taken() == produced);
    waiting.stop();
    let people = world.close().witness().recipients;
    assert!(people.values().all(|texts| texts.taken.len() == 1));
    assert_eq!(people.len() as u64, produced);
}

/// Produces some requests, each with another key, so that they lie in all partitions.
fn requests(kafka: &Kafka, settings: &KafkaSettings, key: &str, first: u64) {
    let lines = (first..first + REQUESTS).map(|number| {
        let to = 5_570_000 + number;
        format!("volley-key:{key}\t{number}\t{{\"to\":\"+1202{to}\",\"body\":\"Text {number}\"}}\n")
    });
    let topic = topics::requests(settings, MessageClass::Marketing);
    let headers = ["--topic", &topic, "--reader-property", "parse.headers=true"];
    let keyed = ["--reader-property", "parse.key=true"];
    let words: Vec<&str> = headers.into_iter().chain(keyed).collect();
    kafka.tool(PRODUCER, &words, &lines.collect::<String>());
}
