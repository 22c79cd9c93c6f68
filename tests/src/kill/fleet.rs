//! Some nodes on the same servers, one of which owns all partitions while the others wait: any of
//! them is killed, frozen or stopped at drawn moments of a campaign, loses what it has on its
//! disk, and comes back.

use std::net::TcpStream;
use std::ops::RangeInclusive;
use std::time::Duration;

use engine::store::Store;
use rand::RngExt;
use rand::seq::{IndexedRandom, SliceRandom};
use rand_chacha::ChaCha8Rng;
use schemas::PartitionCount;
use schemas::campaign::{Campaign, CampaignState};

use super::figures::{Figures, Kind};
use crate::backends::ground::Ground;
use crate::child::{ChildNode, ChildSettings};
use crate::fixture;
use crate::rows;
use crate::user::User;
use crate::world::{Plan, TEMPLATE, World, say};

/// Nodes.
const NODES: usize = 3;

/// What is done to them, each before any again.
const KINDS: [Kind; 3] = [Kind::KillSending, Kind::Freeze, Kind::Terminate];

/// Of so many disturbances one meets whichever node, and the others one that owns.
const ANYBODY: u32 = 3;

/// Seconds that a node is frozen: well below a session of owners, which is 6 s, or well above.
const DOZES: RangeInclusive<u64> = 1..=4;
/// See [`DOZES`].
const SLEEPS: RangeInclusive<u64> = 9..=14;

/// How often it is looked how far the campaign is.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A wait that takes longer has failed: one takeover takes 8 seconds.
const STANDSTILL_MICROS: u64 = 180_000_000;

/// A node of them.
struct Member {
    settings: ChildSettings,
    node: ChildNode,
    /// Whether it slept through its turn: it ends when it wakes.
    slept: bool,
}

impl Member {
    fn start(settings: ChildSettings) -> Self {
        let node = ChildNode::spawn(&settings);
        // The next node must not get its port.
        while TcpStream::connect(settings.listen()).is_err() {
            std::thread::sleep(LOOK_EVERY);
        }
        let slept = false;
        Self {
            settings,
            node,
            slept,
        }
    }
}

/// Nodes on servers, and their provider.
struct Fleet {
    world: World,
    store: Store,
    members: Vec<Option<Member>>,
    random: ChaCha8Rng,
    /// What is done next, the last first.
    kinds: Vec<Kind>,
    /// Disturbances that may have left attempts open.
    disturbances: u64,
}

/// Two of the nodes share the sending.
///
/// # Panics
/// Never.
pub fn owners() -> PartitionCount {
    PartitionCount::new(2).expect("a power of two")
}

/// Runs a campaign to so many people over so many disturbances, and judges it against the
/// provider's book.
pub fn run(plan: Plan, ground: &Ground, recipients: u32, disturbances: u32, figures: &mut Figures) {
    say(&format!(
        "nodes: {NODES} on servers, {recipients} recipients, {} × {} segments/s, seed {}",
        plan.providers, plan.rate, plan.seed
    ));
    let mut fleet = Fleet::start(plan, ground);
    fleet.launch(recipients);
    let begun = fleet.world.taken();
    for number in 0..disturbances {
        // Somewhere in this one's share of the campaign between 5 and 95 %.
        let drawn = fleet.random.random::<f64>();
        let part = (f64::from(number) + drawn) / f64::from(disturbances);
        let at = begun + ((0.05 + 0.90 * part) * f64::from(recipients)) as u64;
        fleet.wait("texts before a disturbance", |fleet| {
            fleet.world.taken() >= at || fleet.is_finished()
        });
        fleet.disturb(figures);
    }
    fleet.wait("the end of the campaign", Fleet::is_finished);
    fleet.finish(recipients, figures);
}

impl Fleet {
    fn start(plan: Plan, ground: &Ground) -> Self {
        let random = super::random(&plan);
        let world = World::start(plan);
        let store = world.tasks.block_on(ground.store(&world.runtime));
        let mut first = Member::start(world.settings.clone());
        first.node.run_until_it_serves();
        let mut members = vec![Some(first)];
        for number in 1..NODES {
            let settings = world.settings.twin(&format!("node-{number}"));
            members.push(Some(Member::start(settings)));
        }
        Self {
            world,
            store,
            members,
            random,
            kinds: Vec::new(),
            disturbances: 0,
        }
    }

    fn launch(&self, recipients: u32) {
        let (csv, _) = fixture::contacts(recipients);
        self.world.tasks.block_on(async {
            let user = User::sign_up(&self.world.settings.data()).await;
            user.launch(csv, TEMPLATE).await
        });
    }

    /// Whether the campaign is.
    fn is_finished(&self) -> bool {
        self.world.tasks.block_on(is_finished(&self.store))
    }

