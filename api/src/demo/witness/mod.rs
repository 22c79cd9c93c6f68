//! The witness: holds the sandbox's book against the contacts file and the states that
//! we tell, recipient by recipient, and never looks at an id of ours.
//!
//! It reads the contacts and writes the texts itself. The book is one iterator over its
//! records, the states are what `GET /v1/messages` lists, so any run over a sandbox can
//! be judged: a demonstration, a process that was killed, a simulation.

mod contacts;
mod life;
mod records;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

pub use contacts::{ContactsError, ExpectedTexts, RecordCounts, read_rejects};
use sandbox::book::{BookError, ReceiptRecord, Record, TextRecord};
use schemas::MessageStatus;
use serde::{Deserialize, Serialize};

use contacts::{hash_of, number_of};
use life::Life;
pub(in crate::demo) use life::claims_taken;

/// What the book says about our claims. texts = distinct + duplicates + unexpected.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Oracle {
    /// Texts that the provider took.
    pub texts: u64,
    /// Recipients of whom it took the expected text.
    pub distinct: u64,
    /// Texts beyond the first for a recipient.
    pub duplicates: u64,
    /// Recipients that we call accepted, sent, delivered or undelivered and of whom the
    /// provider never took a text.
    pub missing: u64,
    /// Texts to nobody on the list or with another body.
    pub unexpected: u64,
    /// Messages whose state differs from the last word that the book sent about them.
    pub contradicted: u64,
    /// Unknown or failed messages without an injected fault, a missing receipt or a
    /// kill behind them.
    pub unexplained: u64,
}

impl Oracle {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        let wrong = [
            self.duplicates,
            self.missing,
            self.unexpected,
            self.contradicted,
            self.unexplained,
        ];
        wrong.iter().all(|count| *count == 0)
    }
}

/// All that a judge found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Verdict {
    /// The counts that must be 0, and what they are shares of.
    pub oracle: Oracle,
    /// Recipients whose state is not the end of their text in the book. 0 in a run
    /// without faults that came to its end.
    pub differing: u64,
    /// Unknown messages whose text the provider never took: after kills, at most the
    /// attempts that were open at them.
    pub unknown_untaken: u64,
    /// Messages that we told of.
    pub messages: u64,
}

/// What we say about one message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MessageState {
    number: u64,
    status: MessageStatus,
    by_crash: bool,
}

impl MessageState {
    /// The state of the message to the E.164 number `to`; `None` when it is no number.
    pub fn new(to: &str, status: MessageStatus, reason: Option<&str>) -> Option<Self> {
        let number = number_of(to)?;
        Some(Self {
            number,
            status,
            by_crash: reason == Some("crash"),
        })
    }
}

/// What happened around the run that is in neither book.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Circumstances {
    /// When we began to ask for the states, in microseconds since 1970: receipts that
    /// ended later need not be in them.
    pub states_asked_at: u64,
    /// How often the node was killed.
    pub kills: u32,
}

/// Reads a book record by record, then judges.
pub struct Witness {
    lives: BTreeMap<u64, Life>,
    /// The recipients of taken texts, by the provider's id.
    texts: BTreeMap<u64, u64>,
    oracle: Oracle,
    circumstances: Circumstances,
}

impl Witness {
    /// A witness who knows what should have been sent.
    pub fn new(expected: ExpectedTexts, circumstances: Circumstances) -> Self {
        let lives = expected.into_texts().into_iter();
        Self {
            lives: lives
                .map(|(number, text)| (number, Life::expecting(text)))
                .collect(),
            texts: BTreeMap::new(),
            oracle: Oracle::default(),
            circumstances,
        }
    }

    /// Takes in one record of the book, in the book's order.
    pub fn read(&mut self, record: &Record<'_>) {
        match record {
            Record::Text(text) => self.read_text(text),
            Record::Receipt(receipt) => self.read_receipt(receipt),
            Record::Start(_) | Record::Stall(_) | Record::Stop(_) => {}
        }
    }

    fn read_text(&mut self, text: &TextRecord<'_>) {
        self.oracle.texts += u64::from(text.took);
        let life = number_of(&text.to)
            .and_then(|number| self.lives.get_mut(&number).map(|life| (number, life)));
        let Some((number, life)) = life else {
            self.oracle.unexpected += u64::from(text.took);
            return;
        };
        life.submitted(text, life.expected == Some(hash_of(&text.body)));
        if let Some(sid) = &text.sid {
            self.texts.insert(key_of(&text.account, sid), number);
        }
    }

    fn read_receipt(&mut self, receipt: &ReceiptRecord<'_>) {
        if receipt.ended >= self.circumstances.states_asked_at {
            return;
        }
        let number = self.texts.get(&key_of(&receipt.account, &receipt.sid));
        if let Some(life) = number.and_then(|number| self.lives.get_mut(number)) {
            life.told(receipt);
        }
    }

    /// Holds what was read against our states.
    pub fn judge(mut self, states: impl IntoIterator<Item = MessageState>) -> Verdict {
        let mut verdict = Verdict {
            oracle: self.oracle,
            ..Verdict::default()
        };
        for state in states {
            verdict.messages += 1;
            match self.lives.get_mut(&state.number) {
                Some(life) => life.says(&state),
                // A message to nobody on the list.
                None => verdict.oracle.contradicted += 1,
            }
        }
        let oracle = &mut verdict.oracle;
        for life in self.lives.values() {
            let finding = life.judge(self.circumstances.kills);
            oracle.distinct += u64::from(life.taken > 0);
            oracle.duplicates += u64::from(life.taken.saturating_sub(1));
            oracle.unexpected += u64::from(life.foreign);
            oracle.missing += u64::from(finding.missing);
            oracle.contradicted += u64::from(finding.contradicted);
            oracle.unexplained += u64::from(finding.unexplained);
            verdict.differing += u64::from(finding.differs);
            verdict.unknown_untaken += u64::from(finding.unknown_untaken);
        }
        verdict
    }
}

/// Judges a whole book.
///
/// # Errors
/// The first record that cannot be read.
pub fn judge<'a>(
    expected: ExpectedTexts,
    book: impl IntoIterator<Item = Result<Record<'a>, BookError>>,
    states: impl IntoIterator<Item = MessageState>,
    circumstances: Circumstances,
) -> Result<Verdict, BookError> {
    let mut witness = Witness::new(expected, circumstances);
    for record in book {
        witness.read(&record?);
    }
    Ok(witness.judge(states))
}

fn key_of(account: &str, sid: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (account, sid).hash(&mut hasher);
    hasher.finish()
}
