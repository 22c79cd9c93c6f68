//! The whole node in one thread, in virtual time, from one seed: actors, store, doors and
//! the providers' dialect are the real ones; disk, network, clocks, chance and customers
//! are simulated. One schedule runs a process through several lives, most of which end in
//! a crash, then lets it finish, lets days pass, and compares three books: what customers
//! were promised, what the providers took, and what the node says.
//!
//! - [`plan`]: what is to happen, drawn before anything runs;
//! - [`machine`], [`time`]: what the process runs on;
//! - [`world`], [`weakness`], [`wire`], [`ledger`]: what is around it, and what really happened;
//! - [`customers`]: what is asked for and promised;
//! - [`process`], [`life`], [`doors`]: one process from start to end;
//! - [`fleet`]: several of them on servers that they share, one after the other and beside each
//!   other;
//! - [`judge`]: whether all is well;
//! - [`broken_sender`], [`hot_path()`]: schedules that are not drawn, for a rate that others must
//!   keep and for what a text costs.

mod broken_sender;
mod chance;
mod customers;
mod doors;
mod endings;
mod fleet;
mod gone_account;
mod held_back;
mod hot_path;
mod judge;
mod ledger;
mod life;
mod machine;
mod panics;
mod plan;
mod process;
mod request;
mod story;
mod tally;
mod time;
mod weakness;
mod wire;
mod world;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use api::in_process::DoorAnswer;
use engine::settings::HttpSettings;
use engine::store::MemoryKv;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use sandbox::book::ReceiptResult;
use sandbox::core::DueReceipt;
use schemas::due::{DueEntry, DueLookUps};
use schemas::{MessageId, MessageStatus};

use chance::{Chance, Stream};
use customers::Customers;
use endings::has_come_to_its_end;
use fleet::Fleet;
use life::{Ending, PLENTY, Until, live};
use plan::{End, LifePlan, Plan};
use story::Story;
use tally::Tally;
use time::Time;
use world::{Action, World};

pub use broken_sender::{BESIDE, Beside, beside_a_broken_sender};
pub use gone_account::{GONE_FOR_MS, while_its_account_is_gone};
pub use hot_path::hot_path;
pub use panics::catch_panics;
pub use tally::{EXERCISED, EXERCISED_ON_SERVERS};

/// Seconds that the machine sleeps in its last life, one after the other, while there is
/// anything to come: behind each of the instants at which providers are asked.
const PASSING_SECONDS: [u64; 7] = [65, 660, 4_000, 22_000, 90_000, 200_000, 100_000];

/// Which of these are longer than what anything but a lost text waits for.
const NIGHTS_FROM: usize = 4;

/// One schedule under way.
pub struct Simulation {
    seed: u64,
    plan: Plan,
    time: Arc<Time>,
    world: Arc<World>,
    customers: Customers,
    memory: MemoryKv,
    /// The nodes, where there are several on the same servers; what these hold is the memory.
    fleet: Option<Fleet>,
    /// Who fell asleep with a task that was held up, and when it woke.
    drowsy: RefCell<Vec<(usize, u64)>>,
    /// Where uploaded files lie: the one thing on a real disk.
    folder: PathBuf,
    http: HttpSettings,
    metrics: PrometheusHandle,
    machine_chance: Arc<Mutex<Chance>>,
    tally: Arc<Tally>,
    story: Story,
    /// Whether the wall clock was ever wrong.
    wall_jumped: Cell<bool>,
    /// When the machine has slept in its last life.
    slept: RefCell<Vec<(u64, u64)>>,
    /// The time of day when customers were done and days began to pass.
    passing_since: Cell<u64>,
    /// Whether a customer has just heard that a campaign was started.
    has_started: Cell<bool>,
    /// Lives that have ended: with each, all connections of customers break.
    lives: Cell<u64>,
    /// When processes began.
    begun: RefCell<Vec<u64>>,
    /// When the process stood still.
    frozen: RefCell<Vec<(u64, u64)>>,
    /// When the disk was nearly full while a process ran.
    nearly_full: RefCell<Vec<(u64, u64)>>,
    /// When something panicked.
    panicked: RefCell<Vec<u64>>,
    /// Ends that were seen, which must not change.
    ends: RefCell<BTreeMap<MessageId, MessageStatus>>,
    violations: RefCell<Vec<String>>,
}

