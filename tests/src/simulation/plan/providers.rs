//! Provider accounts: how fast they are, what they and their lines do wrong, when they are
//! away, and what the operator orders of them.

use sandbox::FaultPlan;

use crate::simulation::chance::Chance;

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
    /// Segments a second that its two senders may go at most, the default one first.
    pub sender_rates: [Option<f64>; 2],
    /// When it is weak, in milliseconds from the start, and how that shows.
    pub weakness: Option<(u64, u64, Weakness)>,
    /// When every request to it panics before it leaves, in milliseconds from the start.
    pub panics: Option<(u64, u64)>,
}

/// How a provider is out of reach.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outage {
    /// Connections are refused.
    Refuses,
    /// Requests are swallowed.
    Swallows,
}

/// How a provider is weak that can be reached.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Weakness {
    /// It takes so many texts in a second, and throttles the others.
    Takes(u32),
    /// Its answers come so many milliseconds late.
    Late(u64),
    /// Every other connection is refused.
    Refuses,
    /// It throttles everything, for a moment.
    Blinks,
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

/// What the operator orders of a provider account, until it is taken back.
#[derive(Clone, Copy, Debug)]
pub struct OrderPlan {
    /// Which.
    pub provider: usize,
    /// A lower rate; `None` disables it.
    pub rate: Option<f64>,
    /// What it is set to again.
    pub whole_rate: f64,
    /// When, in milliseconds.
    pub at_ms: u64,
    /// Milliseconds until it is taken back.
    pub lasts_ms: u64,
}

/// The shortest outage in which a provider must be found to be dead, in milliseconds.
pub const LONG_OUTAGE_MS: u64 = 8_000;

impl ProviderPlan {
    /// One at this rate that does nothing wrong.
    pub fn sound(rate: f64) -> Self {
        Self {
            rate,
            burst: None,
            max_in_flight: 64,
            latency_ms: 20,
            faults: FaultPlan::none(),
            line: LinePlan::CALM,
            outage: None,
            sender_rates: [None; 2],
            weakness: None,
            panics: None,
        }
    }

    /// Whether it has in its lists late what it took, and tells of it late.
    pub fn lags(&self) -> bool {
        self.faults.listed_after_ms > 0
    }
}

/// Draws one.
pub(super) fn provider(chance: &mut Chance) -> ProviderPlan {
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
        sender_rates: [None; 2],
        weakness: None,
        panics: None,
    };
    if plan.lags() {
        // Much is in flight when a process dies, and all of it is sent again at once.
        plan.latency_ms = 1_000;
    }
    plan
}

/// Long enough for others to see that nothing comes back.
pub(super) fn long_outage(chance: &mut Chance) -> (u64, u64, Outage) {
    let from = chance.between(0, 4_000);
    let kind = chance.pick(&[Outage::Refuses, Outage::Swallows]);
    (from, from + chance.between(LONG_OUTAGE_MS, 20_000), kind)
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

/// Draws what is ordered of one, if anything.
pub(super) fn order(chance: &mut Chance, provider: usize, whole_rate: f64) -> Option<OrderPlan> {
    let drawn = OrderPlan {
        provider,
        rate: chance.hits(0.6).then(|| (whole_rate / 4.0).ceil()),
        whole_rate,
        at_ms: chance.between(0, 5_000),
        lasts_ms: chance.pick(&[50, 1_500, 4_000]),
    };
    chance.hits(0.06).then_some(drawn)
}
