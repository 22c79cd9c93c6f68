//! A sender that goes less than once a second, and a process that dies between two texts of it:
//! its provider account, which is faster, is ready long before the sender may go again. Nothing
//! else goes wrong, so that nothing else holds a text back.

use super::{CampaignPlan, End, LifePlan, Plan, ProviderPlan};
use crate::simulation::chance::Chance;

/// Recipients: enough for some seconds of each life.
const RECIPIENTS: u64 = 12;

impl Plan {
    /// Nothing but such a sender, and two processes that die.
    pub(super) fn slow_a_sender(&mut self, chance: &mut Chance) {
        self.make_plain();
        let rate = chance.pick(&[0.4, 0.5, 0.7, 0.9]);
        self.providers = vec![ProviderPlan {
            sender_rates: [Some(rate), None],
            ..ProviderPlan::sound(40.0)
        }];
        self.campaigns = vec![CampaignPlan::plain(RECIPIENTS)];
        let mut dies = |from, to| LifePlan {
            end: End::AtTime(chance.between(from, to)),
            downtime_ms: chance.pick(&[0, 0, 50, 500]),
            ..LifePlan::calm()
        };
        // Among its texts; and while the next process rests, or has just begun to send.
        self.lives = vec![dies(2_000, 12_000), dies(200, 6_000), LifePlan::calm()];
    }
}
