//! Several nodes on the same servers: one owns, or two own some ranges each, others wait for their
//! turn, and those that slept through theirs wake beside their successors.
//!
//! Each node is a process with its own machine, and its tasks are apart from those of the others:
//! so one can stand still as a whole, actors too, and die alone.

mod beside;
mod line;
mod trouble;
mod turn;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use api::in_process::InProcess;
use engine::runtime::Runtime;
use engine::storage::{JournalSettings, MemoryServers, Shared};
use sandbox::core::DueReceipt;
use tokio::task::LocalSet;

use super::Simulation;
use super::chance::{Chance, Stream};
use super::doors::Door;
use super::machine::Machine;
use super::plan::{End, LifePlan, ServersPlan};
use super::process::{self, Process};
use super::tally::Tally;
use super::time::Time;
use line::Line;
use trouble::Trouble;
use turn::SharedTurn;

pub use turn::live;

/// How long a node that slept through its turn is watched when it is awake, in microseconds.
const AWAKE_FOR: u64 = 30_000_000;

/// How many customers and providers come to a node that waits while another owns, and while none
/// does.
pub const COME_TO_OTHERS: f64 = 0.3;
/// See [`COME_TO_OTHERS`].
const COME_MEANWHILE: f64 = 0.7;

/// Requests to the servers, one after the other, from a cause to what comes of it.
const REQUESTS: u64 = 12;

/// All nodes and their servers.
pub struct Fleet {
    /// The servers.
    pub servers: MemoryServers,
    plan: Arc<ServersPlan>,
    time: Arc<Time>,
    tally: Arc<Tally>,
    chance: Arc<Mutex<Chance>>,
    tasks: tokio::runtime::Runtime,
    /// Those that wait for their turn, in the order in which they joined.
    waiting: RefCell<VecDeque<Node>>,
    /// Those that have slept through their turn.
    asleep: RefCell<Vec<Node>>,
    turn: SharedTurn,
    trouble: Trouble,
    next: Cell<usize>,
    /// Lives of those that own a range and not the first.
    beside: RefCell<BTreeSet<usize>>,
    /// When one of them ends, and for how long it sleeps if it does not die.
    beside_ends: Cell<Option<(u64, Option<u64>)>>,
}

/// One node.
struct Node {
    local: LocalSet,
    machine: Arc<Machine>,
    /// Its doors, which are open before its turn.
    doors: Rc<RefCell<Option<InProcess>>>,
    /// What came of its start.
    started: Rc<RefCell<Option<Result<Process, String>>>>,
    wakes_at: u64,
}

impl Node {
    fn has_ended(&self) -> bool {
        match &*self.started.borrow() {
            Some(Err(_)) => true,
            Some(Ok(process)) => process.ended.borrow().is_some(),
            None => false,
        }
    }
}

impl Fleet {
    /// Servers that nobody has used.
    pub fn new(seed: u64, plan: ServersPlan, time: &Arc<Time>, tally: &Arc<Tally>) -> Self {
        let tasks = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build();
        let servers = MemoryServers::new();
        servers.keep_apart(plan.apart.iter().copied());
        Self {
            servers,
            plan: Arc::new(plan),
            time: Arc::clone(time),
            tally: Arc::clone(tally),
            chance: Arc::new(Mutex::new(Chance::new(seed, Stream::Network))),
            tasks: tasks.expect("a runtime"),
            waiting: RefCell::default(),
            asleep: RefCell::default(),
            turn: SharedTurn::default(),
            trouble: Trouble::default(),
            next: Cell::new(0),
            beside: RefCell::default(),
            beside_ends: Cell::default(),
        }
    }

