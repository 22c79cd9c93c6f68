//! What is to happen in one schedule, drawn from its seed before anything runs.

mod lives;

use sandbox::FaultPlan;
use schemas::MessageClass;

use super::chance::{Chance, Stream};
use lives::lives;

pub use lives::{Disturbance, End, LifePlan};

/// One schedule.
#[derive(Debug)]
pub struct Plan {
    /// Partitions of the node.
    pub partitions: u16,
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
    /// Attempts a text gets.
    pub max_attempts: u32,
    /// Milliseconds before the second attempt, at most.
    pub first_delay_ms: u64,
    /// Milliseconds until a request ends without an answer.
    pub request_timeout_ms: u64,
    /// Provider accounts.
    pub providers: Vec<ProviderPlan>,
    /// Customers' accounts.
    pub accounts: usize,
    /// Campaigns.
    pub campaigns: Vec<CampaignPlan>,
    /// Single messages.
    pub singles: Vec<SinglePlan>,
    /// Lives of the process, the calm one at the end.
    pub lives: Vec<LifePlan>,
}

/// One provider account.
#[derive(Debug)]
pub struct ProviderPlan {
    /// Segments a second.
    pub rate: f64,
    /// Segments at once.
    pub burst: Option<u32>,
    /// Requests at once.
    pub max_in_flight: u32,
    /// Milliseconds from a text's arrival to its answer.
    pub latency_ms: u64,
    /// What the provider does wrong.
    pub faults: FaultPlan,
    /// What the line to it does wrong.
    pub line: LinePlan,
    /// When it cannot be reached, in milliseconds from the start, and how it shows.
    pub outage: Option<(u64, u64, Outage)>,
}

/// How a provider is out of reach.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outage {
    /// Connections are refused.
    Refuses,
    /// Requests are swallowed.
    Swallows,
}

/// Shares of requests that meet a fault of the line.
#[derive(Clone, Copy, Debug)]
pub struct LinePlan {
    /// No connection: nothing left.
    pub refused: f64,
    /// The request is lost on its way.
    pub request_lost: f64,
    /// The answer is lost on its way.
    pub answer_lost: f64,
    /// Half of the answer's body comes.
    pub half_body: f64,
    /// Milliseconds each way, at most.
    pub delay_ms: u64,
}

impl LinePlan {
    /// A line that does nothing wrong.
    pub const CALM: Self = Self {
        refused: 0.0,
        request_lost: 0.0,
        answer_lost: 0.0,
        half_body: 0.0,
        delay_ms: 0,
    };
}

/// One campaign of one customer.
#[derive(Clone, Copy, Debug)]
pub struct CampaignPlan {
    /// Whose.
    pub account: usize,
    /// When its customer begins, in milliseconds.
    pub at_ms: u64,
    /// Recipients.
    pub recipients: u64,
    /// Whether they stand on two lists, and how many of them on both.
    pub shared: Option<u64>,
    /// Lines of the file that repeat an earlier number.
    pub repeated: u64,
    /// Lines without a proper number.
    pub bad: u64,
    /// People without the name that the text begins with.
    pub nameless: u64,
    /// Contacts that are imported into the list after the start.
    pub late: u64,
    /// The class.
    pub class: MessageClass,
    /// Seconds that its texts are valid for.
    pub validity_seconds: u64,
    /// Whether its text has several segments.
    pub is_long: bool,
}

/// One single message.
#[derive(Clone, Copy, Debug)]
pub struct SinglePlan {
    /// Whose.
    pub account: usize,
    /// When its customer asks, in milliseconds.
    pub at_ms: u64,
    /// The class.
    pub class: MessageClass,
    /// Milliseconds from asking to `send_at`, if scheduled.
    pub send_after_ms: Option<u64>,
    /// Seconds that it is valid for.
    pub validity_seconds: u64,
    /// Whether it is asked for with an idempotency key.
    pub has_key: bool,
    /// Whether the same request goes out twice at the same time.
    pub has_twin: bool,
    /// Whether it is asked for once more after it was answered, and with another body.
    pub is_repeated: bool,
    /// The one provider account that may carry it.
    pub provider: Option<usize>,
    /// Whether it is the same text to the same person as the one before.
    pub is_echo: bool,
}

