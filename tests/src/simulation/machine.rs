//! The machine that a simulated process runs on: its clocks, and its tasks, each of which
//! can be held up, cut off or made to panic at any step.
//!
//! A step is one poll of a task, so a process that dies before a step dies at an await.
//! Actors are not steps: what they decide reaches the outside through tasks alone.

use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use engine::runtime::{BootMicros, Clock, Runtime, Spawner};
use schemas::UnixMicros;
use tokio::sync::Notify;
use tokio::time::{Sleep, sleep};

use super::chance::Chance;
use super::plan::Plan;
use super::time::Time;

/// Thrown where a panic was planned, so that it can be told from others.
pub struct Planted;

/// One life of a process.
pub struct Machine {
    /// Which life it is for.
    pub life: usize,
    /// How much longer than others it has been up, in microseconds.
    up_longer: u64,
    time: Arc<Time>,
    chance: Arc<Mutex<Chance>>,
    task_hold: (f64, u64),
    disk_hold: (f64, u64),
    state: Mutex<State>,
    /// Told when the process dies at a step.
    died: Arc<Notify>,
}

#[derive(Default)]
struct State {
    steps: u64,
    die_at: Option<u64>,
    calls: u64,
    panic_at: Option<u64>,
    panicked: Vec<u64>,
    still_until: u64,
    is_dead: bool,
    /// Whether a task is being polled: what asks meanwhile is no actor.
    in_step: bool,
    /// While every task that an actor starts makes it panic.
    actors_fail: Range<u64>,
    /// The process runs in circles.
    is_lost: bool,
    /// Tasks that are held up just now.
    held: usize,
    /// Ranges that it has the turn of and has not taken over.
    taking_over: usize,
}

/// More steps than any life needs, by a factor of ten.
const MOST_STEPS: u64 = 3_000_000;

/// Which hold a task meets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Task,
    Disk,
}

impl Machine {
    /// A process that has just been started.
    pub fn new(
        (life, up_longer): (usize, u64),
        plan: &Plan,
        time: &Arc<Time>,
        chance: &Arc<Mutex<Chance>>,
        died: &Arc<Notify>,
    ) -> Arc<Self> {
        Arc::new(Self {
            life,
            up_longer,
            time: Arc::clone(time),
            chance: Arc::clone(chance),
            task_hold: plan.task_hold,
            disk_hold: plan.disk_hold,
            state: Mutex::default(),
            died: Arc::clone(died),
        })
    }

    /// Time, chance and tasks as the node sees them.
    pub fn runtime(self: &Arc<Self>, seed: u64) -> Runtime {
        let seam = Arc::new(Seam(Arc::clone(self)));
        let spawner: Arc<dyn Spawner> = Arc::clone(&seam) as Arc<dyn Spawner>;
        Runtime::new(seam, spawner, seed)
    }

    /// Dies before the step with this number from now.
    pub fn die_at(&self, step: u64) {
        let mut state = self.state();
        state.die_at = Some(state.steps + step);
    }

    /// Dies now.
    pub fn die(&self) {
        self.state().is_dead = true;
    }

    /// Whether it died at a step.
    pub fn is_dead(&self) -> bool {
        self.state().is_dead
    }

    /// Whether it ran in circles.
    pub fn is_lost(&self) -> bool {
        self.state().is_lost
    }

    /// It has the turn of a range, and begins to take it over.
    pub fn takes_over(&self) {
        self.state().taking_over += 1;
    }

    /// It has taken one over.
    pub fn has_taken_over(&self) {
        let mut state = self.state();
        state.taking_over = state.taking_over.saturating_sub(1);
    }

    /// Whether it takes a range over just now. Who falls asleep meanwhile may still fence who comes
    /// after it when it wakes, and that one ends.
    pub fn is_taking_over(&self) -> bool {
        self.state().taking_over > 0
    }

    /// Panics at the call with this number from now.
    pub fn panic_at(&self, call: u64) {
        let mut state = self.state();
        state.panic_at = Some(state.calls + call);
    }

    /// Every task that an actor starts makes it panic between these instants of the
    /// simulation, in microseconds.
    pub fn fail_actors(&self, from: u64, until: u64) {
        self.state().actors_fail = from..until;
    }

    /// When planned panics came about.
    pub fn panicked(&self) -> Vec<u64> {
        self.state().panicked.clone()
    }

    /// Stands still until this instant of the simulation, in microseconds.
    pub fn stand_still(&self, until: u64) {
        self.state().still_until = until;
    }

    /// Whether any task is held up.
    pub fn holds_any(&self) -> bool {
        self.state().held > 0
    }

