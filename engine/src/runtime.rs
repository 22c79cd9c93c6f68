//! The one seam to time, randomness, tasks and threads.
//!
//! Everything else gets a [`Runtime`] passed in and asks it. In production it stands
//! on a multi-thread tokio runtime and the machine's clocks; in a simulation on one
//! thread, virtual time and a seed. The lints ban the direct ways around it.

mod machine;
mod scope;

use std::collections::hash_map::RandomState;
use std::future::Future;
use std::hash::{BuildHasher, Hasher};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha12Rng;
use schemas::UnixMicros;

use machine::{MachineClock, TokioSpawner};
pub use scope::Scope;

/// A point on the clock that runs from boot, also while the machine sleeps, in
/// microseconds. Deadlines and pacing stand on it: nobody can set it back.
pub type BootMicros = u64;

/// What two readings of the wall clock may differ by, beside the boot-time clock, though
/// nobody has set it, in microseconds: both are cut to whole ones, and the clocks were not
/// read at one instant when they were first laid side by side.
const SIDE_BY_SIDE_MICROS: u64 = 100;

/// How often the clocks are read anew to lay them side by side, at most.
const SIDE_BY_SIDE_TRIES: u32 = 16;

/// Where the time comes from.
pub trait Clock: Send + Sync + 'static {
    /// The wall clock.
    fn now(&self) -> UnixMicros;
    /// The boot-time clock.
    fn boot(&self) -> BootMicros;
}

/// Where tasks and threads are started.
pub trait Spawner: Send + Sync + 'static {
    /// Starts a task that does no blocking work.
    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>);
    /// Starts work that may block, such as reading a file or many rows.
    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>);
    /// Starts a task that may block for as long as the process lives, such as a writer.
    fn spawn_dedicated(&self, name: &str, task: Pin<Box<dyn Future<Output = ()> + Send>>);
}

/// Time, randomness, tasks and threads. Cloning is cheap and shares all of it.
#[derive(Clone)]
pub struct Runtime {
    clock: Arc<dyn Clock>,
    latest: Arc<Mutex<Latest>>,
    random: Arc<Mutex<ChaCha12Rng>>,
    spawner: Arc<dyn Spawner>,
}

/// The latest instant that was told, and when.
#[derive(Default)]
struct Latest {
    now: UnixMicros,
    boot: BootMicros,
    /// By how much the wall clock is ahead of the boot-time clock, in microseconds. Whatever
    /// makes one of them faster or slower does the same to the other: only who sets the wall
    /// clock changes this.
    ahead: Option<i64>,
}

impl Latest {
    /// What the wall clock showed at this instant.
    fn wall_at(&self, boot: BootMicros) -> Option<UnixMicros> {
        let boot = i64::try_from(boot).ok()?;
        self.ahead
            .map(|ahead| UnixMicros(boot.saturating_add(ahead)))
    }
}

/// One instant on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// On the boot-time clock.
    pub boot: BootMicros,
    /// The time of day.
    pub wall: UnixMicros,
}

/// Work ended without a result: it panicked, or its runtime is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the work ended without a result")]
pub struct WorkLost;

impl Runtime {
    /// A runtime over these parts; `seed` decides every random number.
    pub fn new(clock: Arc<dyn Clock>, spawner: Arc<dyn Spawner>, seed: u64) -> Self {
        let random = Arc::new(Mutex::new(ChaCha12Rng::seed_from_u64(seed)));
        Self {
            clock,
            latest: Arc::default(),
            random,
            spawner,
        }
    }

    /// The machine's clocks, a seed from the system, and tasks on `handle`.
    pub fn of_machine(handle: tokio::runtime::Handle) -> Self {
        let seed = RandomState::new().build_hasher().finish();
        Self::new(
            Arc::new(MachineClock),
            Arc::new(TokioSpawner { handle }),
            seed,
        )
    }

