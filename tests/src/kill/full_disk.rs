//! A disk that fills up and empties, under a campaign: intake refuses first, what is in
//! flight ends; on a disk without a byte the node ends with a code, and its successor
//! goes on when there is space.

mod disk;

use std::thread::sleep;
use std::time::Duration;

use rand::RngExt;

use self::disk::Disk;
use super::figures::{Figures, Kind};
use super::running::{Running, Stage};
use crate::child::ChildNode;
use crate::world::{Plan, say};

/// Recipients of the campaign.
const RECIPIENTS: u32 = 30_000;

/// The disk: what a campaign takes with a journal that is kept whole, and the room that
/// the store wants for its write-ahead files and for merging.
const DISK_BYTES: u64 = 512 << 20;

/// What is left free when intake must refuse: half of what the node keeps in reserve.
const LOW_BYTES: u64 = 32 << 20;

/// Texts that must leave while intake refuses.
const MEANWHILE: u64 = 1_000;

/// How often a node on a full disk is looked at, 10 ms apart, until it is left alone.
const FULL_LOOKS: u32 = 1_000;
const FULL_LOOK: Duration = Duration::from_millis(10);

/// The environment variable with which a skipped check is a failure.
const REQUIRE_TOOLS: &str = "VOLLEY_REQUIRE_TOOLS";

/// Runs a campaign on a small disk.
pub fn run(plan: Plan, figures: &mut Figures) {
    let data = plan.folder.join("data");
    let disk = match Disk::mount(&data, DISK_BYTES) {
        Ok(disk) => disk,
        Err(why) => return skip(&why, figures),
    };
    let mut random = super::random(&plan);
    say(&format!("full disk: seed {}", plan.seed));
    let mut running = Running::start(plan, RECIPIENTS);
    let (runtime, begun) = (running.world.runtime.clone(), running.world.runtime.boot());
    running.wait("the start", |running| running.is_at(Stage::Starting));
    freeze_waits_for_space(&mut running, &disk, figures);
    fill_until_intake_refuses(&mut running, &disk, figures);
    for third in 1..=2 {
        let drawn = random.random_range(0..RECIPIENTS / 4);
        let at = u64::from(third * RECIPIENTS / 3 + drawn);
        running.wait("more texts", |running| {
            running.world.taken() >= at || running.is_finished()
        });
        fill_to_the_last_byte(&mut running, &disk, figures);
    }
    running.finish(false, figures);
    let took = (runtime.boot() - begun) as f64 / 1e6;
    figures.seconds.insert("full disk", took);
}

fn skip(why: &str, figures: &mut Figures) {
    let told = format!("skipped: needs root, to mount a small disk in memory ({why})");
    say(&told);
    if std::env::var(REQUIRE_TOOLS).is_ok_and(|required| required == "1") {
        figures.wrong(&told);
    } else {
        figures.skipped.push(told);
    }
}

/// Takes all but half of the reserve while the audience is frozen: its chunks are taken in
/// when there is space again, and nobody has to start the node for that.
fn freeze_waits_for_space(running: &mut Running, disk: &Disk, figures: &mut Figures) {
    disk.fill(LOW_BYTES);
    figures.count(Kind::DiskLow);
    running.wait("507", |running| full_answers(running) > 0);
    disk.empty();
    running.wait("texts after the first of them", |running| {
        running.world.taken() >= u64::from(RECIPIENTS / 6)
    });
}

/// Takes all but half of the reserve: intake says 507 and the campaign goes on; then
/// there is space, and intake goes on too.
fn fill_until_intake_refuses(running: &mut Running, disk: &Disk, figures: &mut Figures) {
    disk.fill(LOW_BYTES);
    figures.count(Kind::DiskLow);
    let before = full_answers(running);
    running.wait("507", |running| full_answers(running) > before);
    let taken = running.world.taken();
    running.wait("texts on a disk that is nearly full", |running| {
        running.world.taken() >= taken + MEANWHILE || running.is_finished()
    });
    disk.empty();
    let answered = running.singles.answered();
    running.wait("intake with space again", |running| {
        running.singles.answered() > answered
    });
}

/// Takes every byte. The node ends with a code, or gets along; with space again, it or
/// its successor goes on.
fn fill_to_the_last_byte(running: &mut Running, disk: &Disk, figures: &mut Figures) {
    running.disturbed(Kind::DiskFull, figures);
    let mut looks = 0;
    let ended = running.node().ended_before(|| {
        // What the node frees is taken at once.
        disk.fill(0);
        sleep(FULL_LOOK);
        looks += 1;
        looks == FULL_LOOKS
    });
    let Some(status) = ended else {
        say("  on a full disk the node got along for 10 s");
        disk.empty();
        return;
    };
    if status.success() || status.code().is_none() {
        figures.wrong(&format!("on a full disk the node ended with {status}"));
    }
    figures.count(Kind::DiskEnded);
    running.has_ended();
    let words = running.world.settings.last_words();
    say(&format!(
        "  on a full disk the node ended with {status}: {words}"
    ));
    say(&format!("  {}", on_a_full_disk(running, disk)));
    disk.empty();
    running.verify(figures);
    running.restart();
}

/// What becomes of a node that is started while there is no space.
fn on_a_full_disk(running: &Running, disk: &Disk) -> String {
    let mut node = ChildNode::spawn(&running.world.settings);
    let mut looks = 0;
    let ended = node.ended_before(|| {
        disk.fill(0);
        sleep(FULL_LOOK);
        looks += 1;
        looks == FULL_LOOKS
    });
    match ended {
        Some(status) => {
            let words = running.world.settings.last_words();
            format!("started on it, the next one ended with {status}: {words}")
        }
        None => {
            node.kill();
            "started on it, the next one got along until it was killed".to_owned()
        }
    }
}

/// How often intake said that the disk is full.
fn full_answers(running: &Running) -> u64 {
    running.user.refusals().get(&507).copied().unwrap_or(0)
}
