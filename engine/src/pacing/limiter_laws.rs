//! The limiter against a judge that shares no code with it, in virtual time.

use super::limiter_judge::{History, Mix, Slop, Stamp, rate, send, slop};
use super::sliding::most_in_any_second;
use super::{CATCH_UP_MICROS, Limiter, Pace};
use proptest::prelude::*;

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

/// Stamps of an earlier life fill the window, however often the limit is changed: 39 of a
/// limit that came second are not more than the 17 of the first.
#[test]
fn what_is_not_known_fills_the_window_of_every_limit() {
    let pace = |rate| Pace::new(rate, None).expect("a valid pace");
    let fast = pace(19_918.403_616);
    let mut limiter = Limiter::new(fast, 0);
    limiter.resume_after(0, fast.hold_micros(1));
    limiter.set_pace(0, pace(16.032_589));
    let last = pace(38.919_257);
    limiter.set_pace(0, last);
    let lost_at = fast.hold_micros(1) - fast.window_micros();
    assert_eq!(limiter.earliest(0, 1), lost_at + last.window_micros());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

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
        rate in rate(0.01, 20_000.0),
        burst in prop::option::of(1_u32..200),
        segments in prop::collection::vec(1_u32..40, 1..60),
        horizon in 0_u64..20_000,
    ) {
        let pace = Pace::new(rate, burst).expect("a valid pace");
        let mut limiter = Limiter::new(pace, 0);
        let (mut now, mut longest) = (0, pace.window_micros());
        let mut sent: Vec<(u64, u32)> = Vec::new();
        for segments in segments {
            let due = limiter.due_within(now, horizon);
            let mut taken = 0;
            let mut other = limiter.clone();
            while other.earliest(now, 1) <= now + horizon {
                let at = other.earliest(now, 1);
                prop_assert!(other.try_acquire(at, 1).is_ok());
                taken += 1;
            }
            prop_assert!(taken <= due, "{taken} of {due}");
            // A run of stamps may count for 0.1 % longer than its window.
            let counts_from = now.saturating_sub(pace.window_micros() * 1_001 / 1_000);
            let counted = sent.iter().filter(|(at, _)| *at >= counts_from);
            let counted: u64 = counted.map(|(_, segments)| u64::from(*segments)).sum();
            if counted + due <= u64::from(pace.segments_in_window()) {
                let rounded = if pace.burst() == 1 { due as f64 * rate * 2e-6 + 1.0 } else { 0.0 };
                prop_assert!(due - taken <= rounded as u64, "{taken} of {due}");
            }

            if let Err(wait) = limiter.try_acquire(now, segments) {
                // No starvation: nobody waits longer than those before take, and their window.
                prop_assert!(wait.until - now <= longest);
                prop_assert_eq!(limiter.earliest(now, segments), wait.until);
                prop_assert!(limiter.clone().try_acquire(wait.until - 1, segments).is_err());
                now = wait.until;
                prop_assert!(limiter.try_acquire(now, segments).is_ok());
            }
            sent.push((now, segments));
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
    #![proptest_config(ProptestConfig::with_cases(50))]

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
        let used = used(rate, largest, slop, seed, 50_000.0);
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
            let used = used(rate, 1, slop, 1, 200_000.0);
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
fn a_longer_window_counts_what_a_shorter_one_had_dropped_even_after_a_hand_over() {
    let pace = |rate| Pace::new(rate, None).expect("a valid pace");
    let mut limiter = Limiter::new(pace(1.0), 0);
    assert!(limiter.try_acquire(500, 1).is_ok());
    limiter.set_pace(1_500_000, pace(3.0));
    let mut next = Limiter::new(pace(3.0), 1_500_000);
    next.resume_after(1_500_000, limiter.settled_at());
    for mut limiter in [limiter, next] {
        assert_eq!(limiter.earliest(1_500_000, 1), 1_500_000);
        limiter.set_pace(1_500_000, pace(0.5));
        assert_eq!(limiter.earliest(1_500_000, 1), 2_000_500);
    }
}

/// A campaign takes all it may, stands still now and then, and codes find a permit at once
/// while they are no more than the reserve in the time that brings it back.
#[test]
fn what_is_urgent_finds_a_permit_beside_what_takes_everything() {
    for rate in [500.0, 1_000.0, 7_321.0, 50_000.0] {
        let pace = Pace::new(rate, None).expect("a valid pace");
        let mut limiter = Limiter::new(pace, 0);
        let (mut stamps, mut codes) = (Vec::new(), 0);
        for milli in 0..10_000_u64 {
            let now = milli * 1_000;
            // Whole seconds later the window has the same hole.
            if milli % 777 > 6 {
                while limiter.try_acquire_sparing(now, 1).is_ok() {
                    stamps.push((now, 1));
                }
            }
            if milli % 50 == 49 {
                let stamp = limiter.try_acquire(now, 1);
                assert!(stamp.is_ok(), "{rate}/s at {milli} ms: {stamp:?}");
                codes += 1;
                stamps.push((now, 1));
            }
        }
        let sent = stamps.len() as f64;
        assert!(
            codes == 200 && sent >= 0.98 * 10.0 * rate,
            "{sent} at {rate}/s"
        );
        assert!(most_in_any_second(stamps) <= rate as u64);
    }
}

#[test]
fn memory_is_bounded_where_many_runs_meet() {
    // 512 texts a microsecond apart have a run each; then a fast limit adds one each millisecond.
    let mut limiter = Limiter::new(Pace::new(512.0, Some(512)).expect("a valid pace"), 0);
    let mut history = History {
        stamps: Vec::new(),
        limits: vec![(0, 512.0), (600, 100_000.0)],
    };
    for now in 0..512 {
        let stamp = limiter.try_acquire(now, 1).expect("within the burst");
        history.stamps.push(Stamp {
            at: stamp.at,
            segments: 1,
        });
    }
    assert_eq!(limiter.runs(), 512);
    limiter.set_pace(600, Pace::new(100_000.0, None).expect("a valid pace"));
    let next = || (1, 0);
    send(
        &mut limiter,
        &mut history,
        &mut 600,
        990_000,
        Slop::Constant(0),
        next,
    );
    assert_eq!(limiter.runs(), 1_024);
    send(
        &mut limiter,
        &mut history,
        &mut 990_000,
        3_000_000,
        Slop::Constant(0),
        next,
    );
    assert!(limiter.runs() <= 1_002);
    history.judge().expect("the promise holds");
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
