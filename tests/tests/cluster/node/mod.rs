//! Whole nodes whose messages are on servers: killed again and again, each time gone with
//! their machine and started elsewhere with nothing, while a campaign and single texts run;
//! and the servers killed under them.

mod doors;
mod events;
mod fleet;
mod imports;
mod owners;
mod shared;

use std::sync::{Mutex, MutexGuard, PoisonError};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use schemas::CampaignId;
use tests::backends::cassandra::Cassandra;
use tests::backends::ground::Ground;
use tests::backends::kafka::Kafka;
use tests::backends::servers;
use tests::child::ChildSettings;
use tests::fixture;
use tests::kill::figures::{Figures, Kind};
use tests::kill::running::{Running, Stage};
use tests::world::{Keeping, Plan, World, say, seed};

/// Provider accounts.
const PROVIDERS: usize = 3;

/// Each provider account's rate, segments per second: with less, so few attempts may be
/// committed ahead that the servers' commits are what holds texts up, and single texts, which
/// go first, leave nothing to a campaign on a busy machine.
const RATE: f64 = 100.0;

/// Recipients of the campaign whose nodes are killed.
const RECIPIENTS: u32 = 2_000;

/// Nodes that are killed.
const KILLS: u32 = 5;

/// Recipients of the campaigns whose servers are killed, each server once.
const OUTAGE_RECIPIENTS: u32 = 1_000;

/// The longest time that texts leave before the next kill, in milliseconds.
const SENDS_MS: u64 = 400;

/// One at a time: each of them uses the whole machine, and a port that a dead node has left is
/// another's when two of them run.
static MACHINE: Mutex<()> = Mutex::new(());

pub(super) fn machine() -> MutexGuard<'static, ()> {
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn a_campaign_survives_its_nodes_and_their_machines() {
    let _machine = machine();
    let Some((cassandra, kafka)) = servers() else {
        return;
    };
    let (plan, _, mut random) = plan(cassandra, kafka, "nodes");
    let mut running = started(plan, RECIPIENTS);
    let before = running.world.taken();
    let mut figures = Figures::default();
    for kill in 0..KILLS {
        // Somewhere in this kill's share of the campaign between 5 and 95 %.
        let part = (f64::from(kill) + random.random::<f64>()) / f64::from(KILLS);
        let at = before + ((0.05 + 0.90 * part) * f64::from(RECIPIENTS)) as u64;
        running.wait("texts before a kill", |running| {
            running.world.taken() >= at || running.is_finished()
        });
        if running.wait_for_texts() {
            pause(&mut random);
        }
        running.kill(Kind::KillSending, &mut figures);
        running.restart();
    }
    running.finish(false, &mut figures);
    assert_eq!(figures.kills(), u64::from(KILLS));
    told(&figures);
}

/// Each server is killed once while texts leave, and is back some seconds later. The node goes
/// on by itself, or ends and another goes on.
#[test]
fn a_campaign_survives_its_servers() {
    let _machine = machine();
    let servers = || Some((Cassandra::start()?, Kafka::start(1)?));
    let Some((cassandra, kafka)) = servers() else {
        return;
    };
    let (plan, _, mut random) = plan(&cassandra, &kafka, "outages");
    let mut running = started(plan, OUTAGE_RECIPIENTS);
    let outages: [(&str, &dyn Fn()); 2] = [
        ("Cassandra", &|| {
            cassandra.kill();
            cassandra.restart();
        }),
        ("Kafka", &|| {
            kafka.kill(0);
            kafka.restart(0);
        }),
    ];
    for (server, outage) in outages {
        assert!(running.wait_for_texts(), "the campaign is not over yet");
        pause(&mut random);
        outage();
        let (taken, answered) = (running.world.taken(), running.singles.answered());
        let ended = running.outlast("texts after an outage", |running| {
            let is_taken = running.world.taken() > taken + 50;
            (is_taken || running.is_finished()) && running.singles.answered() > answered
        });
        say(&format!("{server} was killed: {ended} nodes ended by it"));
    }
    // A write that began in the outage may end a node much later.
    running.outlast("the end of the campaign", Running::is_finished);
    let mut figures = Figures::default();
    running.finish(false, &mut figures);
    told(&figures);
}

/// Where a test's nodes stand, and what it draws from.
pub(super) fn plan(cassandra: &Cassandra, kafka: &Kafka, name: &str) -> (Plan, Ground, ChaCha8Rng) {
    let seed = seed(std::env::var("VOLLEY_SEED").ok().as_deref());
    say(&format!("{name}: seed {seed} (VOLLEY_SEED repeats it)"));
    let tasks = fixture::tasks();
    let runtime = engine::runtime::Runtime::of_machine(tasks.handle().clone());
    let ground = tasks.block_on(Ground::make(cassandra, kafka, name, &runtime));
    let plan = Plan {
        program: env!("CARGO_BIN_EXE_node").to_owned(),
        folder: fixture::folder(env!("CARGO_TARGET_TMPDIR"), name),
        partitions: 8,
        providers: PROVIDERS,
        rate: RATE,
        seed,
        keeping: Keeping::OnServers(Box::new(ground.clone())),
    };
    (plan, ground, ChaCha8Rng::seed_from_u64(seed))
}

/// A campaign that has started, with its contacts no longer in a node's folder.
pub(super) fn started(plan: Plan, recipients: u32) -> Running {
    let mut running = Running::start(plan, recipients);
    let started = Stage::Started(CampaignId::from_bytes([0; 16]));
    running.wait("the start", |running| running.is_at(started));
    running
}

/// Lets the node work for a drawn time.
fn pause(random: &mut ChaCha8Rng) {
    let drawn = random.random_range(0..=SENDS_MS * 1_000);
    std::thread::sleep(std::time::Duration::from_micros(drawn));
}

/// Tells what a run came to, of which nothing may be wrong.
pub(crate) fn told(figures: &Figures) {
    say(&format!(
        "{} recipients, {} single texts, {} attempts cut off, {} unknown and never taken of {} \
         that may be",
        figures.recipients,
        figures.singles,
        figures.cut_off,
        figures.unknown_never_taken,
        figures.bound,
    ));
    assert!(figures.wrongs.is_empty(), "{:?}", figures.wrongs);
}

/// What a node answers to a path, if it does.
pub(super) fn asked(world: &World, settings: &ChildSettings, path: &str) -> Option<(u16, String)> {
    world.tasks.block_on(answer(settings, path))
}

async fn answer(settings: &ChildSettings, path: &str) -> Option<(u16, String)> {
    let url = format!("http://{}{path}", settings.listen());
    let answer = reqwest::get(url).await.ok()?;
    Some((answer.status().as_u16(), answer.text().await.ok()?))
}

/// The page of a node's numbers.
pub(crate) async fn numbers(settings: &ChildSettings) -> String {
    let (_, page) = answer(settings, "/metrics").await.expect("it answers");
    page
}

/// The sum of a node's numbers of this name.
pub(super) fn number(world: &World, settings: &ChildSettings, name: &str) -> u64 {
    sum(&world.tasks.block_on(numbers(settings)), name)
}

/// The sum of the numbers of this name on a page.
pub(crate) fn sum(page: &str, name: &str) -> u64 {
    let said = page.lines().filter_map(|line| line.strip_prefix(name));
    let values = said.filter(|rest| rest.starts_with([' ', '{']));
    let values = values.filter_map(|rest| rest.rsplit_once(' ')?.1.parse::<u64>().ok());
    values.sum()
}
