//! A text comes in: refuse it, throttle it, fail on it, or take it.

use super::account::{Account, State};
use super::fate::{self, Fate, Identity};
use super::receipts::{self, DueReceipt, PlannedReceipt};
use super::texts::{Course, Text, TextId, after, hash, mix, number_of};
use super::{AccountIndex, Core, Status, TextView, hold};
use crate::book::{CourseRecord, Record, TextRecord};
use crate::faults::{AnswerFault, ReceiptFault};
use crate::segments;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::sync::Arc;

/// What a dialect has read from a request to send a text.
///
/// No `Debug`: it holds a phone number and a body.
#[derive(Clone)]
pub struct Submission<'a> {
    /// The account, authenticated by the dialect.
    pub account: AccountIndex,
    /// The recipient as written.
    pub to: &'a str,
    /// The sender as written.
    pub from: &'a str,
    /// The body as written.
    pub body: &'a str,
    /// Where receipts go, if anywhere.
    pub callback: Option<&'a str>,
    /// What the dialect itself finds wrong with the request.
    pub refusal: Option<Refusal>,
}

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
struct Verdict {
    fate: Fate,
    id: Option<TextId>,
}

impl Core {
    /// Decides on one text that arrived at `now`, writes it into the book and plans its receipts.
    pub fn submit<'a>(&self, now: u64, submission: &Submission<'a>) -> Decision<'a> {
        let Some(account) = self.accounts.get(submission.account.0) else {
            return refused(now, Refusal::SenderNotOwned);
        };
        let segments = segments::count(submission.body);
        let to = number_of(submission.to);
        let verdict = match self.judge(now, account, submission, to, segments) {
            Ok(verdict) => verdict,
            Err(refusal) => {
                let decision = refused(after_latency(now, account), refusal);
                let record = record(account, submission, now, segments, &decision);
                self.book.append(&Record::Text(Box::new(TextRecord {
                    refusal: Some(refusal),
                    ..record
                })));
                return decision;
            }
        };
        let mut decision = decide(now, account, submission, &verdict, segments);
        let mut record = record(account, submission, now, segments, &decision);
        record.fault = verdict.fate.answer_fault;
        let mut planned = Vec::new();
        if let Some(id) = verdict.id {
            planned = self.plan(now, account, submission, &verdict.fate);
            record.took = true;
            record.sid = Some(Cow::Owned(account.config.dialect.text_name(id)));
            record.receipt_fault = verdict.fate.receipt_fault.filter(|_| !planned.is_empty());
            record.course = Some(course_record(now, &verdict.fate.course));
            record.receipts = Cow::Borrowed(&planned);
        }
        // The line is in the book before any receipt can be sent.
        self.book.append(&Record::Text(Box::new(record)));
        if let Some((id, callback)) = verdict.id.zip(submission.callback) {
            decision.wake = self.schedule(submission, id, callback, &planned);
        }
        decision
    }

    /// Everything that needs the account's lock: limit, repetition, draws, taking.
    fn judge(
        &self,
        now: u64,
        account: &Account,
        submission: &Submission<'_>,
        to: Option<u64>,
        segments: u32,
    ) -> Result<Verdict, Refusal> {
        let body_hash = hash(submission.body.as_bytes());
        let mut state = account.hold();
        state.counts.texts_arrived += 1;
        let checked = check(account, &state, submission, to);
        let (to, from) = checked.inspect_err(|_| state.counts.refused += 1)?;
        state.arrived.add(now, segments);
        if !account.has_room(&state, now, segments) {
            state.counts.throttled += 1;
            return Err(Refusal::OverLimit);
        }
        let key = mix(to) ^ body_hash;
        let occurrence = state.texts.repeats(to, submission.body)
            + state.missed.get(&key).copied().unwrap_or_default();
        let identity = Identity {
            seed: self.seed,
            account: account.hash,
            to,
            body: body_hash,
            occurrence,
        };
        let mut fate = fate::draw(&account.plan, &account.config, &identity);
        if fate.receipt_fault == Some(ReceiptFault::Early) && submission.callback.is_some() {
            // The text is over before its sender has the answer.
            fate.course = Course {
                sent_after_ms: 0,
                final_after_ms: 1,
                ..fate.course
            };
        }
        if let Some(fault) = fate.answer_fault {
            *state.counts.answer_faults.entry(fault).or_default() += 1;
            if !fault.takes_the_text() {
                *state.missed.entry(key).or_default() += 1;
                return Ok(Verdict { fate, id: None });
            }
        }
        let number = state.texts.next_number().ok_or(Refusal::OverLimit)?;
        let body = submission.body.into();
        let text = Text {
            to,
            at: now,
            body,
            run: self.run,
            from,
            segments,
            course: fate.course,
        };
        state.take(number, text);
        Ok(Verdict {
            fate,
            id: Some(TextId::new(account.hash, self.run, number)),
        })
    }

    fn plan(
        &self,
        now: u64,
        account: &Account,
        submission: &Submission<'_>,
        fate: &Fate,
    ) -> Vec<PlannedReceipt> {
        if submission.callback.is_none() {
            return Vec::new();
        }
        let planned = receipts::plan(now, fate);
        if let Some(fault) = fate.receipt_fault {
            let withheld = planned.iter().filter(|receipt| receipt.withheld).count();
            let mut state = account.hold();
            *state.counts.receipt_faults.entry(fault).or_default() += 1;
            state.counts.receipts_withheld += u64::try_from(withheld).unwrap_or(u64::MAX);
        }
        planned
    }

    fn schedule(
        &self,
        submission: &Submission<'_>,
        text: TextId,
        callback: &str,
        planned: &[PlannedReceipt],
    ) -> bool {
        let (to, from): (Arc<str>, Arc<str>) = (submission.to.into(), submission.from.into());
        let callback: Arc<str> = callback.into();
        let mut schedule = hold(&self.schedule);
        let mut wake = false;
        for (place, planned) in (0..).zip(planned).filter(|(_, planned)| !planned.withheld) {
            wake |= schedule.add(DueReceipt {
                account: submission.account,
                text,
                place,
                planned: *planned,
                to: Arc::clone(&to),
                from: Arc::clone(&from),
                callback: Arc::clone(&callback),
            });
        }
        wake
    }
}

