//! Orders to provider accounts: what is disabled gets nothing, what is slowed down gets no
//! more than that, from a second after the answer on until it is to be taken back.

use engine::pacing::Pace;

use super::kept_from;
use super::wire::excess;
use crate::simulation::Simulation;
use crate::simulation::customers::Kind;
use crate::simulation::ledger::Call;
use crate::simulation::plan::OrderPlan;

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
        let until = rest.first().map_or(u64::MAX, |back| back.asked_at);
        let kept = kept_from(simulation, heard)..until;
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
