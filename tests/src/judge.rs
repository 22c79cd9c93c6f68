//! The judge: what a node says of its messages against what the sandbox's book says of
//! the texts it took. Recipients and bodies are compared, never ids of ours.

use std::collections::BTreeMap;
use std::path::Path;

use engine::pacing::sliding::most_in_any_second;
use sandbox::AnswerFault;
use sandbox::book::{Book, Record};
use sandbox::core::{Refusal, Status};
use schemas::{Message, MessageStatus, ProviderId};

/// What the sandbox has of one recipient.
#[derive(Debug, Default)]
pub struct AtProvider {
    /// Each text that was taken, and what became or becomes of it.
    pub taken: Vec<Taken>,
    /// Injected faults of the answers, of texts taken and not taken.
    pub faults: Vec<AnswerFault>,
    /// Refusals that were not injected.
    pub refusals: Vec<Refusal>,
}

/// A text that the provider has.
#[derive(Debug)]
pub struct Taken {
    /// The text.
    pub body: String,
    /// What becomes of it in the end.
    pub outcome: Option<Status>,
}

/// The sandbox's book, by recipient.
#[derive(Debug, Default)]
pub struct Witness {
    /// Recipients as they were written in the requests.
    pub recipients: BTreeMap<String, AtProvider>,
    /// Arrivals (microseconds, segments) of every text, by provider account.
    pub arrivals: BTreeMap<String, Vec<(u64, u32)>>,
}

impl Witness {
    /// Reads the book in a folder.
    pub fn read(book: &Path) -> Self {
        let mut witness = Self::default();
        for record in Book::read(book).expect("the book can be read") {
            let Record::Text(text) = record.expect("the book is whole") else {
                continue;
            };
            let arrivals = witness.arrivals.entry(text.account.to_string());
            arrivals.or_default().push((text.at, text.segments));
            let recipient = witness.recipients.entry(text.to.to_string()).or_default();
            recipient.faults.extend(text.fault);
            recipient.refusals.extend(text.refusal);
            if text.took {
                recipient.taken.push(Taken {
                    body: text.body.to_string(),
                    outcome: text.course.map(|course| course.outcome),
                });
            }
        }
        witness
    }

    /// Takes out the recipients of whom `is_other` is true. Arrivals stay: they count
    /// together.
    pub fn split_off(&mut self, is_other: impl Fn(&str) -> bool) -> Self {
        let all = std::mem::take(&mut self.recipients).into_iter();
        let (recipients, own) = all.partition(|(to, _)| is_other(to));
        self.recipients = own;
        Self {
            recipients,
            arrivals: BTreeMap::new(),
        }
    }

    /// The most segments that arrived in any sliding second, by provider account.
    pub fn most_arrived(&self) -> BTreeMap<&str, u64> {
        let accounts = self.arrivals.iter();
        accounts
            .map(|(account, arrivals)| {
                let most = most_in_any_second(arrivals.iter().copied());
                (account.as_str(), most)
            })
            .collect()
    }
}

/// How the node's messages and the book compare. The first five must be 0.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Texts beyond the first for a recipient.
    pub duplicates: usize,
    /// Recipients that the node calls reached, or has no message for, and the provider
    /// never took.
    pub missing: usize,
    /// Texts to nobody on the list, or with another body than theirs.
    pub unexpected: usize,
    /// Messages whose state is not one that their text can have.
    pub contradicted: usize,
    /// Unknown or failed messages with neither an injected fault nor a kill behind them.
    pub unexplained: usize,
    /// Messages that are unknown and that the provider never took.
    pub unknown_never_taken: usize,
    /// Messages that are unknown and that the provider took.
    pub unknown_taken: usize,
}

impl Verdict {
    /// Whether the five that must be 0 are.
    pub fn balances(&self) -> bool {
        let faults = [
            self.duplicates,
            self.missing,
            self.unexpected,
            self.contradicted,
            self.unexplained,
        ];
        faults.iter().sum::<usize>() == 0
    }
}

/// Compares. `expected` holds the text of each recipient; `killed` tells whether the
/// node was killed meanwhile, which explains any unknown message.
pub fn judge(
    witness: &Witness,
    messages: &[Message],
    expected: &BTreeMap<String, String>,
    killed: bool,
) -> Verdict {
    let mut verdict = Verdict::default();
    for (to, recipient) in &witness.recipients {
        verdict.duplicates += recipient.taken.len().saturating_sub(1);
        let is_other = |taken: &&Taken| expected.get(to) != Some(&taken.body);
        verdict.unexpected += recipient.taken.iter().filter(is_other).count();
    }
    let mut stated = BTreeMap::new();
    for message in messages {
        let to = message.envelope.to.as_str();
        let twice = stated.insert(to, message.status).is_some();
        verdict.duplicates += usize::from(twice);
    }
    let nothing = AtProvider::default();
    for to in expected.keys() {
        let recipient = witness.recipients.get(to).unwrap_or(&nothing);
        match stated.get(to.as_str()) {
            Some(status) => judge_one(&mut verdict, *status, recipient, killed),
            None => verdict.missing += 1,
        }
    }
    verdict
}

