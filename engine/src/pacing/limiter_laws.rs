//! The limiter against a judge that shares no code with it, in virtual time.

use super::sliding::most_in_any_second;
use super::{CATCH_UP_MICROS, Limiter, Pace};
use proptest::prelude::*;

/// How late a caller that was told to wait asks again.
#[derive(Debug, Clone, Copy)]
enum Slop {
    /// Always by the same time.
    Constant(u64),
    /// By up to so much, differently each time.
    Random(u64),
    /// As a timer wheel with slots of 1 ms: at the end of the slot, then up to 1 ms more.
    Wheel,
}

impl Slop {
    fn wake(self, until: u64, random: u64) -> u64 {
        match self {
            Self::Constant(late) => until + late,
            Self::Random(most) => until + random % (most + 1),
            Self::Wheel => until.next_multiple_of(1_000) + random % 1_000,
        }
    }
}

fn slop() -> impl Strategy<Value = Slop> {
    prop_oneof![
        (0_u64..=2_000).prop_map(Slop::Constant),
        (0_u64..=2_000).prop_map(Slop::Random),
        Just(Slop::Wheel),
    ]
}

/// A small generator for the inner loops, seeded by proptest (SplitMix64).
struct Mix(u64);

impl Mix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

/// Rates over all magnitudes, whole and fractional.
fn rate(least: f64, most: f64) -> impl Strategy<Value = f64> {
    (least.ln()..most.ln(), any::<bool>()).prop_map(move |(log, whole)| {
        let rate = (log.exp() * 1e6).round() / 1e6;
        if whole {
            rate.ceil()
        } else {
            rate.clamp(least, most)
        }
    })
}

#[derive(Debug, Clone, Copy)]
struct Stamp {
    at: u64,
    segments: u32,
}

/// What happened to one provider account: every stamp, and every limit from when on.
#[derive(Debug, Default)]
struct History {
    stamps: Vec<Stamp>,
    limits: Vec<(u64, f64)>,
}

/// The promise's count and window in microseconds, from its definition.
fn promise(rate: f64) -> (u64, f64) {
    (rate.ceil() as u64, rate.ceil() / rate * 1e6)
}

impl History {
    /// Judges the promise of the limiter's module over every stamp.
    fn judge(&self) -> Result<(), TestCaseError> {
        let mut sums = vec![0_u64];
        for (index, stamp) in self.stamps.iter().enumerate() {
            sums.push(sums[index] + u64::from(stamp.segments));
            if index > 0 {
                let previous = self.stamps[index - 1];
                prop_assert!(stamp.at >= previous.at, "stamps go backwards");
                prop_assert!(
                    self.debt_paid(previous, stamp.at),
                    "{previous:?} then {stamp:?}"
                );
            }
            // A limit changed at the instant of a stamp: the limit set last was asked.
            let rate = self.limits[self.limits.partition_point(|(from, _)| *from <= stamp.at) - 1];
            let (count, window) = promise(rate.1);
            let oldest =
                self.stamps[..index].partition_point(|old| (stamp.at - old.at) as f64 >= window);
            let before = sums[index] - sums[oldest];
            let all = before + u64::from(stamp.segments);
            let alone = u64::from(stamp.segments) > count && before == 0;
            prop_assert!(
                all <= count || alone,
                "{all} of {count} at {stamp:?} under {rate:?}"
            );
        }
        Ok(())
    }

    /// Whether something may follow at `next`, if `text` was larger than the whole count: some
    /// limit in force since then was in force until the text's time at that rate was over, or
    /// was one that the text fits into.
    fn debt_paid(&self, text: Stamp, next: u64) -> bool {
        let ends = self
            .limits
            .iter()
            .skip(1)
            .map(|limit| limit.0)
            .chain([u64::MAX]);
        self.limits.iter().zip(ends).any(|((from, rate), end)| {
            let (count, window) = promise(*rate);
            let needed = (f64::from(text.segments) / rate * 1e6).max(window);
            let in_force = *from <= next && end >= text.at;
            let fits = u64::from(text.segments) <= count;
            in_force && (fits || (end.min(next) - text.at) as f64 >= needed)
        })
    }

