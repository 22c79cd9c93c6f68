//! What paces one provider account: its limiter, how much of its limit it can take, its breaker,
//! its free slots, and how often texts may be tried again there.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use engine::pacing::{Adaptive, Breaker, Heard, Limiter, Pace};
use engine::provider::ProviderAccount;
use engine::retry::budget::RetryBudget;
use engine::runtime::BootMicros;
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
    breaker: Arc<Mutex<Breaker>>,
    retries: Arc<Mutex<RetryBudget>>,
    /// Whether operators let nothing more go.
    pub(super) is_disabled: Arc<AtomicBool>,
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
            breaker: Arc::default(),
            retries: Arc::default(),
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

    /// A request that left at `left_at` has ended: the account may be able to take less of its
    /// limit now, or more. A rate changes a few times a second at most, however many answers
    /// come.
    pub(super) fn ended(&self, now: BootMicros, left_at: BootMicros, heard: Heard) {
        let mut adaptive = self.adaptive();
        if let Some(rate) = adaptive.ended(now, left_at, heard) {
            self.use_rate(now, rate);
        }
    }

    /// The limit that holds, and what is used of it, in segments per second.
    pub(super) fn rates(&self) -> (f64, f64) {
        let adaptive = self.adaptive();
        (adaptive.limit(), adaptive.rate())
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
        self.retries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn limiter(&self) -> MutexGuard<'_, Limiter> {
        self.limiter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
