//! Several campaigns that are started within some milliseconds on a busy machine: what tells of
//! one is written while what tells of another is read.

use super::{CampaignPlan, Plan, ProviderPlan};
use crate::simulation::chance::Chance;

/// Segments a second of the one provider account.
const RATE: f64 = 80.0;

/// Half of what tasks do is held up, for so many milliseconds at most: for about as long as lies
/// between two starts.
const HOLD: (f64, u64) = (0.5, 4);

impl Plan {
    /// Nothing but campaigns side by side.
    pub(super) fn start_together(&mut self, chance: &mut Chance) {
        self.make_plain();
        self.task_hold = HOLD;
        self.providers = vec![ProviderPlan::sound(RATE)];
        let campaigns = 0..chance.between(3, 6);
        self.campaigns = campaigns
            .map(|_| CampaignPlan {
                at_ms: chance.between(0, 60),
                ..CampaignPlan::plain(chance.between(5, 20))
            })
            .collect();
    }
}
