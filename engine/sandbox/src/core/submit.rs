//! A text comes in: refuse it, throttle it, fail on it, or take it.

use super::account::{Account, State};
use super::answer::{Decision, Refusal, Verdict, after_latency, decide, refused};
use super::fate::{self, Fate, Identity};
use super::receipts::{self, DueReceipt, PlannedReceipt};
use super::texts::{Course, Text, TextId, after, hash, mix, number_of};
use super::{AccountIndex, Core, hold};
use crate::book::{CourseRecord, Record, TextRecord};
use crate::faults::ReceiptFault;
use crate::segments;
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
        state.first_at.get_or_insert(now);
        let outage = account.outage_at(&state, now);
        // Who is out of order does not look at what it is sent.
        let checked = check(account, &state, submission, to);
        let checked = checked.or_else(|refusal| outage.map(|_| (0, 0)).ok_or(refusal));
        let (to, from) = checked.inspect_err(|_| state.counts.refused += 1)?;
        state.arrived.add(now, segments);
        if outage.is_none() && !account.has_room(&state, now, segments) {
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
        if let Some((kind, until)) = outage {
            fate = fate.in_outage(kind, now, until);
        }
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
