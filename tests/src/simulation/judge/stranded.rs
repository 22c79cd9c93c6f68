//! What waits for a provider account that works: it ends when its validity does, and nobody
//! else waits behind it.

use engine::journal::NO_PROVIDER;
use engine::pacing::TURN_MICROS;
use schemas::message::TimelineEntry;
use schemas::{Message, MessageClass, MessageStatus};

use super::{after, instant};
use crate::simulation::Simulation;

/// Microseconds from the end of a message's validity until that must be written down.
const ENDS_WITHIN: u64 = 2_000_000;

/// Microseconds within which a one-time code that may go anywhere begins: longer than the
/// longest pause that a provider asks for, and than what is in flight takes.
const BEGINS_WITHIN: u64 = 25_000_000;

/// What a turn of each other owner takes at most, with handing it on, in microseconds: who has no
/// turn at a provider account cannot know that it is dead, and what may go by no other waits there
/// for the turn.
const TURN: u64 = TURN_MICROS + 3_000_000;

/// Steps from the one to the other, each of which may be held up.
const STEPS: u64 = 24;

/// Judges every message.
pub fn judge(simulation: &Simulation, messages: &[Message]) {
    if simulation.wall_jumped.get() {
        // Nobody can tell when something was by a clock that was wrong.
        return;
    }
    for message in messages {
        if ends_late(simulation, message) {
            let id = message.envelope.id;
            super::messages::tell_life(simulation, message, &[]);
            simulation.violated(format!("{id} waited on after its validity"));
        }
        if simulation.plan.stranded.is_some() && begins_late(simulation, message) {
            let id = message.envelope.id;
            super::messages::tell_life(simulation, message, &[]);
            simulation.violated(format!("{id} waited behind what may go by no provider"));
        }
    }
}

fn is_put_aside(entry: &TimelineEntry) -> bool {
    entry.event == "held" && entry.detail.as_deref() == Some(NO_PROVIDER)
}

/// Whether a message was put aside when its validity ended, and that was not told in time.
fn ends_late(simulation: &Simulation, message: &Message) -> bool {
    let until = message.envelope.valid_until;
    let before = message.timeline.iter().take_while(|entry| entry.at < until);
    if message.timeline.iter().any(is_put_aside) {
        simulation.tally.count("a message waited for a provider");
        if message.status == MessageStatus::Delivered {
            simulation.tally.count("it was delivered afterwards");
        }
    }
    if !before.last().is_some_and(is_put_aside) || message.status != MessageStatus::Expired {
        return false;
    }
    simulation.tally.count("its validity ended meanwhile");
    let ended = message.timeline.last().map_or(0, |entry| instant(entry.at));
    is_late(simulation, instant(until), ended, ENDS_WITHIN)
}

/// Whether a one-time code that may go anywhere began late, while a provider worked.
fn begins_late(simulation: &Simulation, message: &Message) -> bool {
    let envelope = &message.envelope;
    let is_free = envelope.provider.is_none() && envelope.campaign.is_none();
    let works = |place: usize| simulation.world.providers()[place].outage.is_none();
    let anybody_works = (0..simulation.world.providers().len()).any(works);
    let begun = message.timeline.iter();
    let begun = begun.clone().find(|entry| entry.event == "attempt_begun");
    let Some(begun) = begun.filter(|_| is_free && anybody_works) else {
        return false;
    };
    if envelope.class != MessageClass::Transactional {
        return false;
    }
    let from = envelope.send_at.unwrap_or(envelope.created_at);
    let from = instant(from.max(envelope.created_at));
    let turns = u64::from(simulation.plan.owners - 1) * TURN;
    is_late(simulation, from, instant(begun.at), BEGINS_WITHIN + turns)
}

/// Whether something was done later than it had to be. A process that starts, wakes or is
/// built anew has its time from then on.
fn is_late(simulation: &Simulation, due: u64, done: u64, within: u64) -> bool {
    let begun = simulation.begun.borrow();
    let slept = simulation.slept.borrow();
    let woke = slept.iter().map(|(_, until)| *until);
    let panicked = simulation.panicked.borrow();
    let anew = begun
        .iter()
        .copied()
        .chain(woke)
        .chain(panicked.iter().copied());
    let since = anew.filter(|at| *at <= done).fold(due, u64::max);
    let held = simulation.plan.task_hold.1 + simulation.plan.disk_hold.1;
    done > after(simulation, since, within + held * 1_000 * STEPS)
}
