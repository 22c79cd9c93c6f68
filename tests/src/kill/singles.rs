//! Transactional texts beside a campaign. Each request has an `Idempotency-Key` and is
//! repeated until its answer comes, so each makes one message; where an outcome cannot
//! be known the message may be sent again, and its timeline says so.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use engine::runtime::Runtime;
use schemas::{Message, MessageId, MessageStatus};
use tokio::sync::mpsc;

use crate::judge::Witness;
use crate::user::User;

/// Requests at once.
const SENDERS: u64 = 4;

/// All recipients of single texts, and of nothing else, begin with this.
const PREFIX: &str = "+1650";

/// Texts that are being sent.
pub struct Singles {
    shared: Arc<Shared>,
    answered: mpsc::UnboundedReceiver<Single>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    asked: AtomicU64,
    answered: AtomicU64,
}

/// One text that was acknowledged.
pub struct Single {
    /// Its message.
    pub id: MessageId,
    to: String,
    body: String,
}

impl Singles {
    /// Begins to send. Each sender waits for so long after an answer.
    pub fn start(runtime: &Runtime, user: &Arc<User>, pause: Duration) -> Self {
        let shared = Arc::new(Shared::default());
        let (answers, answered) = mpsc::unbounded_channel();
        for _ in 0..SENDERS {
            let (shared, user) = (Arc::clone(&shared), Arc::clone(user));
            runtime.spawn(send(shared, user, pause, answers.clone()));
        }
        Self { shared, answered }
    }

    /// Nobody who sends.
    pub fn none() -> Self {
        let (_, answered) = mpsc::unbounded_channel();
        Self {
            shared: Arc::default(),
            answered,
        }
    }

    /// How many were acknowledged so far.
    pub fn answered(&self) -> u64 {
        self.shared.answered.load(Ordering::Relaxed)
    }

    /// Begins no more, and waits until every request has its answer.
    pub async fn stop(mut self) -> Vec<Single> {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        while let Some(single) = self.answered.recv().await {
            all.push(single);
        }
        let asked = self.shared.asked.load(Ordering::Relaxed);
        assert_eq!(all.len() as u64, asked, "every request has its answer");
        all
    }
}

async fn send(
    shared: Arc<Shared>,
    user: Arc<User>,
    pause: Duration,
    answers: mpsc::UnboundedSender<Single>,
) {
    while !shared.stop.load(Ordering::Relaxed) {
        let number = shared.asked.fetch_add(1, Ordering::Relaxed);
        let to = format!("{PREFIX}{:07}", 2_000_000 + number);
        let body = format!("Code {number}");
        let id = user.send(&to, &body).await;
        shared.answered.fetch_add(1, Ordering::Relaxed);
        // Nobody listens only when the run has failed already.
        let _ = answers.send(Single { id, to, body });
        tokio::time::sleep(pause).await;
    }
}

/// Whether a book's or message's recipient got single texts.
pub fn is_single(to: &str) -> bool {
    to.starts_with(PREFIX)
}

/// How single texts ended.
#[derive(Debug, Default)]
pub struct SinglesVerdict {
    /// Messages.
    pub messages: u64,
    /// Acknowledged texts without a message, or said to be reached and never taken.
    pub lost: u64,
    /// Texts beyond one for each attempt that may have been needed.
    pub twice: u64,
    /// Texts to somebody else, or with another body.
    pub unexpected: u64,
    /// Times a message was sent again, by the timelines.
    pub resends: u64,
    /// Second texts that are explained by such a time.
    pub second_texts: u64,
    /// Unknown and never taken.
    pub unknown_never_taken: u64,
}

/// Compares single texts with their messages and the book. Both hold nothing else.
pub fn judge(singles: &[Single], witness: &Witness, messages: &[&Message]) -> SinglesVerdict {
    let mut verdict = SinglesVerdict::default();
    let mut by_recipient: BTreeMap<&str, Vec<&Message>> = BTreeMap::new();
    for message in messages {
        let to = message.envelope.to.as_str();
        by_recipient.entry(to).or_default().push(message);
    }
    for single in singles {
        let found = by_recipient.remove(single.to.as_str()).unwrap_or_default();
        verdict.messages += found.len() as u64;
        verdict.twice += found.len().saturating_sub(1) as u64;
        let is_it = |message: &&&Message| message.envelope.id == single.id;
        let Some(message) = found.iter().find(is_it) else {
            verdict.lost += 1;
            continue;
        };
        let taken = witness.recipients.get(&single.to).map(|to| &to.taken[..]);
        let taken = taken.unwrap_or_default();
        verdict.unexpected += taken.iter().filter(|text| text.body != single.body).count() as u64;
        judge_one(&mut verdict, message, taken.len() as u64);
    }
    // What is left has a message and was never acknowledged.
    verdict.unexpected += by_recipient.len() as u64;
    verdict
}

fn judge_one(verdict: &mut SinglesVerdict, message: &Message, taken: u64) {
    let told = message.timeline.iter();
    let resends = told.filter(|entry| entry.event == "resend_planned").count() as u64;
    verdict.resends += resends;
    verdict.second_texts += taken.saturating_sub(1);
    verdict.twice += taken.saturating_sub(1 + resends);
    let is_unknown = message.status == MessageStatus::Unknown;
    // Planned to be sent again when the node was stopped.
    let is_to_be_resent = message.status == MessageStatus::Queued && resends > 0;
    if taken == 0 && is_unknown {
        verdict.unknown_never_taken += 1;
    } else if taken == 0 && !is_to_be_resent {
        verdict.lost += 1;
    }
}
