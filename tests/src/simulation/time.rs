//! The one time of a simulation, and the clocks that a machine makes of it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use schemas::UnixMicros;
use tokio::time::Instant;

/// When every simulation begins: 2026-01-05, a Monday, 09:00 UTC, in Unix microseconds.
const EPOCH: u64 = 1_767_603_600_000_000;

/// Microseconds that a machine has been up when it starts the process.
const UP_BEFORE: u64 = 7_000_000;

/// The time since the start, in microseconds. It goes on from life to life.
#[derive(Debug, Default)]
pub struct Time(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The time when the running life began, or now if none runs.
    base: u64,
    /// That life's own clock at its beginning: tokio's, which is virtual.
    started: Option<Instant>,
    /// How far the machine's wall clock is wrong.
    wall_offset: i64,
    /// The time of the last boot.
    booted: u64,
}

impl Time {
    /// The true time of day at which windows open: the first whole minute.
    pub const OPENS_AT: u64 = (EPOCH / 60_000_000 + 1) * 60_000_000;

    /// The time that has passed.
    pub fn now(&self) -> u64 {
        self.state().now()
    }

    /// The true time of day, in Unix microseconds: what providers go by.
    pub fn true_wall(&self) -> u64 {
        EPOCH + self.now()
    }

    /// What the true time of day says of the simulation's.
    pub fn of_true_wall(wall: u64) -> u64 {
        wall.saturating_sub(EPOCH)
    }

    /// The machine's wall clock.
    pub fn wall(&self) -> UnixMicros {
        let state = self.state();
        UnixMicros((EPOCH + state.now()) as i64 + state.wall_offset)
    }

    /// The machine's boot-time clock.
    pub fn boot(&self) -> u64 {
        let state = self.state();
        UP_BEFORE + state.now() - state.booted
    }

    /// A life begins: from now on its own clock tells the time.
    pub fn life_begins(&self, started: Instant) {
        self.state().started = Some(started);
    }

    /// A life has ended: time stands still until it is moved on.
    pub fn life_ended(&self) {
        let mut state = self.state();
        state.base = state.now();
        state.started = None;
    }

    /// Nobody runs, and time passes.
    pub fn pass(&self, until: u64) {
        let mut state = self.state();
        state.base = state.base.max(until);
    }

    /// The machine sleeps and wakes again, its process with it.
    pub fn leap(&self, micros: u64) {
        self.state().base += micros;
    }

    /// The machine was booted.
    pub fn reboot(&self) {
        let mut state = self.state();
        state.booted = state.now();
    }

    /// Somebody sets the wall clock, by so many microseconds.
    pub fn set_wall(&self, by: i64) {
        self.state().wall_offset += by;
    }

    /// Somebody sets the wall clock right.
    pub fn set_wall_right(&self) {
        self.state().wall_offset = 0;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn now(&self) -> u64 {
        let passed = self.started.map_or(0, |started| {
            u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX)
        });
        self.base + passed
    }
}
