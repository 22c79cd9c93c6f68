//! What other systems hear: the topic of events, read back by a client of another language, tells
//! every message's life, over nodes that die.

use std::collections::{BTreeMap, BTreeSet};

use schemas::event::MessageEvent;
use schemas::{Message, MessageStatus};
use serde_json::Value;
use tests::backends::clients::{self, EventRecord};
use tests::backends::servers;
use tests::child::ChildNode;
use tests::fixture;
use tests::kill::fleet::is_finished;
use tests::user::User;
use tests::world::{TEMPLATE, World, say};

use super::{machine, plan};

/// Recipients of the campaign whose nodes die.
const RECIPIENTS: u32 = 600;

/// Single texts before each death, and after the last.
const SINGLES: u32 = 10;

/// Nodes that die.
const KILLS: u32 = 2;

#[test]
fn the_topic_of_events_tells_every_life() {
    let _machine = machine();
    let Some((cassandra, kafka)) = servers() else {
        return;
    };
    let (plan, ground, _) = plan(cassandra, kafka, "events");
    let world = World::start(plan);
    let mut node = ChildNode::start(&world.settings);
    let (csv, contacts) = fixture::contacts(RECIPIENTS);
    let user = world.tasks.block_on(async {
        let user = User::sign_up(&world.settings.data()).await;
        user.launch(csv, TEMPLATE).await;
        user
    });
    let mut singles = Vec::new();
    for round in 0..=KILLS {
        let texts = round * SINGLES..(round + 1) * SINGLES;
        let sent = texts.map(|text| {
            let (user, to) = (&user, single(text));
            async move { user.send(&to, "single").await }
        });
        // Each waits for an answer, and the nodes live meanwhile.
        singles.extend(world.tasks.block_on(futures::future::join_all(sent)));
        if round < KILLS {
            let at = u64::from((round + 1) * RECIPIENTS / (KILLS + 1));
            node.run_until(|| world.taken() >= at);
            node.kill();
            world.settings.lose_data();
            node = ChildNode::start(&world.settings);
        }
    }
    let store = world.tasks.block_on(ground.store(&world.runtime));
    node.run_until(|| world.tasks.block_on(is_finished(&store)));
    // What was answered last may still wait for its turn.
    for id in singles {
        node.run_until(|| {
            let status = world.tasks.block_on(user.message(id)).status;
            status.is_final() || status == MessageStatus::Unknown
        });
    }
    node.stop();
    let stored = world.close().stored();
    let singles = (0..(KILLS + 1) * SINGLES).map(single);
    assert_complete(
        &stored.messages,
        contacts.into_keys().chain(singles).collect(),
    );
    let events = clients::events(&kafka.bootstrap(), "events.events");
    say(&format!(
        "{} events of {} messages",
        events.len(),
        stored.messages.len()
    ));
    assert_tells(&stored.messages, events);
}

/// Each of these has one message, and nobody else has any.
fn assert_complete(messages: &[Message], mut missing: BTreeSet<String>) {
    for message in messages {
        let to = message.envelope.to.as_str();
        assert!(
            missing.remove(to),
            "{to} is a stranger, or has two messages"
        );
    }
    assert!(missing.is_empty(), "nothing is kept of {missing:?}");
}

/// Whom the single text with this number goes to.
fn single(number: u32) -> String {
    format!("+165055501{number:02}")
}

/// Each message's events are its life: all of it, in order, once, and nothing else is there.
fn assert_tells(messages: &[Message], events: Vec<EventRecord>) {
    let mut lives: BTreeMap<String, Vec<EventRecord>> = BTreeMap::new();
    for event in events {
        lives.entry(event.key.clone()).or_default().push(event);
    }
    for message in messages {
        let id = message.envelope.id.to_string();
        let life = lives.remove(&id).unwrap_or_default();
        let told: Vec<_> = life.iter().map(|event| known_then(&event.value)).collect();
        let lived = MessageEvent::beyond(message, 0);
        let lived = lived.map(|event| serde_json::to_value(event).expect("an event"));
        let lived: Vec<_> = lived.map(|event| known_then(&event)).collect();
        assert_eq!(told, lived, "{id}");
        let last = life.last().expect("it was told of");
        let status = serde_json::to_value(message.status).expect("a status");
        assert_eq!(last.value["status"], status, "{id}");
        assert!(
            life.iter()
                .all(|event| event.value["message"] == id.as_str())
        );
        let in_order = |pair: &[EventRecord]| {
            pair[0].partition == pair[1].partition && pair[0].offset < pair[1].offset
        };
        assert!(life.windows(2).all(in_order), "{id}");
    }
    let strangers: Vec<_> = lives.keys().collect();
    assert!(strangers.is_empty(), "{strangers:?}");
    let delivered = |message: &&Message| message.status == MessageStatus::Delivered;
    assert!(messages.iter().any(|message| delivered(&message)));
}

/// An event without what was not known of its message yet when it was told.
fn known_then(event: &Value) -> Value {
    let mut event = event.clone();
    let fields = event.as_object_mut().expect("an object");
    for later in ["provider_message_id", "reason"] {
        fields.remove(later);
    }
    event
}
