//! What follows from the outcome of an attempt.

use std::time::Duration;

use schemas::change::AfterAttempt;
use schemas::provider::SubmitOutcome;
use schemas::{Envelope, UnixMicros};

use crate::pacing::LookupSchedule;
use crate::retry::{GiveUpReason, RetryDecision, RetryPolicy};

/// The cause of a message that was pulled and handed back before its provider was
/// touched: it waits again at once, and the attempt does not count.
pub const RETURNED: &str = "returned";

/// The cause of a message that was handed back because its attempt's deadline passed
/// before a permit came; it is treated as [`RETURNED`].
pub const DEADLINE_PASSED: &str = "deadline_passed";

/// The cause of a message whose validity ended before a permit came.
pub const VALIDITY_ENDED: &str = "validity_ended";

/// What the rules need to know besides the outcome.
#[derive(Debug)]
pub struct OutcomeRules {
    /// When a message that was not taken is tried again.
    pub retry: RetryPolicy,
    /// When the provider is asked about an accepted message without a receipt.
    pub receipts: LookupSchedule,
    /// When the provider is asked about an attempt whose outcome is unknown.
    pub unknown: LookupSchedule,
}

impl OutcomeRules {
    /// What follows. `random` is 64 even random bits.
    pub fn after(
        &self,
        outcome: &SubmitOutcome,
        envelope: &Envelope,
        attempt: u32,
        now: UnixMicros,
        random: u64,
    ) -> AfterAttempt {
        match outcome {
            SubmitOutcome::Accepted { .. } => look_up_at(&self.receipts, now),
            SubmitOutcome::Unknown { .. } => look_up_at(&self.unknown, now),
            SubmitOutcome::Rejected { .. } => AfterAttempt::Settle,
            SubmitOutcome::NotSent { cause } if cause == RETURNED || cause == DEADLINE_PASSED => {
                AfterAttempt::Return(now)
            }
            SubmitOutcome::NotSent { cause } if cause == VALIDITY_ENDED => AfterAttempt::Expire,
            SubmitOutcome::NotSent { .. } => self.retry(envelope, attempt, now, None, random),
            SubmitOutcome::Throttled { retry_after_ms, .. } => {
                let wait = retry_after_ms.map(Duration::from_millis);
                self.retry(envelope, attempt, now, wait, random)
            }
        }
    }

    fn retry(
        &self,
        envelope: &Envelope,
        attempt: u32,
        now: UnixMicros,
        wait: Option<Duration>,
        random: u64,
    ) -> AfterAttempt {
        match self
            .retry
            .next_attempt(attempt, now.0, wait, envelope.valid_until.0, random)
        {
            RetryDecision::RetryAt(at) => AfterAttempt::RetryAt(UnixMicros(at)),
            RetryDecision::GiveUp(GiveUpReason::AttemptsExhausted) => AfterAttempt::GiveUp,
            RetryDecision::GiveUp(GiveUpReason::ValidityEnded) => AfterAttempt::Expire,
        }
    }
}

fn look_up_at(schedule: &LookupSchedule, now: UnixMicros) -> AfterAttempt {
    schedule.nth(0).map_or(AfterAttempt::Settle, |delay| {
        AfterAttempt::LookUpAt(now.plus(delay))
    })
}
