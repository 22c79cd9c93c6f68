//! The lives of the process: how each ends, and what goes wrong on the way.

use super::CampaignPlan;
use crate::simulation::chance::Chance;

/// One life of the process.
#[derive(Debug)]
pub struct LifePlan {
    /// How it ends.
    pub end: End,
    /// What happens on the way: milliseconds from its start.
    pub disturbances: Vec<(u64, Disturbance)>,
    /// Whether the disk is nearly full for a while as soon as a campaign was started, so
    /// that its audience waits, and actors fail meanwhile.
    pub stalls: bool,
    /// Milliseconds until the next start.
    pub downtime_ms: u64,
    /// Whether the machine goes down with it, and its boot clock begins anew.
    pub reboots: bool,
    /// Whether its settings have no provider accounts, by mistake.
    pub is_bare: bool,
    /// What becomes of a node that owns beside it, if there is one.
    pub beside: Option<BesideEnd>,
}

/// How a node ends that owns some ranges beside another.
#[derive(Clone, Copy, Debug)]
pub struct BesideEnd {
    /// Milliseconds from when the other began.
    pub at_ms: u64,
    /// For how long it sleeps; it dies if it does not.
    pub sleeps_ms: Option<u64>,
}

impl LifePlan {
    /// A life without any disturbance.
    pub fn calm() -> Self {
        Self {
            end: End::Calm,
            disturbances: Vec::new(),
            stalls: false,
            downtime_ms: 0,
            reboots: false,
            is_bare: false,
            beside: None,
        }
    }

    /// Whether somebody sets the wall clock.
    pub(super) fn sets_the_clock(&self) -> bool {
        let mut disturbances = self.disturbances.iter();
        disturbances.any(|(_, what)| matches!(what, Disturbance::ClockJump(_)))
    }
}

/// How a life ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// Before this step of a task.
    AtStep(u64),
    /// Before this step of a task, counted from the next start of a campaign.
    AfterStart(u64),
    /// At this millisecond.
    AtTime(u64),
    /// This write of the store fails.
    FailedWrite(u64),
    /// This sync fails, and nothing of it is there afterwards.
    SyncLost(u64),
    /// This sync fails, and all of it is there afterwards.
    SyncKept(u64),
    /// In good order at this millisecond.
    Drained(u64),
    /// Before this step of a task, counted from when it was its turn to own the journals.
    WhileOpening(u64),
    /// It sleeps from this millisecond, for so many, and wakes when another may have its turn.
    Asleep {
        /// From when.
        at_ms: u64,
        /// For how long.
        for_ms: u64,
    },
    /// In good order when there is nothing left to do.
    Calm,
}

/// What happens to a running process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Disturbance {
    /// The wall clock jumps by so many milliseconds.
    ClockJump(i64),
    /// The process stands still for so many milliseconds.
    Freeze(u64),
    /// The disk is nearly full for so many milliseconds.
    DiskNearlyFull(u64),
    /// The next but so many calls of time, chance, tasks or lines panic.
    Panic(u64),
    /// So many calls panic, one after the other, some milliseconds apart.
    PanicStorm(u64),
    /// Every task that an actor starts makes it panic, for so many milliseconds or for good.
    ActorsFail(Option<u64>),
}

impl Disturbance {
    /// Whether something panics.
    pub fn panics(self) -> bool {
        match self {
            Self::Panic(_) | Self::PanicStorm(_) | Self::ActorsFail(_) => true,
            Self::ClockJump(_) | Self::Freeze(_) | Self::DiskNearlyFull(_) => false,
        }
    }

    /// Whether no actor can be built any more.
    pub fn is_for_good(self) -> bool {
        self == Self::ActorsFail(None)
    }
}