impl State {
    /// Keeps and counts a taken text.
    pub(crate) fn take(&mut self, number: u32, text: Text) {
        self.taken.add(text.at, text.segments);
        self.counts.texts_taken += 1;
        self.counts.segments_taken += u64::from(text.segments);
        self.texts.put(number, text);
    }
}

fn check(
    account: &Account,
    state: &State,
    submission: &Submission<'_>,
    to: Option<u64>,
) -> Result<(u64, u16), Refusal> {
    if let Some(refusal) = submission.refusal {
        return Err(refusal);
    }
    let to = to.ok_or(Refusal::RecipientInvalid)?;
    // Behind the configured senders stand former ones that only old texts still have.
    let owned = |number: &u16| usize::from(*number) < account.config.senders.len();
    let from = state.sender_number(submission.from).filter(owned);
    Ok((to, from.ok_or(Refusal::SenderNotOwned)?))
}

/// The answer to a text that was not refused.
fn decide<'a>(
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
            retry_after: Some(1 + fate.choice % 3),
        },
        Some(AnswerFault::ThrottleWithoutRetryAfter) => Answer::Throttled { retry_after: None },
        Some(AnswerFault::ErrorBefore | AnswerFault::ErrorAfter) => Answer::ServerError(
            fate::choose(&[500, 502, 503, 504], fate.choice).map_or(500, |s| *s),
        ),
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
        Some(AnswerFault::NoAnswerTaken | AnswerFault::NoAnswerUntaken) => {
            account.plan.no_answer_ms
        }
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

fn refused<'a>(answer_at: u64, refusal: Refusal) -> Decision<'a> {
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

fn after_latency(now: u64, account: &Account) -> u64 {
    now.saturating_add(account.config.latency_ms.saturating_mul(1_000))
}

fn course_record(at: u64, course: &Course) -> CourseRecord {
    CourseRecord {
        outcome: course.outcome,
        code: course.code,
        sent_at: after(at, course.sent_after_ms),
        final_at: after(at, course.final_after_ms),
    }
}

/// The book's line of a submission, as far as it is known for all of them.
fn record<'a>(
    account: &'a Account,
    submission: &Submission<'a>,
    now: u64,
    segments: u32,
    decision: &Decision<'_>,
) -> TextRecord<'a> {
    let (status, code) = account.config.dialect.status_and_code(&decision.answer);
    TextRecord {
        account: Cow::Borrowed(&account.config.account_sid),
        sid: None,
        at: now,
        to: Cow::Borrowed(submission.to),
        from: Cow::Borrowed(submission.from),
        body: Cow::Borrowed(submission.body),
        segments,
        took: false,
        status,
        code,
        answer_at: decision.answer_at,
        refusal: None,
        fault: None,
        receipt_fault: None,
        course: None,
        callback: submission.callback.map(Cow::Borrowed),
        receipts: Cow::Borrowed(&[]),
    }
}
