//! Which receipts a text gets, and the ordered schedule of those still to be sent.
//!
//! The schedule is in memory and has no bound of its own: it holds at most three
//! entries per taken text that asked for receipts, and the book can rebuild it.

use super::AccountIndex;
use super::fate::Fate;
use super::texts::{Status, TextId, after};
use crate::faults::ReceiptFault;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

/// A receipt as it was planned when its text was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedReceipt {
    /// What it will tell.
    pub status: Status,
    /// The provider's code, when undelivered or failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<u32>,
    /// When it is due, Unix microseconds.
    pub at: u64,
    /// The event it tells of; repetitions of one event share it, and their idempotency token.
    pub event: u8,
    /// Deliberately never sent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub withheld: bool,
}

/// Plans the receipts of a text taken at `at`.
pub(crate) fn plan(at: u64, fate: &Fate) -> Vec<PlannedReceipt> {
    let course = &fate.course;
    let receipt = |status, code, at, event| PlannedReceipt {
        status,
        code,
        at,
        event,
        withheld: false,
    };
    let sent_at = after(at, course.sent_after_ms);
    let end = after(at, course.final_after_ms);
    let mut planned = Vec::with_capacity(2);
    if course.outcome != Status::Failed {
        planned.push(receipt(Status::Sent, None, sent_at, 0));
    }
    planned.push(receipt(course.outcome, course.code, end, 1));
    let Some(fault) = fate.receipt_fault else {
        return planned;
    };
    match fault {
        // The course of an early text is short already; see `Core::submit`.
        ReceiptFault::Early => {}
        ReceiptFault::Late => {
            for late in planned
                .iter_mut()
                .filter(|receipt| fate.late_from_the_first || receipt.status.is_final())
            {
                late.at = late.at.saturating_add(fate.late_ms * 1_000);
            }
        }
        ReceiptFault::Duplicated => {
            // Once or twice more, up to a second later each.
            let gap = 1_000 * (1 + fate.choice % 1_000);
            planned.push(receipt(course.outcome, course.code, end + gap, 1));
            if fate.choice & 1 << 32 != 0 {
                planned.push(receipt(course.outcome, course.code, end + 2 * gap, 1));
            }
        }
        ReceiptFault::Reordered => {
            // `queued` follows `sent`, or `sent` the final status, by up to half a second.
            let gap = 1_000 * (1 + fate.choice % 500);
            if fate.choice & 1 << 32 != 0 {
                planned.push(receipt(Status::Queued, None, sent_at + gap, 2));
            } else {
                planned
                    .iter_mut()
                    .filter(|receipt| !receipt.status.is_final())
                    .for_each(|sent| sent.at = end + gap);
            }
        }
        ReceiptFault::Missing => {
            let all = fate.choice & 1 == 0;
            for receipt in &mut planned {
                receipt.withheld = all || receipt.status.is_final();
            }
        }
    }
    planned
}

/// A receipt that is due, with all that its request needs.
#[derive(Clone)]
pub struct DueReceipt {
    /// The account whose text it is about.
    pub account: AccountIndex,
    /// The text.
    pub text: TextId,
    /// Its place among the text's planned receipts.
    pub place: u8,
    /// What was planned.
    pub planned: PlannedReceipt,
    /// The recipient's number.
    pub to: Arc<str>,
    /// The sender.
    pub from: Arc<str>,
    /// Where the receipt goes.
    pub callback: Arc<str>,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    at: u64,
    /// Order of planning, so that equal times keep it.
    order: u64,
}

struct Waiting {
    key: Key,
    receipt: DueReceipt,
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key.cmp(&other.key)
    }
}

/// Receipts to be sent, ordered by time for each receiving authority, so that a
/// dead receiver holds up nobody else's.
#[derive(Default)]
pub(crate) struct Schedule {
    by_authority: BTreeMap<Arc<str>, BinaryHeap<Reverse<Waiting>>>,
    planned: u64,
}

impl Schedule {
    /// Adds a receipt; true when it became the first one of its authority.
    pub(crate) fn add(&mut self, receipt: DueReceipt) -> bool {
        let key = Key {
            at: receipt.planned.at,
            order: self.planned,
        };
        self.planned += 1;
        let callback = Arc::clone(&receipt.callback);
        let authority = authority_of(&callback);
        let is_first = self.first_of(authority).is_none_or(|first| key.at < first);
        let waiting = Reverse(Waiting { key, receipt });
        match self.by_authority.get_mut(authority) {
            Some(heap) => heap.push(waiting),
            None => {
                self.by_authority
                    .insert(Arc::from(authority), BinaryHeap::from([waiting]));
            }
        }
        is_first
    }

    /// Authorities with receipts waiting, each with the time of its first.
    pub(crate) fn firsts(&self) -> Vec<(Arc<str>, u64)> {
        let first = |heap: &BinaryHeap<Reverse<Waiting>>| heap.peek().map(|top| top.0.key.at);
        let authorities = self.by_authority.iter();
        authorities
            .filter_map(|(name, heap)| Some((Arc::clone(name), first(heap)?)))
            .collect()
    }

    fn first_of(&self, authority: &str) -> Option<u64> {
        Some(self.by_authority.get(authority)?.peek()?.0.key.at)
    }

    /// Takes up to `most` receipts for `authority` that are due at `now`, in order.
    pub(crate) fn take(&mut self, now: u64, authority: &str, most: usize) -> Vec<DueReceipt> {
        let mut taken = Vec::new();
        let Some(heap) = self.by_authority.get_mut(authority) else {
            return taken;
        };
        while taken.len() < most && heap.peek().is_some_and(|top| top.0.key.at <= now) {
            taken.extend(heap.pop().map(|top| top.0.receipt));
        }
        if heap.is_empty() {
            self.by_authority.remove(authority);
        }
        taken
    }

    /// How many receipts wait.
    pub(crate) fn len(&self) -> usize {
        self.by_authority.values().map(BinaryHeap::len).sum()
    }
}

/// The `host:port` of an `http` URL, or the whole text when it is none.
pub(crate) fn authority_of(url: &str) -> &str {
    let rest = url.strip_prefix("http://").unwrap_or(url);
    rest.split(['/', '?', '#']).next().unwrap_or(rest)
}
