//! What paces one provider account: its limiter, its breaker and its free slots.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use engine::pacing::{Breaker, Limiter, Pace};
use engine::provider::ProviderAccount;
use engine::runtime::BootMicros;
use schemas::provider::ProviderOrder;
use tokio::sync::Semaphore;

/// What paces one provider account, whoever sends for it.
#[derive(Clone, Debug)]
pub struct Pacing {
    limiter: Arc<Mutex<Limiter>>,
    breaker: Arc<Mutex<Breaker>>,
    /// Whether operators let nothing more go.
    pub(super) is_disabled: Arc<AtomicBool>,
    /// One permit for each request that may be in flight.
    pub(super) slots: Arc<Semaphore>,
}

impl Pacing {
    /// This pace, and so many requests in flight.
    pub fn new(limiter: Limiter, max_in_flight: u32) -> Self {
        let slots = Arc::new(Semaphore::new(max_in_flight as usize));
        Self {
            limiter: Arc::new(Mutex::new(limiter)),
            breaker: Arc::default(),
            is_disabled: Arc::default(),
            slots,
        }
    }

    /// Does what operators have ordered: from now on no faster than that, or nothing at all.
    pub fn obey(&self, order: &ProviderOrder, account: &ProviderAccount, now: BootMicros) {
        self.is_disabled.store(order.is_disabled, Ordering::Release);
        match Pace::new(order.rate(account.rate), account.burst) {
            Ok(pace) => self.limiter().set_pace(now, pace),
            // The door takes none that cannot be kept.
            Err(error) => tracing::error!(provider = account.name, %error, "an order is no rate"),
        }
    }

    /// Whether it is disabled, or dead for longer than a moment.
    pub(super) fn rests(&self) -> bool {
        self.is_disabled.load(Ordering::Acquire) || self.breaker().is_dead()
    }

    /// Whether a text may go to see whether it works again.
    pub(super) fn wants_probe(&self, now: BootMicros) -> bool {
        !self.is_disabled.load(Ordering::Acquire) && self.breaker().wants_probe(now)
    }

    pub(super) fn limiter(&self) -> MutexGuard<'_, Limiter> {
        self.limiter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
