//! A plan in which nothing goes wrong: one customer, one campaign, a process that lives on.
//! What is to be measured or set against it is changed by whoever makes one.

use sandbox::FaultPlan;
use schemas::MessageClass;

use super::{AccountPlan, CampaignPlan, CommandsPlan, LifePlan, LinePlan, Plan, ProviderPlan};

impl Plan {
    /// One campaign to so many people over these provider accounts.
    pub fn calm(seed: u64, providers: Vec<ProviderPlan>, recipients: u64) -> Self {
        let mut plan = Self::draw(seed);
        (plan.providers, plan.campaigns) = (providers, vec![campaign(recipients)]);
        (plan.receipts_come, plan.receipts_are_plain, plan.trim) = (true, false, true);
        (plan.task_hold, plan.disk_hold) = ((0.0, 0), (1.0, 2));
        (plan.accounts, plan.partitions) = (vec![AccountPlan::default()], 2);
        (plan.singles, plan.stops, plan.orders) = (Vec::new(), Vec::new(), Vec::new());
        plan.lives = vec![LifePlan::calm()];
        plan
    }
}

impl ProviderPlan {
    /// An account with this rate, in segments a second, that does nothing wrong.
    pub fn calm(rate: f64) -> Self {
        Self {
            rate,
            burst: None,
            max_in_flight: 16,
            latency_ms: 20,
            faults: FaultPlan::none(),
            line: LinePlan::CALM,
            outage: None,
            sender_rates: [None; 2],
            panics: None,
        }
    }
}

fn campaign(recipients: u64) -> CampaignPlan {
    CampaignPlan {
        account: 0,
        at_ms: 0,
        recipients,
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
