//! What lies between one node and the servers: it takes time, and loses what it carries.

use std::sync::{Arc, Mutex, PoisonError};

use engine::storage::{Network, Request, Trip};
use schemas::PartitionRange;

use super::trouble::Trouble;
use super::turn::SharedTurn;
use crate::simulation::chance::Chance;
use crate::simulation::machine::Machine;
use crate::simulation::plan::ServersPlan;
use crate::simulation::tally::Tally;
use crate::simulation::time::Time;

/// The line of one node.
pub(super) struct Line {
    pub(super) plan: Arc<ServersPlan>,
    pub(super) time: Arc<Time>,
    pub(super) tally: Arc<Tally>,
    pub(super) chance: Arc<Mutex<Chance>>,
    pub(super) machine: Arc<Machine>,
    pub(super) turn: SharedTurn,
    pub(super) trouble: Trouble,
}

impl Network for Line {
    fn now(&self) -> u64 {
        self.time.now()
    }

    fn trip(&self, request: Request) -> Trip {
        let now_ms = self.time.now() / 1_000;
        let away = self.plan.away;
        if away.is_some_and(|(from, until)| (from..until).contains(&now_ms)) {
            self.tally.count("servers were away");
            self.trouble.begins(self.time.now());
            return Trip {
                is_lost: true,
                ..Trip::default()
            };
        }
        if request == Request::Read {
            return Trip::default();
        }
        let mut chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
        let (share, most_ms) = self.plan.slow;
        let way = |chance: &mut Chance| {
            let is_slow = chance.hits(share);
            let micros = chance.between(0, most_ms * 1_000);
            if is_slow { micros } else { 0 }
        };
        let trip = Trip {
            before: way(&mut chance),
            there: way(&mut chance),
            back: way(&mut chance),
            is_lost: chance.hits(self.plan.lost),
            is_unanswered: chance.hits(self.plan.unanswered),
        };
        if trip.is_lost || trip.is_unanswered {
            self.trouble.begins(self.time.now());
        }
        match request {
            Request::Commit if trip.is_unanswered && !trip.is_lost => {
                self.tally.count("a commit was unknown");
            }
            Request::Commit if trip.is_lost => self.tally.count("a commit was lost"),
            Request::Put if trip.is_unanswered || trip.is_lost => {
                self.tally.count("a row was written again");
            }
            Request::Write if trip.is_unanswered && !trip.is_lost => {
                self.tally.count("a write was unknown");
            }
            Request::Commit
            | Request::Put
            | Request::Write
            | Request::Read
            | Request::TakeOver
            | Request::Trim => {}
        }
        trip
    }

    fn is_up(&self) -> bool {
        !self.machine.is_dead()
    }

    fn has_turn(&self, range: PartitionRange) {
        self.machine.takes_over();
        if range.place() > 0 {
            return;
        }
        self.tally.count("a node got its turn");
        let mut turn = self.turn.lock();
        turn.owner = Some(self.machine.life);
        if let Some(step) = turn.dies_opening.take() {
            self.machine.die_at(step);
        }
    }

    fn is_fenced(&self) {
        self.tally.count("a node was fenced");
    }
}
