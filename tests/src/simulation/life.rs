//! One life of the process: driven through what the world does to it, until it ends as
//! planned or by itself.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use engine::store::Fate;
use futures::future::select;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep};

use super::Simulation;
use super::machine::Machine;
use super::plan::{Disturbance, End, LifePlan};
use super::process::{self, Process};

/// What a full disk has left: less than what the store keeps in reserve.
const NEARLY_FULL: u64 = 1 << 20;

/// What an empty disk has left.
pub const PLENTY: u64 = 1 << 40;

/// The longest that a life may need to do all there is, in microseconds.
const CALM_LIMIT: u64 = 600_000_000;

/// Without a word on any line for so long, in microseconds, nothing more is to come soon:
/// due look-ups are read twice a second, and made at least once a second. What follows
/// from one takes some steps, each of which may be held up.
const QUIET: u64 = 1_150_000;

/// Steps from a look-up to the text that it sends again, and more.
const STEPS_OF_A_RESEND: u64 = 12;

/// A receipt that is to come within so many microseconds is waited for: it meets what is
/// done meanwhile.
const EXPECTED_WITHIN: u64 = 10_000_000;

/// The longest life that only waits for the lines to be quiet.
const SETTLE_LIMIT: u64 = 300_000_000;

/// The longest life that waits for a step or a write that does not come.
const STEP_LIMIT: u64 = 3_000_000;

/// The longest that a good end may take, in microseconds.
const DRAIN_LIMIT: u64 = 30_000_000;

/// The longest that a process may go on building actors that always fail.
const GIVES_UP_WITHIN: u64 = 60_000_000;

/// How often a life looks whether there is anything left to do.
pub const LOOK_EVERY: u64 = 500_000;

/// How a life ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ending {
    /// Cut off by the plan.
    Killed,
    /// It stopped by itself, with this cause.
    Failed(String),
    /// It stopped in good order.
    Drained,
    /// It could not be started.
    NotStarted(String),
    /// It had time and did not do what there was to do.
    StoodStill,
    /// Its store failed, and it went on as if nothing were.
    NotNoticed,
    /// It sleeps, and is not the owner any more when it wakes.
    Asleep,
}

/// What ends a life besides its plan.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Until {
    /// The plan alone.
    Planned,
    /// Customers have what they want.
    CustomersAreDone,
    /// The lines stay quiet however long the machine sleeps.
    NothingIsLeft,
}

/// Runs one life. Whoever counts its instructions finds it by its name.
#[inline(never)]
pub fn live(simulation: &Rc<Simulation>, number: usize, plan: &LifePlan, until: Until) -> Ending {
    let tasks = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let local = LocalSet::new();
    let machine = Machine::new(
        (number, 0),
        &simulation.plan,
        &simulation.time,
        &simulation.machine_chance,
        &simulation.world.changed,
    );
    let ending = local.block_on(&tasks, async {
        simulation.time.life_begins(Instant::now());
        simulation.world.life_begins(number);
        let runtime = machine.runtime(simulation.seed.wrapping_mul(1_000) + number as u64);
        let ending = match process::start(simulation, &machine, runtime, plan.is_bare, |_| {}).await
        {
            Ok(mut process) => {
                Life::of(simulation, &machine, &mut process)
                    .run(plan, until)
                    .await
            }
            Err(cause) => Ending::NotStarted(cause),
        };
        simulation.time.life_ended();
        simulation.count_cut_off(&ending);
        ending
    });
    machine.die();
    let panicked = machine.panicked();
    simulation
        .tally
        .add("panics planted", panicked.len() as u64);
    simulation.panicked.borrow_mut().extend(panicked);

    simulation
        .story
        .mark(&[number as u64, simulation.time.now(), machine.steps()]);
    // What is cut off may still touch a timer as it falls.
    let context = tasks.enter();
    drop(local);
    drop(context);
    ending
}

/// A process that runs.
pub struct Life<'a> {
    /// What it is a part of.
    pub simulation: &'a Rc<Simulation>,
    /// What it runs on.
    pub machine: &'a Arc<Machine>,
    /// What runs.
    pub process: &'a mut Process,
    began: u64,
    /// When the machine last woke.
    woke: u64,
    /// When the disk has space again.
    space_at: Option<u64>,
    /// Since when it has none.
    full_since: u64,
    /// Panics of a storm that are left.
    storm: u64,
    /// Since when no actor can do anything.
    doomed_since: Option<u64>,
}

