//! A process that sends as fast as it may, a clock that is set forward, and the process dies and
//! is back at once: by the clock, its last texts are long gone.

use super::{CampaignPlan, Disturbance, End, LifePlan, Plan, ProviderPlan};
use crate::simulation::chance::Chance;

/// Segments a second of the one provider account.
const RATE: f64 = 40.0;

/// Recipients: enough for all lives.
const RECIPIENTS: u64 = 600;

impl Plan {
    /// Nothing but a clock that is set forward twice.
    pub(super) fn set_the_clock_forward(&mut self, chance: &mut Chance) {
        self.make_plain();
        self.providers = vec![ProviderPlan::sound(RATE)];
        self.campaigns = vec![CampaignPlan::plain(RECIPIENTS)];
        let mut dies = || {
            let at_ms = chance.between(2_500, 5_000);
            let minutes = chance.pick(&[1, 60, 1_440]);
            LifePlan {
                end: End::AtTime(at_ms + chance.between(0, 200)),
                disturbances: vec![(at_ms, Disturbance::ClockJump(minutes * 60_000))],
                ..LifePlan::calm()
            }
        };
        self.lives = vec![dies(), dies(), LifePlan::calm()];
    }
}
