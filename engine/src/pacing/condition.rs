//! What a process knows of how a provider account does, whoever of its owners sends for it: whether
//! it works, how often texts may be tried again there, and whether it asked for a pause. Owners in
//! other processes learn it by themselves.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Breaker;
use crate::retry::budget::RetryBudget;

/// See the module.
#[derive(Debug, Default)]
pub struct Condition {
    breaker: Mutex<Breaker>,
    retries: Mutex<RetryBudget>,
    paused_until: AtomicU64,
}

impl Condition {
    /// Whether it works.
    pub fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many of further attempts may be given out, and what was.
    pub fn retries(&self) -> MutexGuard<'_, RetryBudget> {
        self.retries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It asked to be sent nothing until then. A longer pause already in force stays.
    pub fn pause(&self, until: u64) {
        self.paused_until.fetch_max(until, Ordering::AcqRel);
    }

    /// Until when it asked to be sent nothing.
    pub fn paused_until(&self) -> u64 {
        self.paused_until.load(Ordering::Acquire)
    }
}
