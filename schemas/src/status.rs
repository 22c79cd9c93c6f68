//! The states of a message and the one table of edges between them.
//!
//! ```text
//! scheduled ─▶ queued ─▶ submitting ─▶ accepted ─▶ sent ─▶ delivered
//!                 ▲           │            │         │
//!                 ├── retry ──┤            └────┬────┘
//!                 └─ resend ─ unknown ──────────┴─▶ undelivered, failed, expired, canceled
//! ```
//! `delivered`, `undelivered`, `failed`, `expired`, `canceled` and `skipped` are final
//! and never left. `unknown` is an end too, but a real one: the provider may have the
//! text or not, so a later receipt may still resolve it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where a message stands. The order is that of a message's life.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum MessageStatus {
    /// Waits for its `send_at`.
    Scheduled,
    /// Waits for a provider with a free permit, or for its next attempt.
    Queued,
    /// An attempt is committed and its outcome is not.
    Submitting,
    /// The provider said it has the text.
    Accepted,
    /// The provider handed the text to the carrier.
    Sent,
    /// The carrier says it reached the handset. Final.
    Delivered,
    /// The carrier says it did not. Final.
    Undelivered,
    /// Refused by the provider, or given up. Final.
    Failed,
    /// Its validity ended first. Final.
    Expired,
    /// Withdrawn before it left. Final.
    Canceled,
    /// A gate held it back, with a reason. Final.
    Skipped,
    /// The provider may or may not have it.
    Unknown,
}

/// What a receipt says of a text, in our words.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReceiptStatus {
    /// The provider has it.
    Accepted,
    /// The carrier has it.
    Sent,
    /// The handset has it.
    Delivered,
    /// The carrier could not deliver it.
    Undelivered,
    /// The provider could not send it.
    Failed,
    /// Its validity ended at the provider.
    Expired,
    /// It was withdrawn at the provider.
    Canceled,
}

/// What can happen to a message.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StatusEvent {
    /// Its `send_at` came.
    Due,
    /// An attempt was committed.
    AttemptBegun,
    /// The provider took the text.
    SubmitAccepted,
    /// The provider refused the text for good.
    SubmitRejected,
    /// Throttled or certainly not sent: it waits for another attempt.
    RetryPlanned,
    /// Throttled or certainly not sent, and no attempt is left.
    GivenUp,
    /// The attempt's outcome cannot be known.
    OutcomeUnknown,
    /// A receipt, or a look-up that answers as one.
    Receipt(ReceiptStatus),
    /// No receipt came by validity and 72 hours.
    NoReceipt,
    /// Policy sends an unknown message again.
    Resend,
    /// A gate held it back.
    Skip,
    /// Its validity ended before it left.
    ValidityEnded,
    /// Withdrawn before it left.
    Cancel,
}

impl MessageStatus {
    /// Every state, in the order of a message's life.
    pub const ALL: [Self; 12] = [
        Self::Scheduled,
        Self::Queued,
        Self::Submitting,
        Self::Accepted,
        Self::Sent,
        Self::Delivered,
        Self::Undelivered,
        Self::Failed,
        Self::Expired,
        Self::Canceled,
        Self::Skipped,
        Self::Unknown,
    ];

