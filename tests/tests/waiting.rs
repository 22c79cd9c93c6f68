//! A node that is started with other provider accounts than before, be it by mistake: what was
//! taken in waits for one that may carry it, is sent once when there is one, and nobody is
//! passed over.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use schemas::http::messages::MessageBody;
use schemas::{MessageId, MessageStatus, ProviderId};
use tests::child::ChildNode;
use tests::fixture;
use tests::user::{self, User};
use tests::world::{Keeping, Plan, TEMPLATE, World, expected};

/// Each provider account's rate, segments per second.
const RATE: f64 = 200.0;

/// Recipients of a campaign.
const RECIPIENTS: u32 = 40;

/// Who gets single texts; no recipient of a campaign.
const PEOPLE: [&str; 3] = ["+14155550001", "+14155550002", "+14155550003"];

/// One at a time: a node that stops must find its port free again.
static MACHINE: Mutex<()> = Mutex::new(());

#[test]
fn what_was_taken_in_without_a_provider_account_is_sent_when_there_is_one() {
    let (_machine, world) = world("waiting-for-any");
    give(&world, &[]);
    let mut node = ChildNode::start(&world.settings);
    let (csv, _) = fixture::contacts(RECIPIENTS);
    let (user, campaign, singles) = world.tasks.block_on(async {
        let user = User::sign_up(&world.settings.data()).await;
        let mut singles = vec![user.send(PEOPLE[0], "one").await];
        let campaign = user.launch(csv, TEMPLATE).await;
        while user.campaign(campaign).await.numbers.still_counting {
            tokio::task::yield_now().await;
        }
        // By then the dispatcher knows what the campaign has.
        singles.push(user.send(PEOPLE[1], "two").await);
        for single in &singles {
            held(&user, *single).await;
        }
        let numbers = user.campaign(campaign).await.numbers;
        assert_eq!(numbers.pending, u64::from(RECIPIENTS), "{numbers:?}");
        (user, campaign, singles)
    });
    // Once more, as whoever looks for what is wrong does; this time it is killed.
    node.stop();
    node = ChildNode::start(&world.settings);
    node.kill();
    world.verify().expect("the folder agrees with itself");
    give(&world, &[1]);
    node = ChildNode::start(&world.settings);
    world.tasks.block_on(async {
        user.finished(campaign).await;
        for single in singles {
            delivered(&user, single).await;
        }
    });
    node.stop();
    let mut texts = expected(0..RECIPIENTS);
    texts.insert(PEOPLE[0].to_owned(), "one".to_owned());
    texts.insert(PEOPLE[1].to_owned(), "two".to_owned());
    judge(world, &texts);
}

#[test]
fn what_names_a_provider_account_that_is_gone_waits_until_it_is_back() {
    let (_machine, world) = world("waiting-for-one");
    let (node, user, first) = start_disabled(&world);
    let (named, free) = world.tasks.block_on(async {
        let named = user.send_by(Some(first), PEOPLE[0], "one").await;
        let free = user.send(PEOPLE[1], "two").await;
        held(&user, named).await;
        held(&user, free).await;
        (named, free)
    });
    node.stop();
    give(&world, &[2]);
    let node = ChildNode::start(&world.settings);
    world.tasks.block_on(async {
        delivered(&user, free).await;
        // It was looked for anew who may carry it, and found that nobody may.
        let looked_at = user.send(PEOPLE[2], "three").await;
        delivered(&user, looked_at).await;
        let waits = held(&user, named).await;
        let entries = waits.timeline.expect("a whole message").len();
        assert!(entries <= 4, "it is told {entries} times that it waits");
    });
    node.stop();
    world.verify().expect("the folder agrees with itself");
    give(&world, &[1, 2]);
    let node = ChildNode::start(&world.settings);
    world.tasks.block_on(async {
        user.enable(first, true).await;
        assert_eq!(delivered(&user, named).await.provider, Some(first));
    });
    node.stop();
    let texts = PEOPLE.map(str::to_owned);
    let texts = texts
        .into_iter()
        .zip(["one", "two", "three"].map(str::to_owned));
    judge(world, &texts.collect());
}

#[test]
fn what_waits_for_one_goes_by_another_that_was_added() {
    let (_machine, world) = world("waiting-for-another");
    let (node, user, first) = start_disabled(&world);
    let free = world.tasks.block_on(async {
        let free = user.send(PEOPLE[0], "one").await;
        held(&user, free).await;
        free
    });
    node.stop();
    give(&world, &[1, 2]);
    let node = ChildNode::start(&world.settings);
    let carrier = world.tasks.block_on(delivered(&user, free)).provider;
    assert!(carrier.is_some_and(|carrier: ProviderId| carrier != first));
    node.stop();
    judge(world, &[(PEOPLE[0].to_owned(), "one".to_owned())].into());
}

fn world(name: &str) -> (MutexGuard<'static, ()>, World) {
    let machine = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    let world = World::start(Plan {
        program: env!("CARGO_BIN_EXE_node").to_owned(),
        folder: fixture::folder(env!("CARGO_TARGET_TMPDIR"), name),
        partitions: 4,
        providers: 2,
        rate: RATE,
        seed: 1,
        keeping: Keeping::InFolder,
    });
    (machine, world)
}

fn give(world: &World, indexes: &[usize]) {
    let sandbox = world.sandbox.address();
    world.settings.give_providers(sandbox, indexes, RATE);
}

/// A node with the first provider account alone, which is disabled from its start on.
fn start_disabled(world: &World) -> (ChildNode, User, ProviderId) {
    give(world, &[1]);
    world.tasks.block_on(user::start_disabled(&world.settings))
}

/// Waits until a message is put aside for want of a provider account, and gives it.
async fn held(user: &User, id: MessageId) -> MessageBody {
    loop {
        let message = user.message(id).await;
        assert!(!message.status.is_final(), "{message:?}");
        let last = message.timeline.as_ref().and_then(|entries| entries.last());
        let is_held =
            |event: &str, detail: Option<&str>| (event, detail) == ("held", Some("no_provider"));
        if last.is_some_and(|entry| is_held(&entry.event, entry.detail.as_deref())) {
            assert_eq!(message.status, MessageStatus::Queued);
            return message;
        }
    }
}

/// Waits until a message is delivered, and gives it.
async fn delivered(user: &User, id: MessageId) -> MessageBody {
    loop {
        let message = user.message(id).await;
        if message.status == MessageStatus::Delivered {
            return message;
        }
        assert!(!message.status.is_final(), "{message:?}");
    }
}

/// The folder agrees with itself, and the provider has taken these texts, each once.
fn judge(world: World, texts: &BTreeMap<String, String>) {
    world.verify().expect("the folder agrees with itself");
    let witness = world.close().witness();
    let taken = witness.recipients.into_iter().map(|(to, at_provider)| {
        let bodies = at_provider.taken.into_iter().map(|text| text.body);
        (to, bodies.collect::<Vec<_>>())
    });
    let wanted = texts
        .iter()
        .map(|(to, body)| (to.clone(), vec![body.clone()]));
    assert_eq!(taken.collect::<BTreeMap<_, _>>(), wanted.collect());
}
