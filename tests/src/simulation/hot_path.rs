//! One campaign through one fast provider account, nothing going wrong: what a text costs a
//! node from its line in a file to its last receipt. Time is virtual and there is one thread,
//! so whoever counts instructions counts the same ones each time.

use std::path::Path;

use super::plan::{CampaignPlan, Plan, ProviderPlan};
use super::run_plan;

/// Segments per second: many texts in each group commit, as on a busy node.
const RATE: f64 = 2_000.0;

/// Sends a campaign to so many people; gives back what must not be.
pub fn hot_path(recipients: u64, folder: &Path) -> Vec<String> {
    let mut plan = Plan::draw(1);
    plan.make_plain();
    plan.providers = vec![ProviderPlan::sound(RATE)];
    plan.campaigns = vec![CampaignPlan::plain(recipients)];
    let (simulation, _) = run_plan(1, plan, folder, false);
    simulation.violations.take()
}
