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

/// How long answers take, in milliseconds: at once, or so long that many are on the way as a rate
/// falls, to requests that left before.
const LATENCY: [u64; 2] = [20, 600];

/// How late the answers of a slow one come, in milliseconds.
const LATE: u64 = 1_200;

impl Plan {
    /// Nothing but a provider account that is weak for a while.
    pub(super) fn weaken(&mut self, chance: &mut Chance) {
        self.make_plain();
        let rate = chance.pick(&[20.0, 30.0, 40.0]);
        let takes = Weakness::Takes((rate * TAKES) as u32);
        let kind = chance.pick(&[takes, Weakness::Late(LATE), Weakness::Refuses]);
        self.request_timeout_ms = 3_000;
        self.providers = vec![ProviderPlan {
            latency_ms: match kind {
                // At a few a second not many are on the way.
                Weakness::Takes(most) if most > 5 => chance.pick(&LATENCY),
                Weakness::Takes(_) | Weakness::Late(_) | Weakness::Refuses => LATENCY[0],
            },
            weakness: Some((WEAK.start, WEAK.end, kind)),
            ..ProviderPlan::sound(rate)
        }];
        self.campaigns = vec![CampaignPlan::plain((rate * SECONDS) as u64)];
    }
}