/// Fewest people of a list whose part in a single partition does not fit into a chunk.
const LONG_LIST: u64 = 260;

/// The share of a busy machine's tasks that are held up, and for how many milliseconds.
const BUSY: (f64, u64) = (0.1, 60);

/// Fewest lines of a file that does not fit into a batch.
const LONG_FILE: u64 = 1_100;

impl ProviderPlan {
    /// Whether it has in its lists late what it took, and tells of it late.
    pub fn lags(&self) -> bool {
        self.faults.listed_after_ms > 0
    }
}

impl CampaignPlan {
    /// Whether its import or its freezing takes long enough to be cut off.
    fn is_large(&self) -> bool {
        self.recipients >= LONG_LIST || self.bad >= LONG_FILE
    }
}

impl Plan {
    /// The plan of a seed.
    pub fn draw(seed: u64) -> Self {
        let chance = &mut Chance::new(seed, Stream::Plan);
        let receipts_come = !chance.hits(0.12);
        let accounts = chance.between(1, 3) as usize;
        let providers = (0..chance.pick(&[2, 3, 3, 3, 4]))
            .map(|_| provider(chance))
            .collect::<Vec<_>>();
        let campaigns: Vec<_> = (0..chance.pick(&[1, 1, 2, 2, 3]))
            .map(|_| campaign(chance, accounts, receipts_come))
            .collect();
        let lives = lives(chance, &campaigns);
        // Where much is done in several steps, the journal is compared with it more often.
        let is_large = campaigns.iter().any(CampaignPlan::is_large);
        let untrimmed = if is_large { 0.5 } else { 0.12 };
        let mut singles: Vec<SinglePlan> = Vec::new();
        for _ in 0..chance.between(10, 54) {
            let mut drawn = single(chance, accounts, providers.len());
            if let Some(before) = singles.last().filter(|_| drawn.is_echo) {
                // At the same provider and soon after, so that a search meets both.
                drawn.provider = before.provider;
                drawn.at_ms = before.at_ms + chance.between(0, 3_000);
            }
            singles.push(drawn);
        }
        let mut plan = Self {
            // With a single one a long list has several chunks.
            partitions: if is_large {
                chance.pick(&[1, 1, 1, 2])
            } else {
                chance.pick(&[1, 1, 2, 2, 4])
            },
            trim: !chance.hits(untrimmed),
            receipts_come,
            receipts_are_plain: receipts_come && chance.hits(0.08),
            task_hold: chance.pick(&[(0.0, 0), (0.02, 3), (0.05, 10), (0.3, 4)]),
            disk_hold: chance.pick(&[(0.2, 1), (1.0, 2), (0.3, 5), (0.5, 40), (0.15, 300)]),
            max_attempts: chance.pick(&[2, 3, 3, 4]),
            first_delay_ms: chance.pick(&[300, 1_000, 3_000]),
            request_timeout_ms: chance.pick(&[1_500, 3_000]),
            providers,
            accounts,
            campaigns,
            singles,
            lives,
        };
        if chance.hits(0.1) {
            plan.rush(chance);
        }
        // What they tell late meets what is about to be sent again.
        let late = plan.providers.iter().any(ProviderPlan::lags);
        if late && chance.hits(0.5) {
            plan.task_hold = BUSY;
        }
        plan
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

fn provider(chance: &mut Chance) -> ProviderPlan {
    let faults = match chance.between(0, 9) {
        0 => FaultPlan::none(),
        1..=3 => FaultPlan::realistic(),
        4..=8 => harsh(),
        _ => forgetful(chance),
    };
    let rough = chance.hits(0.5);
    let share = |chance: &mut Chance, most: f64| {
        let drawn = chance.between(0, 100) as f64 / 100.0 * most;
        if rough { drawn } else { 0.0 }
    };
    let outage = chance.hits(0.15).then(|| {
        let from = chance.between(0, 5_000);
        let kind = chance.pick(&[Outage::Refuses, Outage::Swallows]);
        (from, from + chance.between(200, 3_000), kind)
    });
    let mut plan = ProviderPlan {
        rate: chance.pick(&[12.0, 25.0, 40.0, 40.0, 80.0, 120.5, 300.0]),
        burst: chance.pick(&[None, None, Some(5)]),
        max_in_flight: chance.pick(&[1, 4, 16, 64]),
        latency_ms: chance.pick(&[0, 2, 20, 100]),
        faults: FaultPlan {
            // The longest are longer than an attempt lives.
            retry_after_seconds: chance.pick(&[(1, 3), (1, 3), (5, 9)]),
            slow_answer_ms: (200, 2_500),
            no_answer_ms: 20_000,
            ..faults
        },
        line: LinePlan {
            refused: share(chance, 0.05),
            request_lost: share(chance, 0.02),
            answer_lost: share(chance, 0.04),
            half_body: share(chance, 0.02),
            delay_ms: chance.pick(&[0, 1, 5, 40]),
        },
        outage,
    };
    if plan.lags() {
        // Much is in flight when a process dies, and all of it is sent again at once.
        plan.latency_ms = 1_000;
    }
    plan
}

/// A provider that cuts many lines, has what it took in its lists only when nobody looks
/// any more, and tells of it when the text may have been sent again, or waits for that.
fn forgetful(chance: &mut Chance) -> FaultPlan {
    let tells_from = chance.between(68_000, 82_000);
    FaultPlan {
        cut_after: 0.2,
        receipt_late: 0.6,
        late_receipt_ms: (
            tells_from,
            tells_from + chance.pick(&[3_000, 6_000, 20_000, 60_000]),
        ),
        listed_after_ms: 120_000,
        outcome_by_text: true,
        undelivered: 0.3,
        late_from_the_first: chance.hits(0.7),
        throttle_with_retry_after: 0.1,
        ..harsh()
    }
}

/// Every fault now and then, within the seconds of a schedule.
fn harsh() -> FaultPlan {
    FaultPlan {
        late_receipt_ms: (1_000, 6_000),
        ..FaultPlan::harsh()
    }
}

fn campaign(chance: &mut Chance, accounts: usize, receipts_come: bool) -> CampaignPlan {
    // Where every text must be asked about, a few are enough. A long list is one whose
    // part in a partition does not fit into the first chunk.
    let recipients = if !receipts_come {
        chance.between(5, 80)
    } else if chance.hits(0.06) {
        chance.between(LONG_LIST, 500)
    } else {
        chance.between(5, 164)
    };
    let shared = chance.between(0, recipients / 4);
    CampaignPlan {
        account: chance.between(0, accounts as u64 - 1) as usize,
        // Side by side now and then, so that what starts them is told at once.
        at_ms: chance.between(0, 3) * 500,
        recipients,
        shared: chance.hits(0.2).then_some(shared),
        repeated: chance.between(0, 6),
        // A long file is one that is imported in several commits.
        bad: if chance.hits(0.03) {
            chance.between(LONG_FILE, 3_500)
        } else {
            chance.between(0, 6)
        },
        nameless: if chance.hits(0.2) {
            chance.between(1, 5)
        } else {
            0
        },
        late: if chance.hits(0.3) {
            chance.between(1, 10)
        } else {
            0
        },
        class: if chance.hits(0.75) {
            MessageClass::Marketing
        } else {
            MessageClass::Transactional
        },
        validity_seconds: if chance.hits(0.1) {
            chance.between(2, 8)
        } else {
            14_400
        },
        is_long: chance.hits(0.1),
    }
}

fn single(chance: &mut Chance, accounts: usize, providers: usize) -> SinglePlan {
    let has_key = chance.hits(0.8);
    SinglePlan {
        account: chance.between(0, accounts as u64 - 1) as usize,
        at_ms: chance.between(0, 6_000),
        class: chance.pick(&[MessageClass::Transactional, MessageClass::Marketing]),
        // Soon: it may be due before it is durable.
        send_after_ms: chance.hits(0.25).then(|| {
            if chance.hits(0.2) {
                chance.between(1, 60)
            } else {
                chance.between(100, 8_000)
            }
        }),
        validity_seconds: if chance.hits(0.15) {
            chance.between(1, 6)
        } else {
            14_400
        },
        has_key,
        has_twin: has_key && chance.hits(0.2),
        is_repeated: has_key && chance.hits(0.2),
        provider: chance
            .hits(0.2)
            .then(|| chance.between(0, providers as u64 - 1) as usize),
        is_echo: chance.hits(0.2),
    }
}
