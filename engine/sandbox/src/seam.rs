//! The one place where the sandbox touches the machine's clock, threads and tasks.
//!
//! Everything else takes the time as an argument (Unix microseconds), so the
//! provider core can be driven in virtual time by a simulation, and the same
//! clock stamps every line of the book.

// The bans hold everywhere else in this crate; this file is what they protect.
#![allow(clippy::disallowed_methods)]

use std::future::Future;
use std::io;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A source of the time of day.
pub trait Clock: Send + Sync {
    /// The time now, in microseconds since the Unix epoch. Never goes backwards.
    fn now_us(&self) -> u64;
}

/// The machine's clock: the wall time read once at the start, carried on by the
/// monotonic clock, so that a step of the wall clock cannot reorder the book.
pub struct SystemClock {
    started_us: u64,
    started: Instant,
}

impl SystemClock {
    /// Anchors the clock to the wall time of this moment.
    pub fn start() -> Self {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            started_us: u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX),
            started: Instant::now(),
        }
    }
}

impl Clock for SystemClock {
    fn now_us(&self) -> u64 {
        let elapsed = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.started_us.saturating_add(elapsed)
    }
}

/// Starts a named thread.
///
/// # Errors
/// When the system refuses another thread.
pub fn spawn_thread<F>(name: &str, body: F) -> io::Result<JoinHandle<()>>
where
    F: FnOnce() + Send + 'static,
{
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
}

/// Starts a task on the runtime of the calling thread.
pub fn spawn_task<F>(task: F)
where
    F: Future<Output = ()> + Send + 'static,
{
    drop(tokio::spawn(task));
}

/// Puts the calling thread to sleep; only the stall watch uses it.
pub fn sleep_thread(duration: Duration) {
    std::thread::sleep(duration);
}
