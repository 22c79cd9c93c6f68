//! The sandbox watches itself: who expects to wake every millisecond and wakes
//! late knows that it stood still, and arrivals stamped then say little about
//! their sender.
//!
//! A thread watches the process as a whole (it sleeps with the kernel's timer,
//! exact to some 50 µs); a task on each serving thread watches that thread (its
//! timer counts whole milliseconds, so it may be a millisecond late by itself).

use crate::book::{BookSink, Record, StallRecord};
use crate::core::hold;
use crate::sandbox::Shared;
use crate::seam;
use crate::statistics::StallStatistics;
use std::borrow::Cow;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often a watcher wants to wake.
const EVERY: Duration = Duration::from_millis(1);

/// The same in microseconds.
const EVERY_US: u64 = 1_000;

/// Lateness from which the process stood still, microseconds.
const LATE_US: u64 = 1_000;

/// The same for a serving thread, whose timer rounds up by up to a millisecond.
const LATE_TASK_US: u64 = 2_000;

/// From here on a judge leaves out the windows around a stall, microseconds.
const LONG_US: u64 = 5_000;

/// The stalls of this start.
#[derive(Default)]
pub(crate) struct Stalls {
    sums: Mutex<StallStatistics>,
    stopped: AtomicBool,
}

impl Stalls {
    pub(crate) fn statistics(&self) -> StallStatistics {
        hold(&self.sums).clone()
    }

    /// Ends the thread of [`watch_process`] within a millisecond.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    fn note(&self, book: &dyn BookSink, who: &str, at: u64, length_us: u64) {
        let mut sums = hold(&self.sums);
        sums.count += 1;
        sums.of_5_ms_or_longer += u64::from(length_us >= LONG_US);
        sums.total_us += length_us;
        sums.longest_us = sums.longest_us.max(length_us);
        drop(sums);
        book.append(&Record::Stall(StallRecord {
            at,
            length_us,
            who: Cow::Borrowed(who),
        }));
    }
}

/// Watches the process from a thread of its own until stopped.
pub(crate) fn watch_process(shared: &Shared) {
    while !shared.stalls.stopped.load(Ordering::Relaxed) {
        let expected = shared.clock.now_us() + EVERY_US;
        seam::sleep_thread(EVERY);
        check(shared, "process", expected, LATE_US);
    }
}

/// Watches one serving thread from a task on it, for as long as its runtime lives.
pub(crate) async fn watch_worker(shared: &Shared, number: usize) {
    let who = format!("worker {number}");
    loop {
        let expected = shared.clock.now_us() + EVERY_US;
        tokio::time::sleep(EVERY).await;
        check(shared, &who, expected, LATE_TASK_US);
    }
}

fn check(shared: &Shared, who: &str, expected: u64, late: u64) {
    let length_us = shared.clock.now_us().saturating_sub(expected);
    if length_us >= late {
        shared.stalls.note(&*shared.book, who, expected, length_us);
    }
}