/// Three crashes on average, then a life that ends when all is done.
pub(super) fn lives(chance: &mut Chance, campaigns: &[CampaignPlan]) -> Vec<LifePlan> {
    let crashes = chance.between(1, 5);
    let mut lives = Vec::new();
    for life in 0..crashes {
        let mut disturbances = disturbances(chance, 2_000);
        let soon = chance.between(0, 400);
        let large = campaigns.iter().find(|campaign| campaign.is_large());
        if let Some(large) = large.filter(|_| life == 0 && chance.hits(0.3)) {
            let what = if chance.hits(0.5) {
                Disturbance::DiskNearlyFull(chance.between(100, 3_000))
            } else {
                Disturbance::ActorsFail(Some(chance.between(1, 700)))
            };
            disturbances.push((large.at_ms + soon / 2, what));
            disturbances.sort_by_key(|(when, _)| *when);
        }
        let end = match (disturbances.last(), large) {
            // While much is read in, or its audience is frozen.
            (_, Some(large)) if life == 0 && chance.hits(0.5) => End::AtTime(large.at_ms + soon),
            (_, Some(_)) if chance.hits(0.7) => End::AfterStart(chance.between(1, 120)),
            // Shortly after something else went wrong, before it is over.
            (Some((when, _)), _) if chance.hits(0.3) => End::AtTime(when + soon),
            (..) => end(chance),
        };
        lives.push(LifePlan {
            end,
            disturbances,
            stalls: chance.hits(0.03),
            downtime_ms: chance.pick(&[0, 50, 500, 2_000, 8_000]),
            reboots: chance.hits(0.3),
            is_bare: false,
            beside: None,
        });
        if chance.hits(0.25) {
            lives.push(LifePlan {
                end: End::Drained(chance.between(100, 2_000)),
                disturbances: Vec::new(),
                stalls: false,
                downtime_ms: chance.between(0, 1_000),
                reboots: false,
                is_bare: false,
                beside: None,
            });
        }
    }
    lives.push(LifePlan {
        end: End::Calm,
        disturbances: disturbances(chance, 1_500),
        stalls: chance.hits(0.03),
        downtime_ms: 0,
        reboots: false,
        is_bare: false,
        beside: None,
    });
    lives
}

/// Puts a life between the others, now and then, whose settings have no provider accounts, until
/// somebody sees it. Nothing that was taken in, or waits, may be lost over it.
pub(super) fn start_bare(lives: &mut Vec<LifePlan>, chance: &mut Chance) {
    if !chance.hits(0.06) {
        return;
    }
    let lasts_ms = chance.between(300, 5_000);
    let bare = LifePlan {
        end: if chance.hits(0.5) {
            End::Drained(lasts_ms)
        } else {
            End::AtTime(lasts_ms)
        },
        downtime_ms: chance.pick(&[0, 50, 500, 2_000]),
        is_bare: true,
        ..LifePlan::calm()
    };
    let place = chance.between(0, lives.len() as u64 - 1) as usize;
    lives.insert(place, bare);
}

fn end(chance: &mut Chance) -> End {
    match chance.between(0, 99) {
        // Also in the middle of recovery.
        0..=14 => End::AtStep(chance.between(1, 400)),
        15..=39 => End::AtStep(chance.between(400, 5_000)),
        40..=44 => End::AfterStart(chance.between(1, 300)),
        45..=74 => End::AtTime(chance.between(1, 2_500)),
        75..=82 => End::FailedWrite(chance.between(1, 300)),
        83..=90 => End::SyncLost(chance.between(1, 300)),
        _ => End::SyncKept(chance.between(1, 300)),
    }
}

pub(super) fn disturbances(chance: &mut Chance, until_ms: u64) -> Vec<(u64, Disturbance)> {
    let mut drawn = Vec::new();
    let at = |chance: &mut Chance, share: f64| {
        let hit = chance.hits(share);
        let when = chance.between(0, until_ms);
        hit.then_some(when)
    };
    if let Some(when) = at(chance, 0.15) {
        let minutes = chance.pick(&[-1_440, -60, -1, 1, 60, 1_440]);
        drawn.push((when, Disturbance::ClockJump(minutes * 60_000)));
    }
    if let Some(when) = at(chance, 0.1) {
        drawn.push((when, Disturbance::Freeze(chance.between(50, 8_000))));
    }
    if let Some(when) = at(chance, 0.1) {
        drawn.push((
            when,
            Disturbance::DiskNearlyFull(chance.between(100, 3_000)),
        ));
    }
    if let Some(when) = at(chance, 0.2) {
        drawn.push((when, Disturbance::Panic(chance.between(0, 60))));
    }
    if let Some(when) = at(chance, 0.01) {
        drawn.push((when, Disturbance::PanicStorm(chance.between(20, 40))));
    }
    if let Some(when) = at(chance, 0.02) {
        let is_short = chance.hits(0.85);
        let lasts = is_short.then(|| chance.between(1, 700));
        drawn.push((when, Disturbance::ActorsFail(lasts)));
    }
    drawn.sort_by_key(|(when, _)| *when);
    drawn
}
