//! A provider account that is weak for a while is sent less, but not nothing, and all of its
//! rate again soon after it is well.

use std::ops::Range;

use engine::pacing::RECOVERY;

use crate::simulation::Simulation;
use crate::simulation::ledger::Call;
use crate::simulation::plan::{ProviderPlan, Weakness};

const SECOND: u64 = 1_000_000;

/// Microseconds from when it is weak until its rate must have fallen.
const FALLEN_WITHIN: u64 = 4 * SECOND;

/// Microseconds after what a rate needs to come back at most until it is judged: its last texts
/// are being answered, and the first that are good are waited for.
const SETTLED_WITHIN: u64 = 3 * SECOND;

/// For how many microseconds it is judged then.
const JUDGED_FOR: u64 = 2 * SECOND;

/// The part of what it is sent that one that takes less may throttle: at a few a second, a rate
/// that hovers about what is taken is often one above it.
const MOST_THROTTLED: f64 = 0.3;

/// The part of what it takes that it must have got.
const LEAST_TAKEN: f64 = 0.6;

/// The part of its rate that one may be sent that is slow, or refuses.
const MOST_SENT: f64 = 0.6;

/// Microseconds from the end of a blink until the last of what it throttled is heard.
const BLINK_HEARD_WITHIN: u64 = SECOND;

/// For how many microseconds it is judged then.
const JUDGED_AFTER_BLINK: u64 = 3 * SECOND;

/// The part of its rate that one must be sent after a blink: it fell once, to seven tenths.
const LEAST_AFTER_BLINK: f64 = 0.6;

/// Judges every provider account that was weak.
pub fn judge(simulation: &Simulation) {
    let entries = simulation.world.ledger.entries();
    for (place, plan) in simulation.world.providers().iter().enumerate() {
        let Some((from, until, kind)) = plan.weakness else {
            continue;
        };
        simulation.tally.count(match kind {
            Weakness::Takes(_) => "W14: a provider took less than its rate",
            Weakness::Late(_) => "W14: a provider answered late for a while",
            Weakness::Refuses => "W14: a provider refused every other connection",
            Weakness::Blinks => "W14: a provider throttled for a moment",
        });
        let calls = entries.calls.iter().filter(|call| call.provider == place);
        let calls: Vec<&Call> = calls.collect();
        let weak = match kind {
            Weakness::Blinks => {
                let heard = until * 1_000 + BLINK_HEARD_WITHIN;
                heard..heard + JUDGED_AFTER_BLINK
            }
            Weakness::Takes(_) | Weakness::Late(_) | Weakness::Refuses => {
                from * 1_000 + FALLEN_WITHIN..until * 1_000
            }
        };
        let found = wrong_while_weak(plan, kind, &calls, weak);
        for wrong in found
            .into_iter()
            .chain(not_back(plan, &calls, until * 1_000))
        {
            simulation.violated(format!("provider {place}, {kind:?} for a while: {wrong}"));
        }
    }
}

fn within<'a>(calls: &'a [&Call], when: &Range<u64>) -> impl Iterator<Item = &'a Call> {
    calls
        .iter()
        .copied()
        .filter(move |call| when.contains(&call.at))
}

fn wrong_while_weak(
    plan: &ProviderPlan,
    kind: Weakness,
    calls: &[&Call],
    weak: Range<u64>,
) -> Option<String> {
    let seconds = (weak.end - weak.start) as f64 / SECOND as f64;
    let sent = within(calls, &weak).count() as f64;
    let throttled = within(calls, &weak).filter(|call| call.is_throttled);
    let throttled = throttled.count() as f64;
    match kind {
        Weakness::Takes(_) if throttled > sent * MOST_THROTTLED => {
            Some(format!("{throttled} of {sent} texts were throttled"))
        }
        Weakness::Takes(most) if sent - throttled < f64::from(most) * seconds * LEAST_TAKEN => {
            Some(format!(
                "{sent} texts in {seconds} s, {throttled} throttled"
            ))
        }
        Weakness::Late(_) | Weakness::Refuses if sent > plan.rate * seconds * MOST_SENT => {
            Some(format!("{sent} texts in {seconds} s"))
        }
        Weakness::Blinks if sent < plan.rate * seconds * LEAST_AFTER_BLINK => {
            Some(format!("{sent} texts in {seconds} s"))
        }
        Weakness::Takes(_) | Weakness::Late(_) | Weakness::Refuses | Weakness::Blinks => None,
    }
}

fn not_back(plan: &ProviderPlan, calls: &[&Call], well: u64) -> Option<String> {
    let from = well + RECOVERY.as_micros() as u64 + SETTLED_WITHIN;
    let judged = from..from + JUDGED_FOR;
    let more = calls.iter().any(|call| call.at >= judged.end);
    let could = plan.rate * JUDGED_FOR as f64 / SECOND as f64;
    let sent = within(calls, &judged).count() as f64;
    (more && sent < could * 0.9).then(|| format!("{sent} texts of {could} when it was well again"))
}
