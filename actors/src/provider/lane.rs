//! The lane of one provider account: a short line of committed attempts, and the task
//! that lets them go at the provider's pace.
//!
//! Permit, deadline and send stamp are taken together, just before the client call.
//! The line is no longer than what is due in the next few milliseconds, so little is
//! unknown after a crash and nothing queues behind a provider that died.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use actix::WeakRecipient;
use engine::dispatch::outcome;
use engine::pacing::Limiter;
use engine::provider::{Provider, SubmitRequest};
use engine::runtime::Runtime;
use schemas::Envelope;
use schemas::provider::SubmitOutcome;
use tokio::sync::{Notify, Semaphore};

use super::sender::Wake;
use super::ticket::Ticket;

/// What paces one provider account, whoever sends for it.
#[derive(Clone, Debug)]
pub struct Pacing {
    limiter: Arc<Mutex<Limiter>>,
    /// One permit for each request that may be in flight.
    slots: Arc<Semaphore>,
}

impl Pacing {
    /// This pace, and so many requests in flight.
    pub fn new(limiter: Limiter, max_in_flight: u32) -> Self {
        let slots = Arc::new(Semaphore::new(max_in_flight as usize));
        Self {
            limiter: Arc::new(Mutex::new(limiter)),
            slots,
        }
    }

    fn limiter(&self) -> MutexGuard<'_, Limiter> {
        self.limiter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a sender and its tasks share.
pub struct Lane {
    runtime: Runtime,
    provider: Arc<dyn Provider>,
    pacing: Pacing,
    line: Mutex<Line>,
    /// Segments that were let go so far.
    left: AtomicU64,
    arrived: Notify,
    closed: AtomicBool,
    /// Whether its sender looks rarely, and how it is woken.
    idle: AtomicBool,
    sender: OnceLock<WeakRecipient<Wake>>,
}

/// Attempts in their order, and the segments that they have together.
#[derive(Default)]
struct Line {
    tickets: VecDeque<Ticket>,
    segments: u64,
}

impl Line {
    fn extend(&mut self, tickets: Vec<Ticket>) {
        let segments = tickets.iter().map(|ticket| u64::from(ticket.segments));
        self.segments += segments.sum::<u64>();
        self.tickets.extend(tickets);
    }

    fn pop(&mut self) -> Option<Ticket> {
        let ticket = self.tickets.pop_front()?;
        self.segments -= u64::from(ticket.segments);
        Some(ticket)
    }
}

impl std::fmt::Debug for Lane {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Lane({} waiting)", self.waiting())
    }
}

/// A pause after a throttling answer that names no wait: a tenth of the second that a
/// limit counts over. A longer one would let a few stray answers silence an account.
const THROTTLED_PAUSE: Duration = Duration::from_millis(100);

/// A provider may ask us to wait this long and no longer: a wrong header must not
/// silence an account for a day.
const MAX_PAUSE: Duration = Duration::from_secs(600);

impl Lane {
    /// A lane at this pace.
    pub fn new(runtime: Runtime, provider: Arc<dyn Provider>, pacing: Pacing) -> Arc<Self> {
        Arc::new(Self {
            runtime,
            provider,
            pacing,
            line: Mutex::default(),
            left: AtomicU64::new(0),
            arrived: Notify::new(),
            closed: AtomicBool::new(false),
            idle: AtomicBool::new(false),
            sender: OnceLock::new(),
        })
    }

    /// Puts committed attempts at the end of the line. A closed lane drops them, and
    /// their tickets say that they were not sent.
    pub fn push(&self, tickets: Vec<Ticket>) {
        if self.closed.load(Ordering::Acquire) {
            return;
        }
        self.line().extend(tickets);
        self.arrived.notify_one();
        if self.idle.swap(false, Ordering::AcqRel)
            && let Some(sender) = self.sender.get().and_then(WeakRecipient::upgrade)
        {
            // A full mailbox holds something that wakes it too.
            let _ = sender.try_send(Wake);
        }
    }

    /// Who is woken by work that comes while it is idle.
    pub fn wake_when_needed(&self, sender: WeakRecipient<Wake>) {
        // A lane has one sender in its life.
        let _ = self.sender.set(sender);
    }

    /// Whether the sender is idle.
    pub fn set_idle(&self, is_idle: bool) {
        self.idle.store(is_idle, Ordering::Release);
    }