/// What came of a schedule.
pub struct Report {
    /// Its seed.
    pub seed: u64,
    /// What must not be.
    pub violations: Vec<String>,
    /// What came about.
    pub counts: BTreeMap<&'static str, u64>,
    /// Messages that were asked for.
    pub messages: u64,
    /// Provider accounts.
    pub providers: u64,
    /// Lives that did not end in good order.
    pub crashes: u64,
    /// A hash of everything that happened, in its order.
    pub hash: u64,
    /// What happened, if it was to be told.
    pub story: Vec<String>,
}

/// Where the nodes of a schedule keep everything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// One node, on its own disk.
    Embedded,
    /// Several nodes, on servers that they share.
    Servers,
}

/// Runs the schedule of a seed. `folder` is its own for that time.
pub fn run(kind: Kind, seed: u64, folder: &Path, is_told: bool) -> Report {
    let plan = match kind {
        Kind::Embedded => Plan::draw(seed),
        Kind::Servers => Plan::draw_on_servers(seed),
    };
    let (messages, providers) = (plan.messages(), plan.providers.len() as u64);
    let (simulation, crashes) = run_plan(seed, plan, folder, is_told);
    Report {
        seed,
        violations: simulation.violations.take(),
        counts: simulation.tally.counts(),
        messages,
        providers,
        crashes,
        hash: simulation.story.hash(),
        story: simulation.story.lines(),
    }
}

/// Runs a plan to its end; tells how many processes ended badly.
fn run_plan(seed: u64, mut plan: Plan, folder: &Path, is_told: bool) -> (Rc<Simulation>, u64) {
    let (time, tally) = (Arc::<Time>::default(), Arc::<Tally>::default());
    let customers = Customers::new(seed, &plan);
    let lives = std::mem::take(&mut plan.lives);
    let requests_per_second = plan.requests_per_second;
    let servers = plan.servers.take();
    let fleet = servers.map(|servers| Fleet::new(seed, servers, &time, &tally));
    let world = World::new(seed, &mut plan, &time, &tally);
    let simulation = Rc::new(Simulation {
        seed,
        plan,
        time,
        world,
        customers,
        memory: fleet
            .as_ref()
            .map_or_else(MemoryKv::new, |fleet| fleet.servers.rows()),
        fleet,
        drowsy: RefCell::default(),
        folder: folder.to_owned(),
        http: doors::settings(requests_per_second),
        metrics: PrometheusBuilder::new().build_recorder().handle(),
        machine_chance: Arc::new(Mutex::new(Chance::new(seed, Stream::Machine))),
        tally,
        story: Story::new(is_told),
        wall_jumped: Cell::new(false),
        slept: RefCell::default(),
        passing_since: Cell::new(u64::MAX),
        has_started: Cell::new(false),
        lives: Cell::new(0),
        begun: RefCell::default(),
        frozen: RefCell::default(),
        nearly_full: RefCell::default(),
        panicked: RefCell::default(),
        ends: RefCell::default(),
        violations: RefCell::default(),
    });
    let crashes = simulation.run(&lives);
    if let Some(fleet) = &simulation.fleet {
        fleet.end_all(&simulation);
    }
    for panic in panics::taken() {
        simulation.violated(format!("an unplanned panic: {panic}"));
    }
    (simulation, crashes)
}

impl Simulation {
    /// Runs all lives and judges; tells how many ended badly.
    fn run(self: &Rc<Self>, lives: &[LifePlan]) -> u64 {
        for (place, errand) in self.customers.state().errands.iter().enumerate() {
            self.world.plan_errand(errand.begins_at, place);
        }
        let (mut number, mut crashes) = (0, 0);
        for life in lives {
            let is_last = life.end == End::Calm;
            let until = if is_last {
                Until::CustomersAreDone
            } else {
                Until::Planned
            };
            let mut ending = self.one_life(number, life, until);
            // What a panic of its disturbances cut short is done by a life without any.
            while is_last && !has_come_to_its_end(&ending) && self.is_well() {
                number += 1;
                crashes += 1;
                ending = self.one_life(number, &LifePlan::calm(), until);
            }
            crashes += u64::from(ending != Ending::Drained);
            number += 1;
            if !self.is_well() {
                return crashes;
            }
        }
        self.time.set_wall_right();
        self.passing_since.set(self.time.true_wall());
        self.world.calm_down();
        self.one_life(number, &LifePlan::calm(), Until::NothingIsLeft);
        if !self.is_well() {
            return crashes;
        }
        judge::everything(self);
        crashes
    }

