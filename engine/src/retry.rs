//! When a text that certainly was not sent is tried again, if at all.
//!
//! Exponential backoff with full jitter: the delay is drawn evenly from a floor up to a ceiling
//! that doubles, so that texts which failed together do not come back together. The provider's
//! `Retry-After` raises the floor. A retry is only planned where there is validity left for it;
//! if the ceiling lies beyond, the draw is made from the time that is left.

pub mod budget;

use std::time::Duration;

/// Least delay before a retry. A draw near zero would ask again in the same millisecond, before
/// anything can have changed; 100 ms is about one round trip to a distant provider.
pub const MIN_DELAY: Duration = Duration::from_millis(100);

/// Longest delay before a retry, also where the provider asks for more: a `Retry-After` of days,
/// by mistake or malice, must not hold a text until its validity is over.
pub const MAX_DELAY: Duration = Duration::from_secs(600);

/// How often and how soon a text is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts in all, the first included.
    pub max_attempts: u32,
    /// Ceiling of the delay after the first attempt.
    pub first_delay: Duration,
    /// By how much the ceiling grows with each further attempt.
    pub factor: u32,
}

impl Default for RetryPolicy {
    /// 3 attempts, 5 s, doubling.
    fn default() -> Self {
        Self {
            max_attempts: 3,
            first_delay: Duration::from_secs(5),
            factor: 2,
        }
    }
}

/// What becomes of a text after an attempt that did not send it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryDecision {
    /// Try again at this instant, in microseconds since the Unix epoch.
    RetryAt(i64),
    /// Do not try again.
    GiveUp(GiveUpReason),
}

/// Why a text is not tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GiveUpReason {
    /// The policy's number of attempts has been made.
    AttemptsExhausted,
    /// The text would not be valid any more at the earliest retry.
    ValidityEnded,
}

impl RetryPolicy {
    /// Decides after `attempts_made` attempts (the failed one included).
    ///
    /// `now_unix_micros` and `validity_deadline` are microseconds since the Unix epoch, `random`
    /// is 64 even random bits. A retry is always before the deadline, at least [`MIN_DELAY`] and
    /// at least the provider's `retry_after` away, the latter cut to [`MAX_DELAY`].
    pub fn next_attempt(
        &self,
        attempts_made: u32,
        now_unix_micros: i64,
        retry_after: Option<Duration>,
        validity_deadline: i64,
        random: u64,
    ) -> RetryDecision {
        if attempts_made >= self.max_attempts {
            return RetryDecision::GiveUp(GiveUpReason::AttemptsExhausted);
        }
        let floor = retry_after.unwrap_or_default().clamp(MIN_DELAY, MAX_DELAY);
        let ceiling = self.ceiling(attempts_made).max(floor);
        let (floor, ceiling) = (micros(floor), micros(ceiling));
        // The deadline itself is too late: at that instant the text is no longer valid.
        let time_left = validity_deadline
            .saturating_sub(now_unix_micros)
            .saturating_sub(1);
        if floor > time_left {
            return RetryDecision::GiveUp(GiveUpReason::ValidityEnded);
        }
        let delay = draw(floor, ceiling.min(time_left), random);
        RetryDecision::RetryAt(now_unix_micros.saturating_add(delay))
    }

    /// Longest delay after so many attempts, without the provider's word.
    fn ceiling(&self, attempts_made: u32) -> Duration {
        let doublings = attempts_made.saturating_sub(1);
        self.first_delay
            .saturating_mul(self.factor.saturating_pow(doublings))
            .min(MAX_DELAY)
    }
}

/// Whole microseconds of a delay, which is at most [`MAX_DELAY`].
fn micros(delay: Duration) -> i64 {
    i64::try_from(delay.as_micros()).unwrap_or(i64::MAX)
}

/// An even draw from `low..=high`: the high word of the product of the span and 64 random bits.
fn draw(low: i64, high: i64, random: u64) -> i64 {
    let span = u128::from(high.abs_diff(low)) + 1;
    let offset = (u128::from(random) * span) >> 64;
    low.saturating_add_unsigned(u64::try_from(offset).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
