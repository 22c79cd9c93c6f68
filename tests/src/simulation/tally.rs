//! What was exercised: a count for each kind of fault and window. A kind that never came
//! about proves nothing.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Counts by name.
#[derive(Default)]
pub struct Tally(Mutex<BTreeMap<&'static str, u64>>);

impl Tally {
    /// One more.
    pub fn count(&self, name: &'static str) {
        self.add(name, 1);
    }

    /// So many more.
    pub fn add(&self, name: &'static str, times: u64) {
        if times > 0 {
            let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            *counts.entry(name).or_default() += times;
        }
    }

    /// All counts.
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// What must come about in any large number of schedules.
pub const EXERCISED: [&str; 80] = [
    "W1: cut off after the provider had it",
    "W2: cut off before the provider had it",
    "W3: 5xx, taken",
    "W3: cut after taking",
    "W3: nonsense, taken",
    "W3: silence after taking",
    "W6: receipt before the answer",
    "W7: receipt twice",
    "W8: receipts out of order",
    "W12: a sync failed and kept",
    "W12: a sync failed and lost",
    "W12: a write failed",
    "W14: a provider answered late for a while",
    "W14: a provider asked for a pause",
    "W14: a provider refused every other connection",
    "W14: a provider throttled for a moment",
    "W14: a provider took less than its rate",
    "W14: a retry budget was used up",
    "W17: a request twice at once",
    "W17: a request was replayed",
    "W19: stopped in good order",
    "a campaign stalled",
    "a campaign was canceled",
    "a campaign was canceled before its time",
    "a campaign was changed",
    "a campaign was limited",
    "a campaign was sent elsewhere",
    "a campaign was paused",
    "a campaign went on",
    "a campaign waited for its time",
    "a campaign waited for its window",
    "a command came too late",
    "a message waited for a provider",
    "a message was put aside",
    "a person said STOP",
    "a provider was disabled",
    "a provider was slowed down",
    "a text to a provider that is away",
    "a sender was limited",
    "actors failed for a while",
    "actors failed for good",
    "all projections made again",
    "an account was limited",
    "an unknown text was sent again",
    "clock jumped back",
    "clock jumped forward",
    "crash at a step",
    "crash at a time",
    "crash while a campaign starts",
    "crash while starting",
    "customer: connection broke",
    "customer: disk full (507)",
    "customer: not now (503)",
    "customer: refused (422)",
    "customer: too often (429)",
    "disk nearly full",
    "it was delivered afterwards",
    "its validity ended meanwhile",
    "line: answer lost",
    "line: connection refused",
    "line: half an answer",
    "line: request lost",
    "panics planted",
    "poison",
    "poison was put aside",
    "process stood still",
    "provider: 429 with a wait",
    "provider: 429 without a wait",
    "provider: 5xx, not taken",
    "provider: over the limit",
    "provider: silence, not taken",
    "provider: slow answer",
    "receipt late",
    "receipt met shut doors",
    "receipt missing",
    "receipt without our ids",
    "recipients were counted off",
    "skipped",
    "skipped after STOP",
    "stopped by itself",
];

/// The same where several nodes share servers, beside what is the same for all.
pub const EXERCISED_ON_SERVERS: [&str; 16] = [
    "a commit was lost",
    "a commit was unknown",
    "a customer came to a node that waits",
    "a node got its turn",
    "a node that slept ended itself",
    "a node was fenced",
    "a range was owned beside another",
    "a range was owned beside another node",
    "a node died beside another",
    "a node slept beside another",
    "a receipt came to a node that waits",
    "a row was written again",
    "a write was unknown",
    "an owner slept through its turn",
    "crash while taking over",
    "rows of the last group were missing",
];