    /// Sees to it that somebody waits for the turn, which is to end as planned.
    fn await_turn(&self, simulation: &Rc<Simulation>, plan: &LifePlan, is_last: bool) {
        self.bury(simulation);
        let dies_opening = match plan.end {
            End::WhileOpening(step) => Some(step),
            End::AtStep(_)
            | End::AfterStart(_)
            | End::AtTime(_)
            | End::FailedWrite(_)
            | End::SyncLost(_)
            | End::SyncKept(_)
            | End::Drained(_)
            | End::Asleep { .. }
            | End::Calm => None,
        };
        let mut turn = self.turn.lock();
        turn.dies_opening = dies_opening;
        // Who waited may have got it already.
        let place = self.place_of(turn.owner);
        if let (Some(place), Some(step)) = (place, turn.dies_opening) {
            self.waiting.borrow()[place].machine.die_at(step);
            turn.dies_opening = None;
        }
        drop(turn);
        let _context = self.tasks.enter();
        let nodes = if is_last { 1 } else { 1 + self.plan.waiting };
        while self.waiting.borrow().len() < nodes {
            let next = self.start(simulation);
            self.waiting.borrow_mut().push_back(next);
        }
    }

    /// The place of a life among those that wait.
    fn place_of(&self, life: Option<usize>) -> Option<usize> {
        let waiting = self.waiting.borrow();
        let mut lives = waiting.iter().map(|node| Some(node.machine.life));
        lives.position(|other| other == life)
    }

    /// Does something while all other nodes go on.
    async fn beside<T>(&self, simulation: &Simulation, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        poll_fn(|context| {
            let polled = work.as_mut().poll(context);
            self.end_beside(simulation, context);
            self.poll_others(context);
            polled
        })
        .await
    }

    /// How much longer than on a disk something takes that would last from one instant to another,
    /// in microseconds.
    pub fn takes_longer(&self, from: u64, until: u64) -> u64 {
        let slow = self.plan.slow.1 * 3_000 * REQUESTS;
        slow + self.trouble.takes_longer(from, until + slow)
    }

    /// Whether servers did not answer between two instants.
    pub fn was_troubled(&self, from: u64, until: u64) -> bool {
        self.trouble.was_between(from, until)
    }

    /// Has one of those that wait asked for what a customer wants, in this share of all cases.
    pub fn is_asked(&self, simulation: &Rc<Simulation>, errand: usize, share: f64) -> bool {
        let who = || format!("customer {errand}");
        self.comes(
            simulation,
            share,
            "a customer came to a node that waits",
            who,
            |door| {
                door.ask(errand);
            },
        )
    }

    /// Has one of those that wait brought a receipt, in this share of all cases.
    pub fn is_brought(
        &self,
        simulation: &Rc<Simulation>,
        receipt: &DueReceipt,
        share: f64,
    ) -> bool {
        let who = || format!("receipt {:?} of {}", receipt.planned.status, receipt.to);
        self.comes(
            simulation,
            share,
            "a receipt came to a node that waits",
            who,
            |door| {
                door.bring(receipt.clone());
            },
        )
    }

