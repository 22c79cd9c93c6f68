//! One sender of three whose every request panics for some seconds, and what the others send
//! meanwhile. Nothing else goes wrong, so that what they send is theirs alone.

use std::ops::Range;
use std::path::Path;

use schemas::MessageClass;

use super::plan::{AccountPlan, CampaignPlan, CommandsPlan, LinePlan, Plan, ProviderPlan};
use super::{calm, run_plan};
use sandbox::FaultPlan;

/// Segments per second of each of the three.
const RATE: f64 = 40.0;

/// Recipients: enough for the two others until after the panics.
const RECIPIENTS: u64 = 2_000;

/// When the first of them panics, in milliseconds: after all have come to their rate.
const PANICS: Range<u64> = 4_000..14_000;

/// The places of the others.
pub const BESIDE: [usize; 2] = [1, 2];

/// What came of it.
#[derive(Debug)]
pub struct Beside {
    /// Segments that left for each provider account while the first one panicked, or would
    /// have.
    pub segments: [u64; 3],
    /// How often it panicked.
    pub panics: usize,
    /// What must not be.
    pub violations: Vec<String>,
}

/// Sends a campaign through three provider accounts, of which the first is broken for a while,
/// or is not.
pub fn beside_a_broken_sender(seed: u64, folder: &Path, is_broken: bool) -> Beside {
    let panics = is_broken.then_some((PANICS.start, PANICS.end));
    let mut plan = Plan::draw(seed);
    plan.providers = vec![provider(panics), provider(None), provider(None)];
    plan.campaigns = vec![campaign()];
    (plan.receipts_come, plan.receipts_are_plain, plan.trim) = (true, false, true);
    (plan.task_hold, plan.disk_hold) = ((0.0, 0), (1.0, 2));
    (plan.accounts, plan.partitions) = (vec![AccountPlan::default()], 2);
    (plan.singles, plan.stops, plan.orders) = (Vec::new(), Vec::new(), Vec::new());
    plan.lives = vec![calm()];
    let (simulation, _) = run_plan(seed, plan, folder, false);
    let mut segments = [0; 3];
    for call in &simulation.world.ledger.entries().calls {
        if PANICS.contains(&(call.at / 1_000)) {
            segments[call.provider] += u64::from(call.segments);
        }
    }
    let panics = simulation.panicked.borrow().len();
    let violations = simulation.violations.take();
    Beside {
        segments,
        panics,
        violations,
    }
}

fn provider(panics: Option<(u64, u64)>) -> ProviderPlan {
    ProviderPlan {
        rate: RATE,
        burst: None,
        max_in_flight: 16,
        latency_ms: 20,
        faults: FaultPlan::none(),
        line: LinePlan::CALM,
        outage: None,
        sender_rates: [None; 2],
        panics,
    }
}

fn campaign() -> CampaignPlan {
    CampaignPlan {
        account: 0,
        at_ms: 0,
        recipients: RECIPIENTS,
        shared: None,
        repeated: 0,
        bad: 0,
        nameless: 0,
        late: 0,
        class: MessageClass::Marketing,
        validity_seconds: 14_400,
        is_long: false,
        commands: CommandsPlan {
            pauses: 0,
            runs_ms: 0,
            rests_ms: 0,
            is_canceled: false,
            is_canceled_at_rest: false,
        },
        rate: None,
        change: None,
        send_after_ms: None,
        has_window: false,
        from_second_of: None,
    }
}
