//! What is drawn for one submission.
//!
//! The draws depend on (seed, account, recipient, body, how often this same text
//! came before) and on nothing else: not on the time, not on other texts, not on
//! the order of threads. The final outcome depends on (seed, recipient) alone unless
//! the plan says otherwise, so some numbers are always unreachable, as in the world.
//! Every submission draws the same number of values in the same order, whatever is
//! switched on.

use super::texts::{Course, Status, hash, mix};
use crate::config::AccountConfig;
use crate::faults::{AnswerFault, FaultPlan, ReceiptFault};
use crate::outage::OutageKind;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The 5xx that a [`Fate::choice`] chooses from.
pub(crate) const SERVER_ERRORS: [u16; 4] = [500, 502, 503, 504];

/// The choice of 503.
const SERVICE_UNAVAILABLE: u64 = 2;

/// The result of all draws for one submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fate {
    pub answer_fault: Option<AnswerFault>,
    pub receipt_fault: Option<ReceiptFault>,
    /// How the text goes on if it is taken.
    pub course: Course,
    /// Milliseconds that a slow answer adds.
    pub slow_ms: u64,
    /// Milliseconds that a late receipt adds.
    pub late_ms: u64,
    /// Whether it adds that to all receipts of the text.
    pub late_from_the_first: bool,
    /// A free choice for the fault itself: which 5xx, which nonsense, which receipt.
    pub choice: u64,
    /// Milliseconds until the line is cut, if there is no answer.
    pub silence_ms: u64,
    /// Seconds that a throttling answer asks to wait, if it names them.
    pub retry_after_seconds: u64,
}

impl Fate {
    /// What comes instead while the account is out of order until then, in Unix microseconds.
    pub(crate) fn in_outage(self, kind: OutageKind, now: u64, until: u64) -> Self {
        Self {
            answer_fault: Some(kind.fault()),
            silence_ms: until.saturating_sub(now).div_ceil(1_000),
            choice: SERVICE_UNAVAILABLE,
            ..self
        }
    }
}

/// What identifies a submission to the draws.
pub(crate) struct Identity {
    pub seed: u64,
    /// Hash of the account's id.
    pub account: u64,
    pub to: u64,
    /// Hash of the body.
    pub body: u64,
    /// How often the same text came before.
    pub occurrence: u64,
}

/// Draws the fate of one submission.
pub(crate) fn draw(plan: &FaultPlan, account: &AccountConfig, identity: &Identity) -> Fate {
    let mut random = seeded([
        identity.seed,
        identity.account,
        identity.to ^ mix(identity.body),
        identity.occurrence,
    ]);
    let answer_fault = pick(unit(&mut random), &plan.answer_shares());
    let receipt_fault = pick(unit(&mut random), &plan.receipt_shares());
    let sent_after_ms = within(&mut random, account.sent_after_ms);
    let final_after_ms = sent_after_ms.saturating_add(within(&mut random, account.final_after_ms));
    let slow_ms = within(&mut random, plan.slow_answer_ms);
    let late_ms = within(&mut random, plan.late_receipt_ms);
    let choice = random.next_u64();
    let retry_after_seconds = within(&mut random, plan.retry_after_seconds);
    let (outcome, code) = outcome(plan, identity);
    let course = Course {
        sent_after_ms: u32::try_from(sent_after_ms).unwrap_or(u32::MAX),
        final_after_ms: u32::try_from(final_after_ms).unwrap_or(u32::MAX),
        outcome,
        code,
    };
    Fate {
        answer_fault,
        receipt_fault,
        course,
        slow_ms,
        late_ms,
        late_from_the_first: plan.late_from_the_first,
        choice,
        silence_ms: plan.no_answer_ms,
        retry_after_seconds,
    }
}

fn outcome(plan: &FaultPlan, identity: &Identity) -> (Status, Option<u32>) {
    if plan.undelivered <= 0.0 && plan.failed <= 0.0 {
        return (Status::Delivered, None);
    }
    let text = if plan.outcome_by_text {
        mix(identity.body) ^ identity.occurrence
    } else {
        0
    };
    let mut random = seeded([identity.seed, hash(b"outcome"), identity.to, text]);
    let shares = [
        (plan.undelivered, Status::Undelivered),
        (plan.failed, Status::Failed),
    ];
    let outcome = pick(unit(&mut random), &shares).unwrap_or(Status::Delivered);
    let codes: &[u32] = match outcome {
        Status::Undelivered => &plan.undelivered_codes,
        Status::Failed => &plan.failed_codes,
        Status::Queued | Status::Sent | Status::Delivered => &[],
    };
    (outcome, choose(codes, random.next_u64()).copied())
}

