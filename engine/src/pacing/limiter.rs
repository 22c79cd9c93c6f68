//! The limiter of one provider account, in segments per second.
//!
//! Three rules must all agree before a text is stamped:
//!
//! 1. **The window** is the promise. No window of [`Pace::window_micros`] holds more than
//!    [`Pace::segments_in_window`] segments: for a whole rate, no sliding second holds more than
//!    the rate. Old stamps go on counting when the rate is changed: each stamp obeys the limit in
//!    force at its own instant, over all stamps of the window that ends with it.
//! 2. **The pace** spreads the segments evenly over the second: in any span they are at most
//!    `burst + (span + 5 ms) * rate`, plus what the span's last text has beyond the burst.
//! 3. **The peak** bounds how lateness is made good: at most `burst` at one instant, then at most
//!    twice the rate: `burst + span * 2 * rate`, plus the same excess.
//!
//! A text of more segments than the burst goes when a whole burst may go, and the following wait
//! for what it took beyond. One of more segments than the window's count goes when the window is
//! empty, and then nothing else goes for as long as the rate needs for it. So no text is refused
//! for ever; the caller asks in order, so none is overtaken either.
//!
//! Whoever can wait leaves [`Pace::reserve`] of all three to whoever cannot, so a one-time code
//! finds a permit beside a campaign that takes the whole rate, also where the window is just
//! repeating a standstill of a second ago.
//!
//! What the promise costs: a window is filled with whole texts, so texts of two segments at 3/s
//! go once a second.

use super::meter::{Meter, ticks};
use super::pace::{CATCH_UP_MICROS, Pace};
use super::window::Window;

/// How much faster than the rate a backlog of a few milliseconds is made good.
///
/// With a default burst (5 ms of rate) and timers 2 ms late, a caller that is woken for one burst
/// at a time gets through 5 ms of rate in 2.5 ms + 2 ms: twice is enough, less is not.
const PEAK: i128 = 2;

/// Leave to send: the instant the text counts at, taken just before the socket write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendStamp {
    /// Microseconds on the boot-time clock.
    pub at: u64,
    /// Segments that were counted.
    pub segments: u32,
}

/// Not yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// The first instant at which the same request succeeds, if nothing else is stamped and
    /// nothing changed before: microseconds on the boot-time clock. [`u64::MAX`] of a limiter that
    /// is closed.
    pub until: u64,
}

/// Paces one provider account; see the module for what it promises.
#[derive(Debug, Clone)]
pub struct Limiter {
    pace: Pace,
    window: Window,
    sustained: Meter,
    peak: Meter,
    not_before: u64,
    latest: u64,
    is_closed: bool,
}

impl Limiter {
    /// A limiter that has sent nothing yet and may send a burst at once.
    ///
    /// If its account may have been used shortly before, call [`Self::resume_after`] next.
    pub fn new(pace: Pace, now: u64) -> Self {
        Self {
            pace,
            window: Window::default(),
            sustained: Meter::full(now, pace.interval(), sustained_capacity(&pace)),
            peak: Meter::full(now, peak_interval(&pace), peak_capacity(&pace)),
            not_before: 0,
            latest: now,
            is_closed: false,
        }
    }

    /// Nothing goes until [`Self::open`]: others have the whole limit. What was stamped goes on
    /// counting.
    pub fn close(&mut self) {
        self.is_closed = true;
    }

    /// Ends what [`Self::close`] began.
    pub fn open(&mut self) {
        self.is_closed = false;
    }

    /// Whether it is closed.
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Rests until `rest_until`, because stamps of an earlier life are lost.
    ///
    /// The promise holds over the restart if that instant is [`Pace::hold_micros`] (of the
    /// largest text that may have gone) after the last stamp that may have been taken.
    pub fn resume_after(&mut self, now: u64, rest_until: u64) {
        self.throttle(now, rest_until);
        self.window
            .lost(rest_until.saturating_sub(self.pace.window_micros()));
    }

    /// Nothing goes before `until`: the provider asked for a pause. A longer pause already in
    /// force stays.
    pub fn throttle(&mut self, now: u64, until: u64) {
        self.latest = self.latest.max(now);
        self.not_before = self.not_before.max(until);
    }