    /// Judges the evenness: in the span from any stamp to any later one, no more than `at_once`
    /// and what `rate` gives in that span, but for the last text's excess over the burst.
    fn judge_evenness(&self, at_once: f64, rate: f64, burst: u32) -> Result<(), TestCaseError> {
        let (mut sum, mut lowest) = (0.0, f64::MAX);
        for stamp in &self.stamps {
            let given = stamp.at as f64 * rate / 1e6;
            lowest = f64::min(lowest, sum - given);
            sum += f64::from(stamp.segments);
            let excess = f64::from(stamp.segments.saturating_sub(burst));
            let lead = sum - given - lowest - excess;
            prop_assert!(lead <= at_once + 1e-3, "{lead} of {at_once} at {stamp:?}");
        }
        Ok(())
    }

    fn total(&self) -> u64 {
        self.stamps
            .iter()
            .map(|stamp| u64::from(stamp.segments))
            .sum()
    }
}

/// Sends texts of the sizes given for as long as told, with work always waiting.
fn send(
    limiter: &mut Limiter,
    history: &mut History,
    now: &mut u64,
    until: u64,
    slop: Slop,
    mut next: impl FnMut() -> (u32, u64),
) {
    let (mut segments, mut random) = next();
    while *now < until {
        match limiter.try_acquire(*now, segments) {
            Ok(stamp) => {
                history.stamps.push(Stamp {
                    at: stamp.at,
                    segments: stamp.segments,
                });
                (segments, random) = next();
            }
            Err(wait) => {
                assert!(
                    wait.until > *now,
                    "told to wait until {} at {now}",
                    wait.until
                );
                *now = slop.wake(wait.until, random);
                random = random.rotate_left(17).wrapping_add(1);
            }
        }
    }
}

