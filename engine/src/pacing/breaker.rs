//! The breaker of one provider account: whether it seems to work, from nothing but its
//! answers, and so whether work may be handed to it.
//!
//! - **Closed**: all is well. It opens after [`FAILURES`] failures in a row, or when
//!   requests are out and none was answered for [`SILENCE`].
//! - **Open**: nothing goes. After a rest, which doubles each time up to [`LONGEST_REST`],
//!   one probe may go.
//! - **Half-open**: the probe is out. If it is answered the breaker closes; if not it opens
//!   again. The probe is an ordinary text and waits for the pace like any other.
//!
//! A refusal or a demand to slow down is an answer: whoever says no is there. What left
//! before the breaker opened tells nothing new when it fails, and everything when it is
//! answered.

use std::time::Duration;

use schemas::health::HealthState;

/// Failures in a row that open it: where one request in ten fails by chance, that is one
/// rest in 100,000.
pub const FAILURES: u32 = 5;

/// Without any answer for so long, while requests are out, the account is taken for dead.
/// The slowest answers of providers that work come within two seconds.
pub const SILENCE: Duration = Duration::from_secs(3);

/// The first rest.
pub const FIRST_REST: Duration = Duration::from_secs(1);

/// The longest: an account that is back is noticed within this.
pub const LONGEST_REST: Duration = Duration::from_secs(30);

/// What an answer, or the lack of one, says of the account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sign {
    /// It answered, be it with a no.
    Answers,
    /// It could not be reached, broke off, or said that it is broken.
    Fails,
}

/// What may be handed to the account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Leave {
    /// Whatever its pace allows.
    All,
    /// One text, to see whether it works.
    Probe,
    /// Nothing.
    Nothing,
}

/// See the module. Instants are microseconds on the boot-time clock.
#[derive(Clone, Debug)]
pub struct Breaker {
    state: State,
    /// How often it has opened: what left before is not what counts now.
    openings: u64,
    /// In a row.
    failures: u32,
    /// The next rest.
    rest: Duration,
    /// Requests since the last opening that have not ended.
    out: u32,
    /// When one of them last ended, or the first of them left.
    heard_at: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Closed,
    Open { until: u64 },
    HalfOpen,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            state: State::Closed,
            openings: 0,
            failures: 0,
            rest: FIRST_REST,
            out: 0,
            heard_at: 0,
        }
    }
}

impl Breaker {
    /// What may be handed to the account now.
    pub fn leave(&mut self, now: u64) -> Leave {
        let is_silent = self.out > 0 && now.saturating_sub(self.heard_at) >= micros(SILENCE);
        match self.state {
            State::Closed if !is_silent => Leave::All,
            State::Open { until } if now >= until => Leave::Probe,
            State::Closed | State::HalfOpen if is_silent => {
                self.open(now);
                Leave::Nothing
            }
            State::Closed | State::Open { .. } | State::HalfOpen => Leave::Nothing,
        }
    }

    /// A request leaves. Gives back what its end is to be told with.
    pub fn left(&mut self, now: u64) -> u64 {
        if self.out == 0 {
            self.heard_at = now;
        }
        self.out += 1;
        if let State::Open { .. } = self.state {
            self.state = State::HalfOpen;
        }
        self.openings
    }

    /// A request has ended; `opening` is what [`Breaker::left`] gave.
    pub fn ended(&mut self, now: u64, opening: u64, sign: Sign) {
        let is_of_now = opening == self.openings;
        if is_of_now {
            self.out = self.out.saturating_sub(1);
            self.heard_at = now;
        }
        match sign {
            Sign::Answers => {
                self.state = State::Closed;
                self.failures = 0;
                self.rest = FIRST_REST;
            }
            Sign::Fails if is_of_now => {
                self.failures += 1;
                if self.state == State::HalfOpen || self.failures >= FAILURES {
                    self.open(now);
                }
            }
            Sign::Fails => {}
        }
    }

    /// Whether nothing goes but probes.
    pub fn is_open(&self) -> bool {
        self.state != State::Closed
    }

    /// Whether it is open for longer than a moment: a probe has failed too.
    pub fn is_dead(&self) -> bool {
        self.is_open() && self.rest > FIRST_REST * 2
    }

    /// Whether a probe may go, and none is out.
    pub fn wants_probe(&self, now: u64) -> bool {
        matches!(self.state, State::Open { until } if now >= until)
    }

    /// What people are told of it.
    pub fn health(&self) -> HealthState {
        match self.state {
            State::Closed => HealthState::Working,
            State::Open { .. } => HealthState::Resting,
            State::HalfOpen => HealthState::Probing,
        }
    }

    fn open(&mut self, now: u64) {
        let until = now + micros(self.rest);
        self.state = State::Open { until };
        self.openings += 1;
        (self.failures, self.out) = (0, 0);
        self.rest = (self.rest * 2).min(LONGEST_REST);
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000;

    /// A breaker that has just opened, at 10 s.
    fn opened() -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 0..FAILURES {
            assert_eq!(breaker.leave(10 * SECOND), Leave::All);
            let left = breaker.left(10 * SECOND);
            breaker.ended(10 * SECOND, left, Sign::Fails);
        }
        breaker
    }