/// One of `items`, or nothing of none.
pub(crate) fn choose<T>(items: &[T], choice: u64) -> Option<&T> {
    let count = u64::try_from(items.len()).ok().filter(|count| *count > 0)?;
    items.get(usize::try_from(choice % count).ok()?)
}

fn seeded(words: [u64; 4]) -> ChaCha8Rng {
    let mut seed = [0; 32];
    for (place, word) in seed.chunks_exact_mut(8).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    ChaCha8Rng::from_seed(seed)
}

/// A number in `0..1` with 53 random bits.
fn unit(random: &mut ChaCha8Rng) -> f64 {
    // 2^-53, the distance between neighbours; both conversions are exact.
    (random.next_u64() >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0)
}

fn pick<T: Copy>(draw: f64, shares: &[(f64, T)]) -> Option<T> {
    let mut end = 0.0;
    shares.iter().find_map(|(share, kind)| {
        end += share;
        (draw < end).then_some(*kind)
    })
}

fn within(random: &mut ChaCha8Rng, (low, high): (u64, u64)) -> u64 {
    low + random.next_u64() % (high - low).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::{Identity, draw};
    use crate::config::AccountConfig;
    use crate::core::texts::Status;
    use crate::faults::FaultPlan;

    fn identity(to: u64, occurrence: u64) -> Identity {
        Identity {
            seed: 7,
            account: 1,
            to,
            body: 2,
            occurrence,
        }
    }

    #[test]
    fn the_same_submission_draws_the_same() {
        let (plan, account) = (
            FaultPlan::harsh(),
            AccountConfig::new("AC1", "t", &["+1500"]),
        );
        for to in 0..500 {
            let first = draw(&plan, &account, &identity(to, 0));
            assert_eq!(first, draw(&plan, &account, &identity(to, 0)));
            let again = draw(&plan, &account, &identity(to, 1));
            assert_eq!(first.course.outcome, again.course.outcome);
        }
    }

    #[test]
    fn a_text_may_end_in_its_own_way() {
        let plan = FaultPlan {
            outcome_by_text: true,
            ..FaultPlan::harsh()
        };
        let account = AccountConfig::new("AC1", "t", &["+1500"]);
        let outcome = |to, before| draw(&plan, &account, &identity(to, before)).course.outcome;
        let differ = (0..500).filter(|to| outcome(*to, 0) != outcome(*to, 1));
        assert!(differ.count() > 50);
    }

    #[test]
    fn shares_are_met() {
        let (plan, account) = (
            FaultPlan::harsh(),
            AccountConfig::new("AC1", "t", &["+1500"]),
        );
        let fates: Vec<_> = (0..20_000)
            .map(|to| draw(&plan, &account, &identity(to, 0)))
            .collect();
        let faulty = fates
            .iter()
            .filter(|fate| fate.answer_fault.is_some())
            .count();
        // 21 % of 20,000 is 4,200 with a standard deviation of 58.
        assert!((3_900..4_500).contains(&faulty), "{faulty}");
        let lost = fates
            .iter()
            .filter(|fate| fate.course.outcome == Status::Undelivered)
            .count();
        assert!((1_800..2_200).contains(&lost), "{lost}");
        assert!(
            fates
                .iter()
                .all(|fate| fate.course.sent_after_ms < fate.course.final_after_ms)
        );
    }

    #[test]
    fn no_faults_means_none() {
        let (plan, account) = (
            FaultPlan::none(),
            AccountConfig::new("AC1", "t", &["+1500"]),
        );
        for to in 0..2_000 {
            let fate = draw(&plan, &account, &identity(to, 0));
            assert_eq!((fate.answer_fault, fate.receipt_fault), (None, None));
            assert_eq!(fate.course.outcome, Status::Delivered);
        }
    }
}