#[derive(Debug, Clone)]
enum Event {
    /// Work waits for so long, in thousandths of the time that a few windows take.
    Busy(u64),
    /// Nothing is asked for so long.
    Idle(u64),
    SetPace(f64, Option<u32>),
    /// The process ends and another takes over that knows only when the last stamp was.
    Restart,
    /// The limiter hands over in good order.
    HandOver,
    Throttle(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (1_u64..4_000).prop_map(Event::Busy),
        2 => (1_u64..3_000).prop_map(Event::Idle),
        3 => (rate(0.01, 20_000.0), prop::option::of(1_u32..200))
            .prop_map(|(rate, burst)| Event::SetPace(rate, burst)),
        1 => Just(Event::Restart),
        1 => Just(Event::HandOver),
        1 => (1_u64..3_000).prop_map(Event::Throttle),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_promise_holds_through_changes_restarts_and_pauses(
        first in rate(0.01, 20_000.0),
        burst in prop::option::of(1_u32..200),
        events in prop::collection::vec(event(), 1..14),
        slop in slop(),
        largest in prop_oneof![Just(1_u32), 1_u32..10, 1_u32..2_000],
        start in prop_oneof![Just(0_u64), 0_u64..1 << 45],
        seed in any::<u64>(),
    ) {
        let mut mix = Mix(seed);
        let mut pace = Pace::new(first, burst).expect("a valid pace");
        let mut limiter = Limiter::new(pace, start);
        let mut history = History { stamps: Vec::new(), limits: vec![(0, first)] };
        let mut now = start;
        for event in events {
            // At least a window, shortened where a case would take too many stamps.
            let scale = |part: u64| {
                let span = (pace.window_micros() * 2).min((4e9 / pace.rate()) as u64);
                span.max(1_000) * part / 1_000
            };
            match event {
                Event::Busy(part) => {
                    let until = now + scale(part);
                    let next = || ((mix.next() % u64::from(largest)) as u32 + 1, mix.next());
                    send(&mut limiter, &mut history, &mut now, until, slop, next);
                }
                Event::Idle(part) => now += scale(part),
                Event::SetPace(rate, burst) => {
                    pace = Pace::new(rate, burst).expect("a valid pace");
                    limiter.set_pace(now, pace);
                    history.limits.push((now, rate));
                }
                Event::Restart => {
                    limiter = Limiter::new(pace, now);
                    let last = history.stamps.last().map_or(0, |stamp| stamp.at);
                    limiter.resume_after(now, last + pace.hold_micros(largest));
                }
                Event::HandOver => {
                    let rest_until = limiter.settled_at();
                    limiter = Limiter::new(pace, now);
                    limiter.resume_after(now, rest_until);
                }
                Event::Throttle(part) => {
                    let until = now + scale(part);
                    limiter.throttle(now, until);
                    prop_assert_eq!(limiter.due_within(now, (until - now).saturating_sub(1)), 0);
                    prop_assert!(limiter.earliest(now, 1) >= until);
                }
            }
            prop_assert!(limiter.runs() <= 1_024);
        }
        history.judge()?;
    }

    #[test]
    fn a_steady_pace_is_even_and_within_its_second(
        rate in rate(0.01, 20_000.0),
        burst in prop::option::of(1_u32..200),
        slop in slop(),
        largest in prop_oneof![Just(1_u32), 1_u32..10, 1_u32..2_000],
        seed in any::<u64>(),
    ) {
        let pace = Pace::new(rate, burst).expect("a valid pace");
        let mut limiter = Limiter::new(pace, 0);
        let mut history = History { stamps: Vec::new(), limits: vec![(0, rate)] };
        let mut mix = Mix(seed);
        let next = || ((mix.next() % u64::from(largest)) as u32 + 1, mix.next());
        let until = (pace.window_micros() * 3).max((1e9 / rate) as u64);
        send(&mut limiter, &mut history, &mut 0, until, slop, next);
        history.judge()?;
        let burst = pace.burst();
        let catch_up = rate * CATCH_UP_MICROS as f64 / 1e6;
        history.judge_evenness(f64::from(burst) + catch_up, rate, burst)?;
        history.judge_evenness(f64::from(burst), rate * 2.0, burst)?;
        if largest <= pace.segments_in_window() {
            let stamps = history.stamps.iter().map(|stamp| (stamp.at, stamp.segments));
            prop_assert!(most_in_any_second(stamps) <= rate.ceil() as u64);
        }
    }

    #[test]
    fn the_wait_told_is_exact_and_the_work_due_really_goes(
        rate in rate(0.01, 100_000.0),
        burst in prop::option::of(1_u32..200),
        segments in prop::collection::vec(1_u32..40, 1..60),
        horizon in 0_u64..50_000,
    ) {
        let pace = Pace::new(rate, burst).expect("a valid pace");
        let mut limiter = Limiter::new(pace, 0);
        let (mut now, mut longest) = (0, pace.window_micros());
        for segments in segments {
            let due = limiter.due_within(now, horizon);
            let mut taken = 0;
            let mut other = limiter.clone();
            while other.earliest(now, 1) <= now + horizon {
                let at = other.earliest(now, 1);
                prop_assert!(other.try_acquire(at, 1).is_ok());
                taken += 1;
            }
            prop_assert_eq!(due, taken);

            if let Err(wait) = limiter.try_acquire(now, segments) {
                // No starvation: nobody waits longer than those before take, and their window.
                prop_assert!(wait.until - now <= longest);
                prop_assert_eq!(limiter.earliest(now, segments), wait.until);
                prop_assert!(limiter.clone().try_acquire(wait.until - 1, segments).is_err());
                now = wait.until;
                prop_assert!(limiter.try_acquire(now, segments).is_ok());
            }
            longest = pace.hold_micros(segments) + (f64::from(segments) / rate * 1e6) as u64 + 2;
        }
    }
}

/// Share of the rate that is used while work waits, over a span of at least 3 s.
fn used(rate: f64, largest: u32, slop: Slop, seed: u64, most_stamps: f64) -> f64 {
    let pace = Pace::new(rate, None).expect("a valid pace");
    let mut limiter = Limiter::new(pace, 0);
    let mut history = History {
        stamps: Vec::new(),
        limits: vec![(0, rate)],
    };
    let mut mix = Mix(seed);
    let span = (most_stamps / rate * 1e6).clamp(3e6, 1e9) as u64;
    let next = || ((mix.next() % u64::from(largest)) as u32 + 1, mix.next());
    send(&mut limiter, &mut history, &mut 0, span, slop, next);
    history.judge().expect("the promise holds");
    history.total() as f64 / (rate * span as f64 / 1e6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn the_rate_is_used_by_callers_with_ordinary_timers(
        rate in rate(1.0, 100_000.0),
        slop in slop(),
        largest in prop_oneof![3 => Just(1_u32), 1 => 2_u32..7],
        seed in any::<u64>(),
    ) {
        // What remains of a window is too small for the next text: that much cannot be used.
        let unusable = f64::from(largest - 1) / rate.ceil();
        prop_assume!(unusable < 0.5);
        let used = used(rate, largest, slop, seed, 100_000.0);
        prop_assert!(used >= 0.99 - unusable, "{used}");
    }
}

#[test]
fn known_rates_are_used_and_never_exceeded() {
    for rate in [0.5, 1.0, 1.5, 3.0, 1_000.0, 100_000.0] {
        for slop in [
            Slop::Constant(0),
            Slop::Constant(2_000),
            Slop::Random(2_000),
            Slop::Wheel,
        ] {
            let used = used(rate, 1, slop, 1, 500_000.0);
            assert!(
                (0.99..1.01).contains(&used),
                "{used} of {rate} with {slop:?}"
            );
        }
    }
}

/// Stamps of one-segment texts by a caller that is never late, in milliseconds.
fn first_stamps(rate: f64, count: usize) -> Vec<u64> {
    let mut limiter = Limiter::new(Pace::new(rate, None).expect("a valid pace"), 0);
    let mut now = 0;
    let stamps = (0..count).map(|_| {
        now = limiter.earliest(now, 1);
        limiter.try_acquire(now, 1).expect("it is time").at / 1_000
    });
    stamps.collect()
}

#[test]
fn slow_rates_stamp_by_stamp() {
    assert_eq!(first_stamps(1.0, 4), [0, 1_000, 2_000, 3_000]);
    assert_eq!(first_stamps(0.5, 4), [0, 2_000, 4_000, 6_000]);
    // The second may come 5 ms early, out of the catch-up allowance; the window holds the third.
    assert_eq!(first_stamps(1.5, 5), [0, 661, 1_333, 1_995, 2_666]);
    assert_eq!(first_stamps(3.0, 5), [0, 328, 661, 1_000, 1_328]);
}

#[test]
fn a_text_beyond_the_limit_goes_and_the_next_waits_for_its_debt() {
    let mut limiter = Limiter::new(Pace::new(3.0, None).expect("a valid pace"), 0);
    assert!(limiter.try_acquire(0, 10).is_ok());
    assert_eq!(limiter.due_within(0, 3_333_333), 0);
    let wait = limiter
        .try_acquire(0, 1)
        .expect_err("10 segments take 3.3 s");
    assert_eq!(wait.until, 3_333_334);
    // Larger than the burst of 5 only. The peak is 7 in debt and wins back 8 at 2/ms; the pace,
    // with its 5 ms of catch-up, is 2 in debt and wins back the 7 that a whole burst lacks at 1/ms.
    let mut limiter = Limiter::new(Pace::new(1_000.0, None).expect("a valid pace"), 0);
    assert!(limiter.try_acquire(0, 12).is_ok());
    assert_eq!(limiter.earliest(0, 1), 4_000);
    assert_eq!(limiter.earliest(0, 12), 7_000);
}

#[test]
fn rates_and_bursts_that_cannot_be_kept_are_refused() {
    for rate in [0.0, -1.0, 0.009, 1_000_001.0, f64::NAN, f64::INFINITY] {
        assert!(Pace::new(rate, None).is_err(), "{rate}");
    }
    assert!(Pace::new(5.0, Some(0)).is_err());
    let pace = Pace::new(0.1 + 0.2, Some(9)).expect("a valid pace");
    assert_eq!(
        (pace.rate(), pace.burst(), pace.segments_in_window()),
        (0.3, 1, 1)
    );
    assert_eq!(
        Pace::new(2.999_999_999, None)
            .expect("a valid pace")
            .segments_in_window(),
        3
    );
}
