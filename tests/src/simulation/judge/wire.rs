//! Request by request, as they left the process: the pace, the pauses that providers ask
//! for, requests at once, and the times before and after which a text must not go.

use std::collections::BTreeMap;

use actors::dispatch::begin::ATTEMPT_DEADLINE;
use engine::pacing::Pace;
use sandbox::{AnswerFault, ReceiptFault};
use schemas::{Message, UnixMicros};

use super::{after, orders};
use crate::simulation::Simulation;
use crate::simulation::ledger::{Call, Entries};
use crate::simulation::plan::LONG_OUTAGE_MS;

/// A request may leave so many microseconds after its stamp where tasks are not held up.
const SLACK: u64 = 3_000;

/// Microseconds from the first text to a provider that is away until that must have been
/// noticed.
const FOUND_DEAD_WITHIN: u64 = 5_000_000;

/// Texts in a row that may fail before a provider is taken for dead.
const FAILURES: u32 = 5;

/// The most probes in a long outage: after rests of 1, 2, 4, 8 and 16 seconds, and one that a
/// process made before.
const PROBES: u32 = 6;

/// The machine falls asleep when nothing has gone over a line for longer than this, in
/// microseconds: whatever waited for a permit before had got it.
const FALLS_ASLEEP_WITHIN: u64 = 1_000_000;

/// Judges every request.
pub fn judge(simulation: &Simulation, messages: &[Message]) {
    let slack = slack_of(simulation);
    let entries = simulation.world.ledger.entries();
    let calls = calls_of(simulation, &entries);
    for place in 0..simulation.world.providers().len() {
        let calls: Vec<&Call> = calls
            .iter()
            .copied()
            .filter(|call| call.provider == place)
            .collect();
        pace(simulation, place, &calls, slack);
        long_outage(simulation, place, &calls);
        orders::judge(simulation, place, &calls, slack);
        pauses(simulation, place, &calls, slack);
    }
    let open = simulation.world.most_open();
    for ((place, plan), most) in simulation.world.providers().iter().enumerate().zip(open) {
        if most > plan.max_in_flight {
            let allowed = plan.max_in_flight;
            simulation.violated(format!(
                "provider {place}: {most} requests at once, {allowed} allowed"
            ));
        }
    }
    if !simulation.wall_jumped.get() {
        times(simulation, messages, &calls, slack);
    }
}

/// How many microseconds after its stamp a request may leave. From the stamp to the line there
/// are a few steps, and as many from an answer to the pause that it asks for. Each of them may be
/// held up.
pub(super) fn slack_of(simulation: &Simulation) -> u64 {
    let held = simulation.plan.task_hold;
    SLACK + if held.0 > 0.0 { 8 * held.1 * 1_000 } else { 0 }
}

/// The requests whose instants tell something.
pub(super) fn calls_of<'a>(simulation: &Simulation, entries: &'a Entries) -> Vec<&'a Call> {
    let calls = entries.calls.iter();
    calls
        .filter(|call| !is_behind_a_freeze(simulation, call.at))
        .filter(|call| !is_of_who_was_drowsy(simulation, call))
        .collect()
}

/// What was let go before a freeze leaves after it; nobody can help that.
fn is_behind_a_freeze(simulation: &Simulation, at: u64) -> bool {
    let frozen = simulation.frozen.borrow();
    frozen
        .iter()
        .any(|(from, until)| (*from..until + 500_000).contains(&at))
}

/// The same of who slept through its turn as a task of it was held up.
fn is_of_who_was_drowsy(simulation: &Simulation, call: &Call) -> bool {
    let drowsy = simulation.drowsy.borrow();
    drowsy
        .iter()
        .any(|(life, woke)| *life == call.life && (*woke..woke + 500_000).contains(&call.at))
}

