//! A provider that is weak for a while: it takes less than it should, answers late, or refuses
//! connections. It stands before the sandbox, which knows nothing of it.

use std::collections::VecDeque;

use sandbox::dialect::HttpAnswer;

use super::plan::{ProviderPlan, Weakness};

const SECOND: u64 = 1_000_000;

/// What weak providers have been sent, by their places.
pub struct Weaknesses(Vec<Sent>);

#[derive(Clone, Default)]
struct Sent {
    /// When what was taken in the last second came.
    taken: VecDeque<u64>,
    connections: u64,
}

impl Weaknesses {
    /// Nothing was sent yet to so many providers.
    pub fn new(places: usize) -> Self {
        Self(vec![Sent::default(); places])
    }

    /// Whether a connection for a text is refused.
    pub fn refuses(&mut self, place: usize, plan: &ProviderPlan, now: u64) -> bool {
        if weakness(plan, now) != Some(Weakness::Refuses) {
            return false;
        }
        let sent = &mut self.0[place];
        sent.connections += 1;
        sent.connections.is_multiple_of(2)
    }

    /// The answer to a text that came and is not taken, if it is not.
    pub fn throttles(&mut self, place: usize, plan: &ProviderPlan, now: u64) -> Option<HttpAnswer> {
        let most = match weakness(plan, now) {
            Some(Weakness::Takes(most)) => most,
            Some(Weakness::Blinks) => 0,
            Some(Weakness::Late(_) | Weakness::Refuses) | None => return None,
        };
        let taken = &mut self.0[place].taken;
        while taken.front().is_some_and(|at| at + SECOND <= now) {
            taken.pop_front();
        }
        if taken.len() < most as usize {
            taken.push_back(now);
            return None;
        }
        Some(HttpAnswer {
            status: 429,
            retry_after: None,
            content_type: "application/json",
            body: br#"{"code":20429,"message":"Too Many Requests","status":429}"#.to_vec(),
        })
    }
}

/// By how many microseconds an answer is late.
pub fn lateness(plan: &ProviderPlan, now: u64) -> u64 {
    match weakness(plan, now) {
        Some(Weakness::Late(ms)) => ms * 1_000,
        Some(Weakness::Takes(_) | Weakness::Refuses | Weakness::Blinks) | None => 0,
    }
}

fn weakness(plan: &ProviderPlan, now: u64) -> Option<Weakness> {
    let (from, until, kind) = plan.weakness?;
    (from * 1_000..until * 1_000).contains(&now).then_some(kind)
}