fn judge_one(verdict: &mut Verdict, status: MessageStatus, recipient: &AtProvider, killed: bool) {
    let taken = !recipient.taken.is_empty();
    let ends_as = |status| {
        recipient
            .taken
            .iter()
            .any(|taken| taken.outcome == Some(status))
    };
    match status {
        MessageStatus::Accepted | MessageStatus::Sent => {
            verdict.missing += usize::from(!taken);
            // A text that the provider fails is never handed to a carrier.
            let never_sent = status == MessageStatus::Sent && ends_as(Status::Failed);
            verdict.contradicted += usize::from(taken && never_sent);
        }
        MessageStatus::Delivered => {
            verdict.missing += usize::from(!taken);
            verdict.contradicted += usize::from(taken && !ends_as(Status::Delivered));
        }
        MessageStatus::Undelivered => {
            verdict.missing += usize::from(!taken);
            verdict.contradicted += usize::from(taken && !ends_as(Status::Undelivered));
        }
        MessageStatus::Failed => {
            verdict.contradicted += usize::from(taken && !ends_as(Status::Failed));
            let explained = !recipient.faults.is_empty() || !recipient.refusals.is_empty();
            verdict.unexplained += usize::from(!taken && !explained);
        }
        MessageStatus::Unknown => {
            let count = if taken {
                &mut verdict.unknown_taken
            } else {
                &mut verdict.unknown_never_taken
            };
            *count += 1;
            verdict.unexplained += usize::from(recipient.faults.is_empty() && !killed);
        }
        MessageStatus::Scheduled
        | MessageStatus::Queued
        | MessageStatus::Submitting
        | MessageStatus::Expired
        | MessageStatus::Canceled
        | MessageStatus::Skipped => {
            // Nothing of the kind is left, or wanted, in these campaigns.
            verdict.contradicted += usize::from(taken);
            verdict.missing += usize::from(!taken);
        }
    }
}

/// The most segments in any sliding second by the node's own send stamps, by provider
/// account.
pub fn most_sent(messages: &[Message]) -> BTreeMap<ProviderId, u64> {
    let most = |(provider, stamps)| (provider, most_in_any_second(stamps));
    stamps(messages).into_iter().map(most).collect()
}

/// The node's own send stamps (microseconds, segments), by provider account. A message
/// tells of its last attempt only, and an attempt that a kill cut off of none.
pub fn stamps(messages: &[Message]) -> BTreeMap<ProviderId, Vec<(u64, u32)>> {
    let mut stamps: BTreeMap<ProviderId, Vec<(u64, u32)>> = BTreeMap::new();
    for message in messages {
        if let (Some(provider), Some(at)) = (message.provider, message.last_sent_at) {
            let at = u64::try_from(at.0).expect("after 1970");
            let segments = message.envelope.segments.max(1);
            stamps.entry(provider).or_default().push((at, segments));
        }
    }
    stamps
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use sandbox::core::Status;
    use schemas::{AccountId, Message, MessageStatus};

    use super::{AtProvider, Taken, Verdict, Witness, judge};
    use crate::fixture;

    const TO: &str = "+14155550100";

    fn message(status: MessageStatus) -> Message {
        Message {
            envelope: fixture::envelope(AccountId::from_bytes([1; 16]), None, TO),
            status,
            reason: None,
            attempts: 1,
            provider: None,
            sender: None,
            provider_message_id: None,
            last_attempt_at: None,
            last_sent_at: None,
            next_attempt_at: None,
            held: None,
            timeline: Vec::new(),
            sequence: 0,
        }
    }

    /// Texts of the one recipient, and where its message stands.
    fn judged(taken: &[(&str, Status)], status: Option<MessageStatus>, killed: bool) -> Verdict {
        let taken = taken.iter().map(|(body, outcome)| Taken {
            body: (*body).to_owned(),
            outcome: Some(*outcome),
        });
        let recipient = AtProvider {
            taken: taken.collect(),
            ..AtProvider::default()
        };
        let witness = Witness {
            recipients: BTreeMap::from([(TO.to_owned(), recipient)]),
            ..Witness::default()
        };
        let messages: Vec<Message> = status.map(message).into_iter().collect();
        let expected = BTreeMap::from([(TO.to_owned(), "Hi".to_owned())]);
        judge(&witness, &messages, &expected, killed)
    }

    #[test]
    fn each_wrong_is_seen() {
        let delivered = ("Hi", Status::Delivered);
        let is_delivered = Some(MessageStatus::Delivered);
        assert!(judged(&[delivered], is_delivered, false).balances());
        assert_eq!(
            judged(&[delivered, delivered], is_delivered, true).duplicates,
            1
        );
        assert_eq!(judged(&[], is_delivered, true).missing, 1);
        assert_eq!(judged(&[], Some(MessageStatus::Accepted), true).missing, 1);
        assert_eq!(judged(&[delivered], None, true).missing, 1);
        let other = ("Ho", Status::Delivered);
        assert_eq!(judged(&[other], is_delivered, true).unexpected, 1);
        let undelivered = ("Hi", Status::Undelivered);
        assert_eq!(judged(&[undelivered], is_delivered, true).contradicted, 1);
        let failed = Some(MessageStatus::Failed);
        assert_eq!(judged(&[delivered], failed, true).contradicted, 1);
        assert_eq!(judged(&[], failed, true).unexplained, 1);
        let unknown = Some(MessageStatus::Unknown);
        assert_eq!(judged(&[], unknown, false).unexplained, 1);
        assert!(judged(&[], unknown, true).balances());
        assert_eq!(judged(&[], unknown, true).unknown_never_taken, 1);
    }
}
