//! One recipient: what should have been sent, what the book says, what we say.

use sandbox::book::{ReceiptRecord, TextRecord};
use sandbox::core::{Refusal, Status};
use schemas::MessageStatus;

use super::MessageState;

/// All that is known about one number on the list. 40 bytes.
#[derive(Clone, Copy, Default)]
pub(super) struct Life {
    /// The hash of the text it should get; `None` for none.
    pub(super) expected: Option<u64>,
    /// Texts of the expected words that the provider took.
    pub(super) taken: u32,
    /// Taken texts with other words.
    pub(super) foreign: u32,
    /// How the taken texts end, as bits of [`bit`].
    ends: u8,
    /// The highest word that we were told and took in.
    told: Option<Word>,
    /// An answer was spoilt on purpose.
    answer_fault: bool,
    /// A receipt was withheld on purpose or did not reach us.
    receipt_missing: bool,
    /// What we say.
    state: Option<MessageStatus>,
    /// Our reason for it is that the process was killed.
    by_crash: bool,
    /// There were two messages for this number.
    twice: bool,
}

/// What a receipt tells, by rank.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Word {
    Sent,
    Final,
}

/// What a judge finds about one recipient.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Finding {
    pub(super) missing: bool,
    pub(super) contradicted: bool,
    pub(super) unexplained: bool,
    pub(super) differs: bool,
    pub(super) unknown_untaken: bool,
}

impl Life {
    /// A number on the list that should get the text with this hash.
    pub(super) fn expecting(expected: Option<u64>) -> Self {
        Self {
            expected,
            ..Self::default()
        }
    }

    /// A text of the expected or of other words was submitted.
    pub(super) fn submitted(&mut self, text: &TextRecord<'_>, as_expected: bool) {
        // Over the limit is nobody's fault but ours, so it explains nothing.
        self.answer_fault |= text.fault.is_some() && text.refusal != Some(Refusal::OverLimit);
        self.receipt_missing |= text.receipts.iter().any(|receipt| receipt.withheld);
        if !text.took {
            return;
        }
        if as_expected {
            self.taken += 1;
        } else {
            self.foreign += 1;
        }
        if let Some(course) = text.course {
            self.ends |= bit(course.outcome);
        }
    }

    /// A receipt was tried before the states were asked for.
    pub(super) fn told(&mut self, receipt: &ReceiptRecord<'_>) {
        if !receipt.result.was_received() {
            self.receipt_missing = true;
            return;
        }
        let word = if receipt.status.is_final() {
            Word::Final
        } else {
            Word::Sent
        };
        self.told = self.told.max(Some(word));
    }

    /// What we say.
    pub(super) fn says(&mut self, state: &MessageState) {
        self.twice |= self.state.is_some();
        self.state = Some(state.status);
        self.by_crash = state.by_crash;
    }

    /// Holds all against each other; `kills` is how often the node was killed.
    pub(super) fn judge(&self, kills: u32) -> Finding {
        let Some(state) = self.state else {
            // A number on the list that has no message at all.
            return Finding {
                contradicted: self.is_taken(),
                differs: true,
                ..Finding::default()
            };
        };
        Finding {
            missing: !self.is_taken() && claims_taken(state),
            contradicted: self.twice || self.contradicts(state),
            unexplained: !self.explains(state, kills),
            differs: !self.equals_book(state),
            unknown_untaken: state == MessageStatus::Unknown && !self.is_taken(),
        }
    }

    fn is_taken(&self) -> bool {
        self.taken + self.foreign > 0
    }

    fn may_end(&self, status: Status) -> bool {
        self.ends & bit(status) != 0
    }

    /// Whether `state` cannot stand beside the last word. Where the last receipt is
    /// missing, a look-up may have told us what the text's course was, so a final
    /// state has to be the course's end and needs no receipt.
    fn contradicts(&self, state: MessageStatus) -> bool {
        if self.expected.is_none() {
            return state != MessageStatus::Skipped;
        }
        match state {
            // Still under way: the identity shows it as pending, which never balances.
            MessageStatus::Scheduled | MessageStatus::Queued | MessageStatus::Submitting => false,
            MessageStatus::Accepted => self.told.is_some(),
            MessageStatus::Sent => {
                let can_be_sent =
                    self.may_end(Status::Delivered) || self.may_end(Status::Undelivered);
                self.told == Some(Word::Final) || (self.is_taken() && !can_be_sent)
            }
            MessageStatus::Delivered => self.is_taken() && !self.may_end(Status::Delivered),
            MessageStatus::Undelivered => self.is_taken() && !self.may_end(Status::Undelivered),
            MessageStatus::Failed => self.is_taken() && !self.may_end(Status::Failed),
            MessageStatus::Expired | MessageStatus::Canceled => self.is_taken(),
            MessageStatus::Skipped => true,
            MessageStatus::Unknown => self.told.is_some(),
        }
    }

    fn explains(&self, state: MessageStatus, kills: u32) -> bool {
        match state {
            MessageStatus::Failed => self.answer_fault || self.may_end(Status::Failed),
            MessageStatus::Unknown => {
                self.answer_fault || self.receipt_missing || (kills > 0 && self.by_crash)
            }
            MessageStatus::Scheduled
            | MessageStatus::Queued
            | MessageStatus::Submitting
            | MessageStatus::Accepted
            | MessageStatus::Sent
            | MessageStatus::Delivered
            | MessageStatus::Undelivered
            | MessageStatus::Expired
            | MessageStatus::Canceled
            | MessageStatus::Skipped => true,
        }
    }

    /// Whether the state is the end of the book's text: what must hold without faults.
    fn equals_book(&self, state: MessageStatus) -> bool {
        let end = match state {
            MessageStatus::Delivered => Status::Delivered,
            MessageStatus::Undelivered => Status::Undelivered,
            MessageStatus::Failed => Status::Failed,
            MessageStatus::Skipped => return self.expected.is_none() && !self.is_taken(),
            MessageStatus::Scheduled
            | MessageStatus::Queued
            | MessageStatus::Submitting
            | MessageStatus::Accepted
            | MessageStatus::Sent
            | MessageStatus::Expired
            | MessageStatus::Canceled
            | MessageStatus::Unknown => return false,
        };
        self.ends == bit(end)
    }
}

/// Whether the state says that a provider has the text and did not refuse it.
pub(in crate::demo) fn claims_taken(state: MessageStatus) -> bool {
    matches!(
        state,
        MessageStatus::Accepted
            | MessageStatus::Sent
            | MessageStatus::Delivered
            | MessageStatus::Undelivered
    )
}

const fn bit(status: Status) -> u8 {
    match status {
        Status::Queued => 1,
        Status::Sent => 2,
        Status::Delivered => 4,
        Status::Undelivered => 8,
        Status::Failed => 16,
    }
}
