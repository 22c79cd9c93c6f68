//! What paces one provider account: its limiter, how much of its limit it can take, its breaker,
//! its free slots, and how often texts may be tried again there.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use engine::pacing::{
    Adaptive, Breaker, Condition, HealthNotes, Heard, Leave, Limiter, Noted, Pace, Sign, change_of,
    millionths,
};
use engine::provider::ProviderAccount;
use engine::retry::budget::RetryBudget;
use engine::runtime::BootMicros;
use schemas::health::{HealthEvent, HealthState};
use schemas::provider::ProviderOrder;
use tokio::sync::Semaphore;

/// What paces one provider account, whoever sends for it.
#[derive(Clone, Debug)]
pub struct Pacing {
    limiter: Arc<Mutex<Limiter>>,
    /// Locked before the limiter, which it sets the pace of.
    adaptive: Arc<Mutex<Adaptive>>,
    /// The limit of all owners together, in millionths of a segment per second.
    whole: Arc<AtomicU64>,
    /// As the settings have it.
    burst: Option<u32>,
    /// Its breaker is locked before anything else.
    condition: Arc<Condition>,
    /// Locked last of all.
    notes: Arc<Mutex<HealthNotes>>,
    /// Whether operators let nothing more go.
    is_disabled: Arc<AtomicBool>,
    /// One permit for each request that may be in flight.
    pub(super) slots: Arc<Semaphore>,
}

impl Pacing {
    /// The pace of this limiter, and what the settings have besides.
    pub fn new(limiter: Limiter, account: &ProviderAccount) -> Self {
        let slots = Arc::new(Semaphore::new(account.max_in_flight as usize));
        let adaptive = Adaptive::new(limiter.pace().rate());
        Self {
            limiter: Arc::new(Mutex::new(limiter)),
            adaptive: Arc::new(Mutex::new(adaptive)),
            whole: Arc::new(AtomicU64::new(millionths(account.rate))),
            burst: account.burst,
            condition: Arc::clone(&account.condition),
            notes: Arc::default(),
            is_disabled: Arc::default(),
            slots,
        }
    }

    /// Does what operators have ordered, but for the rate: that is divided first. Gives back what is
    /// to be divided, in segments per second; `None` where it is no rate.
    pub fn obey(&self, order: &ProviderOrder, account: &ProviderAccount) -> Option<f64> {
        self.is_disabled.store(order.is_disabled, Ordering::Release);
        let limit = order.rate(account.rate);
        if let Err(error) = Pace::new(limit, account.burst) {
            // The door takes none that cannot be kept.
            tracing::error!(provider = account.name, %error, "an order is no rate");
            return None;
        }
        self.whole.store(millionths(limit), Ordering::Release);
        Some(limit)
    }

    /// From now on no faster than that: 0 while others have the whole limit.
    pub(crate) fn allow(&self, limit: f64, now: BootMicros) {
        if limit <= 0.0 {
            self.limiter().close();
            return;
        }
        let mut adaptive = self.adaptive();
        adaptive.set_limit(limit);
        self.use_rate(now, adaptive.rate());
        self.limiter().open();
    }

    /// From when on nothing counts any more that left.
    pub(crate) fn settled_at(&self) -> BootMicros {
        self.limiter().settled_at()
    }

    /// Whether others have the whole limit.
    pub(super) fn is_closed(&self) -> bool {
        self.limiter().is_closed()
    }

    /// Notes that an order came into force.
    pub(crate) fn ordered(&self, now: BootMicros) {
        let is_disabled = self.is_disabled.load(Ordering::Acquire);
        let cause = if is_disabled { "disabled" } else { "rate" };
        self.note(now, HealthEvent::Ordered, cause, self.rate_of_all());
    }

    /// What may be handed to the account now.
    pub(super) fn leave(&self, now: BootMicros) -> Leave {
        if self.is_disabled.load(Ordering::Acquire) || self.is_closed() {
            return Leave::Nothing;
        }
        self.with_breaker(now, "silence", |breaker| breaker.leave(now))
    }

    /// A text leaves. Gives back what its end is to be told with.
    pub(super) fn left(&self, now: BootMicros) -> u64 {
        self.retries().left(now);
        self.with_breaker(now, "", |breaker| breaker.left(now))
    }

