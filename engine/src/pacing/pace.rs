//! What a limit in segments per second promises, as whole numbers.
//!
//! A limit of `rate` is kept as *a count in a window*: at most `N = ceil(rate)` segments in any
//! window of `N / rate` seconds. A whole rate gives exactly its own number in one second. A
//! fractional one gives the shortest window of at least a second that holds a whole number of
//! segments: 1.5/s is 2 in any 1.333,334 s, 0.5/s is 1 in any 2 s. So no sliding second ever
//! holds more than `ceil(rate)`, and no long stretch more than `rate` on average.

use super::meter::{TICKS_PER_MICRO, Ticks, whole_micros};

/// Slowest limit, in segments per second: one segment in 100 s.
pub const MIN_RATE: f64 = 0.01;

/// Fastest limit, in segments per second: one segment in each microsecond, the unit of a stamp.
pub const MAX_RATE: f64 = 1_000_000.0;

/// How long a caller may be late without losing rate, in microseconds.
///
/// Timers fire on a grid of 1 ms and up to 1 ms after it, so 2 ms late is ordinary; 5 ms leaves
/// room for a busy machine. It is also the default burst, as time.
pub const CATCH_UP_MICROS: u64 = 5_000;

/// One segment in so many of the rate is left to what is urgent: at 500/s one, which is back
/// after 2 ms; below that none, because there it would cost more rate than it saves time.
const RESERVE_ONE_IN: f64 = 500.0;

const MICROS_PER_SECOND: f64 = 1_000_000.0;

/// Rates are kept in millionths of a segment per second, so that `0.1 + 0.2` is 0.3 and 2.999…
/// from dividing a limit into shares is not taken for a fraction.
pub(super) const RATE_STEPS: f64 = 1_000_000.0;

/// A rate as it is stored: millionths of a segment per second.
pub fn millionths(rate: f64) -> u64 {
    (rate * RATE_STEPS).round() as u64
}

/// Why a limit cannot be kept.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum PaceError {
    /// The rate is not a number from [`MIN_RATE`] to [`MAX_RATE`].
    #[error("a rate must be from {MIN_RATE} to {MAX_RATE} segments per second, not {0}")]
    Rate(f64),
    /// A burst of nothing lets nothing go.
    #[error("a burst must be at least 1 segment")]
    Burst,
}

/// A checked limit: rate and burst, with the figures that follow from them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    rate: f64,
    burst: u32,
    segments_in_window: u32,
    window_micros: u64,
    interval: Ticks,
}

impl Pace {
    /// A limit of `rate` segments per second, of which `burst` segments may go at one instant.
    ///
    /// The default burst is what [`CATCH_UP_MICROS`] hold, at least 1; a smaller one is obeyed at
    /// the cost of rate that late timers then lose. A burst above [`Self::segments_in_window`]
    /// is cut to it, because more could never go at once.
    ///
    /// # Errors
    /// [`PaceError`] for a rate outside [`MIN_RATE`]..=[`MAX_RATE`] and for a burst of 0.
    pub fn new(rate: f64, burst: Option<u32>) -> Result<Self, PaceError> {
        if !(MIN_RATE..=MAX_RATE).contains(&rate) {
            return Err(PaceError::Rate(rate));
        }
        if burst == Some(0) {
            return Err(PaceError::Burst);
        }
        Ok(Self::of(rate, burst))
    }

    /// The slowest there is, [`MIN_RATE`].
    pub fn least() -> Self {
        Self::of(MIN_RATE, None)
    }

    /// What follows from a rate and a burst that were checked.
    fn of(rate: f64, burst: Option<u32>) -> Self {
        let rate = (rate * RATE_STEPS).round() / RATE_STEPS;
        let segments = rate.ceil();
        let segments_in_window = segments as u32;
        let catch_up = (rate * CATCH_UP_MICROS as f64 / MICROS_PER_SECOND).ceil() as u32;
        Self {
            rate,
            burst: burst.unwrap_or(catch_up).clamp(1, segments_in_window),
            segments_in_window,
            window_micros: (segments / rate * MICROS_PER_SECOND).ceil() as u64,
            interval: (MICROS_PER_SECOND * TICKS_PER_MICRO as f64 / rate).ceil() as Ticks,
        }
    }

    /// Segments per second.
    pub fn rate(&self) -> f64 {
        self.rate
    }

    /// Segments that may go at one instant; a single larger text may still go alone.
    pub fn burst(&self) -> u32 {
        self.burst
    }

    /// Segments that what can wait leaves to what cannot: 0.2 % of the rate, rounded down.
    pub fn reserve(&self) -> u32 {
        (self.rate / RESERVE_ONE_IN) as u32
    }

    /// The most segments in any window of [`Self::window_micros`]: the rate, rounded up.
    pub fn segments_in_window(&self) -> u32 {
        self.segments_in_window
    }

    /// Length of the promised window, in microseconds: 1 s for a whole rate, up to 2 s for a
    /// fractional one above 1, `1 / rate` below 1.
    pub fn window_micros(&self) -> u64 {
        self.window_micros
    }

    /// How long a text of so many segments fills the limit, in microseconds: the window, or, for
    /// a text that is larger than the window's count, the time that the rate needs for it.
    ///
    /// A limiter that lost its stamps keeps the promise by resting this long after the last stamp
    /// that may have been taken, for the largest text that may have gone.
    pub fn hold_micros(&self, segments: u32) -> u64 {
        if segments <= self.segments_in_window {
            return self.window_micros;
        }
        whole_micros(self.interval * Ticks::from(segments)).max(self.window_micros)
    }

    /// Time between two segments at this rate.
    pub(super) fn interval(&self) -> Ticks {
        self.interval
    }
}
