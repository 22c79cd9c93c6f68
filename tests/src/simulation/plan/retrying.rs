//! Campaigns of which one text in three must be tried again, and a command to each while some of
//! them fall due: what was picked as it is canceled, and what waits as a process dies in a pause.

use super::{BUSY, CampaignPlan, CommandsPlan, End, LifePlan, LinePlan, Plan, ProviderPlan};
use crate::simulation::chance::Chance;

/// Segments a second of the one provider account: so many that some begin at a time, and one of them
/// is a second attempt.
const RATE: f64 = 300.0;

/// The share of connections that are refused: fewer than make a rate fall.
const REFUSED: f64 = 0.3;

/// Campaigns side by side, each with a command of its own.
const CAMPAIGNS: u64 = 3;

impl Plan {
    /// Nothing but retries, a command, and perhaps a process that dies soon after it.
    pub(super) fn command_retries(&mut self, chance: &mut Chance) {
        self.make_plain();
        // Between what is picked and what is written lies some time, and until it is durable.
        (self.task_hold, self.disk_hold) = (BUSY, (0.5, 40));
        (self.max_attempts, self.first_delay_ms) = (4, chance.pick(&[300, 1_000]));
        self.providers = vec![ProviderPlan {
            line: LinePlan {
                refused: REFUSED,
                ..LinePlan::CALM
            },
            ..ProviderPlan::sound(RATE)
        }];
        let runs_ms = chance.between(500, 1_500);
        self.campaigns = (0..CAMPAIGNS).map(|_| commanded(chance, runs_ms)).collect();
        let after_ms = runs_ms + chance.between(100, 3_000);
        let downtime_ms = chance.pick(&[0, 500, 2_000]);
        if chance.hits(0.5) {
            let dies = LifePlan {
                end: End::AtTime(after_ms),
                downtime_ms,
                ..LifePlan::calm()
            };
            self.lives.insert(0, dies);
        }
    }
}

/// A campaign that is commanded after about so many milliseconds.
fn commanded(chance: &mut Chance, runs_ms: u64) -> CampaignPlan {
    let is_canceled = chance.hits(0.6);
    CampaignPlan {
        commands: CommandsPlan {
            pauses: u64::from(!is_canceled),
            runs_ms: runs_ms + chance.between(0, 500),
            rests_ms: 4_000,
            is_canceled,
            is_canceled_at_rest: false,
        },
        ..CampaignPlan::plain(chance.between(150, 250))
    }
}
