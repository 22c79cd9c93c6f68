//! What is to happen in one schedule, drawn from its seed before anything runs.

mod clock_forward;
mod composed;
mod lives;
mod poison;
mod providers;
mod retrying;
mod servers;
mod slow_sender;
mod stranded;
mod together;
mod weak;
mod wishes;

use std::num::NonZeroU32;

use engine::dispatch::read_ahead::READ_AHEAD;

use super::chance::{Chance, Stream};
use lives::lives;
use providers::{long_outage, order, provider};
use wishes::{campaign, singles, stops};

pub use composed::AccountPlan;
pub use lives::{BesideEnd, Disturbance, End, LifePlan};
pub use providers::{LONG_OUTAGE_MS, LinePlan, OrderPlan, Outage, ProviderPlan, Weakness};
pub use servers::ServersPlan;
pub use wishes::{CampaignPlan, ChangePlan, CommandsPlan, Poison, SinglePlan, StopPlan};

/// One schedule.
#[derive(Debug)]
pub struct Plan {
    /// Partitions of the node.
    pub partitions: u16,
    /// Among how many owners they are divided, each with a tree of actors of its own.
    pub owners: u16,
    /// Whether the journal is trimmed. Kept, every projection is made again at the end.
    pub trim: bool,
    /// Whether providers can call us.
    pub receipts_come: bool,
    /// Whether they call us at a plain address, without the ids that we gave them.
    pub receipts_are_plain: bool,
    /// Share of task steps that are held up, and for how many milliseconds at most.
    pub task_hold: (f64, u64),
    /// The same for the disk's writer.
    pub disk_hold: (f64, u64),
    /// The provider account that is away for so long that much may go by no other.
    pub stranded: Option<usize>,
    /// How many messages are read ahead of those that are sent.
    pub read_ahead: usize,
    /// Attempts a text gets.
    pub max_attempts: u32,
    /// Milliseconds before the second attempt, at most.
    pub first_delay_ms: u64,
    /// Milliseconds until a request ends without an answer.
    pub request_timeout_ms: u64,
    /// How often a customer's key may ask in a second.
    pub requests_per_second: NonZeroU32,
    /// Provider accounts.
    pub providers: Vec<ProviderPlan>,
    /// Customers' accounts.
    pub accounts: Vec<AccountPlan>,
    /// Campaigns.
    pub campaigns: Vec<CampaignPlan>,
    /// Single messages.
    pub singles: Vec<SinglePlan>,
    /// People who do not want any more.
    pub stops: Vec<StopPlan>,
    /// What the operator orders of provider accounts, one each at most.
    pub orders: Vec<OrderPlan>,
    /// Lives of the process, the calm one at the end.
    pub lives: Vec<LifePlan>,
    /// Whether nothing disturbs it but what it is made for.
    pub is_plain: bool,
    /// What several nodes share; none where one has all on its own disk.
    pub servers: Option<ServersPlan>,
}

/// The share of a busy machine's tasks that are held up, and for how many milliseconds.
const BUSY: (f64, u64) = (0.1, 60);

