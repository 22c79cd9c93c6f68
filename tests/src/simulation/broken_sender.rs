//! One sender of three whose every request panics for some seconds, and what the others send
//! meanwhile. Nothing else goes wrong, so that what they send is theirs alone.

use std::ops::Range;
use std::path::Path;

use super::plan::{CampaignPlan, Plan, ProviderPlan};
use super::run_plan;

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
    plan.make_plain();
    plan.providers = vec![provider(panics), provider(None), provider(None)];
    plan.campaigns = vec![CampaignPlan::plain(RECIPIENTS)];
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
        max_in_flight: 16,
        panics,
        ..ProviderPlan::sound(RATE)
    }
}
