//! A node that owns some ranges while another owns the first: it dies or falls asleep by itself, and
//! the other goes on.

use std::pin::Pin;
use std::task::Context;

use super::turn::UNTIL_STILL;
use super::{Fleet, Node};
use crate::simulation::Simulation;
use crate::simulation::plan::BesideEnd;

/// How soon one that is to fall asleep and is taking something over is looked at again, in
/// microseconds.
const AGAIN_AFTER: u64 = 50_000;

impl Fleet {
    /// Whether two nodes may own at once.
    pub fn is_shared(&self) -> bool {
        !self.plan.apart.is_empty()
    }

    /// A node owns a range, and not the first.
    pub fn owns_beside(&self, life: usize) {
        self.beside.borrow_mut().insert(life);
    }

    /// The next node that owns beside the one that has begun just now ends like this.
    pub(super) fn plan_beside(&self, end: Option<BesideEnd>) {
        let now = self.time.now();
        let end = end.map(|end| (now + end.at_ms * 1_000, end.sleeps_ms));
        self.beside_ends.set(end);
    }

    /// Ends a node that owns beside another, or lets it sleep, if it is to.
    pub(super) fn end_beside(&self, simulation: &Simulation, context: &mut Context<'_>) {
        let now = self.time.now();
        let Some((_, sleeps)) = self.beside_ends.get().filter(|(at, _)| *at <= now) else {
            return;
        };
        let owns = |node: &Node| self.beside.borrow().contains(&node.machine.life);
        let place = self.waiting.borrow().iter().position(owns);
        let node = place.and_then(|place| self.waiting.borrow_mut().remove(place));
        let Some(mut node) = node else { return };
        if sleeps.is_some() {
            // Every task comes to where it waits for something, and no time passes.
            for _ in 0..UNTIL_STILL {
                let _ = Pin::new(&mut node.local).poll(context);
            }
            if node.machine.is_taking_over() {
                self.waiting.borrow_mut().push_front(node);
                return self.beside_ends.set(Some((now + AGAIN_AFTER, sleeps)));
            }
        }
        self.beside_ends.set(None);
        let life = node.machine.life;
        let told = || format!("node {life} ends beside the other: {sleeps:?}");
        simulation.story.tell(now, told);
        simulation.connections_break(now);
        let Some(ms) = sleeps else {
            self.tally.count("a node died beside another");
            return self.end(simulation, node);
        };
        self.tally.count("a node slept beside another");
        self.put_to_sleep(simulation, node, now + ms * 1_000);
    }
}