    /// The word in JSON, in rows and on metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Queued => "queued",
            Self::Submitting => "submitting",
            Self::Accepted => "accepted",
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Undelivered => "undelivered",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Canceled => "canceled",
            Self::Skipped => "skipped",
            Self::Unknown => "unknown",
        }
    }

    /// Whether nothing can change it any more.
    pub const fn is_final(self) -> bool {
        match self {
            Self::Delivered
            | Self::Undelivered
            | Self::Failed
            | Self::Expired
            | Self::Canceled
            | Self::Skipped => true,
            Self::Scheduled
            | Self::Queued
            | Self::Submitting
            | Self::Accepted
            | Self::Sent
            | Self::Unknown => false,
        }
    }

    /// Whether it has not been handed to a provider yet, as `pending` counts it.
    pub const fn is_pending(self) -> bool {
        matches!(self, Self::Scheduled | Self::Queued | Self::Submitting)
    }

    /// The state after `event`, or `None` when the event changes nothing here.
    pub fn next(self, event: StatusEvent) -> Option<Self> {
        match event {
            StatusEvent::Due => self.only_from(Self::is_scheduled, Self::Queued),
            StatusEvent::AttemptBegun => self.only_from(Self::is_queued, Self::Submitting),
            StatusEvent::SubmitAccepted => self.only_from(Self::is_submitting, Self::Accepted),
            StatusEvent::SubmitRejected | StatusEvent::GivenUp => {
                self.only_from(Self::is_submitting, Self::Failed)
            }
            StatusEvent::RetryPlanned => self.only_from(Self::is_submitting, Self::Queued),
            StatusEvent::OutcomeUnknown => self.only_from(Self::is_submitting, Self::Unknown),
            StatusEvent::Receipt(receipt) => self.after_receipt(receipt),
            StatusEvent::NoReceipt => self.only_from(Self::awaits_receipt, Self::Unknown),
            StatusEvent::Resend => self.only_from(Self::is_unknown, Self::Queued),
            StatusEvent::Skip => self.only_from(Self::has_not_begun, Self::Skipped),
            StatusEvent::ValidityEnded => self.only_from(Self::is_pending, Self::Expired),
            StatusEvent::Cancel => self.only_from(Self::has_not_begun, Self::Canceled),
        }
    }

    fn only_from(self, from: impl Fn(Self) -> bool, next: Self) -> Option<Self> {
        from(self).then_some(next)
    }

    const fn is_scheduled(self) -> bool {
        matches!(self, Self::Scheduled)
    }

    const fn is_queued(self) -> bool {
        matches!(self, Self::Queued)
    }

    const fn is_submitting(self) -> bool {
        matches!(self, Self::Submitting)
    }

    const fn is_unknown(self) -> bool {
        matches!(self, Self::Unknown)
    }

    /// Whether it waits and no attempt is open.
    pub const fn has_not_begun(self) -> bool {
        matches!(self, Self::Scheduled | Self::Queued)
    }

    /// Whether a provider has it and a receipt may still come.
    pub const fn awaits_receipt(self) -> bool {
        matches!(self, Self::Accepted | Self::Sent)
    }

    /// Receipts join by rank: accepted < sent < the ends. A queued message may have
    /// one too: an attempt that was thought not to have left had left after all.
    /// While an attempt is open its receipts wait for its outcome.
    fn after_receipt(self, receipt: ReceiptStatus) -> Option<Self> {
        let status = receipt.as_status();
        match self {
            Self::Queued | Self::Unknown => Some(status),
            Self::Accepted | Self::Sent => (status > self).then_some(status),
            Self::Scheduled
            | Self::Submitting
            | Self::Delivered
            | Self::Undelivered
            | Self::Failed
            | Self::Expired
            | Self::Canceled
            | Self::Skipped => None,
        }
    }
}

impl ReceiptStatus {
    /// Every word, lowest rank first.
    pub const ALL: [Self; 7] = [
        Self::Accepted,
        Self::Sent,
        Self::Delivered,
        Self::Undelivered,
        Self::Failed,
        Self::Expired,
        Self::Canceled,
    ];