/// What got its permit as the machine fell asleep leaves when it wakes; nobody can help that
/// either. `waited` is how long before the request it was begun, and `behind` how long before it
/// was stamped, if that is known, in microseconds.
fn is_behind_a_sleep(
    simulation: &Simulation,
    call: &Call,
    waited: u64,
    behind: Option<u64>,
) -> bool {
    simulation.slept.borrow().iter().any(|(from, until)| {
        if !(*until..until + 500_000).contains(&call.at) {
            return false;
        }
        let slept = until - from;
        let was_begun = (slept..=call.at - from + FALLS_ASLEEP_WITHIN).contains(&waited);
        was_begun && behind.is_none_or(|behind| behind >= slept)
    })
}

/// A task that panics over an answer tells nobody what the answer asked for.
fn is_beside_a_panic(simulation: &Simulation, range: std::ops::Range<u64>) -> bool {
    let panicked = simulation.panicked.borrow();
    panicked.iter().any(|at| range.contains(at))
}

fn pace(simulation: &Simulation, place: usize, calls: &[&Call], slack: u64) {
    let plan = &simulation.world.providers()[place];
    let pace = Pace::new(plan.rate, plan.burst).expect("a rate");
    if let Some((segments, from, to)) = excess(&pace, calls, slack) {
        let most = pace.segments_in_window();
        simulation.violated(format!(
            "provider {place}: {segments} segments between {:.3} ms (life {}) and {:.3} ms \
             (life {}), {most} allowed",
            from.at as f64 / 1_000.0,
            from.life,
            to.at as f64 / 1_000.0,
            to.life,
        ));
    }
}

/// The first window that holds more than a pace allows: how many segments, and its ends.
pub(super) fn excess<'a>(
    pace: &Pace,
    calls: &[&'a Call],
    slack: u64,
) -> Option<(u64, &'a Call, &'a Call)> {
    let window = pace.window_micros().saturating_sub(slack);
    let most = u64::from(pace.segments_in_window());
    let (mut first, mut segments) = (0, 0);
    for (last, call) in calls.iter().enumerate() {
        segments += u64::from(call.segments);
        while call.at - calls[first].at >= window {
            segments -= u64::from(calls[first].segments);
            first += 1;
        }
        if segments > most && first < last {
            return Some((segments, calls[first], call));
        }
    }
    None
}

/// Of a provider that is away for long every process finds out soon, and from then on little
/// goes to it.
fn long_outage(simulation: &Simulation, place: usize, calls: &[&Call]) {
    let plan = &simulation.world.providers()[place];
    let Some((from, until, _)) = plan.outage else {
        return;
    };
    if until - from < LONG_OUTAGE_MS {
        return;
    }
    let away = from * 1_000..until * 1_000;
    let mut by_life: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
    for call in calls.iter().filter(|call| away.contains(&call.at)) {
        simulation.tally.count("a text to a provider that is away");
        by_life.entry(call.life).or_default().push(call.at);
    }
    for (life, texts) in by_life {
        // Where little is sent it takes long until enough of it has failed.
        let Some(enough) = texts.get(FAILURES as usize - 1) else {
            continue;
        };
        let noticed = after(simulation, *enough, FOUND_DEAD_WITHIN);
        let later = texts.iter().filter(|at| **at >= noticed);
        let texts: Vec<u64> = later.map(|at| at / 1_000).collect();
        let allowed = PROBES;
        if texts.len() as u32 > allowed {
            simulation.violated(format!(
                "provider {place} was away, and life {life} went on to send it texts at {texts:?} \
                 ms, {allowed} allowed"
            ));
        }
    }
}

