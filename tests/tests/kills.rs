//! `kill -9` in the middle of a campaign, again and again, while the provider goes on:
//! afterwards nobody has two texts, nobody is lost, and the numbers agree. The program
//! `kill` does the same for longer, and worse things.

use std::sync::{Mutex, PoisonError};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tests::child::ChildNode;
use tests::fixture;
use tests::user::User;
use tests::world::{Keeping, Plan, TEMPLATE, World, say, seed};

/// Kills of one campaign.
const KILLS: u32 = 25;

/// Provider accounts.
const PROVIDERS: usize = 3;

/// Recipients: between two kills some hundred texts leave.
const RECIPIENTS: u32 = 15_000;

/// Each provider account's rate, segments per second.
const RATE: f64 = 2_000.0;

/// The rate of an account that is to be busy all the time, and its recipients: a run of
/// some seconds between two kills.
const SLOW_RATE: f64 = 200.0;
/// See [`SLOW_RATE`].
const SLOW_RECIPIENTS: u32 = 1_600;

/// Attempts that the kills of one campaign must have cut off, all together.
const LEAST_OPEN: u64 = 500;

/// How often a settled state is looked for, 50 ms apart: at least 130 seconds. Receipts
/// that a dead node missed are asked for after 60 seconds, unknown texts are searched
/// for after 3, 15 and 60.
const SETTLED_LOOKS: u32 = 2_600;

/// One at a time: each of them uses the whole machine.
static MACHINE: Mutex<()> = Mutex::new(());

#[test]
fn kills_with_one_partition() {
    a_campaign_survives_kills(1, false);
}

#[test]
fn kills_with_eight_partitions() {
    a_campaign_survives_kills(8, true);
}

#[test]
fn kills_with_sixty_four_partitions() {
    a_campaign_survives_kills(64, false);
}

/// One account that has more to do than it may: its limit is reached in every second
/// that is not a restart's.
#[test]
fn the_pace_holds_over_restarts() {
    let _machine = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    let world = World::start(Plan {
        providers: 1,
        rate: SLOW_RATE,
        ..plan("kills-pace", 8, 1)
    });
    let mut node = ChildNode::start(&world.settings);
    let (csv, _) = fixture::contacts(SLOW_RECIPIENTS);
    let (user, campaign) = world.tasks.block_on(async {
        let user = User::sign_up(&world.settings.data()).await;
        let campaign = user.launch(csv, TEMPLATE).await;
        (user, campaign)
    });
    for quarter in 1..=3 {
        let at = u64::from(quarter * SLOW_RECIPIENTS / 4);
        node.run_until(|| world.taken() >= at);
        node.kill();
        node = ChildNode::start(&world.settings);
    }
    world.tasks.block_on(user.finished(campaign));
    node.stop();
    world.close().keep_pace();
}

fn a_campaign_survives_kills(partitions: u16, settles: bool) {
    let _machine = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    let seed = seed(std::env::var("VOLLEY_SEED").ok().as_deref());
    say(&format!(
        "P = {partitions}: seed {seed} (VOLLEY_SEED repeats it)"
    ));
    let world = World::start(plan(&format!("kills-{partitions}"), partitions, seed));
    let open = kill_again_and_again(&world, seed, settles);
    let remains = world.close();
    say(&format!(
        "P = {partitions}: {KILLS} kills cut off {open} attempts"
    ));
    assert!(open >= LEAST_OPEN, "{open} attempts were open at the kills");
    let (witness, stored) = (remains.witness(), remains.stored());
    let judged = remains.judge(&witness, &stored, RECIPIENTS, u64::from(KILLS));
    say(&format!("P = {partitions}: {}", judged.told));
    assert!(judged.wrongs.is_empty(), "{:?}", judged.wrongs);
}

fn plan(name: &str, partitions: u16, seed: u64) -> Plan {
    Plan {
        program: env!("CARGO_BIN_EXE_node").to_owned(),
        folder: fixture::folder(env!("CARGO_TARGET_TMPDIR"), name),
        partitions,
        providers: PROVIDERS,
        rate: RATE,
        seed,
        keeping: Keeping::InFolder,
    }
}

/// Lets the campaign run to its end with kills on the way, and where wanted on until
/// everything about it is known; gives the sum of attempts that were open at the kills.
fn kill_again_and_again(world: &World, seed: u64, settles: bool) -> u64 {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut node = ChildNode::start(&world.settings);
    let (user, campaign) = world.tasks.block_on(async {
        let user = User::sign_up(&world.settings.data()).await;
        let (csv, _) = fixture::contacts(RECIPIENTS);
        let campaign = user.launch(csv, TEMPLATE).await;
        (user, campaign)
    });
    for kill in 0..KILLS {
        // Somewhere in this kill's share of the campaign between 5 and 95 %.
        let part = (f64::from(kill) + random.random::<f64>()) / f64::from(KILLS);
        let at = (0.05 + 0.90 * part) * f64::from(RECIPIENTS);
        // What the kills before cut off is over for the campaign, taken or not.
        let cut_off = world.settings.attempts_cut_off();
        node.run_until(|| (world.taken() + cut_off) as f64 >= at);
        node.kill();
        world.verify().expect("the folder agrees with itself");
        node = ChildNode::start(&world.settings);
    }
    world.tasks.block_on(user.finished(campaign));
    if settles {
        let taken = world.witness().recipients.len() as u64;
        let never_taken = u64::from(RECIPIENTS) - taken;
        let settled = user.settled(campaign, never_taken, SETTLED_LOOKS);
        assert!(
            world.tasks.block_on(settled),
            "every text that was taken is found, and its receipt"
        );
    }
    node.stop();
    world.verify().expect("the folder agrees with itself");
    world.settings.attempts_cut_off()
}