impl<'a> Life<'a> {
    /// The life of a process that has started.
    pub fn of(
        simulation: &'a Rc<Simulation>,
        machine: &'a Arc<Machine>,
        process: &'a mut Process,
    ) -> Self {
        let now = simulation.time.now();
        Self {
            simulation,
            machine,
            process,
            began: now,
            woke: now,
            space_at: None,
            full_since: 0,
            storm: 0,
            doomed_since: None,
        }
    }

    /// Drives it to its end.
    pub async fn run(mut self, plan: &LifePlan, until: Until) -> Ending {
        self.arm(plan.end);
        let mut disturbances = plan.disturbances.iter().peekable();
        loop {
            for action in self.simulation.world.happen() {
                self.act(action, self.process.drain.is_some());
            }
            if self.machine.is_lost() {
                return Ending::StoodStill;
            }
            if self.machine.is_dead() {
                return Ending::Killed;
            }
            if let Some(ending) = self.process.ended.borrow_mut().take() {
                return ending;
            }
            if self.simulation.has_started.take() {
                self.has_started(plan);
            }
            let passed = self.simulation.time.now() - self.began;
            let is_due = |(at_ms, _): &&(u64, Disturbance)| at_ms * 1_000 <= passed;
            while let Some((_, disturbance)) = disturbances.next_if(is_due) {
                self.disturb(*disturbance);
            }
            self.recover();
            if let Some(ending) = self.planned_end(plan.end, until, passed) {
                return ending;
            }
            self.wait(
                disturbances
                    .peek()
                    .map(|(at_ms, _)| self.began + at_ms * 1_000),
            )
            .await;
        }
    }

    fn arm(&self, end: End) {
        let memory = &self.simulation.memory;
        match end {
            End::AtStep(step) => self.machine.die_at(step),
            End::FailedWrite(nth) => memory.fail_write(nth),
            End::SyncLost(nth) => memory.fail_sync(nth, Fate::Lost),
            End::SyncKept(nth) => memory.fail_sync(nth, Fate::Kept),
            // That was armed before it had its turn.
            End::WhileOpening(_) => {}
            End::AfterStart(_)
            | End::AtTime(_)
            | End::Drained(_)
            | End::Asleep { .. }
            | End::Calm => {}
        }
    }

    fn disturb(&mut self, disturbance: Disturbance) {
        let (simulation, now) = (self.simulation, self.simulation.time.now());
        simulation
            .story
            .tell(now, || format!("disturbed: {disturbance:?}"));
        match disturbance {
            Disturbance::ClockJump(ms) => {
                simulation.time.set_wall(ms * 1_000);
                let forward = ms > 0;
                simulation.wall_jumped.set(true);
                let name = if forward {
                    "clock jumped forward"
                } else {
                    "clock jumped back"
                };
                simulation.tally.count(name);
            }
            Disturbance::Freeze(ms) => {
                let until = now + ms * 1_000;
                self.machine.stand_still(until);
                simulation.frozen.borrow_mut().push((now, until));
                simulation.tally.count("process stood still");
            }
            Disturbance::DiskNearlyFull(ms) => {
                simulation.memory.set_free_bytes(NEARLY_FULL);
                self.space_at = Some(now + ms * 1_000);
                self.full_since = now;
                simulation.tally.count("disk nearly full");
            }
            Disturbance::Panic(call) => self.machine.panic_at(call + 1),
            Disturbance::PanicStorm(panics) => self.storm = panics,
            Disturbance::ActorsFail(Some(ms)) => {
                self.machine.fail_actors(now, now + ms * 1_000);
                simulation.tally.count("actors failed for a while");
            }
            Disturbance::ActorsFail(None) => {
                self.machine.fail_actors(now, u64::MAX);
                self.doomed_since = Some(now);
                simulation.tally.count("actors failed for good");
            }
        }
    }

    /// A campaign was started.
    fn has_started(&mut self, plan: &LifePlan) {
        if let End::AfterStart(steps) = plan.end {
            self.machine.die_at(steps);
        }
        // Where actors fail for good, nothing may make them work again.
        if plan.stalls && self.space_at.is_none() && self.doomed_since.is_none() {
            let now = self.simulation.time.now();
            self.disturb(Disturbance::DiskNearlyFull(1_500));
            // Once a coordinator looks after its campaign, which it does twice a second.
            self.machine.fail_actors(now + 200_000, now + 900_000);
            self.simulation.tally.count("a campaign stalled");
        }
    }