    fn one_life(self: &Rc<Self>, number: usize, life: &LifePlan, until: Until) -> Ending {
        let begun = self.time.now();
        self.begun.borrow_mut().push(begun);
        let processes = self.begun.borrow().len();
        self.has_started.set(false);
        self.story
            .tell(begun, || format!("life {number} begins: {:?}", life.end));
        let ending = match &self.fleet {
            Some(fleet) => fleet::live(self, fleet, life, until),
            None => live(self, number, life, until),
        };
        let now = self.time.now();
        self.story
            .tell(now, || format!("life {number} has ended: {ending:?}"));
        self.count_ending(life, &ending);
        self.judge_ending(life, &ending);
        if ending != Ending::Drained {
            self.memory.crash();
        }
        self.memory.set_free_bytes(PLENTY);
        judge::after_a_life(self, ending == Ending::Drained);
        if life.disturbances.is_empty() && !life.stalls {
            // Where nodes wait for their turn, that is when this one had it, if it ever had.
            let owned = self.begun.borrow().get(processes).copied();
            let begun = self.fleet.as_ref().map_or(Some(begun), |_| owned);
            if let Some(begun) = begun {
                judge::starts_were_heard(self, begun, now);
            }
        }
        self.connections_break(now);
        self.pass(life.downtime_ms * 1_000);
        if life.reboots {
            self.time.reboot();
        }
        ending
    }

    /// What customers have asked and was not answered is not going to be.
    fn connections_break(&self, now: u64) {
        self.lives.set(self.lives.get() + 1);
        for (errand, wait_ms) in self.customers.connections_broke() {
            self.world.plan_errand(now + wait_ms * 1_000, errand);
        }
    }

    /// The machine sleeps for the next of its times; false when nothing is left to wait for.
    fn sleep_on(&self) -> bool {
        let slept = self.slept.borrow().len();
        let Some(seconds) = PASSING_SECONDS.get(slept) else {
            return false;
        };
        let nothing_is_due = || {
            judge::rows::<DueEntry>(self).is_empty() && judge::rows::<DueLookUps>(self).is_empty()
        };
        if slept > 0 && nothing_is_due() && !judge::is_under_way(self) {
            return false;
        }
        // Thousands of minutes are looked through for what fell due in days: mostly only
        // while something waits, but now and then also for what is asked about for ever.
        let is_long = slept >= NIGHTS_FROM && !self.seed.is_multiple_of(8);
        if is_long && !judge::is_waiting(self) {
            return false;
        }
        let began = self.time.now();
        self.time.leap(seconds * 1_000_000);
        self.slept.borrow_mut().push((began, self.time.now()));
        true
    }

    /// Time passes, and nobody is there. Customers who knock at shut doors come again as
    /// soon as there is somebody: while the next process starts.
    fn pass(&self, micros: u64) {
        let until = self.time.now() + micros;
        let mut knocked = Vec::new();
        while let Some(next) = self.world.next_at().filter(|next| *next <= until) {
            self.time.pass(next);
            for action in self.world.happen() {
                match action {
                    Action::Receipt(receipt) => self.not_connected(&receipt),
                    Action::Errand(errand) => knocked.push(errand),
                }
            }
        }
        self.time.pass(until);
        for errand in knocked {
            let again = until + self.customers.soon();
            self.world.plan_errand(again, errand);
        }
    }

    fn not_connected(&self, receipt: &DueReceipt) {
        self.tally.count("receipt met shut doors");
        let now = self.time.true_wall();
        let result = ReceiptResult::NotConnected;
        self.world.core.receipt_tried(receipt, now, now, 2, result);
    }

    fn count_answer(&self, answer: Option<&DoorAnswer>) {
        let name = match answer {
            None => "customer: connection broke",
            Some(answer) if answer.replayed => "W17: a request was replayed",
            Some(answer) => match answer.status {
                200..=299 => return,
                409 => "customer: in flight or in the wrong state (409)",
                422 => "customer: refused (422)",
                429 => "customer: too often (429)",
                503 => "customer: not now (503)",
                507 => "customer: disk full (507)",
                _ => "customer: another answer",
            },
        };
        self.tally.count(name);
    }

    /// Whether all customers have their accounts.
    fn are_signed_up(&self) -> bool {
        self.customers.state().accounts.len() == self.plan.accounts.len()
    }

    fn is_well(&self) -> bool {
        self.violations.borrow().is_empty()
    }

    fn violated(&self, what: String) {
        self.story
            .tell(self.time.now(), || format!("VIOLATED: {what}"));
        self.violations.borrow_mut().push(what);
    }
}
