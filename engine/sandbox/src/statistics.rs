//! Counts that a judge can ask for while the sandbox runs.

use crate::faults::{AnswerFault, ReceiptFault};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Everything the sandbox has counted since it started, its old book included.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Statistics {
    /// The time, Unix microseconds.
    pub at: u64,
    /// One entry per provider account, by id.
    pub accounts: Vec<AccountStatistics>,
    /// Requests that named no account or had the wrong password.
    pub unauthenticated: u64,
    /// Receipts that wait for their time or their receiver.
    pub receipts_waiting: usize,
    /// Times in which the sandbox itself stood still, since this start.
    pub stalls: StallStatistics,
}

/// One account's counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccountStatistics {
    /// The account's id.
    pub account: String,
    /// Its limit.
    pub segments_per_second: Option<f64>,
    /// Most segments of taken texts in any sliding second, by arrival.
    pub most_taken_in_any_second: u64,
    /// The same over all well-formed texts, throttled ones included.
    pub most_arrived_in_any_second: u64,
    /// The counts.
    #[serde(flatten)]
    pub counts: Counts,
}

/// Sums over one account's texts and receipts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Texts submitted with the right password.
    pub texts_arrived: u64,
    /// Texts the provider has.
    pub texts_taken: u64,
    /// Their segments.
    pub segments_taken: u64,
    /// Texts answered 429 because of the limit.
    pub throttled: u64,
    /// Texts refused for good.
    pub refused: u64,
    /// Injected faults of answers.
    pub answer_faults: BTreeMap<AnswerFault, u64>,
    /// Injected faults of receipts.
    pub receipt_faults: BTreeMap<ReceiptFault, u64>,
    /// Receipts answered 2xx.
    pub receipts_received: u64,
    /// Receipts that failed or were answered otherwise; they are not sent again.
    pub receipts_failed: u64,
    /// Receipts deliberately never sent.
    pub receipts_withheld: u64,
}

/// Times in which the sandbox woke more than a millisecond late.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StallStatistics {
    /// How many.
    pub count: u64,
    /// How many of 5 ms or longer: the seconds around these say nothing about a sender.
    pub of_5_ms_or_longer: u64,
    /// All together, microseconds.
    pub total_us: u64,
    /// The longest, microseconds.
    pub longest_us: u64,
}