    #[test]
    fn it_opens_after_failures_in_a_row() {
        let mut breaker = opened();
        assert_eq!(breaker.leave(11 * SECOND - 1), Leave::Nothing);
        assert_eq!(breaker.leave(11 * SECOND), Leave::Probe);
    }

    #[test]
    fn an_answer_in_between_keeps_it_closed() {
        let mut breaker = Breaker::default();
        for _ in 0..100 {
            for sign in [Sign::Fails; 4].into_iter().chain([Sign::Answers]) {
                let left = breaker.left(0);
                breaker.ended(0, left, sign);
                assert_eq!(breaker.leave(0), Leave::All);
            }
        }
    }

    #[test]
    fn it_opens_when_nothing_is_answered() {
        let mut breaker = Breaker::default();
        breaker.left(5 * SECOND);
        breaker.left(7 * SECOND);
        assert_eq!(breaker.leave(8 * SECOND - 1), Leave::All);
        assert_eq!(breaker.leave(8 * SECOND), Leave::Nothing);
        assert_eq!(breaker.leave(9 * SECOND), Leave::Probe);
        // An account without requests is not silent.
        assert_eq!(Breaker::default().leave(100 * SECOND), Leave::All);
    }

    #[test]
    fn rests_double_up_to_the_longest() {
        let (mut breaker, mut now, mut rests) = (opened(), 10 * SECOND, Vec::new());
        for _ in 0..7 {
            let begun = now;
            while breaker.leave(now) == Leave::Nothing {
                now += SECOND / 2;
            }
            rests.push((now - begun) / SECOND);
            let probe = breaker.left(now);
            assert_eq!(breaker.leave(now), Leave::Nothing, "one probe at a time");
            breaker.ended(now, probe, Sign::Fails);
        }
        assert_eq!(rests, [1, 2, 4, 8, 16, 30, 30]);
    }

    #[test]
    fn a_probe_that_is_answered_closes_it_and_one_that_is_not_does_not() {
        let mut breaker = opened();
        let probe = breaker.left(11 * SECOND);
        breaker.ended(11 * SECOND, probe, Sign::Answers);
        assert_eq!(breaker.leave(11 * SECOND), Leave::All);
        let mut breaker = opened();
        breaker.left(11 * SECOND);
        assert_eq!(breaker.leave(14 * SECOND), Leave::Nothing);
        assert_eq!(breaker.leave(16 * SECOND), Leave::Probe);
    }

    #[test]
    fn it_is_dead_from_the_first_probe_that_fails_until_an_answer() {
        let mut breaker = opened();
        assert!(breaker.is_open() && !breaker.is_dead());
        assert!(!breaker.wants_probe(11 * SECOND - 1) && breaker.wants_probe(11 * SECOND));
        let probe = breaker.left(11 * SECOND);
        assert!(!breaker.is_dead() && !breaker.wants_probe(12 * SECOND));
        breaker.ended(12 * SECOND, probe, Sign::Fails);
        assert!(breaker.is_dead() && !breaker.wants_probe(12 * SECOND));
        let probe = breaker.left(14 * SECOND);
        assert!(breaker.is_dead(), "while the next probe is out too");
        breaker.ended(14 * SECOND, probe, Sign::Answers);
        assert!(!breaker.is_dead());
    }

    #[test]
    fn what_left_before_it_opened_is_no_probe() {
        let mut breaker = Breaker::default();
        let early = breaker.left(0);
        for _ in 0..FAILURES {
            let left = breaker.left(0);
            breaker.ended(0, left, Sign::Fails);
        }
        let probe = breaker.left(SECOND);
        breaker.ended(SECOND, early, Sign::Fails);
        breaker.ended(SECOND, probe, Sign::Answers);
        assert_eq!(breaker.leave(SECOND), Leave::All);
        let mut breaker = Breaker::default();
        let early = breaker.left(0);
        assert_eq!(breaker.leave(3 * SECOND), Leave::Nothing);
        breaker.ended(3 * SECOND, early, Sign::Answers);
        assert_eq!(breaker.leave(3 * SECOND), Leave::All);
    }

    proptest! {
        /// Whatever is answered and when: while it is open there is at most one probe, and
        /// it never stays open for longer than the longest rest without asking for one.
        #[test]
        fn there_is_one_probe_and_always_another(
            steps in prop::collection::vec((0_u64..4 * SECOND, 0_u8..3), 1..300),
        ) {
            let (mut breaker, mut now, mut asked_at) = (Breaker::default(), 0, 0);
            let mut out: Vec<u64> = Vec::new();
            for (wait, what) in steps {
                now += wait;
                let leave = breaker.leave(now);
                if leave != Leave::Nothing {
                    asked_at = now;
                    out.push(breaker.left(now));
                } else if breaker.is_open() {
                    let longest = micros(LONGEST_REST + SILENCE) + 8 * SECOND;
                    prop_assert!(now - asked_at <= longest, "{} s", (now - asked_at) / SECOND);
                }
                let probes = out.iter().filter(|opening| **opening == breaker.openings);
                prop_assert!(!breaker.is_open() || probes.count() <= 1);
                if what < 2 && !out.is_empty() {
                    let sign = if what == 0 { Sign::Answers } else { Sign::Fails };
                    breaker.ended(now, out.remove(0), sign);
                }
            }
        }
    }
}
