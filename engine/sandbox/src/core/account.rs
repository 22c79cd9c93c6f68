//! One provider account: its settings, its texts and its counts.

use super::texts::{Text, TextId, Texts, hash};
use super::window::SlidingSecond;
use super::{AccountIndex, TextView, hold};
use crate::book::ReceiptResult;
use crate::config::AccountConfig;
use crate::faults::FaultPlan;
use crate::outage::OutageKind;
use crate::statistics::{AccountStatistics, Counts};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

/// How much faster than its limit an account still takes texts: arrivals are stamped
/// behind a network, so a sender that keeps the limit may look a little faster.
const TOLERANCE: f64 = 1.05;

/// Segments a second from which the tolerance is at least one whole segment.
/// Below it the window is shortened instead.
const WHOLE_SEGMENT: f64 = 20.0;

/// Microseconds in a second.
const SECOND_US: f64 = 1_000_000.0;

/// A limit with its tolerance: so many segments in any window of that length.
#[derive(Clone, Copy)]
struct Allowance {
    window_us: u64,
    segments: u64,
}

impl Allowance {
    /// The setting is finite and positive, and float-to-integer casts saturate.
    fn of(limit: f64) -> Self {
        let (seconds, segments) = if limit >= WHOLE_SEGMENT {
            (1.0, limit * TOLERANCE)
        } else if limit >= 1.0 {
            (1.0 / TOLERANCE, limit.ceil())
        } else {
            (1.0 / limit / TOLERANCE, 1.0)
        };
        Self {
            window_us: (seconds * SECOND_US) as u64,
            segments: segments as u64,
        }
    }
}

pub(crate) struct Account {
    pub config: AccountConfig,
    pub plan: FaultPlan,
    /// Hash of the account's id.
    pub hash: u64,
    allowed: Option<Allowance>,
    state: Mutex<State>,
}

/// What changes: held for about a microsecond per text.
#[derive(Default)]
pub(crate) struct State {
    pub texts: Texts,
    /// Senders by the number that texts keep; the configured ones come first.
    pub senders: Vec<Arc<str>>,
    /// All well-formed texts, refused and throttled ones included.
    pub arrived: SlidingSecond,
    pub taken: SlidingSecond,
    /// When the first text arrived in this start.
    pub first_at: Option<u64>,
    /// How often a text met a fault without being taken, by its hash.
    pub missed: BTreeMap<u64, u64>,
    pub counts: Counts,
}

impl Account {
    pub(crate) fn new(config: &AccountConfig, faults: &FaultPlan) -> Self {
        let senders = config
            .senders
            .iter()
            .map(|sender| Arc::from(sender.as_str()))
            .collect();
        let allowed = config.segments_per_second.map(Allowance::of);
        let window_us = allowed.map_or(0, |allowed| allowed.window_us);
        let taken = SlidingSecond::keeping(window_us);
        Self {
            config: config.clone(),
            plan: config.faults.as_ref().unwrap_or(faults).clone(),
            hash: hash(config.account_sid.as_bytes()),
            allowed,
            state: Mutex::new(State {
                senders,
                taken,
                ..State::default()
            }),
        }
    }

    pub(crate) fn hold(&self) -> MutexGuard<'_, State> {
        hold(&self.state)
    }

    /// Whether the limit lets `segments` more in at `now`. A text larger than the
    /// whole limit passes when the last window was empty, or it could never be sent.
    pub(crate) fn has_room(&self, state: &State, now: u64, segments: u32) -> bool {
        let Some(allowed) = self.allowed else {
            return true;
        };
        let used = state.taken.sum_at(now, allowed.window_us);
        used == 0 || used + u64::from(segments) <= allowed.segments
    }

    /// What the account does with everything at `now` and until when, if it is out of order.
    pub(crate) fn outage_at(&self, state: &State, now: u64) -> Option<(OutageKind, u64)> {
        let outage = self.config.outage?;
        Some((outage.kind, outage.until(state.first_at?, now)?))
    }

    pub(crate) fn view(
        &self,
        account: AccountIndex,
        number: u32,
        text: &Text,
        now: u64,
        sender: Arc<str>,
    ) -> TextView<'static> {
        let (status, status_at) = text.course.status_at(text.at, now);
        TextView {
            id: TextId::new(self.hash, text.run, number),
            account,
            to: text.to,
            from: sender,
            body: Cow::Owned(text.body.to_string()),
            segments: text.segments,
            at: text.at,
            status,
            status_at,
            sent_at: text.course.sent_at(text.at, now),
            code: text.course.code.filter(|_| status.is_final()),
        }
    }

    pub(crate) fn statistics(&self) -> AccountStatistics {
        let state = self.hold();
        AccountStatistics {
            account: self.config.account_sid.clone(),
            segments_per_second: self.config.segments_per_second,
            most_taken_in_any_second: state.taken.most(),
            most_arrived_in_any_second: state.arrived.most(),
            counts: state.counts.clone(),
        }
    }
}

impl State {
    /// The sender that a text keeps by number.
    pub(crate) fn sender(&self, number: u16) -> Arc<str> {
        self.senders
            .get(usize::from(number))
            .map_or_else(|| Arc::from(""), Arc::clone)
    }

    /// The number of a sender, if it is known.
    pub(crate) fn sender_number(&self, sender: &str) -> Option<u16> {
        u16::try_from(self.senders.iter().position(|known| **known == *sender)?).ok()
    }
}

impl Counts {
    pub(crate) fn receipt(&mut self, result: ReceiptResult) {
        if result.was_received() {
            self.receipts_received += 1;
        } else {
            self.receipts_failed += 1;
        }
    }
}