    /// Segments in the line.
    pub fn waiting(&self) -> u64 {
        self.line().segments
    }

    /// Segments that were let go so far.
    pub fn left(&self) -> u64 {
        self.left.load(Ordering::Acquire)
    }

    /// Segments that fall due within this time.
    pub fn due_within(&self, horizon: Duration) -> u64 {
        let horizon = u64::try_from(horizon.as_micros()).unwrap_or(u64::MAX);
        self.pacing
            .limiter()
            .due_within(self.runtime.boot(), horizon)
    }

    /// Lets nothing more go; what waits goes back untouched. What is in flight ends.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        let returned = std::mem::take(&mut *self.line());
        drop(returned);
        self.arrived.notify_one();
    }

    /// Lets attempts go until the lane is closed.
    pub async fn run(self: Arc<Self>) {
        while let Some(ticket) = self.next().await {
            let Ok(slot) = Arc::clone(&self.pacing.slots).acquire_owned().await else {
                return;
            };
            let Some(ticket) = self.permit(ticket).await else {
                continue;
            };
            let lane = Arc::clone(&self);
            self.runtime.spawn(async move {
                lane.submit(ticket).await;
                drop(slot);
            });
        }
    }

    async fn next(&self) -> Option<Ticket> {
        loop {
            // Registered before the line is looked at, so no arrival is missed.
            let arrived = self.arrived.notified();
            if self.closed.load(Ordering::Acquire) {
                return None;
            }
            if let Some(ticket) = self.line().pop() {
                return Some(ticket);
            }
            arrived.await;
        }
    }

    /// Waits for the pace; `None` when the text's validity or the attempt's deadline passed
    /// first, or the lane was closed.
    async fn permit(&self, mut ticket: Ticket) -> Option<Ticket> {
        loop {
            if self.closed.load(Ordering::Acquire) {
                return None;
            }
            // Both clocks are read together: the wall clock's reading is the send stamp of
            // the permit that the other one gets.
            let (now, wall) = (self.runtime.boot(), self.runtime.now());
            let is_valid = |envelope: &Arc<Envelope>| wall < envelope.valid_until;
            let too_late = if !ticket.envelope().is_some_and(is_valid) {
                Some(outcome::VALIDITY_ENDED)
            } else if now > ticket.deadline {
                Some(outcome::DEADLINE_PASSED)
            } else {
                None
            };
            if let Some(cause) = too_late {
                ticket.resolve(SubmitOutcome::NotSent {
                    cause: cause.to_owned(),
                });
                return None;
            }
            let acquired = self.pacing.limiter().try_acquire(now, ticket.segments);
            match acquired {
                Ok(_) => {
                    ticket.touch(wall);
                    self.left
                        .fetch_add(u64::from(ticket.segments), Ordering::AcqRel);
                    return Some(ticket);
                }
                Err(wait) => {
                    let wait = Duration::from_micros(wait.until.saturating_sub(now));
                    self.runtime.sleep(wait.min(LONGEST_SLEEP)).await;
                }
            }
        }
    }

    async fn submit(&self, ticket: Ticket) {
        let (Some(attempt), Some(envelope)) = (ticket.attempt(), ticket.envelope()) else {
            return;
        };
        let left = envelope.valid_until.0 - self.runtime.now().0;
        let validity_seconds = u32::try_from((left / 1_000_000).max(1)).ok();
        let request = SubmitRequest {
            attempt,
            to: envelope.to.clone(),
            sender: ticket.sender.clone(),
            body: envelope.body.clone(),
            validity_seconds,
        };
        let outcome = self.provider.submit(&request).await;
        if let SubmitOutcome::Throttled { retry_after_ms, .. } = &outcome {
            let asked = retry_after_ms.map_or(THROTTLED_PAUSE, Duration::from_millis);
            self.pause(asked.min(MAX_PAUSE));
        }
        ticket.resolve(outcome);
    }

    fn pause(&self, wait: Duration) {
        let now = self.runtime.boot();
        let until = now + u64::try_from(wait.as_micros()).unwrap_or(0);
        self.pacing.limiter().throttle(now, until);
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A waiting attempt looks again this often whether the lane was closed.
const LONGEST_SLEEP: Duration = Duration::from_millis(250);