fn pauses(simulation: &Simulation, place: usize, calls: &[&Call], slack: u64) {
    let asked = calls
        .iter()
        .filter_map(|call| Some((call.life, call.pause?)));
    for (life, (from, until)) in asked {
        simulation.tally.count("W14: a provider asked for a pause");
        if is_beside_a_panic(simulation, from..from + slack) {
            continue;
        }
        let range = from + slack..until.saturating_sub(slack);
        let early = calls
            .iter()
            .find(|call| call.life == life && range.contains(&call.at));
        if let Some(early) = early {
            simulation.violated(format!(
                "provider {place} asked for a pause from {:.3} to {:.3} ms and got a text at {:.3}",
                from as f64 / 1_000.0,
                until as f64 / 1_000.0,
                early.at as f64 / 1_000.0
            ));
            return;
        }
    }
}

fn times(simulation: &Simulation, messages: &[Message], calls: &[&Call], slack: u64) {
    let by_id: BTreeMap<String, &Message> = messages
        .iter()
        .map(|message| (message.envelope.id.to_string(), message))
        .collect();
    let attempts = calls
        .iter()
        .filter_map(|call| Some((&call.attempt.as_ref()?.0, call.at)));
    let last: BTreeMap<&String, u64> = attempts.collect();
    for call in calls {
        let Some((id, attempt)) = &call.attempt else {
            continue;
        };
        let Some(message) = by_id.get(id) else {
            continue;
        };
        let envelope = &message.envelope;
        let late_by = |from: UnixMicros| (call.wall.0 - from.0).max(0).unsigned_abs();
        if envelope.send_at.is_some_and(|send_at| call.wall < send_at) {
            simulation.violated(format!("{id} left before its time"));
        }
        let late = late_by(envelope.valid_until);
        if late > slack {
            let late = late / 1_000;
            simulation.violated(format!("{id} left {late} ms after its validity"));
        }
        // One that was handed back untouched is begun again under its number.
        let begun = message.timeline.iter().rev().find(|entry| {
            let is_begin = entry.event == "attempt_begun" && entry.attempt == Some(*attempt);
            is_begin && entry.at <= call.wall
        });
        // The last request's stamp is in the row, where its outcome was written down.
        let stamped = message
            .last_sent_at
            .filter(|_| last.get(id) == Some(&call.at));
        let (waited, behind) = (begun.map(|begun| late_by(begun.at)), stamped.map(late_by));
        if waited.is_some_and(|waited| is_behind_a_sleep(simulation, call, waited, behind)) {
            continue;
        }
        let behind = behind.unwrap_or(0);
        if behind > slack {
            let behind = behind / 1_000;
            simulation.violated(format!("{id} left {behind} ms after its send stamp"));
        }
        let waited = waited.unwrap_or(0);
        if waited > ATTEMPT_DEADLINE.as_micros() as u64 + slack {
            let waited = waited / 1_000;
            simulation.violated(format!("{id} left {waited} ms after its attempt was begun"));
        }
    }
}

/// What a fault of an answer is called in the counts.
pub fn name_of_fault(fault: AnswerFault) -> &'static str {
    match fault {
        AnswerFault::SlowAnswer => "provider: slow answer",
        AnswerFault::ThrottleWithRetryAfter => "provider: 429 with a wait",
        AnswerFault::ThrottleWithoutRetryAfter => "provider: 429 without a wait",
        AnswerFault::ErrorBefore => "provider: 5xx, not taken",
        AnswerFault::ErrorAfter => "W3: 5xx, taken",
        AnswerFault::CutAfter => "W3: cut after taking",
        AnswerFault::NoAnswerTaken => "W3: silence after taking",
        AnswerFault::NoAnswerUntaken => "provider: silence, not taken",
        AnswerFault::Nonsense => "W3: nonsense, taken",
    }
}

/// What a fault of receipts is called in the counts.
pub fn name_of_receipt_fault(fault: ReceiptFault) -> &'static str {
    match fault {
        ReceiptFault::Early => "W6: receipt before the answer",
        ReceiptFault::Late => "receipt late",
        ReceiptFault::Duplicated => "W7: receipt twice",
        ReceiptFault::Reordered => "W8: receipts out of order",
        ReceiptFault::Missing => "receipt missing",
    }
}
