//! How lives end: whether a process may end so, and how often it came about.

use super::Simulation;
use super::life::Ending;
use super::plan::{Disturbance, End, LifePlan};

impl Simulation {
    /// A process ends as its life planned it, or because something was done to it.
    pub(super) fn judge_ending(&self, life: &LifePlan, ending: &Ending) {
        let store_fails = matches!(
            life.end,
            End::FailedWrite(_) | End::SyncLost(_) | End::SyncKept(_)
        );
        let any = |is: fn(Disturbance) -> bool| life.disturbances.iter().any(|(_, what)| is(*what));
        let panicked = life.stalls || any(Disturbance::panics);
        // Where no actor can be built, nobody is there to see that the store has failed.
        let nobody_is_there = any(Disturbance::is_for_good);
        // Who finds the servers away as it starts ends, and is started anew.
        let were_away =
            self.fleet.is_some() && self.tally.counts().contains_key("servers were away");
        let is_right = match ending {
            Ending::Killed | Ending::Drained | Ending::Asleep => true,
            Ending::NotStarted(_) if were_away => true,
            Ending::Failed(_) | Ending::NotStarted(_) => store_fails || panicked,
            Ending::NotNoticed => nobody_is_there,
            Ending::StoodStill => false,
        };
        if !is_right {
            self.violated(format!("a life ended as it must not: {ending:?}"));
        }
    }

    /// Counts the requests that a crash cut off, while they still have somebody waiting.
    pub(super) fn count_cut_off(&self, ending: &Ending) {
        if *ending != Ending::Drained {
            let (before, after) = self.world.cut_off();
            self.tally
                .add("W1: cut off after the provider had it", after);
            self.tally
                .add("W2: cut off before the provider had it", before);
        }
    }

    /// Counts how a life ended.
    pub(super) fn count_ending(&self, life: &LifePlan, ending: &Ending) {
        let name = match (ending, life.end) {
            (Ending::Asleep, _) => "an owner slept through its turn",
            (Ending::Killed, End::WhileOpening(_)) => "crash while taking over",
            (Ending::Killed, End::AtStep(step)) if step <= 400 => "crash while starting",
            (Ending::Killed, End::AtStep(_)) => "crash at a step",
            (Ending::Killed, End::AfterStart(_)) => "crash while a campaign starts",
            (Ending::Killed, _) => "crash at a time",
            (Ending::Failed(_) | Ending::NotStarted(_), End::FailedWrite(_)) => {
                "W12: a write failed"
            }
            (Ending::Failed(_) | Ending::NotStarted(_), End::SyncLost(_)) => {
                "W12: a sync failed and lost"
            }
            (Ending::Failed(_) | Ending::NotStarted(_), End::SyncKept(_)) => {
                "W12: a sync failed and kept"
            }
            (Ending::Drained, _) => "W19: stopped in good order",
            (_, _) => "stopped by itself",
        };
        self.tally.count(name);
    }
}

/// Whether a last life has done what it had to, or never will.
pub(super) fn has_come_to_its_end(ending: &Ending) -> bool {
    match ending {
        Ending::Failed(_) | Ending::NotStarted(_) => false,
        Ending::Killed
        | Ending::Drained
        | Ending::StoodStill
        | Ending::NotNoticed
        | Ending::Asleep => true,
    }
}