    /// Changes rate and burst from `now` on. What was stamped before goes on counting, so the
    /// change is no occasion for an excess; it costs at most a rest of one new window.
    pub fn set_pace(&mut self, now: u64, pace: Pace) {
        let now = self.advance(now);
        self.window.change(now, &self.pace, &pace);
        self.sustained
            .change(now, pace.interval(), sustained_capacity(&pace));
        self.peak
            .change(now, peak_interval(&pace), peak_capacity(&pace));
        self.pace = pace;
    }

    /// The limit in force.
    pub fn pace(&self) -> &Pace {
        &self.pace
    }

    /// Stamps a text of `segments` (0 counts as 1), or says when to ask again.
    ///
    /// # Errors
    /// [`Wait`] if the text may not go yet; the limiter is unchanged then.
    pub fn try_acquire(&mut self, now: u64, segments: u32) -> Result<SendStamp, Wait> {
        self.acquire(now, segments, 0)
    }

    /// The same, where [`Pace::reserve`] is to be left for what is more urgent.
    ///
    /// # Errors
    /// The same.
    pub fn try_acquire_sparing(&mut self, now: u64, segments: u32) -> Result<SendStamp, Wait> {
        self.acquire(now, segments, self.pace.reserve())
    }

    fn acquire(&mut self, now: u64, segments: u32, reserve: u32) -> Result<SendStamp, Wait> {
        let now = self.advance(now);
        let segments = segments.max(1);
        let until = self.ready_at(segments, reserve);
        if until > now {
            return Err(Wait { until });
        }
        self.window.forget(now, &self.pace);
        self.window.add(now, segments, &self.pace);
        self.sustained.take(now, segments);
        self.peak.take(now, segments);
        Ok(SendStamp { at: now, segments })
    }

    /// The first instant, not before `now`, at which a text of `segments` may go.
    pub fn earliest(&self, now: u64, segments: u32) -> u64 {
        self.ready_at(segments.max(1), 0).max(now)
    }

    /// How many segments may go from `now` to `now + horizon_micros` in all, if they go as soon
    /// as they may: how much work to pull. 0 while a debt, a pause or a full window lasts longer.
    ///
    /// Exact while the window has room for all of them and the burst is at least 2. If the window
    /// opens bit by bit within the horizon it may tell a little too much, because credit that
    /// overflows meanwhile is counted; with a burst of 1, so is up to 1 us for each segment, by
    /// which stamps are rounded. For a horizon longer than the window it tells too little.
    pub fn due_within(&self, now: u64, horizon_micros: u64) -> u64 {
        if self.is_closed {
            return 0;
        }
        let start = now
            .max(self.not_before)
            .max(self.window.ready_at(1, &self.pace));
        let end = now.saturating_add(horizon_micros);
        if start > end {
            return 0;
        }
        let evenly = self
            .sustained
            .due(start, end)
            .min(self.peak.due(start, end));
        evenly.min(self.window.room_at(end, &self.pace))
    }

    /// The instant from which a limiter that knows nothing of these stamps may take over, to be
    /// handed to its [`Self::resume_after`] when this one ends in good order.
    pub fn settled_at(&self) -> u64 {
        self.not_before.max(self.window.empty_at(&self.pace))
    }

    fn ready_at(&self, segments: u32, reserve: u32) -> u64 {
        if self.is_closed {
            return u64::MAX;
        }
        let at_once = segments.saturating_add(reserve).min(self.pace.burst());
        // What fits the window alone is not made an oversized one by the reserve.
        let most = self.pace.segments_in_window().max(segments);
        let counted = segments.saturating_add(reserve).min(most);
        self.not_before
            .max(self.sustained.ready_at(at_once))
            .max(self.peak.ready_at(at_once))
            .max(self.window.ready_at(counted, &self.pace))
    }

    /// A clock that is read by several threads may be told a little out of order: no stamp is
    /// ever before an earlier one.
    fn advance(&mut self, now: u64) -> u64 {
        self.latest = self.latest.max(now);
        self.latest
    }

    #[cfg(test)]
    pub(super) fn runs(&self) -> usize {
        self.window.runs()
    }
}

fn sustained_capacity(pace: &Pace) -> i128 {
    pace.interval() * i128::from(pace.burst()) + ticks(CATCH_UP_MICROS)
}

fn peak_interval(pace: &Pace) -> i128 {
    (pace.interval() + PEAK - 1) / PEAK
}

fn peak_capacity(pace: &Pace) -> i128 {
    peak_interval(pace) * i128::from(pace.burst())
}