    /// Waits until something is true. One that slept through its turn ends, and is started again;
    /// no other may end by itself.
    fn wait(&mut self, what: &str, mut is_true: impl FnMut(&Self) -> bool) {
        let until = self.world.runtime.boot() + STANDSTILL_MICROS;
        let mut taken = self.world.taken();
        let mut stands_since = self.world.runtime.boot();
        while !is_true(self) {
            let now = self.world.taken();
            if now > taken {
                (taken, stands_since) = (now, self.world.runtime.boot());
            }
            let stands_still =
                self.world.runtime.boot() > until.max(stands_since + STANDSTILL_MICROS);
            assert!(!stands_still, "{what}: waited for too long");
            self.tend();
            std::thread::sleep(LOOK_EVERY);
        }
    }

    fn tend(&mut self) {
        for place in &mut self.members {
            let mut member = place.take().expect("a member");
            if let Some(status) = member.node.ended_before(|| true) {
                let words = member.settings.last_words();
                say(&format!("a node ended by itself, {status}: {words}"));
                assert!(member.slept, "it did not sleep through its turn");
                assert!(!status.success(), "it cannot have ended well");
                member = again(member.settings);
            }
            *place = Some(member);
        }
    }

    /// Which nodes own. Who slept through its turn has ended by then.
    fn owners(&self) -> Vec<usize> {
        let members = self.members.iter().enumerate();
        let serves = members.filter(|(_, member)| {
            let member = member.as_ref().expect("a member");
            member.node.serves()
        });
        serves.map(|(place, _)| place).collect()
    }

    fn disturb(&mut self, figures: &mut Figures) {
        let owners = self.owners();
        let anybody = self.random.random_range(0..NODES);
        let is_anybody = self.random.random_range(0..ANYBODY) == 0;
        let owner = owners.choose(&mut self.random).copied();
        let place = owner.filter(|_| !is_anybody).unwrap_or(anybody);
        if self.kinds.is_empty() {
            self.kinds = KINDS.to_vec();
            self.kinds.shuffle(&mut self.random);
        }
        let kind = self.kinds.pop().expect("kinds");
        let owns = owners.contains(&place);
        let whose = if owns {
            "one that owns"
        } else {
            "one that waits"
        };
        say(&format!("  {kind:?}: {whose}"));
        figures.count(kind);
        self.disturbances += 1;
        let mut member = self.members[place].take().expect("a member");
        if kind == Kind::Freeze {
            let is_long = self.random.random();
            let seconds = if is_long { SLEEPS } else { DOZES };
            member.node.freeze();
            std::thread::sleep(Duration::from_secs(self.random.random_range(seconds)));
            member.node.thaw();
            member.slept = is_long && owns;
        } else {
            let Member { settings, node, .. } = member;
            if kind == Kind::Terminate {
                node.stop();
            } else {
                node.kill();
            }
            member = again(settings);
        }
        self.members[place] = Some(member);
        // Until then it says that it serves, and is about to end.
        self.wait("the end of who slept", |fleet| {
            let slept = |member: &Option<Member>| member.as_ref().is_some_and(|it| it.slept);
            !fleet.members.iter().any(slept)
        });
    }

    /// Ends all nodes, and judges.
    fn finish(mut self, recipients: u32, figures: &mut Figures) {
        for member in self.members.drain(..).flatten() {
            member.node.kill();
        }
        let (disturbances, settings) = (self.disturbances, self.world.settings.clone());
        let remains = self.world.close();
        let (witness, stored) = (remains.witness(), remains.stored());
        let judged = remains.judge(&witness, &stored, recipients, disturbances);
        say(&format!("  {}", judged.told));
        judged.wrongs.iter().for_each(|wrong| figures.wrong(wrong));
        figures.campaigns += 1;
        figures.recipients += u64::from(recipients);
        figures.cut_off += settings.attempts_cut_off();
        figures.unknown_never_taken += judged.verdict.unknown_never_taken as u64;
        figures.bound += judged.bound;
        figures.lost += judged.verdict.missing as u64;
        figures.twice += judged.verdict.duplicates as u64;
    }
}

/// The node on a machine that had to be replaced.
fn again(settings: ChildSettings) -> Member {
    settings.lose_data();
    Member::start(settings)
}

/// Whether the one campaign in this store is.
///
/// # Panics
/// When the store does not answer.
pub async fn is_finished(store: &Store) -> bool {
    let Some((account, campaign)) = rows::only_campaign(store).await else {
        return false;
    };
    let key = Campaign::key_of(account, campaign);
    let row = store.get::<Campaign>(&key).await;
    let row = row.expect("the store works");
    row.is_some_and(|row| row.state == CampaignState::Finished)
}
