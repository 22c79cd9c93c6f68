//! Several nodes on the same servers: how each owner's turn ends, and what lies between the nodes
//! and the servers.

use super::lives::{BesideEnd, disturbances};
use super::{Disturbance, End, LifePlan, Plan};
use crate::simulation::chance::{Chance, Stream};

/// What lies between the nodes and their servers.
#[derive(Clone, Debug, Default)]
pub struct ServersPlan {
    /// Nodes that wait while one owns.
    pub waiting: usize,
    /// The share of requests that take time, and how many milliseconds each way at most.
    pub slow: (f64, u64),
    /// The share of requests that do not arrive.
    pub lost: f64,
    /// The share of requests whose answer does not.
    pub unanswered: f64,
    /// When no request arrives, in milliseconds from the start.
    pub away: Option<(u64, u64)>,
    /// The ranges, by their places, that another node owns than the first, if it can.
    pub apart: Vec<u16>,
}

/// Milliseconds for which an owner can stand still and be one afterwards: less than a session,
/// by what it may have been silent before.
const SHORT_MS: u64 = 4_000;

/// Milliseconds for which one sleeps who is not the owner any more when it wakes, at least.
const SLEPT_THROUGH_MS: u64 = 6_200;

impl Plan {
    /// The plan of a seed for nodes on servers.
    pub fn draw_on_servers(seed: u64) -> Self {
        let mut plan = Self::draw(seed);
        let chance = &mut Chance::new(seed, Stream::Servers);
        let mut servers = ServersPlan {
            waiting: chance.between(1, 2) as usize,
            ..ServersPlan::default()
        };
        if plan.is_plain {
            // What is measured there is not to depend on how the servers are.
            for life in &mut plan.lives {
                (life.downtime_ms, life.reboots) = (0, false);
            }
        } else {
            servers.slow = chance.pick(&[(0.0, 0), (0.3, 3), (1.0, 2), (0.3, 20), (0.05, 400)]);
            servers.lost = chance.pick(&[0.0, 0.0, 0.003, 0.02]);
            servers.unanswered = chance.pick(&[0.0, 0.0, 0.003, 0.02]);
            let from = chance.between(0, 20_000);
            let lasts = chance.between(200, 9_000);
            servers.away = chance.hits(0.2).then_some((from, from + lasts));
            plan.lives = turns(chance);
            plan.divide(chance.pick(&[1, 1, 2, 4]));
            let chance = &mut Chance::new(seed, Stream::Beside);
            servers.apart = (1..plan.owners).filter(|_| chance.hits(0.6)).collect();
            for life in &mut plan.lives {
                life.beside = chance.hits(0.5).then(|| beside(chance));
            }
        }
        plan.servers = Some(servers);
        plan
    }
}

impl Plan {
    /// Divides the partitions among so many owners, if there are as many; each needs a connection.
    /// Limits are divided too, those that are too small for it used in turns.
    fn divide(&mut self, owners: u16) {
        self.owners = owners.min(self.partitions);
        for provider in &mut self.providers {
            provider.max_in_flight = provider.max_in_flight.max(self.owners.into());
        }
    }
}

/// How a node ends that owns beside another.
fn beside(chance: &mut Chance) -> BesideEnd {
    let sleeps = chance.between(SLEPT_THROUGH_MS, 3 * SLEPT_THROUGH_MS);
    BesideEnd {
        at_ms: chance.between(0, 6_000),
        sleeps_ms: chance.hits(0.4).then_some(sleeps),
    }
}

/// Owners that end in all ways, then one that ends when all is done.
fn turns(chance: &mut Chance) -> Vec<LifePlan> {
    let number = chance.between(1, 4);
    let mut turns: Vec<LifePlan> = (0..number)
        .map(|_| LifePlan {
            end: end(chance),
            disturbances: disturbed(chance, 2_000),
            ..LifePlan::calm()
        })
        .collect();
    turns.push(LifePlan {
        disturbances: disturbed(chance, 1_500),
        ..LifePlan::calm()
    });
    turns
}

fn end(chance: &mut Chance) -> End {
    match chance.between(0, 99) {
        0..=19 => End::WhileOpening(chance.between(1, 60)),
        20..=39 => End::AtStep(chance.between(1, 5_000)),
        40..=44 => End::AfterStart(chance.between(1, 300)),
        45..=54 => End::AtTime(chance.between(1, 2_500)),
        // Long after old records of the journals were deleted.
        55..=59 => End::AtTime(chance.between(11_000, 25_000)),
        60..=69 => End::Drained(chance.between(100, 2_500)),
        _ => End::Asleep {
            at_ms: chance.between(1, 2_500),
            for_ms: chance.between(SLEPT_THROUGH_MS, 20_000),
        },
    }
}

/// What happens to a process on servers: it has no disk, and nobody sets its clock.
fn disturbed(chance: &mut Chance, until_ms: u64) -> Vec<(u64, Disturbance)> {
    let mut drawn = disturbances(chance, until_ms);
    drawn.retain_mut(|(_, what)| match what {
        Disturbance::ClockJump(_) | Disturbance::DiskNearlyFull(_) => false,
        Disturbance::Freeze(ms) => {
            // Whoever sleeps for longer is not the owner any more.
            *ms = (*ms).min(SHORT_MS);
            true
        }
        Disturbance::Panic(_) | Disturbance::PanicStorm(_) | Disturbance::ActorsFail(_) => true,
    });
    drawn
}
