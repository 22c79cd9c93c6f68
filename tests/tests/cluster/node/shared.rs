//! Two nodes that share the sending: each owns one of two ranges of partitions.

use schemas::PartitionCount;
use tests::backends::ground::Ground;
use tests::backends::servers;
use tests::child::{ChildNode, ChildSettings};
use tests::fixture;
use tests::kill::fleet::is_finished;
use tests::user::User;
use tests::world::{Keeping, Plan, TEMPLATE, World, say};

use super::{RATE, machine, number, plan};

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
    let Some((pair, mut first, second)) = start("sharing", RATE, RECIPIENTS) else {
        return;
    };
    first.run_until(|| pair.world.taken() >= u64::from(RECIPIENTS / 4));
    let (by_first, by_second) = pair.left();
    say(&format!("{by_first} and {by_second} texts left"));
    assert!(by_first.min(by_second) * 3 > by_first.max(by_second));
    second.kill();
    first.run_until(|| owns(&pair.world, &pair.world.settings) == 2);
    let at = pair.world.taken();
    first.run_until(|| pair.world.taken() >= at + u64::from(RECIPIENTS / 8));
    let mut second = ChildNode::spawn(&pair.twin);
    second.run_until_it_serves();
    first.run_until(|| pair.own_one_each());
    pair.run_until_finished(&mut first);
    first.stop();
    second.stop();
    pair.judge(RECIPIENTS);
}

/// Limits that are too small to be divided are handed round: both nodes send, never more together
/// than each limit, and what one had that is killed the other gets with its range.
#[test]
fn small_limits_are_handed_round() {
    let _machine = machine();
    let Some((pair, mut first, second)) = start("small", SMALL, RECIPIENTS_OF_SMALL) else {
        return;
    };
    first.run_until(|| {
        let (by_first, by_second) = pair.left();
        by_first.min(by_second) >= u64::from(RECIPIENTS_OF_SMALL / 8)
    });
    let (by_first, by_second) = pair.left();
    say(&format!("{by_first} and {by_second} texts left"));
    second.kill();
    pair.run_until_finished(&mut first);
    first.stop();
    pair.judge(RECIPIENTS_OF_SMALL);
}

/// Where two nodes stand.
struct Pair {
    world: World,
    ground: Ground,
    /// The second's.
    twin: ChildSettings,
}

/// Starts two nodes that own a range each, and a campaign; `None` where there are no servers.
fn start(name: &str, rate: f64, recipients: u32) -> Option<(Pair, ChildNode, ChildNode)> {
    let (cassandra, kafka) = servers()?;
    let (plan, mut ground, _) = plan(cassandra, kafka, name);
    ground.kafka.owners = PartitionCount::new(2).expect("a power of two");
    let world = World::start(Plan {
        rate,
        keeping: Keeping::OnServers(Box::new(ground.clone())),
        ..plan
    });
    let mut first = ChildNode::start(&world.settings);
    first.run_until(|| owns(&world, &world.settings) == 2);
    let twin = world.settings.twin("twin");
    let mut second = ChildNode::spawn(&twin);
    second.run_until_it_serves();
    let pair = Pair {
        world,
        ground,
        twin,
    };
    first.run_until(|| pair.own_one_each());
    let (csv, _) = fixture::contacts(recipients);
    pair.world.tasks.block_on(async {
        let user = User::sign_up(&pair.world.settings.data()).await;
        user.at(pair.twin.listen()).launch(csv, TEMPLATE).await
    });
    Some((pair, first, second))
}

/// How many ranges a node owns.
fn owns(world: &World, settings: &ChildSettings) -> u64 {
    number(world, settings, "volley_owns_journals")
}

impl Pair {
    fn own_one_each(&self) -> bool {
        let (first, twin) = (&self.world.settings, &self.twin);
        (owns(&self.world, first), owns(&self.world, twin)) == (1, 1)
    }

    /// Texts that left by the first and by the second.
    fn left(&self) -> (u64, u64) {
        let left = |settings| number(&self.world, settings, "volley_provider_segments_total");
        (left(&self.world.settings), left(&self.twin))
    }

    /// Waits for the campaign's end.
    fn run_until_finished(&self, first: &mut ChildNode) {
        let tasks = &self.world.tasks;
        let store = tasks.block_on(self.ground.store(&self.world.runtime));
        first.run_until(|| tasks.block_on(is_finished(&store)));
    }

    /// Everybody got one text, and no limit was exceeded.
    fn judge(self, recipients: u32) {
        let remains = self.world.close();
        let (witness, stored) = (remains.witness(), remains.stored());
        let judged = remains.judge(&witness, &stored, recipients, 1);
        say(&judged.told);
        assert!(judged.wrongs.is_empty(), "{:?}", judged.wrongs);
    }
}
