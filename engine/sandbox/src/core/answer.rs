//! What the provider answers to a text, before a dialect makes bytes of it.

use super::account::Account;
use super::fate::{self, Fate};
use super::submit::Submission;
use super::texts::{TextId, number_of};
use super::{Status, TextView};
use crate::faults::{AnswerFault, ReceiptFault};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Why a well-authenticated submission is refused without any fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// No recipient.
    RecipientMissing,
    /// The recipient is not an E.164 number.
    RecipientInvalid,
    /// Neither sender nor service.
    SenderMissing,
    /// The sender is not the account's.
    SenderNotOwned,
    /// A sending service that has no senders here.
    ServiceUnknown,
    /// No body.
    BodyMissing,
    /// A body over the dialect's limit.
    BodyTooLong,
    /// Receipts asked for at something that is no `http://` URL; the sandbox has no TLS.
    CallbackInvalid,
    /// More segments than the account's limit; not taken, may be sent again.
    OverLimit,
}

/// What the provider answers; a dialect makes bytes of it.
#[derive(Clone)]
pub enum Answer<'a> {
    /// The text is taken.
    Created(TextView<'a>),
    /// The text is not taken, and the reason is told.
    Refused(Refusal),
    /// The text is not taken: try again later.
    Throttled {
        /// Seconds asked for, if told.
        retry_after: Option<u64>,
    },
    /// A 5xx, whether the text is taken or not.
    ServerError(u16),
    /// The connection is reset without an answer.
    Cut,
    /// A success without meaning.
    Nonsense {
        /// 200 or 201.
        status: u16,
        /// Which nonsense.
        variant: u64,
    },
}

/// The answer to a submission and when it leaves.
#[derive(Clone)]
pub struct Decision<'a> {
    /// The answer.
    pub answer: Answer<'a>,
    /// When it leaves, Unix microseconds.
    pub answer_at: u64,
    /// A receipt was planned that is due before all others of its receiver:
    /// whoever sends receipts should look again.
    pub wake: bool,
}

/// A fault-laden decision before it is written down.
pub(super) struct Verdict {
    pub fate: Fate,
    /// The id it was taken under, if it was.
    pub id: Option<TextId>,
}

/// The answer to a text that was not refused.
pub(super) fn decide<'a>(
    now: u64,
    account: &Account,
    submission: &Submission<'a>,
    verdict: &Verdict,
    segments: u32,
) -> Decision<'a> {
    let fate = &verdict.fate;
    let answer = match fate.answer_fault {
        None | Some(AnswerFault::SlowAnswer) => match created(now, submission, verdict, segments) {
            Some(view) => Answer::Created(view),
            None => Answer::ServerError(500),
        },
        Some(AnswerFault::ThrottleWithRetryAfter) => Answer::Throttled {
            retry_after: Some(fate.retry_after_seconds),
        },
        Some(AnswerFault::ThrottleWithoutRetryAfter) => Answer::Throttled { retry_after: None },
        Some(AnswerFault::ErrorBefore | AnswerFault::ErrorAfter) => {
            Answer::ServerError(fate::choose(&fate::SERVER_ERRORS, fate.choice).map_or(500, |s| *s))
        }
        Some(AnswerFault::CutAfter | AnswerFault::NoAnswerTaken | AnswerFault::NoAnswerUntaken) => {
            Answer::Cut
        }
        Some(AnswerFault::Nonsense) => Answer::Nonsense {
            status: if fate.choice & 1 == 0 { 200 } else { 201 },
            variant: fate.choice >> 1,
        },
    };
    let mut delay_ms = match fate.answer_fault {
        Some(AnswerFault::SlowAnswer) => fate.slow_ms,
        Some(AnswerFault::NoAnswerTaken | AnswerFault::NoAnswerUntaken) => fate.silence_ms,
        None
        | Some(
            AnswerFault::ThrottleWithRetryAfter
            | AnswerFault::ThrottleWithoutRetryAfter
            | AnswerFault::ErrorBefore
            | AnswerFault::ErrorAfter
            | AnswerFault::CutAfter
            | AnswerFault::Nonsense,
        ) => 0,
    };
    if fate.receipt_fault == Some(ReceiptFault::Early) && submission.callback.is_some() {
        delay_ms += account.plan.early_head_start_ms;
    }
    let answer_at = after_latency(now, account).saturating_add(delay_ms.saturating_mul(1_000));
    Decision {
        answer,
        answer_at,
        wake: false,
    }
}

fn created<'a>(
    now: u64,
    submission: &Submission<'a>,
    verdict: &Verdict,
    segments: u32,
) -> Option<TextView<'a>> {
    Some(TextView {
        id: verdict.id?,
        account: submission.account,
        to: number_of(submission.to)?,
        from: submission.from.into(),
        body: Cow::Borrowed(submission.body),
        segments,
        at: now,
        status: Status::Queued,
        status_at: now,
        sent_at: None,
        code: None,
    })
}

pub(super) fn refused<'a>(answer_at: u64, refusal: Refusal) -> Decision<'a> {
    let answer = match refusal {
        Refusal::OverLimit => Answer::Throttled { retry_after: None },
        Refusal::RecipientMissing
        | Refusal::RecipientInvalid
        | Refusal::SenderMissing
        | Refusal::SenderNotOwned
        | Refusal::ServiceUnknown
        | Refusal::BodyMissing
        | Refusal::BodyTooLong
        | Refusal::CallbackInvalid => Answer::Refused(refusal),
    };
    Decision {
        answer,
        answer_at,
        wake: false,
    }
}

pub(super) fn after_latency(now: u64, account: &Account) -> u64 {
    now.saturating_add(account.config.latency_ms.saturating_mul(1_000))
}