    /// The message state this receipt speaks of.
    pub const fn as_status(self) -> MessageStatus {
        match self {
            Self::Accepted => MessageStatus::Accepted,
            Self::Sent => MessageStatus::Sent,
            Self::Delivered => MessageStatus::Delivered,
            Self::Undelivered => MessageStatus::Undelivered,
            Self::Failed => MessageStatus::Failed,
            Self::Expired => MessageStatus::Expired,
            Self::Canceled => MessageStatus::Canceled,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{MessageStatus as S, ReceiptStatus as R, StatusEvent as E};

    fn all_events() -> Vec<E> {
        let mut events = vec![
            E::Due,
            E::AttemptBegun,
            E::SubmitAccepted,
            E::SubmitRejected,
            E::RetryPlanned,
            E::GivenUp,
            E::OutcomeUnknown,
            E::NoReceipt,
            E::Resend,
            E::Skip,
            E::ValidityEnded,
            E::Cancel,
        ];
        events.extend(R::ALL.map(E::Receipt));
        events
    }

    /// Every edge there is, spelled out; every other pair must change nothing.
    fn edges() -> Vec<(S, E, S)> {
        let mut edges = vec![
            (S::Scheduled, E::Due, S::Queued),
            (S::Scheduled, E::Skip, S::Skipped),
            (S::Scheduled, E::ValidityEnded, S::Expired),
            (S::Scheduled, E::Cancel, S::Canceled),
            (S::Queued, E::AttemptBegun, S::Submitting),
            (S::Queued, E::Skip, S::Skipped),
            (S::Queued, E::ValidityEnded, S::Expired),
            (S::Queued, E::Cancel, S::Canceled),
            (S::Submitting, E::SubmitAccepted, S::Accepted),
            (S::Submitting, E::SubmitRejected, S::Failed),
            (S::Submitting, E::GivenUp, S::Failed),
            (S::Submitting, E::RetryPlanned, S::Queued),
            (S::Submitting, E::OutcomeUnknown, S::Unknown),
            (S::Submitting, E::ValidityEnded, S::Expired),
            (S::Accepted, E::NoReceipt, S::Unknown),
            (S::Sent, E::NoReceipt, S::Unknown),
            (S::Unknown, E::Resend, S::Queued),
        ];
        for receipt in R::ALL {
            edges.push((S::Queued, E::Receipt(receipt), receipt.as_status()));
            edges.push((S::Unknown, E::Receipt(receipt), receipt.as_status()));
            if receipt != R::Accepted {
                edges.push((S::Accepted, E::Receipt(receipt), receipt.as_status()));
                if receipt != R::Sent {
                    edges.push((S::Sent, E::Receipt(receipt), receipt.as_status()));
                }
            }
        }
        edges
    }

    #[test]
    fn the_table_holds_these_edges_and_no_other() {
        let edges = edges();
        for from in S::ALL {
            for event in all_events() {
                let expected = edges.iter().find(|edge| edge.0 == from && edge.1 == event);
                assert_eq!(
                    from.next(event),
                    expected.map(|edge| edge.2),
                    "{from:?} {event:?}"
                );
            }
        }
    }

    #[test]
    fn a_final_state_is_final() {
        for from in S::ALL.into_iter().filter(|status| status.is_final()) {
            for event in all_events() {
                assert_eq!(from.next(event), None, "{from:?} {event:?}");
            }
        }
    }

    /// Whatever the order and however often, receipts of a life that ended in one
    /// word lead to that word.
    #[test]
    fn receipts_join_in_any_order() {
        for end in [
            R::Delivered,
            R::Undelivered,
            R::Failed,
            R::Expired,
            R::Canceled,
        ] {
            let life = [R::Accepted, R::Sent, end, R::Sent, end];
            for permutation in permutations(&life) {
                let mut status = S::Accepted;
                for receipt in permutation {
                    status = status.next(E::Receipt(receipt)).unwrap_or(status);
                }
                assert_eq!(status, end.as_status());
            }
        }
    }

    fn permutations(items: &[R]) -> Vec<Vec<R>> {
        if items.is_empty() {
            return vec![Vec::new()];
        }
        (0..items.len())
            .flat_map(|index| {
                let mut rest = items.to_vec();
                let first = rest.remove(index);
                permutations(&rest).into_iter().map(move |mut tail| {
                    tail.insert(0, first);
                    tail
                })
            })
            .collect()
    }
}
