//! Messages in a journal, each beside its model, and the laws that are held against
//! them after every step.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use schemas::change::{AfterAttempt, Change, Learnt, SkippedRecipient};
use schemas::provider::{AttemptRef, RejectClass, SubmitOutcome};
use schemas::status::ReceiptStatus;
use schemas::text::Binding;
use schemas::{CampaignId, Envelope, Message, MessageStatus, StatusEvent, UnixMicros};

use super::model::{Ending, Modelled, Step, Text};
use super::{Owner, Verdict};
use super::{accepted, at, attempt, begun, campaign, ended, envelope, provider, receipt, unknown};

/// The one that belongs to no campaign.
pub const SINGLE: usize = 3;

/// Microseconds from an attempt's beginning in which its text is searched for.
const SEARCHED: i64 = 60_000_000;

/// Four messages: two of campaign 1, one of campaign 2 and one of none; two people get
/// two each.
pub struct World {
    /// The journal.
    pub owner: Owner,
    /// Envelopes and models.
    pub messages: Vec<(Arc<Envelope>, Modelled)>,
    /// Texts that a receipt told to be delivered, whether it could be placed or not.
    pub delivered: BTreeSet<String>,
    /// Seconds since the clock's start.
    pub now: i64,
}

impl World {
    /// Both audiences are frozen, and nothing has begun.
    pub fn new() -> Self {
        let messages = [
            envelope(0, 0, Some(campaign(1))),
            envelope(1, 0, Some(campaign(2))),
            envelope(2, 1, Some(campaign(1))),
            envelope(3, 1, None),
        ];
        let mut owner = Owner::new();
        for (number, entries) in [(1, 2), (2, 1)] {
            let frozen = Change::AudienceFrozen {
                campaign: campaign(number),
                chunk: 0,
                entries,
                last: true,
            };
            assert_eq!(owner.commit(frozen), Verdict::Done);
        }
        let with_model = |envelope| (envelope, Modelled::new());
        Self {
            owner,
            messages: messages.into_iter().map(with_model).collect(),
            delivered: BTreeSet::new(),
            now: 0,
        }
    }

    /// The message's row.
    pub fn row(&self, index: usize) -> Option<Message> {
        self.owner.message(&self.messages[index].0)
    }

    /// The change that a step is, now.
    pub fn change(&mut self, index: usize, step: &Step) -> Change {
        self.now += 1;
        let now = at(self.now);
        let (envelope, model) = &self.messages[index];
        let (account, message) = (envelope.account, envelope.id);
        match step {
            Step::Schedule => Change::Scheduled {
                envelope: Arc::clone(envelope),
                at: at(self.now + 5),
            },
            Step::Begin(off) => begun(envelope, (model.made + 1).saturating_add_signed(*off), now),
            Step::End(ending, right) => {
                let number = model.open.unwrap_or(1) + u32::from(!*right);
                end(index, attempt(envelope, number), *ending, now)
            }
            Step::Receipt {
                back,
                named,
                text,
                status,
                learnt,
            } => {
                let number = model.made.saturating_sub(*back).max(1);
                let named = named.then(|| attempt(envelope, number));
                let id = text_id(index, *text, number);
                receipt(envelope, named, &id, *status, *learnt, now)
            }
            Step::Resend => Change::Resend {
                attempt: attempt(envelope, model.made),
                due: now,
                at: now,
            },
            Step::NoReceipt => Change::NoReceipt {
                account,
                message,
                at: now,
            },
            Step::Skip => Change::Skipped {
                recipient: SkippedRecipient::Message(Arc::clone(envelope)),
                reason: "opted_out".to_owned(),
                at: now,
            },
            Step::ValidityEnded => Change::ValidityEnded {
                envelope: Arc::clone(envelope),
                at: now,
            },
            Step::LookedUp => Change::LookedUp {
                attempt: attempt(envelope, model.made),
                made: 1,
                next: Some(at(self.now + 10)),
                at: now,
            },
        }
    }

