//! What a rate that adapts promises, against any answers, and against an account whose true
//! capacity is known.

use proptest::prelude::*;

use super::adaptive::{Adaptive, CUT, FLOOR, Heard, LEAST_RATE, RECOVERY};

const SECOND: u64 = 1_000_000;

/// A rate that is sent in full to an account that answers after `took` as `heard` says of each
/// instant and of what is sent then; gives back the rates at the end of each second.
fn sent(
    adaptive: &mut Adaptive,
    from: u64,
    seconds: u64,
    took: u64,
    mut heard: impl FnMut(u64, f64) -> Heard,
) -> Vec<f64> {
    let (mut now, mut rates) = (from, Vec::new());
    for second in 1..=seconds {
        while now < from + second * SECOND {
            now += (SECOND as f64 / adaptive.rate()) as u64;
            let answer = heard(now, adaptive.rate());
            adaptive.ended(now + took, now, answer);
        }
        rates.push(adaptive.rate());
    }
    rates
}

/// An account that takes so many a second and throttles the rest, evenly.
fn capacity(taken: f64) -> impl FnMut(u64, f64) -> Heard {
    let mut beyond = 0.0;
    move |_, rate| {
        beyond += (1.0 - taken / rate).max(0.0);
        if beyond >= 1.0 {
            beyond -= 1.0;
            Heard::Throttled
        } else {
            Heard::Answer
        }
    }
}

#[test]
fn an_account_that_is_well_gets_its_limit() {
    let mut adaptive = Adaptive::new(120.5);
    let rates = sent(&mut adaptive, 0, 60, 20_000, |_, _| Heard::Answer);
    assert!(rates.iter().all(|rate| *rate == 120.5));
}

#[test]
fn a_few_stray_throttled_texts_change_nothing() {
    for one_in in [12, 20, 100] {
        let (mut adaptive, mut texts) = (Adaptive::new(200.0), 0);
        let rates = sent(&mut adaptive, 0, 60, 20_000, |_, _| {
            texts += 1;
            if texts % one_in == 0 {
                Heard::Throttled
            } else {
                Heard::Answer
            }
        });
        assert!(
            rates.iter().all(|rate| *rate == 200.0),
            "{one_in}: {rates:?}"
        );
    }
}

#[test]
fn it_falls_at_once_and_hovers_about_what_the_account_takes() {
    for (limit, taken) in [(100.0, 50.0), (1_000.0, 200.0), (40.0, 30.0)] {
        let mut adaptive = Adaptive::new(limit);
        let (mut answers, mut throttled) = (0_u32, 0_u32);
        let mut account = capacity(taken);
        let rates = sent(&mut adaptive, 0, 120, 30_000, |now, rate| {
            let heard = account(now, rate);
            if now > 5 * SECOND {
                answers += 1;
                throttled += u32::from(heard == Heard::Throttled);
            }
            heard
        });
        assert!(rates[2] <= taken * 1.2, "{limit}: {rates:?}");
        let mean = rates[5..].iter().sum::<f64>() / 115.0;
        assert!(mean > taken * CUT, "{limit}: {mean}");
        // Unslowed it would be half, four fifths, and a quarter.
        assert!(
            throttled * 10 <= answers,
            "{limit}: {throttled} of {answers}"
        );
    }
}

#[test]
fn it_is_back_soon_after_the_trouble_has_ended() {
    let mut adaptive = Adaptive::new(80.0);
    let rates = sent(&mut adaptive, 0, 10, 30_000, |_, _| Heard::Throttled);
    assert_eq!(rates[9], 8.0);
    let rates = sent(&mut adaptive, 10 * SECOND, 20, 30_000, |_, _| Heard::Answer);
    let back = RECOVERY.as_secs() as usize;
    assert!(rates[back / 2] < 60.0, "it comes back slowly: {rates:?}");
    assert_eq!(rates[back], 80.0, "{rates:?}");
}

