//! Two nodes on the same servers: one owns, the other waits; and what holds over a change of
//! owners.

use tests::backends::kafka::Kafka;
use tests::backends::{cassandra, servers};
use tests::child::ChildNode;
use tests::fixture;
use tests::kill::fleet::is_finished;
use tests::user::User;
use tests::world::{Plan, TEMPLATE, World, say};

use super::{asked, machine, number, plan};

/// Recipients of the campaign whose node is frozen.
const RECIPIENTS: u32 = 1_500;

/// The rate of an account that is busy all the time, and its recipients: 20 seconds of it.
const SLOW_RATE: f64 = 20.0;
/// See [`SLOW_RATE`].
const SLOW_RECIPIENTS: u32 = 400;

/// A node waits while another owns, and is as good a door as that one: the campaign is asked for
/// there, and all receipts come there. The owner is frozen, and the one that waited goes on. When
/// the first wakes, it can commit nothing, and ends.
#[test]
fn a_node_that_sleeps_through_its_turn_does_no_harm() {
    let _machine = machine();
    let Some((cassandra, kafka)) = servers() else {
        return;
    };
    let (plan, ground, _) = plan(cassandra, kafka, "sleeper");
    let world = World::start(plan);
    let twin = world.settings.twin("twin");
    world.settings.have_receipts_sent_to(&twin);
    let mut owner = ChildNode::start(&world.settings);
    let mut waiting = ChildNode::spawn(&twin);
    let owns = |settings| number(&world, settings, "volley_owns_journals");
    let ready = |settings| asked(&world, settings, "/readyz").map(|(status, _)| status);
    waiting.run_until(|| ready(&twin) == Some(200));
    assert!(!waiting.serves(), "another owns");
    assert_eq!(ready(&world.settings), Some(200), "it serves");
    let (csv, _) = fixture::contacts(RECIPIENTS);
    let (user, campaign) = world.tasks.block_on(async {
        let user = User::sign_up(&world.settings.data()).await;
        let user = user.at(twin.listen());
        let campaign = user.launch(csv, TEMPLATE).await;
        (user, campaign)
    });
    owner.run_until(|| world.taken() >= u64::from(RECIPIENTS / 3));
    let told = || world.tasks.block_on(user.campaign(campaign));
    owner.run_until(|| told().numbers.delivered > 0);
    assert_eq!((owns(&world.settings), owns(&twin)), (1, 0));
    owner.freeze();
    waiting.run_until_it_serves();
    assert_eq!((ready(&twin), owns(&twin)), (Some(200), 1));
    let at = world.taken();
    waiting.run_until(|| world.taken() >= at + 50);
    owner.thaw();
    let store = world.tasks.block_on(ground.store(&world.runtime));
    let is_finished = || world.tasks.block_on(is_finished(&store));
    waiting.run_until(is_finished);
    let ended = owner.ended_before(|| false);
    say(&format!(
        "who slept ended: {ended:?}, {}",
        world.settings.last_words()
    ));
    assert!(ended.is_some_and(|status| !status.success()));
    waiting.stop();
    let remains = world.close();
    let (witness, stored) = (remains.witness(), remains.stored());
    let judged = remains.judge(&witness, &stored, RECIPIENTS, 1);
    say(&judged.told);
    assert!(judged.wrongs.is_empty(), "{:?}", judged.wrongs);
}

/// One account that has more to do than it may, while owners die: its limit is reached, and
/// never passed.
#[test]
fn the_pace_holds_over_owners() {
    let _machine = machine();
    let Some((cassandra, kafka)) = servers() else {
        return;
    };
    let (plan, ground, _) = plan(cassandra, kafka, "pace");
    let world = World::start(Plan {
        providers: 1,
        rate: SLOW_RATE,
        ..plan
    });
    let mut node = ChildNode::start(&world.settings);
    let (csv, _) = fixture::contacts(SLOW_RECIPIENTS);
    world.tasks.block_on(async {
        let user = User::sign_up(&world.settings.data()).await;
        user.launch(csv, TEMPLATE).await
    });
    for quarter in 1..=3 {
        let at = u64::from(quarter * SLOW_RECIPIENTS / 4);
        node.run_until(|| world.taken() >= at);
        node.kill();
        world.settings.lose_data();
        node = ChildNode::start(&world.settings);
    }
    let store = world.tasks.block_on(ground.store(&world.runtime));
    node.run_until(|| world.tasks.block_on(is_finished(&store)));
    node.stop();
    world.close().keep_pace();
}

/// Whoever is asked to stop while its servers are away ends, and says what that means.
#[test]
fn a_node_stops_while_its_servers_are_away() {
    let _machine = machine();
    let servers = || Some((cassandra()?, Kafka::start(1)?));
    let Some((cassandra, kafka)) = servers() else {
        return;
    };
    let (plan, _, _) = plan(cassandra, &kafka, "left");
    let world = World::start(plan);
    let mut node = ChildNode::start(&world.settings);
    let (csv, _) = fixture::contacts(RECIPIENTS);
    world.tasks.block_on(async {
        let user = User::sign_up(&world.settings.data()).await;
        user.launch(csv, TEMPLATE).await
    });
    node.run_until(|| world.taken() > 0);
    kafka.kill(0);
    assert!(!node.end().success());
    let words = world.settings.last_words();
    assert!(words.contains("could not be committed in time"), "{words}");
}
