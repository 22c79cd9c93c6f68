//! Messages over which whoever sends them panics, each time.

use schemas::MessageClass;

use super::{Plan, Poison, SinglePlan};
use crate::simulation::chance::Chance;

/// Draws some, for one schedule in ten.
pub(super) fn draw(plan: &mut Plan, chance: &mut Chance) {
    if !chance.hits(0.1) {
        return;
    }
    for _ in 0..chance.between(1, 3) {
        plan.singles.push(SinglePlan {
            account: chance.between(0, plan.accounts.len() as u64 - 1) as usize,
            at_ms: chance.between(0, 8_000),
            class: chance.pick(&MessageClass::ALL),
            send_after_ms: None,
            validity_seconds: 14_400,
            has_key: true,
            has_twin: false,
            is_repeated: false,
            provider: None,
            from_second_of: None,
            is_echo: false,
            poison: Some(chance.pick(&[Poison::Attempts, Poison::Everything])),
        });
    }
}
