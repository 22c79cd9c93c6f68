//! Two nodes that share the sending: each owns one of two ranges of partitions.

use schemas::PartitionCount;
use tests::backends::servers;
use tests::child::{ChildNode, ChildSettings};
use tests::fixture;
use tests::kill::fleet::is_finished;
use tests::user::User;
use tests::world::{Keeping, Plan, TEMPLATE, World, say};

use super::{machine, number, plan};

/// Recipients of the campaign.
const RECIPIENTS: u32 = 2_000;

/// Recipients of the campaign that goes by limits which are handed round.
const RECIPIENTS_OF_SMALL: u32 = 600;

/// Segments per second of each provider account there: less than the largest text for each owner.
const SMALL: f64 = 15.0;

/// A node that comes gets one of the two ranges that the first has, and both send, by the limits that
/// one alone would keep. One is killed, the other gets its range too; it comes again, and gets one
/// back. Contacts are imported by both, and everybody gets one text.
#[test]
fn nodes_share_the_sending() {
    let _machine = machine();
    let Some((cassandra, kafka)) = servers() else {
        return;
    };
    let (plan, mut ground, _) = plan(cassandra, kafka, "sharing");
    ground.kafka.owners = PartitionCount::new(2).expect("a power of two");
    let world = World::start(Plan {
        keeping: Keeping::OnServers(Box::new(ground.clone())),
        ..plan
    });
    let owns = |settings: &ChildSettings| number(&world, settings, "volley_owns_journals");
    let mut first = ChildNode::start(&world.settings);
    first.run_until(|| owns(&world.settings) == 2);
    // Its port is free now, and may be another's in a while.
    let twin = world.settings.twin("twin");
    let mut second = ChildNode::spawn(&twin);
    second.run_until_it_serves();
    first.run_until(|| (owns(&world.settings), owns(&twin)) == (1, 1));
    let (csv, _) = fixture::contacts(RECIPIENTS);
    world.tasks.block_on(async {
        let user = User::sign_up(&world.settings.data()).await;
        user.at(twin.listen).launch(csv, TEMPLATE).await
    });
    first.run_until(|| world.taken() >= u64::from(RECIPIENTS / 4));
    let left = |settings| number(&world, settings, "volley_provider_segments_total");
    let (by_first, by_second) = (left(&world.settings), left(&twin));
    say(&format!("{by_first} and {by_second} texts left"));
    assert!(by_first.min(by_second) * 3 > by_first.max(by_second));
    second.kill();
    first.run_until(|| owns(&world.settings) == 2);
    let at = world.taken();
    first.run_until(|| world.taken() >= at + u64::from(RECIPIENTS / 8));
    let mut second = ChildNode::spawn(&twin);
    second.run_until_it_serves();
    first.run_until(|| (owns(&world.settings), owns(&twin)) == (1, 1));
    let store = world.tasks.block_on(ground.store(&world.runtime));
    first.run_until(|| world.tasks.block_on(is_finished(&store)));
    first.stop();
    second.stop();
    let remains = world.close();
    let (witness, stored) = (remains.witness(), remains.stored());
    let judged = remains.judge(&witness, &stored, RECIPIENTS, 1);
    say(&judged.told);
    assert!(judged.wrongs.is_empty(), "{:?}", judged.wrongs);
}

/// Limits that are too small to be divided are handed round: both nodes send, never more together
/// than each limit, and what one had that is killed the other gets with its range.
#[test]
fn small_limits_are_handed_round() {
    let _machine = machine();
    let Some((cassandra, kafka)) = servers() else {
        return;
    };
    let (plan, mut ground, _) = plan(cassandra, kafka, "small");
    ground.kafka.owners = PartitionCount::new(2).expect("a power of two");
    let world = World::start(Plan {
        rate: SMALL,
        keeping: Keeping::OnServers(Box::new(ground.clone())),
        ..plan
    });
    let owns = |settings: &ChildSettings| number(&world, settings, "volley_owns_journals");
    let mut first = ChildNode::start(&world.settings);
    first.run_until(|| owns(&world.settings) == 2);
    // Its port is free now, and may be another's in a while.
    let twin = world.settings.twin("twin");
    let mut second = ChildNode::spawn(&twin);
    second.run_until_it_serves();
    first.run_until(|| (owns(&world.settings), owns(&twin)) == (1, 1));
    let (csv, _) = fixture::contacts(RECIPIENTS_OF_SMALL);
    world.tasks.block_on(async {
        let user = User::sign_up(&world.settings.data()).await;
        user.at(twin.listen).launch(csv, TEMPLATE).await
    });
    let left = |settings| number(&world, settings, "volley_provider_segments_total");
    first
        .run_until(|| left(&world.settings).min(left(&twin)) >= u64::from(RECIPIENTS_OF_SMALL / 8));
    let (by_first, by_second) = (left(&world.settings), left(&twin));
    say(&format!("{by_first} and {by_second} texts left"));
    second.kill();
    let store = world.tasks.block_on(ground.store(&world.runtime));
    first.run_until(|| world.tasks.block_on(is_finished(&store)));
    first.stop();
    let remains = world.close();
    let (witness, stored) = (remains.witness(), remains.stored());
    let judged = remains.judge(&witness, &stored, RECIPIENTS_OF_SMALL, 1);
    say(&judged.told);
    assert!(judged.wrongs.is_empty(), "{:?}", judged.wrongs);
}