    /// Has somebody come to one of those that wait, in this share of all cases.
    fn comes(
        &self,
        simulation: &Rc<Simulation>,
        share: f64,
        what: &'static str,
        who: impl Fn() -> String,
        enter: impl FnOnce(&Door<'_>),
    ) -> bool {
        let waiting = self.waiting.borrow();
        let place = {
            let mut chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
            let place = chance.between(0, waiting.len().max(1) as u64 - 1) as usize;
            chance.hits(share).then_some(place)
        };
        let Some(node) = place.and_then(|place| waiting.get(place)) else {
            return false;
        };
        let doors = node.doors.borrow().clone();
        // The first owner signs the customers up.
        let are_there = simulation.are_signed_up();
        let Some(doors) = doors.filter(|_| are_there && !node.machine.is_dead()) else {
            return false;
        };
        self.tally.count(what);
        simulation.story.tell(self.time.now(), || {
            format!("{} comes to node {}, which waits", who(), node.machine.life)
        });
        let _theirs = node.local.enter();
        enter(&Door {
            simulation,
            doors: &doors,
            machine: &node.machine,
        });
        true
    }

    /// Connects a node to its servers.
    pub fn connect(
        &self,
        machine: &Arc<Machine>,
        runtime: &Runtime,
        settings: JournalSettings,
    ) -> Shared {
        let line = Line {
            plan: Arc::clone(&self.plan),
            time: Arc::clone(&self.time),
            tally: Arc::clone(&self.tally),
            chance: Arc::clone(&self.chance),
            machine: Arc::clone(machine),
            turn: self.turn.clone(),
            trouble: self.trouble.clone(),
        };
        self.servers.connect(Arc::new(line), runtime, settings)
    }

    /// Starts another node, which waits for its turn.
    fn start(&self, simulation: &Rc<Simulation>) -> Node {
        let life = self.next.replace(self.next.get() + 1);
        // No two machines were booted at once, and who comes later need not be younger.
        let up_longer = (life as u64 * 7_919 % 97) * 10_000_000;
        let machine = Machine::new(
            (life, up_longer),
            &simulation.plan,
            &simulation.time,
            &simulation.machine_chance,
            &simulation.world.changed,
        );
        let runtime = machine.runtime(simulation.seed.wrapping_mul(1_000) + life as u64);
        let (local, started, doors) = (LocalSet::new(), Rc::default(), Rc::default());
        let (starter, starting) = (Rc::clone(simulation), Arc::clone(&machine));
        let told: Rc<RefCell<Option<Result<Process, String>>>> = Rc::clone(&started);
        let opened: Rc<RefCell<Option<InProcess>>> = Rc::clone(&doors);
        local.spawn_local(async move {
            let opens = |doors: &InProcess| *opened.borrow_mut() = Some(doors.clone());
            let process = process::start(&starter, &starting, runtime, false, opens).await;
            *told.borrow_mut() = Some(process);
            starter.world.changed.notify_one();
        });
        Node {
            local,
            machine,
            doors,
            started,
            wakes_at: 0,
        }
    }

    /// Lets all nodes but the owner go on.
    fn poll_others(&self, context: &mut std::task::Context<'_>) {
        let now = self.time.now();
        for node in self.waiting.borrow_mut().iter_mut() {
            let _ = Pin::new(&mut node.local).poll(context);
        }
        for node in self.asleep.borrow_mut().iter_mut() {
            if node.wakes_at <= now {
                let _ = Pin::new(&mut node.local).poll(context);
            }
        }
    }

    /// Ends those that slept and have seen that it is not their turn, or had the time to, and those
    /// that failed before they had it.
    fn bury(&self, simulation: &Simulation) {
        let now = self.time.now();
        let ended: Vec<_> = {
            let mut waiting = self.waiting.borrow_mut();
            let (ended, well): (Vec<_>, Vec<_>) = waiting.drain(..).partition(Node::has_ended);
            waiting.extend(well);
            ended
        };
        for node in ended {
            self.tally.count("a node that waited ended itself");
            self.end(simulation, node);
        }
        let mut asleep = self.asleep.borrow_mut();
        let mut left = Vec::new();
        for node in asleep.drain(..) {
            let has_ended = node.has_ended();
            if has_ended {
                self.tally.count("a node that slept ended itself");
            }
            if has_ended || now >= node.wakes_at + AWAKE_FOR {
                self.end(simulation, node);
            } else {
                left.push(node);
            }
        }
        *asleep = left;
    }

    /// Lets a node sleep that was at rest, until this instant.
    fn put_to_sleep(&self, simulation: &Simulation, mut node: Node, wakes_at: u64) {
        node.wakes_at = wakes_at;
        if node.machine.holds_any() {
            let mut drowsy = simulation.drowsy.borrow_mut();
            drowsy.push((node.machine.life, wakes_at));
        }
        self.asleep.borrow_mut().push(node);
    }

    /// Cuts all nodes off: what runs on them holds the simulation.
    pub fn end_all(&self, simulation: &Simulation) {
        let waiting = self.waiting.take();
        for node in self.asleep.take().into_iter().chain(waiting) {
            self.end(simulation, node);
        }
    }

    /// Cuts a node off.
    fn end(&self, simulation: &Simulation, node: Node) {
        node.machine.die();
        if self.beside.borrow_mut().remove(&node.machine.life) {
            let panicked = node.machine.panicked();
            simulation.panicked.borrow_mut().extend(panicked);
        }
        // What is cut off may still touch a timer as it falls.
        let _context = self.tasks.enter();
        drop(node);
    }
}
