//! A provider account that is away for a minute or is disabled, and what may go by no other:
//! more than is read ahead, so that others would stand behind it.

use sandbox::FaultPlan;
use schemas::MessageClass;

use super::{
    AccountPlan, ChangePlan, End, LifePlan, LinePlan, Outage, Plan, ProviderPlan, SinglePlan,
};
use crate::simulation::chance::Chance;

/// The shortest time that one is away for, in milliseconds: longer than the others take for
/// anything.
pub const AWAY_MS: u64 = 45_000;

/// Positions that are read ahead: far fewer than there are messages that wait.
const READ_AHEAD: [usize; 3] = [8, 16, 4_096];

/// Milliseconds within which all is asked for that waits, where the process dies afterwards,
const SOON_MS: u64 = 6_000;

/// and until all of it is put aside: five texts must have failed before, and a probe.
const PUT_ASIDE_MS: u64 = 15_000;

/// Draws it, for one schedule in eight.
pub(super) fn draw(plan: &mut Plan, chance: &mut Chance) {
    if !chance.hits(0.125) || plan.providers.iter().any(ProviderPlan::lags) {
        return;
    }
    let place = chance.between(0, plan.providers.len() as u64 - 1) as usize;
    plan.stranded = Some(place);
    plan.read_ahead = chance.pick(&READ_AHEAD);
    // What waits for a limit of its own stays where it was read: so little read-ahead is for
    // what must not stay there.
    plan.accounts.fill(AccountPlan::default());
    for provider in &mut plan.providers {
        provider.sender_rates = [None; 2];
        if plan.read_ahead < READ_AHEAD[2] {
            // So does what waits for one that is in trouble, and sent little.
            (provider.faults, provider.line) = (FaultPlan::none(), LinePlan::CALM);
        }
    }
    for campaign in &mut plan.campaigns {
        campaign.rate = None;
        if let Some(change) = &mut campaign.change {
            change.rate = None;
        }
    }
    let from = chance.between(0, 3_000);
    let until = from + chance.between(AWAY_MS, 90_000);
    let kind = chance.pick(&[Outage::Refuses, Outage::Swallows]);
    plan.providers[place].outage = Some((from, until, kind));
    for _ in 0..chance.between(20, 60) {
        plan.singles.push(SinglePlan {
            account: chance.between(0, plan.accounts.len() as u64 - 1) as usize,
            at_ms: chance.between(0, 20_000),
            class: chance.pick(&MessageClass::ALL),
            send_after_ms: chance.hits(0.1).then(|| chance.between(100, 30_000)),
            validity_seconds: if chance.hits(0.3) {
                chance.between(4, 40)
            } else {
                14_400
            },
            has_key: true,
            has_twin: false,
            is_repeated: false,
            provider: Some(place),
            from_second_of: None,
            is_echo: false,
            poison: None,
        });
    }
    if chance.hits(0.3)
        && let Some(campaign) = plan.campaigns.first_mut()
        // A sender that it asks for is owned by one provider account alone.
        && campaign.from_second_of.is_none_or(|owner| owner == place)
    {
        campaign.change = Some(ChangePlan {
            after_ms: chance.between(0, 2_500),
            rate: None,
            provider: Some(place),
        });
    }
    // Others come meanwhile.
    for _ in 0..chance.between(5, 15) {
        plan.singles.push(SinglePlan {
            account: chance.between(0, plan.accounts.len() as u64 - 1) as usize,
            at_ms: chance.between(8_000, 40_000),
            class: chance.pick(&MessageClass::ALL),
            send_after_ms: chance.hits(0.3).then(|| chance.between(100, 5_000)),
            validity_seconds: 14_400,
            has_key: true,
            has_twin: false,
            is_repeated: false,
            provider: None,
            from_second_of: None,
            is_echo: false,
            poison: None,
        });
    }
    if chance.hits(0.3) {
        dies_late(plan, place, until, chance);
    }
}

/// The process dies when everything that waits for the account has been put aside, and the next
/// one begins when the account is back: nothing but what it finds tells it that anything waits.
fn dies_late(plan: &mut Plan, place: usize, back_at_ms: u64, chance: &mut Chance) {
    let waiting = plan.singles.iter_mut();
    for single in waiting.filter(|single| single.provider == Some(place)) {
        (single.at_ms, single.send_after_ms) = (single.at_ms % SOON_MS, None);
    }
    let dies = LifePlan {
        end: End::AtTime(chance.between(PUT_ASIDE_MS, 2 * PUT_ASIDE_MS)),
        downtime_ms: back_at_ms,
        reboots: chance.hits(0.3),
        ..LifePlan::calm()
    };
    let last = plan.lives.len() - 1;
    plan.lives.insert(last, dies);
}
