//! A judge of the limiter that shares no code with it, and a caller that always has work.

use super::Limiter;
use proptest::prelude::*;

/// How late a caller that was told to wait asks again.
#[derive(Debug, Clone, Copy)]
pub(super) enum Slop {
    /// Always by the same time.
    Constant(u64),
    /// By up to so much, differently each time.
    Random(u64),
    /// As a timer wheel with slots of 1 ms: at the end of the slot, then up to 1 ms more.
    Wheel,
}

impl Slop {
    pub(super) fn wake(self, until: u64, random: u64) -> u64 {
        match self {
            Self::Constant(late) => until + late,
            Self::Random(most) => until + random % (most + 1),
            Self::Wheel => until.next_multiple_of(1_000) + random % 1_000,
        }
    }
}

pub(super) fn slop() -> impl Strategy<Value = Slop> {
    prop_oneof![
        (0_u64..=2_000).prop_map(Slop::Constant),
        (0_u64..=2_000).prop_map(Slop::Random),
        Just(Slop::Wheel),
    ]
}

/// A small generator for the inner loops, seeded by proptest (SplitMix64).
pub(super) struct Mix(pub(super) u64);

impl Mix {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

/// Rates over all magnitudes, whole and fractional.
pub(super) fn rate(least: f64, most: f64) -> impl Strategy<Value = f64> {
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
pub(super) struct Stamp {
    pub(super) at: u64,
    pub(super) segments: u32,
}

/// What happened to one provider account: every stamp, and every limit from when on.
#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) stamps: Vec<Stamp>,
    pub(super) limits: Vec<(u64, f64)>,
}

/// The promise's count and window in microseconds, from its definition.
fn promise(rate: f64) -> (u64, f64) {
    (rate.ceil() as u64, rate.ceil() / rate * 1e6)
}

impl History {
    /// Judges the promise of the limiter's module over every stamp.
    pub(super) fn judge(&self) -> Result<(), TestCaseError> {
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
    pub(super) fn judge_evenness(
        &self,
        at_once: f64,
        rate: f64,
        burst: u32,
    ) -> Result<(), TestCaseError> {
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

    pub(super) fn total(&self) -> u64 {
        self.stamps
            .iter()
            .map(|stamp| u64::from(stamp.segments))
            .sum()
    }
}

/// Sends texts of the sizes given for as long as told, with work always waiting.
pub(super) fn send(
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
