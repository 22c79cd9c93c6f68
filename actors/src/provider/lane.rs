//! The lane of one provider account: a short line of committed attempts, and the task
//! that lets them go at the provider's pace.
//!
//! Permit, deadline and send stamp are taken together, just before the client call. While
//! the provider seems dead nothing goes but probes, and what waits goes back.
//! The line is no longer than what is due in the next few milliseconds, so little is
//! unknown after a crash and nothing queues behind a provider that died.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use actix::WeakRecipient;
use engine::dispatch::outcome;
use engine::pacing::{Heard, Leave, SendStamp, Sign, Wait};
use engine::provider::{Provider, SubmitRequest};
use engine::runtime::{BootMicros, Moment, Runtime};
use futures::FutureExt;
use futures::future::{Either, select};
use schemas::provider::SubmitOutcome;
use schemas::{Envelope, MessageClass};
use tokio::sync::{Notify, OwnedSemaphorePermit};

use super::line::{Line, Waiting};
use super::pacing::Pacing;
use super::sender::Wake;
use super::ticket::Ticket;
use crate::instruments::ProviderInstruments;

/// What a sender and its tasks share.
pub struct Lane {
    runtime: Runtime,
    provider: Arc<dyn Provider>,
    pacing: Pacing,
    instruments: ProviderInstruments,
    line: Mutex<Line>,
    /// Segments that were let go so far.
    left: AtomicU64,
    /// How far ahead of their permits attempts come here, in microseconds.
    ahead: AtomicU64,
    arrived: Notify,
    closed: AtomicBool,
    /// Whether its sender looks rarely, and how it is woken.
    idle: AtomicBool,
    sender: OnceLock<WeakRecipient<Wake>>,
}

impl std::fmt::Debug for Lane {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Lane({} waiting)", self.waiting().all)
    }
}

/// When a text may leave.
#[derive(Clone, Copy)]
struct Permit {
    at: BootMicros,
    /// What the breaker is to be told with.
    opening: u64,
}

/// A pause after a throttling answer that names no wait: a tenth of the second that a
/// limit counts over. A longer one would let a few stray answers silence an account.
const THROTTLED_PAUSE: Duration = Duration::from_millis(100);

/// A provider may ask us to wait this long and no longer: a wrong header must not
/// silence an account for a day.
const MAX_PAUSE: Duration = Duration::from_secs(600);

