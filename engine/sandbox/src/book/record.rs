//! The lines of the book, and their format.

use crate::core::{PlannedReceipt, Refusal, Status};
use crate::faults::{AnswerFault, ReceiptFault};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// The version of the format, told by every [`StartRecord`].
pub const FORMAT: u32 = 1;

/// One line of the book: a JSON object with one key, the kind of record.
///
/// Every time is in microseconds since the Unix epoch, by the sandbox's clock.
/// Lines of one text are in order (its `text` before its `receipt`s); lines of
/// different texts may be out of order by the time a thread was held up.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record<'a> {
    /// The sandbox started.
    Start(StartRecord),
    /// A text was submitted by an authenticated account, taken or not.
    Text(Box<TextRecord<'a>>),
    /// A receipt was tried.
    Receipt(ReceiptRecord<'a>),
    /// The sandbox itself stood still.
    Stall(StallRecord<'a>),
    /// The sandbox stopped in good order: all lines are there.
    Stop(StopRecord),
}

/// A start of the sandbox on this book.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartRecord {
    /// When.
    pub at: u64,
    /// [`FORMAT`].
    pub format: u32,
    /// The seed of this run.
    pub seed: u64,
    /// How many starts this book has seen before.
    pub run: u32,
    /// The ids of the provider accounts.
    pub accounts: Vec<String>,
}

/// A submitted text and all that was decided about it at that moment.
///
/// No `Debug`: it holds a phone number and a body.
#[derive(Clone, Serialize, Deserialize)]
pub struct TextRecord<'a> {
    /// The provider account.
    pub account: Cow<'a, str>,
    /// The provider's id of the text; only when taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<Cow<'a, str>>,
    /// Arrival: when the head of the request had been read.
    pub at: u64,
    /// The recipient as written in the request.
    pub to: Cow<'a, str>,
    /// The sender as written in the request.
    pub from: Cow<'a, str>,
    /// The body as written in the request.
    pub body: Cow<'a, str>,
    /// Segments by the sandbox's own count.
    pub segments: u32,
    /// Whether the provider has the text. Nothing else decides whether it was sent.
    pub took: bool,
    /// HTTP status of the answer; missing when there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The provider's error code in the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<u32>,
    /// When the answer was due to leave, or the connection to be cut.
    pub answer_at: u64,
    /// Why it was refused without any fault being injected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refusal>,
    /// The injected fault of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<AnswerFault>,
    /// The injected fault of the receipts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt_fault: Option<ReceiptFault>,
    /// What becomes of the text; only when taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub course: Option<CourseRecord>,
    /// Where receipts go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback: Option<Cow<'a, str>>,
    /// The receipts planned, withheld ones included.
    #[serde(default, skip_serializing_if = "<[PlannedReceipt]>::is_empty")]
    pub receipts: Cow<'a, [PlannedReceipt]>,
}

/// What becomes of a taken text; `fetch` tells it as time passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CourseRecord {
    /// The final status.
    pub outcome: Status,
    /// The provider's code of an undelivered or failed text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<u32>,
    /// When it leaves the provider (never, if it fails).
    pub sent_at: u64,
    /// When it becomes final.
    pub final_at: u64,
}

/// A receipt that was tried: once, or twice when the first connect failed.
#[derive(Clone, Serialize, Deserialize)]
pub struct ReceiptRecord<'a> {
    /// The provider account.
    pub account: Cow<'a, str>,
    /// The provider's id of the text.
    pub sid: Cow<'a, str>,
    /// Its place in the text's `receipts`.
    pub place: u8,
    /// The status it told.
    pub status: Status,
    /// The provider's code it told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<u32>,
    /// When it was due.
    pub due: u64,
    /// When the first attempt began.
    pub at: u64,
    /// When the result was known.
    pub ended: u64,
    /// Attempts made, 1 or 2.
    pub attempts: u8,
    /// What the receiver answered or how it failed.
    pub result: ReceiptResult,
}

/// How trying a receipt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReceiptResult {
    /// An HTTP answer of this status; only 2xx counts as received.
    Answered(u16),
    /// No connection could be made.
    NotConnected,
    /// The connection broke before an answer: the receiver may have it or not.
    Broken,
    /// No answer within 15 seconds: the receiver may have it or not.
    TimedOut,
}

impl ReceiptResult {
    /// Whether the receiver said that it has the receipt.
    pub fn was_received(self) -> bool {
        match self {
            Self::Answered(status) => (200..300).contains(&status),
            Self::NotConnected | Self::Broken | Self::TimedOut => false,
        }
    }
}

/// A time in which the sandbox did not run though it wanted to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StallRecord<'a> {
    /// When it should have woken.
    pub at: u64,
    /// How much later it woke, microseconds.
    pub length_us: u64,
    /// Who stood still: `process`, or `worker` and its number.
    pub who: Cow<'a, str>,
}

/// A stop in good order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopRecord {
    /// When.
    pub at: u64,
}