    /// The time of day, which never goes back: what was planned, joined or cut off by an
    /// earlier instant must stay before a later one. When the wall clock is set back, time
    /// passes at half its speed until the wall clock has caught up.
    pub fn now(&self) -> UnixMicros {
        let (wall, boot) = (self.clock.now(), self.clock.boot());
        let mut latest = self.latest();
        if wall >= latest.now {
            (latest.now, latest.boot) = (wall, boot);
        } else {
            let half = boot.saturating_sub(latest.boot) / 2;
            latest.now = latest.now.plus(Duration::from_micros(half));
            latest.boot += 2 * half;
        }
        latest.now
    }

    /// Now, on both clocks. Two readings are never at one instant, and the thread may stand
    /// still between them; what lies so far apart on one of the clocks still lies as far
    /// apart on the other here, unless the wall clock is set.
    pub fn moment(&self) -> Moment {
        let before = self.clock.boot();
        let now = self.now();
        let after = self.clock.boot();
        let mut latest = self.latest();
        let is_told = |wall: UnixMicros| {
            let told = now.0.saturating_sub(wall.0);
            let slack = i64::try_from(SIDE_BY_SIDE_MICROS).unwrap_or(i64::MAX);
            let between = i64::try_from(after.saturating_sub(before)).unwrap_or(i64::MAX);
            (-slack..=between.saturating_add(slack)).contains(&told)
        };
        if let Some(wall) = latest.wall_at(before).filter(|wall| is_told(*wall)) {
            return Moment { boot: before, wall };
        }
        latest.ahead = self.ahead();
        // While the wall clock is behind what was told, time passes at half its speed.
        let wall = latest.wall_at(before).filter(|wall| is_told(*wall));
        Moment {
            boot: before,
            wall: wall.unwrap_or(now),
        }
    }

    /// By how much the wall clock is ahead, of the readings that lay closest together.
    fn ahead(&self) -> Option<i64> {
        let mut best: Option<(u64, i64)> = None;
        for _ in 0..SIDE_BY_SIDE_TRIES {
            let before = self.clock.boot();
            let wall = self.clock.now();
            let apart = self.clock.boot().saturating_sub(before);
            let ahead = wall.0.saturating_sub(i64::try_from(before).ok()?);
            if best.is_none_or(|(least, _)| apart < least) {
                best = Some((apart, ahead));
            }
            if apart < SIDE_BY_SIDE_MICROS / 2 {
                break;
            }
        }
        best.map(|(_, ahead)| ahead)
    }

    /// It is later than this instant, whatever the wall clock says: an earlier process
    /// has told it.
    pub fn not_before(&self, instant: UnixMicros) {
        let (wall, boot) = (self.clock.now(), self.clock.boot());
        if wall < instant {
            let behind = Duration::from_micros(instant.0.abs_diff(wall.0));
            tracing::warn!(?behind, "the clock is behind what was written before");
        }
        let mut latest = self.latest();
        if latest.now < instant {
            (latest.now, latest.boot) = (instant, boot);
        }
    }

    fn latest(&self) -> MutexGuard<'_, Latest> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The boot-time clock, in microseconds.
    pub fn boot(&self) -> BootMicros {
        self.clock.boot()
    }

