//! How many of the texts that a provider account is sent may be further attempts, as Finagle's
//! `RetryBudget` and the budgets of Linkerd and gRPC have it: when much goes wrong, trying again
//! makes it worse, and new texts have more to win.
//!
//! In the [`WINDOW`] that ends whenever a further attempt is given out to an account, no more of
//! them were than one for each [`TEXTS_FOR_A_RETRY`] texts that left for it in the same time, and
//! [`RESERVE`] more, so that an account with little to do can try again at all. What is over that
//! waits.

use std::time::Duration;

/// The window.
pub const WINDOW: Duration = Duration::from_secs(10);

/// Texts that left for which one further attempt may be given out: a tenth of the traffic.
pub const TEXTS_FOR_A_RETRY: u32 = 10;

/// Further attempts in a window whatever the traffic: one a second.
pub const RESERVE: u32 = 10;

/// The longest that one waits until it is asked about again: the traffic may have changed.
pub const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Microseconds of one count.
const SECOND: u64 = 1_000_000;

/// Counts that a window and what is left of the running second lie in.
const COUNTS: usize = WINDOW.as_secs() as usize + 1;

/// See the module. Instants are microseconds on the boot-time clock.
#[derive(Clone, Debug, Default)]
pub struct RetryBudget {
    /// Each second's, at its number modulo their number.
    counts: [Count; COUNTS],
    /// The running second's number.
    second: u64,
    /// Until when instants were given out to those that wait.
    booked: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    texts: u32,
    retries: u32,
}

impl RetryBudget {
    /// A text leaves, whichever attempt it is.
    pub fn left(&mut self, now: u64) {
        let count = self.running(now);
        count.texts = count.texts.saturating_add(1);
    }

    /// So many further attempts are given out, be it that some come back.
    pub fn give(&mut self, now: u64, retries: u32) {
        let count = self.running(now);
        count.retries = count.retries.saturating_add(retries);
    }

    /// How many may be given out now. Attempts of up to a second before the window are counted,
    /// and texts of the last part of it alone, so that the promise holds whenever it is asked.
    pub fn room(&mut self, now: u64) -> u32 {
        self.running(now);
        let sum = |of: fn(&Count) -> u32| {
            let counts = self.counts.iter().map(of);
            counts.fold(0, u32::saturating_add)
        };
        let oldest = self.counts[place_of(self.second + 1)];
        let texts = sum(|count| count.texts) - oldest.texts;
        let retries = sum(|count| count.retries);
        (RESERVE + texts / TEXTS_FOR_A_RETRY).saturating_sub(retries)
    }

    /// When one that there is no room for may be asked about again: those that wait get instants
    /// as far apart as the texts of this window allow further attempts, the last no later than
    /// after [`LONGEST_WAIT`].
    pub fn book(&mut self, now: u64) -> u64 {
        self.booked = self.next(now);
        self.booked
    }

    /// What the next to book would get.
    pub fn next(&mut self, now: u64) -> u64 {
        self.running(now);
        let texts = self.counts.iter().map(|count| count.texts);
        let texts = texts.fold(0, u32::saturating_add);
        let apart = micros(WINDOW) / u64::from(RESERVE + texts / TEXTS_FOR_A_RETRY);
        let last = now.saturating_add(micros(LONGEST_WAIT));
        self.booked.max(now).saturating_add(apart).min(last)
    }

    /// The running second's count. Those that are older than all that is kept are forgotten.
    fn running(&mut self, now: u64) -> &mut Count {
        // A clock that is read by several threads may be told a little out of order.
        let second = (now / SECOND).max(self.second);
        let passed = (second - self.second).min(COUNTS as u64);
        for newer in 1..=passed {
            self.counts[place_of(second - passed + newer)] = Count::default();
        }
        self.second = second;
        &mut self.counts[place_of(second)]
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

const fn place_of(second: u64) -> usize {
    (second % COUNTS as u64) as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{RESERVE, RetryBudget, SECOND, TEXTS_FOR_A_RETRY, WINDOW};

    fn micros() -> u64 {
        WINDOW.as_secs() * SECOND
    }

    #[test]
    fn who_has_little_to_do_may_try_again() {
        let mut budget = RetryBudget::default();
        assert_eq!(budget.room(0), RESERVE);
        budget.give(0, RESERVE);
        assert_eq!(budget.room(micros()), 0);
        assert_eq!(budget.room(micros() + SECOND), RESERVE);
    }

    #[test]
    fn a_tenth_of_what_leaves_may_be_tried_again() {
        let (mut budget, mut given) = (RetryBudget::default(), 0);
        // A hundred a second, and more to try again than may be.
        for text in 0..100 * 60_u64 {
            let now = text * SECOND / 100;
            budget.left(now);
            let room = budget.room(now);
            budget.give(now, room);
            given += room;
        }
        assert!((540..=600 + RESERVE).contains(&given), "{given}");
    }

    #[test]
    fn a_long_rest_is_forgotten_as_a_whole() {
        let mut budget = RetryBudget::default();
        for _ in 0..1_000 {
            budget.left(5 * SECOND);
        }
        assert_eq!(budget.room(14 * SECOND), RESERVE + 100);
        budget.give(14 * SECOND, 50);
        assert_eq!(budget.room(1_000_000 * SECOND), RESERVE);
    }

    #[test]
    fn those_that_wait_are_asked_about_one_after_the_other() {
        let mut budget = RetryBudget::default();
        let mut book = |now| budget.book(now * SECOND) / SECOND;
        assert_eq!([book(5), book(5), book(6)], [6, 7, 8]);
        // Whoever comes when all have been asked about is not behind them.
        assert_eq!(book(20), 21);
        let last = (0..100).map(|_| book(20)).last();
        assert_eq!(last, Some(80));
        // A hundred texts a second: ten more each second.
        for text in 0..1_000 {
            budget.left(100 * SECOND + text * SECOND / 100);
        }
        let (first, second) = (budget.book(110 * SECOND), budget.book(110 * SECOND));
        assert_eq!(second - first, SECOND / 11);
    }

    proptest! {
        /// Whatever leaves and is given out when: in no window that ends with a further attempt
        /// are more than its texts allow.
        #[test]
        fn no_window_holds_more_than_its_texts_allow(
            steps in prop::collection::vec((0_u64..2 * SECOND, 0_u32..40, any::<bool>()), 1..200),
        ) {
            let (mut budget, mut now) = (RetryBudget::default(), 100 * SECOND);
            let (mut left, mut given): (Vec<u64>, Vec<u64>) = (Vec::new(), Vec::new());
            for (wait, many, leaves) in steps {
                now += wait;
                if leaves {
                    (0..many).for_each(|_| budget.left(now));
                    left.extend((0..many).map(|_| now));
                }
                let retries = budget.room(now).min(many);
                budget.give(now, retries);
                given.extend((0..retries).map(|_| now));
                let within = |all: &[u64]| {
                    let inside = all.iter().filter(|at| **at + micros() > now);
                    u32::try_from(inside.count()).expect("few")
                };
                let most = RESERVE + within(&left) / TEXTS_FOR_A_RETRY;
                let many = within(&given);
                prop_assert!(retries == 0 || many <= most, "{many} > {most}");
            }
        }
    }
}
