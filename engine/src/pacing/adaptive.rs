//! How much of its limit a provider account is sent, from nothing but its answers: additive
//! increase, multiplicative decrease, as TCP has it (RFC 5681) and, for requests to a service,
//! the adaptive retry mode of the AWS SDKs, from which the [`CUT`] is.
//!
//! An account is in trouble when it throttles more than a few stray texts, or when many of its
//! requests fail, or take far longer than they usually do, though not so many in a row that the
//! [`Breaker`](super::Breaker) opens. Its rate falls at once then, and again if that did not
//! help, down to a floor at which its recovery is still noticed. It comes back slowly, with the
//! good answers to what left since: from the floor in [`RECOVERY`], if there is one a second.
//! Who is sent nothing proves nothing, and stays where it was.
//!
//! How long answers take is compared with what three of four took until now. That follows what
//! the account does, upwards some six per cent a second, so whatever it goes on doing is not
//! taken for trouble for ever.

use std::time::Duration;

/// What is left of a rate that falls.
pub const CUT: f64 = 0.7;

/// The part of a limit that is used at least, and never less than [`LEAST_RATE`].
pub const FLOOR: f64 = 0.1;

/// Segments per second that are used at least, where the limit allows it: slower, it would take
/// long until somebody notices that an account is well again.
pub const LEAST_RATE: f64 = 1.0;

/// The part of the limit that a rate rises by in a second: slow enough for an account that was
/// overrun to say so before it is overrun again.
const RISE: f64 = 0.05;

/// Within this time of good answers a rate has come back from the floor.
pub const RECOVERY: Duration = Duration::from_secs(18);

/// A rate changes this often at most, and so many microseconds after it fell what had left
/// before has mostly been answered.
const STEP: u64 = 250_000;

/// A good answer stands for this many microseconds before it at most.
const STANDS_FOR: u64 = 1_000_000;

/// Throttled texts below which nothing is made of them, and the least part of all answers that
/// they are: a limit of the provider's that is a little below ours is worth a tenth of retries.
const THROTTLED: (u32, u32) = (3, 10);

/// Failed and slow requests below which nothing is made of them, and the least part of all.
/// Of those that fail by chance one in six is not rare, and slower would not be better.
const FAILING: (u32, u32) = (5, 3);

/// What was answered is half forgotten after this time, in microseconds, but not before so many
/// answers.
const HALF_LIFE: (u64, u32) = (1_000_000, 20);

/// An answer is slow that takes so many times as long as usual, and [`SLOW_BEYOND`] more.
const SLOW_TIMES: f64 = 4.0;

/// In microseconds: less than that is a busy machine, or a line that was cut for a moment.
const SLOW_BEYOND: f64 = 250_000.0;

/// How what is usual follows an answer that took longer, and one that did not: three of four
/// are below it then. Looked at once in a [`STEP`].
const FOLLOWS: (f64, f64) = (1.015, 0.995);

/// How a request has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Heard {
    /// It was answered, be it with a no.
    Answer,
    /// The account wants texts more slowly.
    Throttled,
    /// It could not be reached, broke off, or said that it is broken.
    Failure,
}

/// See the module. Instants are microseconds on the boot-time clock.
#[derive(Clone, Debug)]
pub struct Adaptive {
    limit: f64,
    /// The part of the limit that is used.
    share: f64,
    /// When it last fell: what left before tells nothing of the rate since.
    fell_at: u64,
    /// When it last fell or rose.
    changed_at: u64,
    seen: Seen,
    usual: Usual,
    /// Why it last fell.
    cause: &'static str,
}

/// Requests that left since the rate last fell, and have ended.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    since: u64,
    all: u32,
    throttled: u32,
    /// Those that failed or were slow.
    failing: u32,
}

/// What answers usually take, in microseconds; 0 before the first.
#[derive(Clone, Copy, Debug, Default)]
struct Usual {
    micros: f64,
    looked_at: u64,
}

impl Adaptive {
    /// The whole of this limit, in segments per second.
    pub fn new(limit: f64) -> Self {
        Self {
            limit,
            share: 1.0,
            fell_at: 0,
            changed_at: 0,
            seen: Seen::default(),
            usual: Usual::default(),
            cause: "",
        }
    }

