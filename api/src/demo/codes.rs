//! One-time codes beside the campaign: whether somebody who waits for one has to wait for
//! everybody on the list.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use engine::runtime::{BootMicros, Runtime};
use futures::future::{Either, select};
use sandbox::book::Record;
use schemas::http::messages::{MessageBody, MessageRequest, Recipient};
use schemas::{Body, CampaignId, MessageId, ProviderId, UnixMicros};
use serde::Serialize;

use super::campaign::{StepError, User};
use super::pacing::SendStamp;
use super::witness::claims_taken;

/// Who asks for codes: a number of the range that is set aside for fiction, which no
/// generated contact has.
const ASKS_FOR_CODES: &str = "+12025550199";

/// How the text of a code begins.
const WORDS: &str = "Your code is ";

/// Whether a text is a code, by whom it is for and what it says.
pub(super) fn is_code(to: &str, body: &str) -> bool {
    to == ASKS_FOR_CODES && body.starts_with(WORDS)
}

/// How often a code is asked for.
const EVERY: Duration = Duration::from_millis(100);

/// How long the last codes are waited for, in microseconds: longer than a retry takes.
const LEAVE_WITHIN: BootMicros = 30_000_000;

/// The sandbox writes its book down this often, and more.
const BOOKED_WITHIN: Duration = Duration::from_millis(100);

/// Codes between two looks whether the campaign is over.
const CODES_PER_LOOK: u32 = 10;

/// What is asked for.
pub(super) struct Codes {
    /// The first digits of all of this start, so that no two texts are the same.
    start: u32,
    ids: Vec<MessageId>,
}

/// What became of the codes, for the balance.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize)]
pub(super) struct CodesRow {
    /// Codes that were answered with 202.
    pub(super) asked: u64,
    /// Those of which a provider took a text.
    pub(super) taken: u64,
    /// Texts beyond one for each attempt that the node tells of.
    pub(super) duplicates: u64,
    /// Codes that the node calls accepted, sent, delivered or undelivered and of which no
    /// provider took a text.
    pub(super) missing: u64,
    /// Milliseconds from the request to the last send stamp, of those that left: the median.
    pub(super) wait_p50_ms: Option<f64>,
    /// Of 99 in 100.
    pub(super) wait_p99_ms: Option<f64>,
    /// Of all.
    pub(super) wait_most_ms: Option<f64>,
}

impl Codes {
    /// None yet. `starts` is how often a node was started on the folder.
    pub(super) fn new(starts: u32) -> Self {
        Self {
            start: starts,
            ids: Vec::new(),
        }
    }

    /// Asks for codes until nobody waits for the campaign any more.
    pub(super) async fn ask(
        &mut self,
        user: &User,
        campaign: CampaignId,
        runtime: &Runtime,
    ) -> Result<(), StepError> {
        loop {
            for _ in 0..CODES_PER_LOOK {
                let request = MessageRequest {
                    to: Some(Recipient(ASKS_FOR_CODES.to_owned())),
                    body: Some(Body::new(self.next_text())),
                    class: Some("transactional".to_owned()),
                    ..MessageRequest::default()
                };
                self.ids.push(user.send(&request).await?.id);
                runtime.sleep(EVERY).await;
            }
            let numbers = user.numbers(campaign).await?;
            if numbers.pending == 0 && !numbers.still_counting {
                return Ok(());
            }
        }
    }

    fn next_text(&self) -> String {
        format!("{WORDS}{:02}{:06}.", self.start % 100, self.ids.len())
    }

    /// Asks for codes while `follows` goes on, and gives what that ends with.
    pub(super) async fn beside<T>(
        &mut self,
        user: &User,
        campaign: CampaignId,
        runtime: &Runtime,
        follows: impl Future<Output = Result<T, StepError>>,
    ) -> Result<T, StepError> {
        let (follows, asks) = (pin!(follows), pin!(self.ask(user, campaign, runtime)));
        match select(follows, asks).await {
            Either::Left((ended, _)) => ended,
            Either::Right((asked, follows)) => {
                asked?;
                follows.await
            }
        }
    }

    /// What the node says of each of them, once the last ones have left and the book has them.
    pub(super) async fn messages(
        self,
        user: &User,
        runtime: &Runtime,
    ) -> Result<Vec<MessageBody>, StepError> {
        let until = runtime.boot() + LEAVE_WITHIN;
        let mut messages = Vec::with_capacity(self.ids.len());
        for id in self.ids {
            let mut message = user.message(id).await?;
            while message.status.is_pending() && runtime.boot() < until {
                runtime.sleep(EVERY).await;
                message = user.message(id).await?;
            }
            messages.push(message);
        }
        runtime.sleep(BOOKED_WITHIN).await;
        Ok(messages)
    }
}

/// How often each code was taken, by the book.
#[derive(Default)]
pub(super) struct CodesTaken(BTreeMap<String, u64>);

impl CodesTaken {
    /// Takes in a record, if it is of a code.
    pub(super) fn read(&mut self, record: &Record<'_>) -> bool {
        match record {
            Record::Text(text) if is_code(&text.to, &text.body) => {
                *self.0.entry(text.body.to_string()).or_default() += u64::from(text.took);
                true
            }
            Record::Text(_)
            | Record::Receipt(_)
            | Record::Start(_)
            | Record::Stall(_)
            | Record::Stop(_) => false,
        }
    }

    /// Holds the book against what the node says.
    pub(super) fn judge(&self, messages: &[MessageBody]) -> CodesRow {
        let mut row = CodesRow::default();
        let mut waits = Vec::new();
        for message in messages {
            let taken = self.0.get(message.body.as_str()).copied().unwrap_or(0);
            row.asked += 1;
            row.taken += u64::from(taken > 0);
            row.duplicates += taken.saturating_sub(u64::from(message.attempts));
            row.missing += u64::from(taken == 0 && claims_taken(message.status));
            waits.extend(wait_of(message));
        }
        waits.sort_unstable();
        let milliseconds = |percent| Some(percentile(&waits, percent)? as f64 / 1_000.0);
        CodesRow {
            wait_p50_ms: milliseconds(50),
            wait_p99_ms: milliseconds(99),
            wait_most_ms: milliseconds(100),
            ..row
        }
    }
}

/// The send stamps of the codes: what they took of a provider's limit.
pub(super) fn stamps(messages: &[MessageBody]) -> Vec<(ProviderId, SendStamp)> {
    let stamps = messages.iter().filter_map(|message| {
        let at = sent_at(message)?;
        let stamp = SendStamp {
            at: u64::try_from(at.0).ok()?,
            segments: message.segments,
            // They come at a pace of their own and do not show that work waits.
            first: false,
        };
        Some((message.provider?, stamp))
    });
    stamps.collect()
}

fn sent_at(message: &MessageBody) -> Option<UnixMicros> {
    UnixMicros::from_rfc3339(message.sent_at.as_deref()?)
}

/// Microseconds from the request to the last send stamp.
fn wait_of(message: &MessageBody) -> Option<i64> {
    let asked_at = UnixMicros::from_rfc3339(&message.created_at)?;
    Some(sent_at(message)?.0 - asked_at.0)
}

/// The smallest of these, which are in order, that so many of a hundred do not exceed.
fn percentile(waits: &[i64], percent: usize) -> Option<i64> {
    let rank = (waits.len() * percent).div_ceil(100).max(1);
    waits.get(rank - 1).copied()
}