    /// Commits one step and holds the outcome against the model and the laws.
    pub fn commit(&mut self, index: usize, step: &Step) {
        let before = self.row(index);
        let was_open = self.messages[index].1.open.is_some();
        let is_allowed = self.search_may_settle(index, step);
        let change = self.change(index, step);
        let verdict = self.owner.commit(change);
        let row = self.row(index);
        let model = &mut self.messages[index].1;
        let taken = !matches!(verdict, Verdict::Refused(_));
        if let Some(expected) = model.takes(step) {
            assert_eq!(taken, expected, "{step:?} on {model:?}: {verdict:?}");
            if taken {
                model.apply(step);
            }
        }
        assert!(!taken || is_allowed, "a search took what is not its own");
        let status = row.as_ref().map(|row| row.status);
        match step {
            Step::Receipt {
                back,
                named,
                text,
                status: told,
                ..
            } => {
                let id = text_id(index, *text, model.made.saturating_sub(*back).max(1));
                if *told == Some(ReceiptStatus::Delivered) {
                    self.delivered.insert(id.clone());
                }
                let before = before.as_ref();
                if was_open {
                    assert_eq!(before, row.as_ref(), "receipts wait for the outcome");
                }
                let is_old = *named && *back > 0 && model.made > 1;
                // What was parked is joined as soon as a receipt tells whose text it is.
                if is_old && !self.delivered.contains(&id) {
                    let before = before.map(|row| row.status);
                    assert_eq!(
                        before, status,
                        "an earlier attempt's receipt decides nothing"
                    );
                }
                self.follow_receipt();
            }
            Step::End(ending, _) if taken => {
                let told = before.map_or(0, |row| row.timeline.len());
                let row = row.expect("an outcome writes the row");
                let leaves = ending.leaves();
                let mut new = row.timeline.iter().skip(told);
                assert!(new.any(|entry| entry.status == leaves), "{ending:?}");
                model.status = row.status;
            }
            Step::Schedule
            | Step::Begin(_)
            | Step::End(..)
            | Step::Resend
            | Step::NoReceipt
            | Step::Skip
            | Step::ValidityEnded
            | Step::LookedUp => {}
        }
    }

    /// A receipt may be about another message than the one it was made up for, where a
    /// search has given that one the text.
    fn follow_receipt(&mut self) {
        for index in 0..self.messages.len() {
            if let Some(row) = self.row(index) {
                self.messages[index].1.status = row.status;
            }
        }
    }

    /// Whether the same words to the same person are unknown at the same time. All of
    /// these messages have the same words.
    fn has_unknown_twin(&self, index: usize) -> bool {
        let own = &self.messages[index].0;
        let began = |index| self.row(index).and_then(|row| row.last_attempt_at);
        let is_twin = |other: usize| {
            let (envelope, model) = &self.messages[other];
            let apart = began(other).zip(began(index));
            let near = apart.is_some_and(|(one, two)| (one.0 - two.0).abs() <= SEARCHED);
            let same_number = other != index && envelope.to == own.to;
            let is_unknown = model.lacks_its_text && model.status == MessageStatus::Unknown;
            same_number && near && is_unknown
        };
        (0..self.messages.len()).any(is_twin)
    }

    /// What a search may do: settle an unknown message with a text that is bound to no
    /// other attempt, while nothing is open to that number.
    fn search_may_settle(&self, index: usize, step: &Step) -> bool {
        let Step::Receipt {
            learnt: Learnt::Search,
            text,
            ..
        } = step
        else {
            return true;
        };
        let (envelope, model) = &self.messages[index];
        let same_number = |other: &&(Arc<Envelope>, Modelled)| other.0.to == envelope.to;
        let mut rivals = self.messages.iter().filter(same_number);
        if rivals.any(|(_, rival)| rival.open.is_some()) || self.has_unknown_twin(index) {
            return false;
        }
        let id = text_id(index, *text, model.made.max(1));
        let key = Binding::key_of(provider(), envelope.to.slice(), &id);
        let bound = self.owner.row::<Binding>(&key);
        let own = attempt(envelope, model.made);
        bound.is_none_or(|binding| binding.attempt == own)
    }

    /// The laws that hold at any moment; `earlier` remembers the ends that were reached.
    pub fn check(&self, earlier: &mut BTreeMap<usize, MessageStatus>) {
        for (index, (_, model)) in self.messages.iter().enumerate() {
            let Some(row) = self.row(index) else {
                assert!(!model.written, "a row is missing");
                continue;
            };
            assert_eq!(row.status, model.status);
            assert_eq!(
                row.attempts,
                if model.open.is_some() {
                    row.attempts
                } else {
                    model.made
                }
            );
            if let Some(ended) = earlier.get(&index) {
                assert_eq!(row.status, *ended, "a final state is final");
            }
            if row.status.is_final() {
                earlier.insert(index, row.status);
            }
            assert_gap_free(&row);
        }
        for number in [1, 2] {
            self.check_tally(campaign(number));
        }
    }

