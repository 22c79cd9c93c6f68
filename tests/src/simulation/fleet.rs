//! Several nodes on the same servers: one owns, others wait for their turn, and those that slept
//! through theirs wake beside their successors.
//!
//! Each node is a process with its own machine, and its tasks are apart from those of the others:
//! so one can stand still as a whole, actors too, and die alone.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use engine::runtime::Runtime;
use engine::storage::{
    JournalSettings, MemoryServers, Network, Request, ServersError, Storage, Trip,
};
use futures::future::select;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep};

use super::Simulation;
use super::chance::{Chance, Stream};
use super::life::{Ending, LOOK_EVERY, Life, Until};
use super::machine::Machine;
use super::plan::{End, LifePlan, ServersPlan};
use super::process::{self, Process};
use super::tally::Tally;
use super::time::Time;
use super::world::Action;

/// The longest that a node may wait for its turn and take over, in microseconds: a session, and
/// servers that are away for as long as they ever are.
const TAKES_OVER_WITHIN: u64 = 90_000_000;

/// How long a node that slept through its turn is watched when it is awake, in microseconds.
const AWAKE_FOR: u64 = 30_000_000;

/// How often tasks that can go on do so before a node falls asleep, at most.
const UNTIL_STILL: usize = 1_000;

/// Milliseconds until a customer tries again at doors that are shut.
const SHUT_MS: u64 = 150;

/// How long whoever asks waits for an answer that does not come, and before it asks again, in
/// microseconds.
const WAITED_FOR: u64 = 1_800_000;

/// Requests to the servers, one after the other, from a cause to what comes of it.
const REQUESTS: u64 = 12;

/// Nobody's life.
const NOBODY: usize = usize::MAX;

/// Whose turn it is.
#[derive(Default)]
struct Turn {
    /// The life of who got it last.
    owner: Option<usize>,
    /// Before which step the next dies as it takes over.
    dies_opening: Option<u64>,
}

/// The turn, as every node sees it.
#[derive(Clone, Default)]
struct SharedTurn(Arc<Mutex<Turn>>);

impl SharedTurn {
    fn lock(&self) -> MutexGuard<'_, Turn> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

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
    /// When a request was lost, or its answer, and for how long its sender may have waited.
    troubled: Arc<Mutex<Vec<(u64, u64)>>>,
    next: Cell<usize>,
}

/// One node.
struct Node {
    local: LocalSet,
    machine: Arc<Machine>,
    /// What came of its start.
    started: Rc<RefCell<Option<Result<Process, String>>>>,
    wakes_at: u64,
}

impl Fleet {
    /// Servers that nobody has used.
    pub fn new(seed: u64, plan: ServersPlan, time: &Arc<Time>, tally: &Arc<Tally>) -> Self {
        let tasks = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build();
        Self {
            servers: MemoryServers::new(),
            plan: Arc::new(plan),
            time: Arc::clone(time),
            tally: Arc::clone(tally),
            chance: Arc::new(Mutex::new(Chance::new(seed, Stream::Network))),
            tasks: tasks.expect("a runtime"),
            waiting: RefCell::default(),
            asleep: RefCell::default(),
            turn: SharedTurn::default(),
            troubled: Arc::default(),
            next: Cell::new(0),
        }
    }

    /// Sees to it that somebody waits for the turn, which is to end as planned.
    fn await_turn(&self, simulation: &Rc<Simulation>, plan: &LifePlan, is_last: bool) {
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
    async fn beside<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        poll_fn(|context| {
            let polled = work.as_mut().poll(context);
            self.poll_others(context);
            polled
        })
        .await
    }

    /// How much longer than on a disk something takes that would last from one instant to another,
    /// in microseconds.
    pub fn takes_longer(&self, from: u64, until: u64) -> u64 {
        let mut ends = until + self.plan.slow.1 * 3_000 * REQUESTS;
        let troubled = self.troubled.lock().unwrap_or_else(PoisonError::into_inner);
        for (began, over) in troubled.iter() {
            if *began < ends && *over > from {
                ends += over - (*began).max(from);
            }
        }
        ends - until
    }

    /// Whether servers did not answer between two instants.
    pub fn was_troubled(&self, from: u64, until: u64) -> bool {
        let troubled = self.troubled.lock().unwrap_or_else(PoisonError::into_inner);
        let is_between = |(began, over): &(u64, u64)| *began < until && *over > from;
        troubled.iter().any(is_between)
    }

