//! One campaign whose node is killed, frozen and stopped at drawn moments until it has
//! finished all the same.

use std::thread::sleep;
use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::figures::{Figures, Kind};
use super::running::{Running, Stage};
use crate::world::{Plan, say};

/// Recipients of a campaign: at 6,000 a second, some twenty disturbances.
const RECIPIENTS: u32 = 30_000;

/// The longest that texts leave before the next disturbance, in milliseconds.
const SENDS_MS: u64 = 700;

/// The latest moment of a kill in an import, after it began; so many contacts take
/// about as long.
const IMPORTS_MS: u64 = 400;

/// The latest moment of a kill in the freezing of an audience, after the start was asked
/// for: freezing that many takes some ten milliseconds.
const FREEZES_MS: u64 = 60;

/// The latest moments of a kill in recovery, after the process was started: one before
/// most nodes serve, one when they do.
const RECOVERS_MS: [u64; 2] = [100, 300];

/// How long a node is frozen, in milliseconds.
const FROZEN_MS: (u64, u64) = (1_000, 20_000);

/// Runs a campaign, and kills its nodes until it has finished or there have been so many
/// kills in all.
pub fn run(plan: Plan, settles: bool, kills: u64, figures: &mut Figures) {
    let before = figures.kills();
    let random = super::random(&plan);
    let named = format!("P = {:>2}, seed {}", plan.partitions, plan.seed);
    let mut disturber = Disturber {
        running: Running::start(plan, RECIPIENTS),
        random,
        figures,
        kills,
    };
    let begun = disturber.running.world.runtime.boot();
    disturber.at_the_start();
    disturber.while_it_sends();
    let Disturber { running, .. } = disturber;
    let runtime = running.world.runtime.clone();
    let took = (runtime.boot() - begun) as f64 / 1e6;
    running.finish(settles, figures);
    let settled = (runtime.boot() - begun) as f64 / 1e6 - took;
    *figures.seconds.entry("kills of campaigns").or_default() += took;
    *figures.seconds.entry("their ends").or_default() += settled;
    let (kills, took) = (figures.kills() - before, took + settled);
    say(&format!("campaign {named}: {kills} kills, {took:.0} s"));
}

struct Disturber<'a> {
    running: Running,
    random: ChaCha8Rng,
    figures: &'a mut Figures,
    kills: u64,
}

impl Disturber<'_> {
    /// Kills in the import and in the freezing of the audience; every second time the
    /// next node is killed in its recovery too.
    fn at_the_start(&mut self) {
        let stages = [
            (Stage::Importing, Kind::KillImporting, IMPORTS_MS),
            (Stage::Starting, Kind::KillFreezing, FREEZES_MS),
        ];
        for (stage, kind, latest) in stages {
            self.running
                .wait("the campaign's start", |running| running.is_at(stage));
            self.pause(0, latest);
            self.running.kill(kind, self.figures);
            if self.random.random() {
                self.kill_in_recovery();
            }
            self.running.restart();
        }
    }

    fn while_it_sends(&mut self) {
        // Its place among the others is drawn, that it comes is not.
        let mut until_frozen = self.random.random_range(0..8);
        while self.figures.kills() < self.kills {
            let sends = match until_frozen {
                0 => self.freeze(),
                _ => self.any_other(),
            };
            if !sends {
                return;
            }
            until_frozen -= 1;
        }
    }

    /// One drawn disturbance; false when the campaign has finished first.
    fn any_other(&mut self) -> bool {
        match self.random.random_range(0..100) {
            0..50 => {
                if !self.sends_for_a_while() {
                    return false;
                }
                self.running.kill(Kind::KillSending, self.figures);
            }
            50..75 => {
                if !self.sends_for_a_while() {
                    return false;
                }
                self.running.kill(Kind::KillSending, self.figures);
                for _ in 0..self.random.random_range(1..=2) {
                    self.kill_in_recovery();
                }
            }
            75..90 => return self.terminate(),
            _ => {
                self.pause(0, RECOVERS_MS[1]);
                self.running.kill(Kind::KillServing, self.figures);
            }
        }
        self.running.restart();
        true
    }

    /// Starts the next node and kills it before, or just after, it serves.
    fn kill_in_recovery(&mut self) {
        self.running.spawn();
        let latest = RECOVERS_MS[usize::from(self.random.random::<bool>())];
        self.pause(0, latest);
        let kind = match self.running.node().serves() {
            true => Kind::KillServing,
            false => Kind::KillRecovering,
        };
        self.running.kill(kind, self.figures);
    }

    /// Stops the node under load; its successor must find nothing open.
    fn terminate(&mut self) -> bool {
        if !self.sends_for_a_while() {
            return false;
        }
        let cut_off = self.running.world.settings.attempts_cut_off();
        self.running.stop(self.figures);
        self.figures.count(Kind::Terminate);
        self.running.restart();
        let more = self.running.world.settings.attempts_cut_off() - cut_off;
        if more > 0 {
            let told = format!("{more} attempts were cut off by a graceful stop");
            self.figures.wrong(&told);
        }
        true
    }

    /// Freezes the node while answers arrive and time passes; it goes on, and is killed.
    fn freeze(&mut self) -> bool {
        if !self.sends_for_a_while() {
            return false;
        }
        self.running.node().freeze();
        self.pause(FROZEN_MS.0, FROZEN_MS.1);
        let frozen_at = self.running.world.taken();
        self.running.node().thaw();
        self.running.disturbed(Kind::Freeze, self.figures);
        self.running.wait("texts after a freeze", |running| {
            running.world.taken() > frozen_at || running.is_finished()
        });
        self.pause(0, SENDS_MS);
        self.running.kill(Kind::KillThawed, self.figures);
        self.running.restart();
        true
    }

    /// Waits until texts leave, and a drawn time longer, in which they are counted.
    fn sends_for_a_while(&mut self) -> bool {
        if !self.running.wait_for_texts() {
            return false;
        }
        let world = &self.running.world;
        let (taken, at) = (world.taken(), world.runtime.boot());
        self.pause(20, SENDS_MS);
        let world = &self.running.world;
        let (more, took) = (world.taken() - taken, world.runtime.boot() - at);
        if self.running.is_finished() {
            return false;
        }
        self.figures.texts += more;
        self.figures.sending += took;
        true
    }

    fn pause(&mut self, least_ms: u64, most_ms: u64) {
        let drawn = self.random.random_range(least_ms * 1_000..=most_ms * 1_000);
        sleep(Duration::from_micros(drawn));
    }
}
