//! What really happened, written down outside of the node: every text as the provider's
//! book has it, and every request that left the process.

use std::sync::{Mutex, MutexGuard, PoisonError};

use sandbox::book::{BookSink, Record, TextRecord};
use sandbox::core::{Refusal, Status};
use sandbox::{AnswerFault, ReceiptFault};
use schemas::UnixMicros;

use super::time::Time;

/// Texts, requests and receipts, each in the order in which they came.
#[derive(Default)]
pub struct Ledger(Mutex<Entries>);

/// What a ledger holds.
#[derive(Default)]
pub struct Entries {
    /// Texts that arrived at a provider.
    pub texts: Vec<Text>,
    /// Requests that create a text, as they left the process.
    pub calls: Vec<Call>,
    /// Receipts that the node said it has.
    pub receipts: Vec<Receipt>,
}

/// A text that arrived.
pub struct Text {
    /// The recipient.
    pub to: String,
    /// The text.
    pub body: String,
    /// When it arrived.
    pub at: u64,
    /// Whether the provider has it.
    pub took: bool,
    /// The provider's id.
    pub sid: Option<String>,
    /// Which fault its answer met.
    pub fault: Option<AnswerFault>,
    /// Which fault its receipts met.
    pub receipt_fault: Option<ReceiptFault>,
    /// Why it was refused.
    pub refusal: Option<Refusal>,
    /// What becomes of it.
    pub outcome: Option<Status>,
    /// The id of ours and the number of the attempt that its callback carries.
    pub attempt: Option<(String, u32)>,
}

/// A receipt that was answered with success.
pub struct Receipt {
    /// The provider's id of the text.
    pub sid: String,
    /// What it tells.
    pub status: Status,
}

/// A request that left the process.
pub struct Call {
    /// The provider account's place.
    pub provider: usize,
    /// The sender.
    pub from: String,
    /// Segments of the text, counted by the sandbox's rules.
    pub segments: u32,
    /// When it left.
    pub at: u64,
    /// What the node's wall clock said then.
    pub wall: UnixMicros,
    /// In which life.
    pub life: usize,
    /// The id of ours and the number of the attempt, where a callback carries them.
    pub attempt: Option<(String, u32)>,
    /// A pause that its answer asked for: when the answer came, and until when.
    pub pause: Option<(u64, u64)>,
    /// Whether a weak provider throttled it.
    pub is_throttled: bool,
}

impl Ledger {
    /// Reads or adds entries.
    pub fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BookSink for Ledger {
    fn append(&self, record: &Record<'_>) {
        match record {
            Record::Text(text) => self.entries().texts.push(entry(text)),
            Record::Receipt(receipt) if receipt.result.was_received() => {
                self.entries().receipts.push(Receipt {
                    sid: receipt.sid.to_string(),
                    status: receipt.status,
                });
            }
            Record::Receipt(_) => {}
            Record::Start(_) | Record::Stall(_) | Record::Stop(_) => {}
        }
    }
}

fn entry(text: &TextRecord<'_>) -> Text {
    Text {
        to: text.to.to_string(),
        body: text.body.to_string(),
        at: Time::of_true_wall(text.at),
        took: text.took,
        sid: text.sid.as_ref().map(ToString::to_string),
        fault: text.fault,
        receipt_fault: text.receipt_fault,
        refusal: text.refusal,
        outcome: text.course.map(|course| course.outcome),
        attempt: text.callback.as_deref().and_then(attempt_of),
    }
}

/// What our callback URL says of the attempt.
pub fn attempt_of(callback: &str) -> Option<(String, u32)> {
    let (_, query) = callback.split_once('?')?;
    let value = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|pair| pair.0 == name).map(|pair| pair.1)
    };
    let attempt = value("attempt")?.parse().ok()?;
    Some((value("message")?.to_owned(), attempt))
}