    fn check_tally(&self, id: CampaignId) {
        let tally = self.owner.tally(id);
        assert!(tally.is_exact(), "{tally:?}");
        let mut counted = BTreeMap::new();
        for (_, model) in self.messages.iter().filter(|(e, _)| e.campaign == Some(id)) {
            *counted.entry(model.counted()).or_insert(0) += 1;
        }
        assert_eq!(
            tally.by_status, counted,
            "the numbers are those of the rows"
        );
    }

    /// Starts anew and finds the same attempts open, with the same early receipts.
    pub fn crash(&mut self) {
        let before = self.owner.open_attempts();
        self.owner.crash();
        assert_eq!(self.owner.open_attempts(), before);
        let modelled = self.messages.iter().filter_map(|(envelope, model)| {
            let open = attempt(envelope, model.open?);
            Some((envelope.id, open))
        });
        let open = before
            .iter()
            .map(|open| (open.attempt.message, open.attempt));
        let modelled: BTreeMap<_, AttemptRef> = modelled.collect();
        assert_eq!(open.collect::<BTreeMap<_, _>>(), modelled);
    }
}

/// The provider's id of the text of an attempt.
fn text_id(index: usize, text: Text, number: u32) -> String {
    match text {
        Text::Own => format!("SM{index}-{number}"),
        Text::Other(other) => format!("SM{other}-{number}"),
        Text::Foreign => format!("SM{index}-foreign"),
    }
}

fn end(index: usize, attempt: AttemptRef, ending: Ending, now: UnixMicros) -> Change {
    let throttled = || SubmitOutcome::Throttled {
        retry_after_ms: None,
        code: "20429".to_owned(),
    };
    let later = now.plus_micros(5_000_000);
    let (outcome, then) = match ending {
        Ending::Accepted => {
            let id = text_id(index, Text::Own, attempt.attempt);
            (accepted(&id), AfterAttempt::LookUpAt(later))
        }
        Ending::Rejected => {
            let rejected = SubmitOutcome::Rejected {
                class: RejectClass::Recipient,
                code: "21211".to_owned(),
            };
            (rejected, AfterAttempt::Settle)
        }
        Ending::Retry => (throttled(), AfterAttempt::RetryAt(later)),
        Ending::GiveUp => (throttled(), AfterAttempt::GiveUp),
        Ending::Expire => (throttled(), AfterAttempt::Expire),
        Ending::Return => {
            let returned = SubmitOutcome::NotSent {
                cause: "returned".to_owned(),
            };
            (returned, AfterAttempt::Return(now))
        }
        Ending::Unknown => (unknown(), AfterAttempt::LookUpAt(later)),
    };
    ended(attempt, outcome, then, now)
}

/// Every entry's state follows from the one before by an edge of the table, or is the
/// same; the first is where messages begin and the last where this one stands.
fn assert_gap_free(row: &Message) {
    let events = [
        StatusEvent::Due,
        StatusEvent::AttemptBegun,
        StatusEvent::SubmitAccepted,
        StatusEvent::SubmitRejected,
        StatusEvent::RetryPlanned,
        StatusEvent::GivenUp,
        StatusEvent::OutcomeUnknown,
        StatusEvent::NoReceipt,
        StatusEvent::Resend,
        StatusEvent::Skip,
        StatusEvent::ValidityEnded,
        StatusEvent::Cancel,
    ];
    let receipts = ReceiptStatus::ALL.map(StatusEvent::Receipt);
    let events: Vec<_> = events.into_iter().chain(receipts).collect();
    let first = row.timeline.first().expect("a life begins").status;
    assert!(first.has_not_begun(), "{first:?}");
    for pair in row.timeline.windows(2) {
        let (from, to) = (pair[0].status, pair[1].status);
        let edge = events.iter().any(|event| from.next(*event) == Some(to));
        assert!(from == to || edge, "{from:?} to {to:?}");
    }
    assert_eq!(
        row.timeline.last().map(|entry| entry.status),
        Some(row.status)
    );
}
