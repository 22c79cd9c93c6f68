//! What paces one provider account: its limiter, how much of its limit it can take, its breaker,
//! its free slots, and how often texts may be tried again there.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use engine::pacing::{
    Adaptive, Breaker, Condition, HealthNotes, Heard, Leave, Limiter, Noted, Pace, Sign, change_of,
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
            burst: account.burst,
            condition: Arc::clone(&account.condition),
            notes: Arc::default(),
            is_disabled: Arc::default(),
            slots,
        }
    }

    /// Does what operators have ordered: from now on no faster than that, or nothing at all.
    pub fn obey(&self, order: &ProviderOrder, account: &ProviderAccount, now: BootMicros) {
        self.is_disabled.store(order.is_disabled, Ordering::Release);
        let limit = order.rate(account.rate);
        if let Err(error) = Pace::new(limit, account.burst) {
            // The door takes none that cannot be kept.
            tracing::error!(provider = account.name, %error, "an order is no rate");
            return;
        }
        let mut adaptive = self.adaptive();
        adaptive.set_limit(limit);
        self.use_rate(now, adaptive.rate());
    }

    /// Notes that an order came into force.
    pub(crate) fn ordered(&self, now: BootMicros) {
        let is_disabled = self.is_disabled.load(Ordering::Acquire);
        let cause = if is_disabled { "disabled" } else { "rate" };
        let rate = self.adaptive().rate();
        self.note(now, HealthEvent::Ordered, cause, rate);
    }

    /// What may be handed to the account now.
    pub(super) fn leave(&self, now: BootMicros) -> Leave {
        if self.is_disabled.load(Ordering::Acquire) {
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
            match (was_slowed, adaptive.is_slowed()) {
                (false, true) => self.note(now, HealthEvent::Slowed, adaptive.cause(), rate),
                (true, false) => self.note(now, HealthEvent::Whole, "answered", rate),
                (true, true) | (false, false) => {}
            }
        }
    }

    /// The limit that holds, and what is used of it, in segments per second.
    pub(super) fn rates(&self) -> (f64, f64) {
        let adaptive = self.adaptive();
        (adaptive.limit(), adaptive.rate())
    }

    /// How the account does: whether it works, and what is used of its limit, in segments per
    /// second.
    pub(crate) fn health(&self) -> (HealthState, f64) {
        let state = self.breaker().health();
        (state, self.adaptive().rate())
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
            let rate = self.adaptive().rate();
            self.note(now, event, cause, rate);
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