    /// Waits. Tokio's timer has a grain of one millisecond.
    pub async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    /// Starts a task.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.spawner.spawn(Box::pin(task));
    }

    /// Starts a long-lived task that may block, on a thread of its own.
    pub fn spawn_dedicated(&self, name: &str, task: impl Future<Output = ()> + Send + 'static) {
        self.spawner.spawn_dedicated(name, Box::pin(task));
    }

    /// Does work that may block and waits for its result.
    ///
    /// # Errors
    /// [`WorkLost`] when it panicked or its runtime ended.
    pub async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, WorkLost> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        self.spawner.spawn_blocking(Box::new(move || {
            let _ = sender.send(work());
        }));
        receiver.map(|result| result.map_err(|_| WorkLost)).await
    }

    /// So many random bytes.
    pub fn random_bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.random
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .fill_bytes(&mut bytes);
        bytes
    }

    /// A random number from 0 up to, not including, 1.
    pub fn random_unit(&self) -> f64 {
        let bits = u64::from_le_bytes(self.random_bytes());
        // 53 bits are what an f64 holds exactly.
        (bits >> 11) as f64 / (1_u64 << 53) as f64
    }
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Runtime")
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

    use super::{BootMicros, Clock, Runtime, Spawner, UnixMicros};

    #[derive(Default)]
    struct Clocks {
        wall: AtomicI64,
        boot: AtomicU64,
    }

    impl Clock for Clocks {
        fn now(&self) -> UnixMicros {
            UnixMicros(self.wall.load(Ordering::Relaxed))
        }

        fn boot(&self) -> BootMicros {
            self.boot.load(Ordering::Relaxed)
        }
    }

    struct Nobody;

    impl Spawner for Nobody {
        fn spawn(&self, _: Pin<Box<dyn Future<Output = ()> + Send>>) {}
        fn spawn_blocking(&self, _: Box<dyn FnOnce() + Send>) {}
        fn spawn_dedicated(&self, _: &str, _: Pin<Box<dyn Future<Output = ()> + Send>>) {}
    }

    #[test]
    fn time_never_goes_back_and_the_clock_catches_up() {
        let clocks = Arc::new(Clocks::default());
        let runtime = Runtime::new(Arc::clone(&clocks) as Arc<dyn Clock>, Arc::new(Nobody), 1);
        let at = |wall: i64, boot: u64| {
            clocks.wall.store(wall, Ordering::Relaxed);
            clocks.boot.store(boot, Ordering::Relaxed);
            runtime.now().0
        };
        assert_eq!(at(1_000, 10), 1_000);
        // Set back by 400: half speed, also where it is asked very often.
        assert_eq!(at(600, 10), 1_000);
        let asked: Vec<i64> = (0_i64..=100)
            .map(|step| at(600 + step, 10 + step as u64))
            .collect();
        assert!(asked.is_sorted());
        assert_eq!(asked.last(), Some(&1_050));
        assert_eq!(at(1_400, 810), 1_400);
        assert_eq!(at(1_500, 910), 1_500);
        runtime.not_before(UnixMicros(9_000));
        assert_eq!(at(1_600, 1_010), 9_050);
    }

    /// Clocks that go on by so much between any two readings.
    #[derive(Default)]
    struct Slow {
        clocks: Clocks,
        stands_still: AtomicU64,
    }

    impl Slow {
        fn pass(&self) {
            let micros = self.stands_still.load(Ordering::Relaxed);
            self.clocks.boot.fetch_add(micros, Ordering::Relaxed);
            let micros = i64::try_from(micros).expect("small");
            self.clocks.wall.fetch_add(micros, Ordering::Relaxed);
        }
    }

    impl Clock for Slow {
        fn now(&self) -> UnixMicros {
            self.pass();
            self.clocks.now()
        }

        fn boot(&self) -> BootMicros {
            self.pass();
            self.clocks.boot()
        }
    }

    #[test]
    fn a_moment_is_as_far_from_the_next_on_both_clocks() {
        let clocks = Arc::new(Slow::default());
        clocks.clocks.wall.store(1_000_000, Ordering::Relaxed);
        let runtime = Runtime::new(Arc::clone(&clocks) as Arc<dyn Clock>, Arc::new(Nobody), 1);
        let mut first = None;
        for stands_still in [1, 30_000, 0, 7, 2_000, 1, 1_000_000] {
            clocks.stands_still.store(stands_still, Ordering::Relaxed);
            let moment = runtime.moment();
            let ahead = moment.wall.0 - i64::try_from(moment.boot).expect("small");
            assert_eq!(*first.get_or_insert(ahead), ahead, "{stands_still}");
        }
        clocks.stands_still.store(1, Ordering::Relaxed);
        clocks.clocks.wall.fetch_add(5_000_000, Ordering::Relaxed);
        let moment = runtime.moment();
        let ahead = moment.wall.0 - i64::try_from(moment.boot).expect("small");
        assert_eq!(
            first.map(|first| first + 5_000_000),
            Some(ahead),
            "it was set"
        );
    }
}
