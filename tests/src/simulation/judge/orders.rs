//! Orders to provider accounts: what is disabled gets nothing, what is slowed down gets no
//! more than that, from a second after the answer on until it is to be taken back.

use engine::pacing::Pace;

use super::wire::excess;
use crate::simulation::Simulation;
use crate::simulation::customers::Kind;
use crate::simulation::ledger::Call;
use crate::simulation::plan::OrderPlan;

/// Microseconds from the answer to an order until it is kept.
const WITHIN: u64 = 1_000_000;

/// Steps from the order to the lane, each of which may be held up.
const STEPS: u64 = 12;

/// Judges every request against the orders there were. `calls` are those of one provider.
pub fn judge(simulation: &Simulation, place: usize, calls: &[&Call], slack: u64) {
    for errand in &simulation.customers.state().errands {
        let Kind::Operator(operator) = &errand.kind else {
            continue;
        };
        let [first, rest @ ..] = operator.ordered.as_slice() else {
            continue;
        };
        let (plan, Some(heard)) = (operator.plan, first.heard_at) else {
            continue;
        };
        if plan.provider != place {
            continue;
        }
        simulation.tally.count(match plan.rate {
            Some(_) => "a provider was slowed down",
            None => "a provider was disabled",
        });
        let held = simulation.plan.task_hold.1 * 1_000 * STEPS;
        let frozen = simulation.frozen.borrow();
        let frozen = frozen.iter().filter(|(_, until)| *until > heard);
        let frozen: u64 = frozen.map(|(from, until)| until - from).sum();
        let until = rest.first().map_or(u64::MAX, |back| back.asked_at);
        let kept = heard + WITHIN + held + frozen..until;
        let calls: Vec<&Call> = calls
            .iter()
            .copied()
            .filter(|call| kept.contains(&call.at))
            .collect();
        if let Some(wrong) = wrong(plan, &calls, slack) {
            simulation.violated(format!("provider {place} was ordered {plan:?}: {wrong}"));
        }
    }
}

/// What was too much.
fn wrong(plan: OrderPlan, calls: &[&Call], slack: u64) -> Option<String> {
    let Some(rate) = plan.rate else {
        let first = calls.first()?;
        return Some(format!("a text at {} µs", first.at));
    };
    let pace = Pace::new(rate, None).expect("a rate");
    let (segments, from, to) = excess(&pace, calls, slack)?;
    let (from, to) = (from.at, to.at);
    Some(format!("{segments} segments from {from} to {to} µs"))
}