    /// Another limit holds: the same part of it is used.
    pub fn set_limit(&mut self, limit: f64) {
        self.limit = limit;
        self.share = self.share.max(self.least_share());
    }

    /// The limit.
    pub fn limit(&self) -> f64 {
        self.limit
    }

    /// What is to be used of it, in segments per second: all of it, or a whole number, because a
    /// limiter's window is another one for each fraction.
    pub fn rate(&self) -> f64 {
        if self.is_slowed() {
            (self.limit * self.share).floor().max(LEAST_RATE)
        } else {
            self.limit
        }
    }

    /// Why the rate last fell: a stable word, empty before it did.
    pub fn cause(&self) -> &'static str {
        self.cause
    }

    /// Whether less than the limit is used.
    pub fn is_slowed(&self) -> bool {
        self.share < 1.0
    }

    /// A request that left at `left_at` has ended at `now`. Tells the rate if it is another now.
    pub fn ended(&mut self, now: u64, left_at: u64, heard: Heard) -> Option<f64> {
        let took = now.saturating_sub(left_at) as f64;
        let is_slow = heard == Heard::Answer && self.usual.is_slow(took);
        if heard == Heard::Answer {
            self.usual.follow(now, took);
        }
        if left_at < self.fell_at {
            return None;
        }
        self.seen.count(now, heard, is_slow);
        let before = self.rate();
        if heard == Heard::Answer && !is_slow {
            self.rise(now);
        } else if let Some(cause) = self.seen.trouble()
            && now >= self.fell_at.saturating_add(STEP)
        {
            self.fall(now);
            self.cause = cause;
        }
        let rate = self.rate();
        (rate != before).then_some(rate)
    }

    fn fall(&mut self, now: u64) {
        self.share = (self.share * CUT).max(self.least_share());
        (self.fell_at, self.changed_at) = (now, now);
        self.seen = Seen::since(now);
    }

    fn rise(&mut self, now: u64) {
        let passed = now.saturating_sub(self.changed_at);
        if self.is_slowed() && passed >= STEP {
            let risen = RISE * passed.min(STANDS_FOR) as f64 / 1e6;
            self.share = (self.share + risen).min(1.0);
            self.changed_at = now;
        }
    }

    fn least_share(&self) -> f64 {
        (LEAST_RATE / self.limit).clamp(FLOOR, 1.0)
    }
}

impl Seen {
    fn since(now: u64) -> Self {
        Self {
            since: now,
            ..Self::default()
        }
    }

    fn count(&mut self, now: u64, heard: Heard, is_slow: bool) {
        let (half_life, least) = HALF_LIFE;
        if self.all >= least && now >= self.since.saturating_add(half_life) {
            self.since = now;
            for count in [&mut self.all, &mut self.throttled, &mut self.failing] {
                *count /= 2;
            }
        }
        self.all = self.all.saturating_add(1);
        match heard {
            Heard::Throttled => self.throttled = self.throttled.saturating_add(1),
            Heard::Failure => self.failing = self.failing.saturating_add(1),
            Heard::Answer => self.failing = self.failing.saturating_add(u32::from(is_slow)),
        }
    }

    /// What is wrong, if anything is: a stable word.
    fn trouble(&self) -> Option<&'static str> {
        let is_part = |count: u32, (least, one_in): (u32, u32)| {
            count >= least && count.saturating_mul(one_in) >= self.all
        };
        if is_part(self.throttled, THROTTLED) {
            Some("throttled")
        } else {
            is_part(self.failing, FAILING).then_some("failing_or_slow")
        }
    }
}

impl Usual {
    fn is_slow(&self, took: f64) -> bool {
        self.micros > 0.0 && took > self.micros * SLOW_TIMES + SLOW_BEYOND
    }

    fn follow(&mut self, now: u64, took: f64) {
        if self.micros == 0.0 {
            *self = Self {
                micros: took.max(1.0),
                looked_at: now,
            };
        } else if now >= self.looked_at.saturating_add(STEP) {
            let (longer, shorter) = FOLLOWS;
            self.micros *= if took > self.micros { longer } else { shorter };
            // Below a microsecond there is nothing to follow.
            self.micros = self.micros.max(1.0);
            self.looked_at = now;
        }
    }
}
