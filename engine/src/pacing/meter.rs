//! Evenness: a credit that grows with time, as the generic cell rate algorithm keeps it.
//!
//! The state is one instant, `empty_at`: where the credit is (or was) zero. Credit at `now` is
//! the time since then, up to the capacity; taking a segment moves the instant by one interval.
//! A future `empty_at` is a debt.

/// Instants and spans in 1/65,536 of a microsecond, signed because an empty instant may lie
/// before boot. At the fastest rate an interval is 65,536 ticks, so rounding it up to a whole
/// one costs less than 0.002 % of the rate.
pub(super) type Ticks = i128;

/// Ticks in a microsecond.
pub(super) const TICKS_PER_MICRO: Ticks = 1 << 16;

/// A microsecond count as ticks.
pub(super) fn ticks(micros: u64) -> Ticks {
    Ticks::from(micros) * TICKS_PER_MICRO
}

/// Ticks as microseconds, rounded up: the first stamp that is not too early. 0 if negative.
pub(super) fn whole_micros(ticks: Ticks) -> u64 {
    let micros = (ticks + TICKS_PER_MICRO - 1).div_euclid(TICKS_PER_MICRO);
    u64::try_from(micros.max(0)).unwrap_or(u64::MAX)
}

/// A credit in segments that grows by one in each interval, up to a capacity.
#[derive(Debug, Clone)]
pub(super) struct Meter {
    empty_at: Ticks,
    interval: Ticks,
    capacity: Ticks,
}

impl Meter {
    /// A full meter.
    pub(super) fn full(now: u64, interval: Ticks, capacity: Ticks) -> Self {
        Self {
            empty_at: ticks(now) - capacity,
            interval,
            capacity,
        }
    }

    /// The first microsecond at which the credit is at least `segments`.
    pub(super) fn ready_at(&self, segments: u32) -> u64 {
        whole_micros(self.empty_at + self.interval * Ticks::from(segments))
    }

    /// Takes `segments`, into debt where the credit is smaller.
    pub(super) fn take(&mut self, now: u64, segments: u32) {
        self.empty_at = self.capped(now) + self.interval * Ticks::from(segments);
    }

    /// Whole segments that can be taken from `start` to `end` in all, if each is taken as soon as
    /// it is there.
    pub(super) fn due(&self, start: u64, end: u64) -> u64 {
        let credit = ticks(end) - self.capped(start);
        u64::try_from((credit / self.interval).max(0)).unwrap_or(u64::MAX)
    }

    /// Goes on with another interval and capacity. Credit and debt stay what they are in
    /// segments, so a raised rate pays an old debt sooner and lends nothing for the past.
    pub(super) fn change(&mut self, now: u64, interval: Ticks, capacity: Ticks) {
        let credit = ticks(now) - self.capped(now);
        self.empty_at = ticks(now) - (credit * interval).div_euclid(self.interval);
        self.interval = interval;
        self.capacity = capacity;
    }

    fn capped(&self, now: u64) -> Ticks {
        self.empty_at.max(ticks(now) - self.capacity)
    }
}