impl Lane {
    /// A lane at this pace.
    pub fn new(
        runtime: Runtime,
        provider: Arc<dyn Provider>,
        pacing: Pacing,
        instruments: ProviderInstruments,
    ) -> Arc<Self> {
        Arc::new(Self {
            runtime,
            provider,
            pacing,
            instruments,
            line: Mutex::default(),
            left: AtomicU64::new(0),
            ahead: AtomicU64::new(0),
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

    /// What operators see of it.
    pub fn instruments(&self) -> &ProviderInstruments {
        &self.instruments
    }

    /// Shows operators the limit that holds now, and what is used of it.
    pub fn tell_rates(&self) {
        let (limit, rate) = self.pacing.rates();
        self.instruments.rates(limit, rate);
    }

    /// Segments in the line: all of them, and those of transactional texts.
    pub fn waiting(&self) -> Waiting {
        self.line().waiting
    }

    /// Segments that were let go so far.
    pub fn left(&self) -> u64 {
        self.left.load(Ordering::Acquire)
    }

    /// Attempts come this far ahead of their permits.
    pub fn expect(&self, ahead: Duration) {
        let micros = u64::try_from(ahead.as_micros()).unwrap_or(u64::MAX);
        self.ahead.store(micros, Ordering::Release);
    }

    /// How long the limits of an attempt may let it wait, in microseconds.
    fn patience(&self) -> u64 {
        self.ahead.load(Ordering::Acquire) + LIMIT_PATIENCE
    }

    /// Segments that fall due within this time.
    pub fn due_within(&self, horizon: Duration) -> u64 {
        let horizon = u64::try_from(horizon.as_micros()).unwrap_or(u64::MAX);
        self.pacing
            .limiter()
            .due_within(self.runtime.boot(), horizon)
    }

    /// What may be handed to the provider now.
    pub fn leave(&self) -> Leave {
        self.pacing.leave(self.runtime.boot())
    }

    /// Whether others have the whole limit for now.
    pub fn has_no_share(&self) -> bool {
        self.pacing.is_closed()
    }

    /// What waits goes back untouched.
    pub fn hand_back(&self) {
        let returned = std::mem::take(&mut *self.line());
        drop(returned);
    }

    /// Lets nothing more go; what waits goes back. What is in flight ends.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.hand_back();
        self.arrived.notify_one();
    }

    /// Lets attempts go until the lane is closed.
    pub async fn run(self: Arc<Self>) {
        while let Some(ticket) = self.next().await {
            let Some((ticket, slot)) = self.slot(ticket).await else {
                continue;
            };
            let Some((ticket, leave)) = self.permit(ticket).await else {
                continue;
            };
            let lane = Arc::clone(&self);
            self.runtime.spawn(async move {
                lane.submit(ticket, leave).await;
                drop(slot);
            });
        }
    }

    /// Waits until a request may be in flight; `None` when the attempt goes back first: a
    /// provider that answers nothing holds all of them for as long as a request may take.
    async fn slot(&self, ticket: Ticket) -> Option<(Ticket, OwnedSemaphorePermit)> {
        let slots = Arc::clone(&self.pacing.slots);
        if let Ok(slot) = Arc::clone(&slots).try_acquire_owned() {
            return Some((ticket, slot));
        }
        let mut free = pin!(slots.acquire_owned());
        loop {
            let pause = pin!(self.runtime.sleep(LONGEST_SLEEP));
            match select(free.as_mut(), pause).await {
                Either::Left((slot, _)) => return slot.ok().map(|slot| (ticket, slot)),
                Either::Right(_) if self.goes_back(&ticket) => return None,
                Either::Right(_) => {}
            }
        }
    }

    /// Whether an attempt goes back untouched.
    fn goes_back(&self, ticket: &Ticket) -> bool {
        let is_late = self.runtime.boot() > ticket.deadline;
        is_late || self.closed.load(Ordering::Acquire) || self.leave() == Leave::Nothing
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
    /// first, the provider seems dead, or the lane was closed.
    async fn permit(&self, mut ticket: Ticket) -> Option<(Ticket, Permit)> {
        loop {
            if self.closed.load(Ordering::Acquire) || self.leave() == Leave::Nothing {
                return None;
            }
            // The pace is kept on one clock and shown on the other: the send stamps keep it
            // only if both tell the same moment.
            let Moment { boot: now, wall } = self.runtime.moment();
            self.line().overtake(&mut ticket, now);
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
            match self.acquire(now, &mut ticket) {
                Ok(stamp) => {
                    // Another thread may have taken a later one before.
                    let later = Duration::from_micros(stamp.at.saturating_sub(now));
                    ticket.touch(wall.plus(later));
                    self.left
                        .fetch_add(u64::from(ticket.segments), Ordering::AcqRel);
                    let opening = self.pacing.left(now);
                    return Some((ticket, Permit { at: now, opening }));
                }
                // Nothing else may go either, and other senders may have better use for it.
                Err(_) if ticket.ready_at(now) > now + self.patience() => return None,
                Err(wait) => {
                    let wait = Duration::from_micros(wait.until.saturating_sub(now));
                    let pause = pin!(self.runtime.sleep(wait.min(LONGEST_SLEEP)));
                    // What arrives may be more urgent.
                    select(pause, pin!(self.arrived.notified())).await;
                }
            }
        }
    }

    fn acquire(&self, now: BootMicros, ticket: &mut Ticket) -> Result<SendStamp, Wait> {
        let (class, segments) = (ticket.class(), ticket.segments);
        ticket.try_acquire(now, || {
            let mut limiter = self.pacing.limiter();
            match class {
                Some(MessageClass::Transactional) => limiter.try_acquire(now, segments),
                Some(MessageClass::Marketing) | None => limiter.try_acquire_sparing(now, segments),
            }
        })
    }

    async fn submit(&self, ticket: Ticket, permit: Permit) {
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
        let open = self.instruments.leaves(ticket.segments);
        let outcome = self.outcome_of(&request).await;
        let now = self.runtime.boot();
        drop(open);
        let took = now.saturating_sub(permit.at);
        self.instruments.ended(&outcome, took);
        let left = (permit.at, permit.opening);
        self.pacing.ended(now, left, said_by(&outcome));
        if let SubmitOutcome::Throttled { retry_after_ms, .. } = &outcome {
            let asked = retry_after_ms.map_or(THROTTLED_PAUSE, Duration::from_millis);
            self.pause(asked.min(MAX_PAUSE));
        }
        ticket.resolve(outcome);
    }

    /// A panic on the way is the fate of one text, and a sign that the account fails: else it
    /// would go on to take texts of which nobody knows what became.
    async fn outcome_of(&self, request: &SubmitRequest) -> SubmitOutcome {
        let submitted = AssertUnwindSafe(self.provider.submit(request)).catch_unwind();
        submitted.await.unwrap_or_else(|_| {
            tracing::error!("a request to a provider account panicked");
            SubmitOutcome::Unknown {
                cause: "panicked".to_owned(),
            }
        })
    }

    fn pause(&self, wait: Duration) {
        let now = self.runtime.boot();
        let until = now + u64::try_from(wait.as_micros()).unwrap_or(0);
        self.pacing.pause(until);
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an outcome says of the provider that it came from: of how fast it can be sent to, and
/// whether it works.
fn said_by(outcome: &SubmitOutcome) -> (Heard, Sign) {
    match outcome {
        SubmitOutcome::Accepted { .. } | SubmitOutcome::Rejected { .. } => {
            (Heard::Answer, Sign::Answers)
        }
        SubmitOutcome::Throttled { .. } => (Heard::Throttled, Sign::Answers),
        SubmitOutcome::NotSent { .. } | SubmitOutcome::Unknown { .. } => {
            (Heard::Failure, Sign::Fails)
        }
    }
}

/// An attempt goes back that its campaign's or account's limit lets wait for longer than it was
/// given out ahead of that limit and this, in microseconds: the limit was lowered meanwhile, or
/// others took what was due.
const LIMIT_PATIENCE: u64 = 80_000;

/// A waiting attempt looks again this often whether the lane was closed.
const LONGEST_SLEEP: Duration = Duration::from_millis(250);