impl Plan {
    /// The plan of a seed.
    pub fn draw(seed: u64) -> Self {
        let chance = &mut Chance::new(seed, Stream::Plan);
        let receipts_come = !chance.hits(0.12);
        let accounts = chance.between(1, 3) as usize;
        let mut providers = (0..chance.pick(&[2, 3, 3, 3, 4]))
            .map(|_| provider(chance))
            .collect::<Vec<_>>();
        let orders = &mut Chance::new(seed, Stream::Orders);
        let places = providers.len() as u64;
        if orders.hits(0.12) {
            let place = orders.between(0, providers.len() as u64 - 1) as usize;
            providers[place].outage = Some(long_outage(orders));
        }
        let places_and_rates = providers.iter().enumerate();
        let provider_orders = places_and_rates
            .filter_map(|(place, plan)| order(orders, place, plan.rate))
            .collect();
        let limits = &mut Chance::new(seed, Stream::Limits);
        let mut campaigns: Vec<_> = (0..chance.pick(&[1, 1, 2, 2, 3]))
            .map(|_| campaign(chance, orders, limits, places, accounts, receipts_come))
            .collect();
        let lives = lives(chance, &campaigns);
        if lives.iter().any(LifePlan::sets_the_clock) {
            // By a clock that is hours behind their time comes when nobody waits any more.
            for campaign in &mut campaigns {
                (campaign.send_after_ms, campaign.has_window) = (None, false);
            }
        }
        // Where much is done in several steps, the journal is compared with it more often.
        let is_large = campaigns.iter().any(CampaignPlan::is_large);
        let untrimmed = if is_large { 0.5 } else { 0.12 };
        let mut singles = singles(chance, accounts, providers.len());
        let composed = &mut Chance::new(seed, Stream::Composed);
        composed::senders(composed, &mut providers, &mut campaigns, &mut singles);
        let accounts = composed::accounts(composed, accounts, &campaigns, &singles);
        let mut plan = Self {
            // With a single one a long list has several chunks.
            partitions: if is_large {
                chance.pick(&[1, 1, 1, 2])
            } else {
                chance.pick(&[1, 1, 2, 2, 4])
            },
            owners: 1,
            trim: !chance.hits(untrimmed),
            receipts_come,
            receipts_are_plain: receipts_come && chance.hits(0.08),
            task_hold: chance.pick(&[(0.0, 0), (0.02, 3), (0.05, 10), (0.3, 4)]),
            disk_hold: chance.pick(&[(0.2, 1), (1.0, 2), (0.3, 5), (0.5, 40), (0.15, 300)]),
            stranded: None,
            read_ahead: READ_AHEAD,
            max_attempts: chance.pick(&[2, 3, 3, 4]),
            first_delay_ms: chance.pick(&[300, 1_000, 3_000]),
            request_timeout_ms: chance.pick(&[1_500, 3_000]),
            requests_per_second: composed::requests_per_second(composed),
            providers,
            accounts,
            campaigns,
            singles,
            stops: stops(orders, receipts_come, places),
            orders: provider_orders,
            lives,
            is_plain: false,
            servers: None,
        };
        if chance.hits(0.1) {
            plan.rush(chance);
        }
        // What they tell late meets what is about to be sent again.
        let late = plan.providers.iter().any(ProviderPlan::lags);
        if late && chance.hits(0.5) {
            plan.task_hold = BUSY;
        }
        stranded::draw(&mut plan, &mut Chance::new(seed, Stream::Stranded));
        poison::draw(&mut plan, &mut Chance::new(seed, Stream::Poison));
        lives::start_bare(&mut plan.lives, &mut Chance::new(seed, Stream::Bare));
        let weakness = &mut Chance::new(seed, Stream::Weakness);
        if weakness.hits(0.03) {
            plan.weaken(weakness);
        }
        let slow = &mut Chance::new(seed, Stream::SlowSender);
        if slow.hits(0.02) {
            plan.slow_a_sender(slow);
        }
        plan.draw_alone(&mut Chance::new(seed, Stream::Alone));
        plan
    }

    /// Now and then there is one story alone, which seldom comes about among others.
    fn draw_alone(&mut self, chance: &mut Chance) {
        let hundredth = chance.between(0, 99);
        match hundredth {
            0..3 => self.command_retries(chance),
            3..6 => self.start_together(chance),
            6 => self.set_the_clock_forward(chance),
            _ => {}
        }
    }

    /// One account, one life, and nothing that disturbs it or asks for anything.
    pub fn make_plain(&mut self) {
        (self.receipts_come, self.receipts_are_plain, self.trim) = (true, false, true);
        (self.task_hold, self.disk_hold) = ((0.0, 0), (1.0, 2));
        (self.accounts, self.partitions) = (vec![AccountPlan::default()], 2);
        (self.singles, self.stops, self.orders) = (Vec::new(), Vec::new(), Vec::new());
        (self.stranded, self.read_ahead) = (None, READ_AHEAD);
        self.requests_per_second = NonZeroU32::MAX;
        self.lives = vec![LifePlan::calm()];
        self.is_plain = true;
    }

    /// Single texts come all at once to a machine that is busy, and most are to leave in a
    /// moment: they fall due while they are read.
    fn rush(&mut self, chance: &mut Chance) {
        let at_ms = chance.between(0, 6_000);
        self.task_hold = BUSY;
        for single in &mut self.singles {
            single.at_ms = at_ms;
            single.send_after_ms = chance.hits(0.8).then(|| chance.between(1, 80));
        }
    }

    /// Messages that are to be sent, more or less.
    pub fn messages(&self) -> u64 {
        let campaigns = self.campaigns.iter().map(|campaign| campaign.recipients);
        campaigns.sum::<u64>() + self.singles.len() as u64
    }
}