    /// Steps so far.
    pub fn steps(&self) -> u64 {
        self.state().steps
    }

    /// Starts a task of the process that stays on this thread.
    pub fn start_local(self: &Arc<Self>, task: impl Future<Output = ()> + 'static) {
        self.start(Box::pin(task), Kind::Task);
    }

    fn start(self: &Arc<Self>, task: Pin<Box<dyn Future<Output = ()>>>, kind: Kind) {
        if self.is_dead() {
            return;
        }
        let machine = Arc::clone(self);
        drop(tokio::task::spawn_local(Step {
            machine,
            kind,
            task,
            hold: None,
            was_held: false,
        }));
    }

    /// Counts a call of the seam, and panics if it is the one.
    pub fn call(&self) {
        let mut state = self.state();
        state.calls += 1;
        if state.is_dead || state.panic_at.is_none_or(|at| state.calls < at) {
            return;
        }
        state.panic_at = None;
        self.panic(state);
    }

    /// Panics.
    pub fn panic_now(&self) -> ! {
        self.panic(self.state())
    }

    /// Counts a task that is started, and panics if an actor must not start any.
    fn call_to_start(&self) {
        let state = self.state();
        let may_fail = !state.in_step && !state.is_dead && !state.actors_fail.is_empty();
        if may_fail && state.actors_fail.contains(&self.time.now()) {
            self.panic(state);
        }
        drop(state);
        self.call();
    }

    fn panic(&self, mut state: MutexGuard<'_, State>) -> ! {
        state.panicked.push(self.time.now());
        drop(state);
        // Not `panic!`: nothing of it belongs on standard error.
        std::panic::resume_unwind(Box::new(Planted));
    }

    fn hold(&self, kind: Kind) -> Option<Duration> {
        let still_until = self.state().still_until;
        if still_until > 0 {
            let now = self.time.now();
            if still_until > now {
                return Some(Duration::from_micros(still_until - now));
            }
        }
        let (share, most_ms) = match kind {
            Kind::Task => self.task_hold,
            Kind::Disk => self.disk_hold,
        };
        let mut chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
        let hit = share > 0.0 && chance.hits(share);
        hit.then(|| Duration::from_millis(chance.between(0, most_ms)))
    }

    /// Whether there is another step.
    fn step(&self) -> bool {
        let mut state = self.state();
        if state.is_dead {
            return false;
        }
        state.steps += 1;
        if state.steps > MOST_STEPS {
            state.is_lost = true;
            state.die_at = Some(0);
        }
        if state.die_at.is_some_and(|at| state.steps >= at) {
            state.is_dead = true;
            self.died.notify_one();
            return false;
        }
        true
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A task of the process.
struct Step {
    machine: Arc<Machine>,
    kind: Kind,
    task: Pin<Box<dyn Future<Output = ()>>>,
    hold: Option<Pin<Box<Sleep>>>,
    was_held: bool,
}

impl Future for Step {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.hold.is_none() && !std::mem::take(&mut this.was_held) {
            match this.machine.hold(this.kind) {
                None => {}
                Some(Duration::ZERO) => {
                    // Behind everything else that is ready now.
                    this.was_held = true;
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Some(wait) => {
                    this.hold = Some(Box::pin(sleep(wait)));
                    this.machine.state().held += 1;
                }
            }
        }
        if let Some(hold) = &mut this.hold {
            if hold.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            this.hold = None;
            this.machine.state().held -= 1;
        }
        if !this.machine.step() {
            return Poll::Pending;
        }
        let _in_step = InStep::of(&this.machine);
        this.task.as_mut().poll(context)
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if self.hold.is_some() {
            self.machine.state().held -= 1;
        }
    }
}

/// Says as long as it lives that a task is being polled, also while one panics.
struct InStep<'a>(&'a Machine);

impl<'a> InStep<'a> {
    fn of(machine: &'a Machine) -> Self {
        machine.state().in_step = true;
        Self(machine)
    }
}

impl Drop for InStep<'_> {
    fn drop(&mut self) {
        self.0.state().in_step = false;
    }
}

/// What the node gets.
struct Seam(Arc<Machine>);

impl Clock for Seam {
    fn now(&self) -> UnixMicros {
        self.0.call();
        self.0.time.wall()
    }

    fn boot(&self) -> BootMicros {
        self.0.call();
        self.0.time.boot() + self.0.up_longer
    }
}

impl Spawner for Seam {
    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        self.0.call_to_start();
        self.0.start(task, Kind::Task);
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        self.0.call();
        self.0.start(Box::pin(async move { work() }), Kind::Task);
    }

    fn spawn_dedicated(&self, _: &str, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        self.0.start(task, Kind::Disk);
    }
}
