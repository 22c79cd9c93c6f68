//! What customers want: campaigns with commands to them, single texts; and who does not want
//! any.

use schemas::MessageClass;

use crate::simulation::chance::Chance;

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
    /// What is asked of it once it was started.
    pub commands: CommandsPlan,
    /// Segments per second that it goes at most, where its customer limits it.
    pub rate: Option<f64>,
    /// What is changed while it runs.
    pub change: Option<ChangePlan>,
    /// Milliseconds from its making to its `send_at`, if it is scheduled.
    pub send_after_ms: Option<u64>,
    /// Whether it has a window that opens in the schedule's second minute.
    pub has_window: bool,
    /// The provider account whose second sender it goes from.
    pub from_second_of: Option<usize>,
}

impl CampaignPlan {
    /// One to so many people of whom each has a number, that runs at once and to its end.
    pub fn plain(recipients: u64) -> Self {
        Self {
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
}

/// A change of a campaign that was started, before anything else is asked of it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ChangePlan {
    /// Milliseconds that it runs before.
    pub after_ms: u64,
    /// Segments per second that it goes at most from then on; `None` is no limit.
    pub rate: Option<f64>,
    /// The provider account that carries it from then on; `None` is any.
    pub provider: Option<usize>,
}

/// Commands to a campaign that was started.
#[derive(Clone, Copy, Debug)]
pub struct CommandsPlan {
    /// How often it is paused.
    pub pauses: u64,
    /// Milliseconds that it runs before each of them, and before it is canceled.
    pub runs_ms: u64,
    /// Milliseconds that each of them lasts.
    pub rests_ms: u64,
    /// Whether it is canceled in the end.
    pub is_canceled: bool,
    /// Whether that happens while it is paused.
    pub is_canceled_at_rest: bool,
}

/// A person who says STOP to a sender.
#[derive(Clone, Copy, Debug)]
pub struct StopPlan {
    /// Which of the numbers that campaigns and single texts go to.
    pub person: u64,
    /// Whether it is one that single texts go to.
    pub is_of_singles: bool,
    /// The provider account whose sender is told.
    pub provider: usize,
    /// When, in milliseconds.
    pub at_ms: u64,
    /// Milliseconds after which the person says START, if ever.
    pub takes_back_after_ms: Option<u64>,
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
    /// The provider account whose second sender it goes from.
    pub from_second_of: Option<usize>,
    /// Whether it is the same text to the same person as the one before.
    pub is_echo: bool,
    /// Whether everything that is asked of a provider about it panics, or its attempts alone.
    pub poison: Option<Poison>,
}

/// What panics over a message, each time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Poison {
    /// Its attempts.
    Attempts,
    /// Looking for it too.
    Everything,
}

/// Fewest people of a list whose part in a single partition does not fit into a chunk.
const LONG_LIST: u64 = 260;

/// Fewest lines of a file that does not fit into a batch.
const LONG_FILE: u64 = 1_100;

impl CampaignPlan {
    /// Whether its import or its freezing takes long enough to be cut off.
    pub(super) fn is_large(&self) -> bool {
        self.recipients >= LONG_LIST || self.bad >= LONG_FILE
    }
}

/// Draws one.
pub(super) fn campaign(
    chance: &mut Chance,
    orders: &mut Chance,
    limits: &mut Chance,
    places: u64,
    accounts: usize,
    receipts_come: bool,
) -> CampaignPlan {
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
    let mut drawn = CampaignPlan {
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
        commands: commands(orders),
        rate: limit(limits, recipients),
        change: change(limits, recipients, places),
        send_after_ms: scheduled(limits),
        has_window: limits.hits(0.05),
        from_second_of: None,
    };
    if drawn.send_after_ms.is_some() {
        // Who comes before its time is in.
        drawn.late = 0;
    }
    drawn
}

/// A limit that lets a campaign take some seconds.
fn limit(chance: &mut Chance, recipients: u64) -> Option<f64> {
    // A slow one's window is longer than the rest of a provider account after a start.
    let slow = if recipients < 30 { 6 } else { 1 };
    let seconds = chance.between(2, 9) * slow;
    let rate = (recipients as f64 / seconds as f64).max(0.3);
    // A fractional one has a window of its own.
    let rate = if chance.hits(0.4) { rate.ceil() } else { rate };
    chance.hits(0.2).then_some(rate)
}

fn scheduled(chance: &mut Chance) -> Option<u64> {
    let after_ms = chance.between(1_000, 5_000);
    chance.hits(0.12).then_some(after_ms)
}

fn change(chance: &mut Chance, recipients: u64, places: u64) -> Option<ChangePlan> {
    let (place, is_one) = (chance.between(0, places - 1), chance.hits(0.5));
    let drawn = ChangePlan {
        after_ms: chance.between(0, 2_500),
        rate: limit(chance, recipients),
        provider: is_one.then_some(place as usize),
    };
    chance.hits(0.15).then_some(drawn)
}

fn commands(chance: &mut Chance) -> CommandsPlan {
    let pauses = chance.between(1, 3);
    CommandsPlan {
        pauses: if chance.hits(0.3) { pauses } else { 0 },
        runs_ms: chance.between(0, 2_500),
        rests_ms: chance.pick(&[30, 400, 1_500, 4_000]),
        is_canceled: chance.hits(0.15),
        is_canceled_at_rest: chance.hits(0.4),
    }
}

/// Where providers cannot call us, nobody can tell us anything.
pub(super) fn stops(chance: &mut Chance, receipts_come: bool, places: u64) -> Vec<StopPlan> {
    let mut stops: Vec<StopPlan> = Vec::new();
    let number = if receipts_come && chance.hits(0.4) {
        chance.between(1, 8)
    } else {
        0
    };
    for _ in 0..number {
        let drawn = StopPlan {
            person: chance.between(0, 40),
            is_of_singles: chance.hits(0.4),
            provider: chance.between(0, places - 1) as usize,
            at_ms: chance.between(0, 6_000),
            takes_back_after_ms: chance.hits(0.2).then(|| chance.between(50, 3_000)),
        };
        let is_same = |other: &StopPlan| {
            (other.person, other.is_of_singles) == (drawn.person, drawn.is_of_singles)
        };
        if !stops.iter().any(is_same) {
            stops.push(drawn);
        }
    }
    stops
}

/// Draws all single texts.
pub(super) fn singles(chance: &mut Chance, accounts: usize, providers: usize) -> Vec<SinglePlan> {
    let mut singles: Vec<SinglePlan> = Vec::new();
    for _ in 0..chance.between(10, 54) {
        let mut drawn = single(chance, accounts, providers);
        if let Some(before) = singles.last().filter(|_| drawn.is_echo) {
            // At the same provider and soon after, so that a search meets both.
            drawn.provider = before.provider;
            drawn.at_ms = before.at_ms + chance.between(0, 3_000);
        }
        singles.push(drawn);
    }
    singles
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
        from_second_of: None,
        is_echo: chance.hits(0.2),
        poison: None,
    }
}