#[test]
fn a_third_that_fails_is_trouble_and_a_sixth_is_not() {
    let failing = |one_in: u64| {
        let (mut adaptive, mut texts) = (Adaptive::new(100.0), 0);
        let rates = sent(&mut adaptive, 0, 20, 30_000, |_, _| {
            texts += 1;
            if texts % one_in == 0 {
                Heard::Failure
            } else {
                Heard::Answer
            }
        });
        rates[19]
    };
    assert_eq!(failing(6), 100.0);
    assert!(failing(3) < 40.0);
    assert!(failing(2) < 40.0);
}

#[test]
fn answers_that_slow_down_are_trouble_until_they_are_usual() {
    let mut adaptive = Adaptive::new(100.0);
    sent(&mut adaptive, 0, 30, 100_000, |_, _| Heard::Answer);
    // A little slower is nothing.
    let rates = sent(&mut adaptive, 30 * SECOND, 10, 400_000, |_, _| {
        Heard::Answer
    });
    assert!(rates.iter().all(|rate| *rate == 100.0), "{rates:?}");
    let rates = sent(&mut adaptive, 40 * SECOND, 10, 2_000_000, |_, _| {
        Heard::Answer
    });
    assert!(rates[5] < 50.0, "{rates:?}");
    // Whoever goes on like that is not slowed down for it for good.
    let rates = sent(&mut adaptive, 50 * SECOND, 240, 2_000_000, |_, _| {
        Heard::Answer
    });
    assert_eq!(rates[239], 100.0);
}

#[test]
fn what_left_before_it_fell_does_not_let_it_fall_again() {
    let mut adaptive = Adaptive::new(100.0);
    for text in 0..100 {
        adaptive.ended(5 * SECOND + text * 10_000, SECOND, Heard::Throttled);
    }
    assert_eq!(adaptive.rate(), 70.0);
}

#[test]
fn another_limit_is_used_as_much_as_the_one_before() {
    let mut adaptive = Adaptive::new(100.0);
    adaptive.set_limit(25.0);
    assert_eq!(adaptive.rate(), 25.0);
    adaptive.set_limit(100.0);
    assert_eq!(adaptive.rate(), 100.0);
    for text in 0..3 {
        adaptive.ended(SECOND + text, SECOND, Heard::Throttled);
    }
    assert_eq!(adaptive.rate(), 70.0);
    adaptive.set_limit(20.0);
    assert_eq!(adaptive.rate(), 14.0);
    // One that is as slow as the least rate is not slowed down.
    adaptive.set_limit(0.5);
    assert_eq!((adaptive.rate(), adaptive.is_slowed()), (0.5, false));
}

proptest! {
    /// Whatever is answered and when: never above the limit, never under the floor, changed a
    /// few times a second at most, down by one cut at a time, and up by no more than passed.
    #[test]
    fn it_stays_between_the_floor_and_the_limit(
        limit in prop_oneof![0.01_f64..2.0, 1.0_f64..50_000.0],
        answers in prop::collection::vec((0_u64..400_000, 0_u64..3 * SECOND, 0_u8..4), 1..400),
    ) {
        let mut adaptive = Adaptive::new(limit);
        let (mut now, mut changed) = (SECOND, Vec::new());
        for (wait, took, what) in answers {
            now += wait;
            let before = adaptive.rate();
            let heard = match what {
                0 => Heard::Throttled,
                1 => Heard::Failure,
                _ => Heard::Answer,
            };
            let told = adaptive.ended(now, now.saturating_sub(took), heard);
            let rate = adaptive.rate();
            prop_assert_eq!(told.is_some(), rate != before);
            prop_assert!(rate <= limit);
            prop_assert!(rate + 1.0 > (limit * FLOOR).max(LEAST_RATE.min(limit)));
            prop_assert!(rate >= LEAST_RATE.min(limit));
            prop_assert!(rate + 1.0 > before * CUT - 1.0);
            prop_assert!(rate <= before + limit * 0.05 + 1.0);
            if rate != before {
                changed.push(now);
            }
        }
        // Four falls and four rises.
        for five in changed.windows(9) {
            prop_assert!(five[8] - five[0] >= SECOND);
        }
    }
}