    /// Opens the storage of a node, when it is its turn.
    pub async fn open(
        &self,
        machine: &Arc<Machine>,
        runtime: &Runtime,
        settings: JournalSettings,
    ) -> Result<Storage, ServersError> {
        let line = Line {
            plan: Arc::clone(&self.plan),
            time: Arc::clone(&self.time),
            tally: Arc::clone(&self.tally),
            chance: Arc::clone(&self.chance),
            machine: Arc::clone(machine),
            turn: self.turn.clone(),
            troubled: Arc::clone(&self.troubled),
        };
        Storage::on_memory_servers(&self.servers, Arc::new(line), runtime, settings).await
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
        let (local, started) = (LocalSet::new(), Rc::default());
        let (starter, starting) = (Rc::clone(simulation), Arc::clone(&machine));
        let told: Rc<RefCell<Option<Result<Process, String>>>> = Rc::clone(&started);
        local.spawn_local(async move {
            let process = process::start(&starter, &starting, runtime, false).await;
            *told.borrow_mut() = Some(process);
            starter.world.changed.notify_one();
        });
        Node {
            local,
            machine,
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

    /// Ends those that slept and have seen that it is not their turn, or had the time to.
    fn bury(&self) {
        let now = self.time.now();
        let mut asleep = self.asleep.borrow_mut();
        let mut left = Vec::new();
        for node in asleep.drain(..) {
            let has_ended = match &*node.started.borrow() {
                Some(Ok(process)) => process.ended.borrow().is_some(),
                Some(Err(_)) | None => false,
            };
            if has_ended {
                self.tally.count("a node that slept ended itself");
            }
            if has_ended || now >= node.wakes_at + AWAKE_FOR {
                self.end(node);
            } else {
                left.push(node);
            }
        }
        *asleep = left;
    }

    /// Cuts all nodes off: what runs on them holds the simulation.
    pub fn end_all(&self) {
        let waiting = self.waiting.take();
        for node in self.asleep.take().into_iter().chain(waiting) {
            self.end(node);
        }
    }

    /// Cuts a node off.
    fn end(&self, node: Node) {
        node.machine.die();
        // What is cut off may still touch a timer as it falls.
        let _context = self.tasks.enter();
        drop(node);
    }
}

/// Runs the turn of the next owner.
pub fn live(simulation: &Rc<Simulation>, fleet: &Fleet, plan: &LifePlan, until: Until) -> Ending {
    let is_last = until == Until::NothingIsLeft;
    fleet.await_turn(simulation, plan, is_last);
    let taken_over = fleet.tasks.block_on(async {
        simulation.time.life_begins(Instant::now());
        simulation.world.life_begins(NOBODY);
        let owner = fleet.beside(next_owner(simulation, fleet)).await;
        simulation.time.life_ended();
        owner
    });
    let Some(mut node) = taken_over else {
        return Ending::StoodStill;
    };
    if is_last {
        // Where days pass in a moment, whoever waits would take that for silence.
        fleet.end_all();
    }
    let life = node.machine.life;
    let (machine, started) = (Arc::clone(&node.machine), Rc::clone(&node.started));
    let ending = fleet.tasks.block_on(async {
        simulation.time.life_begins(Instant::now());
        simulation.world.life_begins(life);
        let turn = turn(simulation, &machine, &started, plan, until);
        let ending = fleet.beside(node.local.run_until(turn)).await;
        if ending == Ending::Asleep {
            fall_asleep(&mut node.local).await;
        }
        simulation.time.life_ended();
        simulation.count_cut_off(&ending);
        ending
    });
    let now = simulation.time.now();
    simulation.story.mark(&[life as u64, now, machine.steps()]);
    let panicked = machine.panicked();
    simulation
        .tally
        .add("panics planted", panicked.len() as u64);
    simulation.panicked.borrow_mut().extend(panicked);
    match (plan.end, &ending) {
        (End::Asleep { for_ms, .. }, Ending::Asleep) => {
            node.wakes_at = now + for_ms * 1_000;
            if machine.holds_any() {
                let mut drowsy = simulation.drowsy.borrow_mut();
                drowsy.push((life, node.wakes_at));
            }
            fleet.asleep.borrow_mut().push(node);
        }
        _ => fleet.end(node),
    }
    fleet.bury();
    ending
}

/// Waits until one of those that wait has its turn; none within the time that it may take.
async fn next_owner(simulation: &Simulation, fleet: &Fleet) -> Option<Node> {
    let began = simulation.time.now();
    loop {
        let owner = fleet.turn.lock().owner;
        let place = fleet.place_of(owner);
        if let Some(place) = place {
            return fleet.waiting.borrow_mut().remove(place);
        }
        if simulation.time.now() >= began + TAKES_OVER_WITHIN {
            return None;
        }
        fleet.bury();
        pass(simulation).await;
    }
}

/// Lets some time pass, and the world go on while all doors are shut.
async fn pass(simulation: &Simulation) {
    for action in simulation.world.happen() {
        match action {
            Action::Receipt(receipt) => simulation.not_connected(&receipt),
            Action::Errand(errand) => {
                let again = simulation.time.now() + SHUT_MS * 1_000;
                simulation.world.plan_errand(again, errand);
            }
        }
    }
    let now = simulation.time.now();
    let next = simulation.world.next_at().unwrap_or(u64::MAX);
    let next = next.min(now + LOOK_EVERY).max(now);
    let pause = pin!(sleep(Duration::from_micros(next - now)));
    let changed = pin!(simulation.world.changed.notified());
    select(pause, changed).await;
}

/// Lets every task come to where it waits for something, and no time pass.
async fn fall_asleep(local: &mut LocalSet) {
    let mut left = UNTIL_STILL;
    poll_fn(|context| {
        let _ = Pin::new(&mut *local).poll(context);
        left -= 1;
        if left == 0 {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Waits until a node has its turn and has started, and drives it to its end.
async fn turn(
    simulation: &Rc<Simulation>,
    machine: &Arc<Machine>,
    started: &Rc<RefCell<Option<Result<Process, String>>>>,
    plan: &LifePlan,
    until: Until,
) -> Ending {
    let began = simulation.time.now();
    while started.borrow().is_none() {
        let now = simulation.time.now();
        if machine.is_dead() {
            return Ending::Killed;
        }
        if machine.is_lost() || now >= began + TAKES_OVER_WITHIN {
            return Ending::StoodStill;
        }
        pass(simulation).await;
    }
    let begun = simulation.time.now();
    simulation.begun.borrow_mut().push(begun);
    simulation
        .story
        .tell(begun, || format!("node {} owns", machine.life));
    let process = started.borrow_mut().take();
    match process {
        Some(Ok(mut process)) => {
            let life = Life::of(simulation, machine, &mut process);
            let ending = life.run(plan, until).await;
            *started.borrow_mut() = Some(Ok(process));
            ending
        }
        Some(Err(cause)) => Ending::NotStarted(cause),
        None => Ending::StoodStill,
    }
}

/// What lies between one node and the servers.
struct Line {
    plan: Arc<ServersPlan>,
    time: Arc<Time>,
    tally: Arc<Tally>,
    chance: Arc<Mutex<Chance>>,
    machine: Arc<Machine>,
    turn: SharedTurn,
    troubled: Arc<Mutex<Vec<(u64, u64)>>>,
}

impl Line {
    /// Whoever asks now waits.
    fn note_trouble(&self) {
        let now = self.time.now();
        let mut troubled = self.troubled.lock().unwrap_or_else(PoisonError::into_inner);
        match troubled.last_mut() {
            Some((_, until)) if *until >= now => *until = now + WAITED_FOR,
            Some(_) | None => troubled.push((now, now + WAITED_FOR)),
        }
    }
}

impl Network for Line {
    fn now(&self) -> u64 {
        self.time.now()
    }

    fn trip(&self, request: Request) -> Trip {
        let now_ms = self.time.now() / 1_000;
        let away = self.plan.away;
        if away.is_some_and(|(from, until)| (from..until).contains(&now_ms)) {
            self.tally.count("servers were away");
            self.note_trouble();
            return Trip {
                is_lost: true,
                ..Trip::default()
            };
        }
        if request == Request::Read {
            return Trip::default();
        }
        let mut chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
        let (share, most_ms) = self.plan.slow;
        let way = |chance: &mut Chance| {
            let is_slow = chance.hits(share);
            let micros = chance.between(0, most_ms * 1_000);
            if is_slow { micros } else { 0 }
        };
        let trip = Trip {
            before: way(&mut chance),
            there: way(&mut chance),
            back: way(&mut chance),
            is_lost: chance.hits(self.plan.lost),
            is_unanswered: chance.hits(self.plan.unanswered),
        };
        if trip.is_lost || trip.is_unanswered {
            self.note_trouble();
        }
        match request {
            Request::Commit if trip.is_unanswered && !trip.is_lost => {
                self.tally.count("a commit was unknown");
            }
            Request::Commit if trip.is_lost => self.tally.count("a commit was lost"),
            Request::Put if trip.is_unanswered || trip.is_lost => {
                self.tally.count("a row was written again");
            }
            Request::Write if trip.is_unanswered && !trip.is_lost => {
                self.tally.count("a write was unknown");
            }
            Request::Commit
            | Request::Put
            | Request::Write
            | Request::Read
            | Request::TakeOver
            | Request::Trim => {}
        }
        trip
    }

    fn is_up(&self) -> bool {
        !self.machine.is_dead()
    }

    fn has_turn(&self) {
        self.tally.count("a node got its turn");
        let mut turn = self.turn.lock();
        turn.owner = Some(self.machine.life);
        if let Some(step) = turn.dies_opening.take() {
            self.machine.die_at(step);
        }
    }

    fn is_fenced(&self) {
        self.tally.count("a node was fenced");
    }
}