    /// A request has ended that left at `left_at` with this `opening`. The account may work again
    /// or not any more, and be able to take less of its limit now, or more. A rate changes a few
    /// times a second at most, however many answers come.
    pub(super) fn ended(
        &self,
        now: BootMicros,
        (left_at, opening): (BootMicros, u64),
        (heard, sign): (Heard, Sign),
    ) {
        self.with_breaker(now, "failures", |breaker| breaker.ended(now, opening, sign));
        let mut adaptive = self.adaptive();
        let was_slowed = adaptive.is_slowed();
        if let Some(rate) = adaptive.ended(now, left_at, heard) {
            self.use_rate(now, rate);
            let (is_slowed, cause) = (adaptive.is_slowed(), adaptive.cause());
            drop(adaptive);
            match (was_slowed, is_slowed) {
                (false, true) => self.note(now, HealthEvent::Slowed, cause, self.rate_of_all()),
                (true, false) => {
                    self.note(now, HealthEvent::Whole, "answered", self.rate_of_all());
                }
                (true, true) | (false, false) => {}
            }
        }
    }

    /// What this owner may use of the limit, and what it uses of that, in segments per second.
    pub(super) fn rates(&self) -> (f64, f64) {
        if self.is_closed() {
            return (0.0, 0.0);
        }
        let adaptive = self.adaptive();
        (adaptive.limit(), adaptive.rate())
    }

    /// How the account does: whether it works, and what is used of its limit, in segments per
    /// second, if all owners find it as this one does.
    pub(crate) fn health(&self) -> (HealthState, f64) {
        let state = self.breaker().health();
        (state, self.rate_of_all())
    }

    fn rate_of_all(&self) -> f64 {
        let adaptive = self.adaptive();
        let whole = self.whole.load(Ordering::Acquire) as f64 / 1e6;
        if adaptive.is_slowed() {
            whole * adaptive.rate() / adaptive.limit()
        } else {
            whole
        }
    }

    /// What changed and is not written down yet.
    pub(crate) fn notes(&self) -> MutexGuard<'_, HealthNotes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, at: BootMicros, event: HealthEvent, cause: &'static str, rate: f64) {
        self.notes().add(Noted {
            at,
            event,
            cause,
            rate,
        });
    }

    /// `cause` is why it opens, if it does.
    fn with_breaker<T>(
        &self,
        now: BootMicros,
        cause: &'static str,
        act: impl FnOnce(&mut Breaker) -> T,
    ) -> T {
        let mut breaker = self.breaker();
        let before = breaker.health();
        let done = act(&mut breaker);
        let after = breaker.health();
        drop(breaker);
        if let Some((event, cause)) = change_of(before, after, cause) {
            self.note(now, event, cause, self.rate_of_all());
        }
        done
    }

    fn use_rate(&self, now: BootMicros, rate: f64) {
        // Between the least rate that there is and a limit that is one.
        if let Ok(pace) = Pace::new(rate, self.burst) {
            self.limiter().set_pace(now, pace);
        }
    }

    fn adaptive(&self) -> MutexGuard<'_, Adaptive> {
        self.adaptive.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many of further attempts may be given out, and what was.
    pub(crate) fn retries(&self) -> MutexGuard<'_, RetryBudget> {
        self.condition.retries()
    }

    /// Whether it is disabled, or dead for longer than a moment.
    pub(super) fn rests(&self) -> bool {
        self.is_disabled.load(Ordering::Acquire) || self.breaker().is_dead()
    }

    /// Whether a text may go to see whether it works again.
    pub(super) fn wants_probe(&self, now: BootMicros) -> bool {
        !self.is_disabled.load(Ordering::Acquire) && self.breaker().wants_probe(now)
    }

    /// The account asked to be sent nothing until then.
    pub(super) fn pause(&self, until: BootMicros) {
        self.condition.pause(until);
    }

    pub(super) fn limiter(&self) -> MutexGuard<'_, Limiter> {
        let mut limiter = self.limiter.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever heard of it.
        limiter.throttle(0, self.condition.paused_until());
        limiter
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.condition.breaker()
    }
}