    /// What was disturbed for a time is right again.
    fn recover(&mut self) {
        let now = self.simulation.time.now();
        if self.space_at.is_some_and(|at| at <= now) {
            self.simulation.memory.set_free_bytes(PLENTY);
            self.space_at = None;
            let full = (self.full_since, now);
            self.simulation.nearly_full.borrow_mut().push(full);
        }
        if self.storm > 0 {
            self.storm -= 1;
            self.machine.panic_at(1);
        }
    }

    fn planned_end(&mut self, end: End, until: Until, passed: u64) -> Option<Ending> {
        let now = self.simulation.time.now();
        if let Some(since) = self.doomed_since {
            // It must see for itself that building actors anew does not help.
            return (now - since >= GIVES_UP_WITHIN).then_some(Ending::StoodStill);
        }
        let is_over = match end {
            End::AtTime(ms) if passed >= ms * 1_000 => return Some(Ending::Killed),
            End::Asleep { at_ms, .. }
                if passed >= at_ms * 1_000 && !self.machine.is_taking_over() =>
            {
                return Some(Ending::Asleep);
            }
            End::AtStep(_)
            | End::WhileOpening(_)
            | End::AfterStart(_)
            | End::FailedWrite(_)
            | End::SyncLost(_)
            | End::SyncKept(_)
                if passed >= STEP_LIMIT =>
            {
                return Some(Ending::Killed);
            }
            End::Drained(ms) => passed >= ms * 1_000,
            End::Calm => match until {
                Until::CustomersAreDone if passed >= CALM_LIMIT => return Some(Ending::StoodStill),
                Until::CustomersAreDone => {
                    self.space_at.is_none() && self.simulation.customers.are_done()
                }
                Until::Planned => true,
                Until::NothingIsLeft => self.is_quiet() && !self.sleeps_on(),
            },
            End::AtTime(_)
            | End::AtStep(_)
            | End::WhileOpening(_)
            | End::Asleep { .. }
            | End::AfterStart(_)
            | End::FailedWrite(_)
            | End::SyncLost(_)
            | End::SyncKept(_) => false,
        };
        if is_over {
            // Whoever waits hears of the end by `ended`; a second look changes nothing.
            let _ = self.process.drain.take().map(|drain| drain.send(()));
        }
        let ending_for = self.simulation.time.now() - self.woke;
        let is_stuck = self.process.drain.is_none() && ending_for >= CALM_LIMIT + DRAIN_LIMIT;
        is_stuck.then_some(Ending::StoodStill)
    }

    /// Whether nothing has gone over a line for a while, or for too long all the time.
    fn is_quiet(&self) -> bool {
        let (simulation, now) = (self.simulation, self.simulation.time.now());
        let next = simulation.world.next_at();
        let is_expected = next.is_some_and(|at| at < now + EXPECTED_WITHIN);
        let is_busy = is_expected || simulation.world.is_waited_for();
        let since = simulation.world.last_wire().max(self.woke);
        let held = simulation.plan.task_hold.1 * 1_000 * STEPS_OF_A_RESEND;
        let quiet = since + QUIET + held;
        let fleet = simulation.fleet.as_ref();
        let longer = fleet.map_or(0, |fleet| fleet.takes_longer(since, quiet));
        now - self.woke >= SETTLE_LIMIT || (now >= quiet + longer && !is_busy)
    }

    fn sleeps_on(&mut self) -> bool {
        let sleeps = self.process.drain.is_some() && self.simulation.sleep_on();
        if sleeps {
            self.woke = self.simulation.time.now();
        }
        sleeps
    }

    /// Until something may have to be done.
    async fn wait(&mut self, disturbance: Option<u64>) {
        let simulation = self.simulation;
        let now = simulation.time.now();
        let storm = (self.storm > 0).then_some(now + 3_000);
        let moments = [
            simulation.world.next_at(),
            disturbance,
            self.space_at,
            storm,
        ];
        let next = moments
            .into_iter()
            .flatten()
            .fold(now + LOOK_EVERY, u64::min);
        let pause = std::pin::pin!(sleep(Duration::from_micros(next.saturating_sub(now))));
        let changed = std::pin::pin!(simulation.world.changed.notified());
        select(pause, changed).await;
    }
}
