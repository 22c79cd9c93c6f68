//! A small model of messages, made apart from the journal: it knows which change must
//! be taken and which refused, and nothing of rows.

use proptest::prelude::*;
use schemas::MessageStatus;
use schemas::change::Learnt;
use schemas::status::ReceiptStatus;

/// One thing that is handed to the journal, about one of the messages.
#[derive(Clone, Debug)]
pub enum Step {
    /// A `send_at` to come.
    Schedule,
    /// An attempt with the next number, or one before or after it.
    Begin(i32),
    /// The outcome of the open attempt, or of one that is not open.
    End(Ending, bool),
    /// A receipt.
    Receipt {
        /// About the latest attempt (0) or an earlier one.
        back: u32,
        /// Whether it names the attempt.
        named: bool,
        /// Whose text it speaks of.
        text: Text,
        /// What it says.
        status: Option<ReceiptStatus>,
        /// How it was learnt.
        learnt: Learnt,
    },
    /// Send an unknown one again.
    Resend,
    /// None came for too long.
    NoReceipt,
    /// A gate.
    Skip,
    /// Too late.
    ValidityEnded,
    /// A look-up brought nothing.
    LookedUp,
}

/// What the outcome of an attempt is.
#[derive(Clone, Copy, Debug)]
pub enum Ending {
    /// Taken.
    Accepted,
    /// Refused for good.
    Rejected,
    /// Throttled: later.
    Retry,
    /// Throttled: no attempt is left.
    GiveUp,
    /// Throttled: the validity ends first.
    Expire,
    /// Handed back untouched.
    Return,
    /// Nobody knows.
    Unknown,
}

/// Which text of the provider's.
#[derive(Clone, Copy, Debug)]
pub enum Text {
    /// That of the attempt.
    Own,
    /// That of the same attempt of another message; only a search can hit it.
    Other(usize),
    /// One that nobody of ours sent.
    Foreign,
}

/// What the model holds of a message.
#[derive(Clone, Debug, PartialEq)]
pub struct Modelled {
    /// Whether a row was written.
    pub written: bool,
    /// Where the row stands.
    pub status: MessageStatus,
    /// Attempts that count.
    pub made: u32,
    /// The open attempt.
    pub open: Option<u32>,
    /// Whether nobody knows if there is a text of the latest attempt. One that got no
    /// receipt is unknown too, but which text is its own is known.
    pub lacks_its_text: bool,
}

impl Modelled {
    /// A message that waits in an audience or a lane.
    pub fn new() -> Self {
        Self {
            written: false,
            status: MessageStatus::Queued,
            made: 0,
            open: None,
            lacks_its_text: false,
        }
    }

    /// Where it is counted.
    pub fn counted(&self) -> MessageStatus {
        if self.open.is_some() {
            MessageStatus::Submitting
        } else {
            self.status
        }
    }

    fn waits(&self) -> bool {
        matches!(
            self.status,
            MessageStatus::Scheduled | MessageStatus::Queued
        )
    }

    /// Whether the step must be taken; `None` where the model does not say.
    pub fn takes(&self, step: &Step) -> Option<bool> {
        let closed = self.open.is_none();
        Some(match step {
            Step::Schedule => closed && !self.written,
            Step::Begin(off) => closed && self.waits() && *off == 0,
            Step::End(_, right) => !closed && *right,
            Step::Resend => closed && self.status == MessageStatus::Unknown,
            Step::NoReceipt => {
                closed && matches!(self.status, MessageStatus::Accepted | MessageStatus::Sent)
            }
            Step::Skip | Step::ValidityEnded => closed && self.waits(),
            Step::LookedUp => closed && self.written,
            Step::Receipt { .. } => return None,
        })
    }

    /// Takes it.
    pub fn apply(&mut self, step: &Step) {
        let status = match step {
            Step::Begin(_) => {
                self.made += 1;
                self.open = Some(self.made);
                return;
            }
            Step::End(ending, _) => {
                self.open = None;
                self.lacks_its_text = matches!(ending, Ending::Unknown);
                if let Ending::Return = ending {
                    self.made -= 1;
                }
                ending.leaves()
            }
            Step::Schedule => MessageStatus::Scheduled,
            Step::Resend => MessageStatus::Queued,
            Step::NoReceipt => {
                self.lacks_its_text = false;
                MessageStatus::Unknown
            }
            Step::Skip => MessageStatus::Skipped,
            Step::ValidityEnded => MessageStatus::Expired,
            Step::LookedUp | Step::Receipt { .. } => return,
        };
        self.status = status;
        self.written = true;
    }
}

impl Ending {
    /// The state that this outcome alone leaves.
    pub fn leaves(self) -> MessageStatus {
        match self {
            Self::Accepted => MessageStatus::Accepted,
            Self::Rejected | Self::GiveUp => MessageStatus::Failed,
            Self::Retry | Self::Return => MessageStatus::Queued,
            Self::Expire => MessageStatus::Expired,
            Self::Unknown => MessageStatus::Unknown,
        }
    }
}

/// Any step, those of an ordinary life more often.
pub fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => Just(Step::Schedule),
        8 => prop_oneof![6 => Just(0), 1 => Just(-1), 1 => Just(1)].prop_map(Step::Begin),
        8 => (ending(), prop::bool::weighted(0.9)).prop_map(|(end, right)| Step::End(end, right)),
        8 => receipt(),
        3 => Just(Step::Resend),
        1 => Just(Step::NoReceipt),
        1 => Just(Step::Skip),
        1 => Just(Step::ValidityEnded),
        1 => Just(Step::LookedUp),
    ]
}

fn ending() -> impl Strategy<Value = Ending> {
    prop_oneof![
        3 => Just(Ending::Accepted),
        1 => Just(Ending::Rejected),
        2 => Just(Ending::Retry),
        1 => Just(Ending::GiveUp),
        1 => Just(Ending::Expire),
        2 => Just(Ending::Return),
        4 => Just(Ending::Unknown),
    ]
}

fn receipt() -> impl Strategy<Value = Step> {
    let status = prop_oneof![
        1 => Just(None),
        6 => prop::sample::select(ReceiptStatus::ALL.to_vec()).prop_map(Some),
    ];
    let told =
        (0_u32..3, any::<bool>(), prop::bool::weighted(0.1)).prop_map(|(back, named, foreign)| {
            let text = if foreign { Text::Foreign } else { Text::Own };
            (back, named, text, Learnt::Webhook)
        });
    let fetched = (0_u32..2).prop_map(|back| (back, true, Text::Own, Learnt::Fetch));
    let text = prop_oneof![
        2 => Just(Text::Own),
        2 => (0_usize..4).prop_map(Text::Other),
        1 => Just(Text::Foreign),
    ];
    let searched = text.prop_map(|text| (0, true, text, Learnt::Search));
    let source = prop_oneof![3 => told, 1 => fetched, 2 => searched];
    (source, status).prop_map(|((back, named, text, learnt), status)| Step::Receipt {
        back,
        named,
        text,
        status,
        learnt,
    })
}
