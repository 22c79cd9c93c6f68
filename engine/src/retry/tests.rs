use super::{GiveUpReason, MAX_DELAY, MIN_DELAY, RetryDecision, RetryPolicy};
use proptest::prelude::*;
use std::time::Duration;

const SECOND: i64 = 1_000_000;
const NOW: i64 = 1_800_000_000 * SECOND;
const FAR: i64 = NOW + 86_400 * SECOND;

fn delay(decision: RetryDecision, now: i64) -> Option<i64> {
    match decision {
        RetryDecision::RetryAt(at) => Some(at - now),
        RetryDecision::GiveUp(_) => None,
    }
}

#[test]
fn three_attempts_within_five_and_ten_seconds() {
    let policy = RetryPolicy::default();
    let at = |attempts, random| delay(policy.next_attempt(attempts, NOW, None, FAR, random), NOW);
    assert_eq!(at(1, 0), Some(SECOND / 10));
    assert_eq!(at(1, u64::MAX), Some(5 * SECOND));
    assert_eq!(at(2, 0), Some(SECOND / 10));
    assert_eq!(at(2, u64::MAX), Some(10 * SECOND));
    assert_eq!(
        policy.next_attempt(3, NOW, None, FAR, 0),
        RetryDecision::GiveUp(GiveUpReason::AttemptsExhausted)
    );
}

#[test]
fn the_providers_wait_is_obeyed_up_to_ten_minutes() {
    let policy = RetryPolicy::default();
    let at = |wait| delay(policy.next_attempt(1, NOW, Some(wait), FAR, 0), NOW);
    assert_eq!(at(Duration::from_secs(30)), Some(30 * SECOND));
    assert_eq!(at(Duration::MAX), Some(600 * SECOND));
    assert_eq!(at(Duration::ZERO), Some(SECOND / 10));
}

#[test]
fn the_last_microsecond_of_the_validity_is_used_and_the_deadline_is_not() {
    let policy = RetryPolicy::default();
    let floor = MIN_DELAY.as_micros() as i64;
    let given_up = RetryDecision::GiveUp(GiveUpReason::ValidityEnded);
    assert_eq!(policy.next_attempt(1, NOW, None, NOW + floor, 0), given_up);
    assert_eq!(policy.next_attempt(1, NOW, None, NOW - SECOND, 0), given_up);
    assert_eq!(
        policy.next_attempt(1, NOW, None, NOW + floor + 1, u64::MAX),
        RetryDecision::RetryAt(NOW + floor)
    );
}

#[test]
fn draws_are_spread_over_the_whole_range() {
    let policy = RetryPolicy::default();
    let mut tenths = [0_u32; 10];
    for step in 0..1_000_u64 {
        let random = step * (u64::MAX / 1_000);
        let drawn = delay(policy.next_attempt(1, NOW, None, FAR, random), NOW).expect("retried");
        tenths[usize::try_from((drawn - 100_000) * 10 / 4_900_001).expect("in range")] += 1;
    }
    assert!(
        tenths.iter().all(|count| (99..=101).contains(count)),
        "{tenths:?}"
    );
}

proptest! {
    #[test]
    fn a_retry_is_within_every_bound(
        max_attempts in 0_u32..8,
        first_delay in 0_u64..100_000,
        factor in 0_u32..5,
        attempts in 0_u32..10,
        now in any::<i64>(),
        retry_after in prop::option::of(0_u64..2_000_000),
        validity in prop_oneof![-SECOND..20 * SECOND, any::<i64>()],
        random in any::<u64>(),
    ) {
        let first_delay = Duration::from_millis(first_delay);
        let policy = RetryPolicy { max_attempts, first_delay, factor };
        let retry_after = retry_after.map(Duration::from_millis);
        let deadline = now.saturating_add(validity);
        let asked = retry_after.unwrap_or_default().min(MAX_DELAY);
        let least = i128::from(now) + asked.max(MIN_DELAY).as_micros() as i128;
        match policy.next_attempt(attempts, now, retry_after, deadline, random) {
            RetryDecision::RetryAt(at) => {
                prop_assert!(attempts < max_attempts);
                prop_assert!(at < deadline);
                prop_assert!(i128::from(at) >= least);
                prop_assert!(i128::from(at) - i128::from(now) <= MAX_DELAY.as_micros() as i128);
                let grown = u64::from(factor).pow(attempts.saturating_sub(1));
                let most = (first_delay.as_micros() as i128 * i128::from(grown))
                    .max(asked.max(MIN_DELAY).as_micros() as i128);
                prop_assert!(i128::from(at) - i128::from(now) <= most);
            }
            RetryDecision::GiveUp(GiveUpReason::AttemptsExhausted) => {
                prop_assert!(attempts >= max_attempts);
            }
            RetryDecision::GiveUp(GiveUpReason::ValidityEnded) => {
                prop_assert!(attempts < max_attempts && least >= i128::from(deadline));
            }
        }
    }
}
