//! One provider account that is weak for some seconds and then well again, and a campaign that
//! has more for it all the time. Nothing else goes wrong, so that what it is sent tells how its
//! rate falls and comes back.

use std::ops::Range;

use super::{CampaignPlan, Plan, ProviderPlan, Weakness};
use crate::simulation::chance::Chance;

/// When it is weak, in milliseconds: from after it has come to its rate.
const WEAK: Range<u64> = 5_000..17_000;

/// Recipients for each segment a second: enough until its rate has long come back.
const SECONDS: f64 = 30.0;

/// A weak one takes this part of its rate.
const TAKES: f64 = 0.25;

/// How late the answers of a slow one come, in milliseconds.
const LATE: u64 = 1_200;

/// For how long one throttles that blinks, and how long its answers take, in milliseconds: all that
/// is throttled has left before the first of it is heard.
const BLINKS: u64 = 500;
/// See [`BLINKS`].
const LATENCY_OF_BLINKS: u64 = 800;

impl Plan {
    /// Nothing but a provider account that is weak for a while.
    pub(super) fn weaken(&mut self, chance: &mut Chance) {
        self.make_plain();
        let rate = chance.pick(&[20.0, 30.0, 40.0]);
        let takes = Weakness::Takes((rate * TAKES) as u32);
        let kinds = [
            takes,
            Weakness::Late(LATE),
            Weakness::Refuses,
            Weakness::Blinks,
        ];
        let kind = chance.pick(&kinds);
        let sound = ProviderPlan::sound(rate);
        let (until, latency_ms) = match kind {
            Weakness::Blinks => (WEAK.start + BLINKS, LATENCY_OF_BLINKS),
            Weakness::Takes(_) | Weakness::Late(_) | Weakness::Refuses => {
                (WEAK.end, sound.latency_ms)
            }
        };
        self.request_timeout_ms = 3_000;
        self.providers = vec![ProviderPlan {
            latency_ms,
            weakness: Some((WEAK.start, until, kind)),
            ..sound
        }];
        self.campaigns = vec![CampaignPlan::plain((rate * SECONDS) as u64)];
    }
}
