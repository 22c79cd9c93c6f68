//! One life of the process: opened as the program opens it, driven through what the world
//! does to it, until it ends as planned or by itself.

use std::cell::{Cell, RefCell};
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actors::node::{Node, NodeParts};
use api::doors::Doors;
use api::in_process::{DoorAnswer, DoorRequest, InProcess};
use engine::provider::ProviderAccount;
use engine::retry::RetryPolicy;
use engine::runtime::Runtime;
use engine::settings::HttpSettings;
use engine::storage::{JournalSettings, Storage};
use engine::store::Fate;
use futures::FutureExt;
use futures::future::{select, select_all};
use schemas::{PartitionCount, Secret};
use tokio::sync::oneshot;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep};

use super::Simulation;
use super::machine::Machine;
use super::plan::{Disturbance, End, LifePlan};
use super::wire::Wire;
use super::world::PUBLIC_URL;
use crate::fixture::{account_sid, auth_token};

/// What a full disk has left: less than what the store keeps in reserve.
const NEARLY_FULL: u64 = 1 << 20;

/// What an empty disk has left.
const PLENTY: u64 = 1 << 40;

/// The longest that a life may need to do all there is, in microseconds.
const CALM_LIMIT: u64 = 600_000_000;

/// Without a word on any line for so long, in microseconds, nothing more is to come soon:
/// due look-ups are read twice a second, and made at least once a second.
const QUIET: u64 = 1_150_000;

/// The longest life that only waits for the lines to be quiet.
const SETTLE_LIMIT: u64 = 300_000_000;

/// The longest life that waits for a step or a write that does not come.
const STEP_LIMIT: u64 = 3_000_000;

/// The longest that a good end may take, in microseconds.
const DRAIN_LIMIT: u64 = 30_000_000;

/// How long a process may take to see that its store has failed.
const NOTICES_WITHIN: Duration = Duration::from_secs(8);

/// How often a life looks whether there is anything left to do.
const LOOK_EVERY: u64 = 500_000;

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

/// Runs one life.
pub fn live(simulation: &Rc<Simulation>, number: usize, plan: &LifePlan, until: Until) -> Ending {
    let tasks = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let local = LocalSet::new();
    let machine = Machine::new(
        &simulation.plan,
        &simulation.time,
        &simulation.machine_chance,
        &simulation.world.changed,
    );
    let ending = local.block_on(&tasks, async {
        simulation.time.life_begins(Instant::now());
        simulation.world.life_begins(number);
        let runtime = machine.runtime(simulation.seed.wrapping_mul(1_000) + number as u64);
        let ending = match Life::begin(simulation, &machine, runtime, number).await {
            Ok(life) => life.run(plan, until).await,
            Err(cause) => Ending::NotStarted(cause),
        };
        simulation.time.life_ended();
        simulation.count_cut_off(&ending);
        ending
    });
    machine.die();
    simulation.tally.add("panics planted", machine.panics());
    if machine.panics() > 0 {
        simulation.panicked.borrow_mut().insert(number);
    }

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
    /// Its doors, opened when somebody comes.
    pub door: Rc<LazyDoors>,
    /// Ends it in good order.
    drain: Option<oneshot::Sender<()>>,
    ended: Ended,
    began: u64,
    /// When the machine last woke.
    woke: u64,
    /// When the disk has space again.
    space_at: Option<u64>,
    /// Panics of a storm that are left.
    storm: u64,
}

/// Doors that are opened by the first who comes: most lives of the end see nobody.
pub struct LazyDoors {
    doors: Cell<Option<Doors>>,
    open: tokio::sync::OnceCell<InProcess>,
    http: HttpSettings,
}

impl LazyDoors {
    /// Asks; nothing comes when the doors cannot be opened.
    pub async fn call(&self, request: DoorRequest) -> Option<DoorAnswer> {
        let opened = self.open.get_or_try_init(|| async {
            match self.doors.take() {
                Some(doors) => InProcess::open(doors, &self.http).await.map_err(|_| ()),
                None => Err(()),
            }
        });
        opened.await.ok()?.call(request).await
    }
}

/// How a process ended by itself, once it has.
type Ended = Rc<RefCell<Option<Ending>>>;

impl<'a> Life<'a> {
    async fn begin(
        simulation: &'a Rc<Simulation>,
        machine: &'a Arc<Machine>,
        runtime: Runtime,
        number: usize,
    ) -> Result<Self, String> {
        let plan = &simulation.plan;
        let partitions = PartitionCount::new(plan.partitions).expect("a power of two");
        let settings = JournalSettings {
            partitions,
            trim: plan.trim,
        };
        let storage = Storage::in_memory(simulation.memory.clone(), &runtime, settings)
            .map_err(|error| format!("the store cannot be opened: {error}"))?;
        let providers = providers(simulation);
        let imports = simulation.folder.join("imports");
        let door = Rc::new(LazyDoors {
            doors: Cell::new(None),
            open: tokio::sync::OnceCell::new(),
            http: simulation.http.clone(),
        });
        door.doors.set(Some(Doors {
            runtime: runtime.clone(),
            store: storage.store.clone(),
            log: storage.log.clone(),
            intake: storage.intake.clone(),
            journal: storage.journal.clone(),
            verifier: storage.verifier.clone(),
            providers: providers.clone(),
            partitions,
            imports: imports.clone(),
            root_key: Secret::new("volley_root"),
            metrics: simulation.metrics.clone(),
        }));
        if number == 0 {
            sign_up(simulation, &storage, &runtime).await?;
        }
        let parts = NodeParts {
            runtime,
            store: storage.store.clone(),
            log: storage.log.clone(),
            journal: storage.journal.clone(),
            providers,
            retry: RetryPolicy {
                max_attempts: plan.max_attempts,
                first_delay: Duration::from_millis(plan.first_delay_ms),
                ..RetryPolicy::default()
            },
            receipts_come: plan.receipts_come,
            imports,
        };
        let (drain, drained) = oneshot::channel();
        let ended = Ended::default();
        let (told, world) = (Rc::clone(&ended), Arc::clone(&simulation.world));
        machine.start_local(async move {
            // A panic in the program's own task ends the program.
            let served = AssertUnwindSafe(serve(parts, storage, drained));
            let ending = served.catch_unwind().await;
            let ending = ending.unwrap_or_else(|_| Ending::Failed("it panicked".to_owned()));
            told.borrow_mut().get_or_insert(ending);
            world.changed.notify_one();
        });
        Ok(Self {
            simulation,
            machine,
            door,
            drain: Some(drain),
            ended,
            began: simulation.time.now(),
            woke: simulation.time.now(),
            space_at: None,
            storm: 0,
        })
    }

    async fn run(mut self, plan: &LifePlan, until: Until) -> Ending {
        self.arm(plan.end);
        let mut disturbances = plan.disturbances.iter().peekable();
        loop {
            for action in self.simulation.world.happen() {
                self.act(action, self.drain.is_some());
            }
            if self.machine.is_lost() {
                return Ending::StoodStill;
            }
            if self.machine.is_dead() {
                return Ending::Killed;
            }
            if let Some(ending) = self.ended.borrow_mut().take() {
                return ending;
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
            End::AtTime(_) | End::Drained(_) | End::Calm => {}
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
                simulation.tally.count("disk nearly full");
            }
            Disturbance::Panic(call) => self.machine.panic_at(call + 1),
            Disturbance::PanicStorm(panics) => self.storm = panics,
        }
    }

    /// What was disturbed for a time is right again.
    fn recover(&mut self) {
        let now = self.simulation.time.now();
        if self.space_at.is_some_and(|at| at <= now) {
            self.simulation.memory.set_free_bytes(PLENTY);
            self.space_at = None;
        }
        if self.storm > 0 {
            self.storm -= 1;
            self.machine.panic_at(1);
        }
    }

    fn planned_end(&mut self, end: End, until: Until, passed: u64) -> Option<Ending> {
        let is_over = match end {
            End::AtTime(ms) if passed >= ms * 1_000 => return Some(Ending::Killed),
            End::AtStep(_) | End::FailedWrite(_) | End::SyncLost(_) | End::SyncKept(_)
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
            | End::FailedWrite(_)
            | End::SyncLost(_)
            | End::SyncKept(_) => false,
        };
        if is_over {
            // Whoever waits hears of the end by `ended`; a second look changes nothing.
            let _ = self.drain.take().map(|drain| drain.send(()));
        }
        let ending_for = self.simulation.time.now() - self.woke;
        let is_stuck = self.drain.is_none() && ending_for >= CALM_LIMIT + DRAIN_LIMIT;
        is_stuck.then_some(Ending::StoodStill)
    }

    /// Whether nothing has gone over a line for a while, or for too long all the time.
    fn is_quiet(&self) -> bool {
        let now = self.simulation.time.now();
        let (awake, quiet) = (now - self.woke, now - self.simulation.world.last_wire());
        awake >= SETTLE_LIMIT || (awake >= QUIET && quiet >= QUIET)
    }

    fn sleeps_on(&mut self) -> bool {
        let sleeps = self.drain.is_some() && self.simulation.sleep_on();
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

/// Serves until the end, as the program does.
async fn serve(parts: NodeParts, storage: Storage, drain: oneshot::Receiver<()>) -> Ending {
    let mut closed = storage.closed.clone();
    let runtime = parts.runtime.clone();
    let mut node = match Node::start(parts).await {
        Ok(node) => node,
        Err(error) => return Ending::NotStarted(error.to_string()),
    };
    let ending = {
        let failed = async { Some(Ending::Failed(node.failed().await)) };
        let store_failed = async {
            closed.wait().await;
            runtime.sleep(NOTICES_WITHIN).await;
            Some(Ending::NotNoticed)
        };
        let drained = drain.map(|_| None);
        let first = [
            failed.boxed_local(),
            store_failed.boxed_local(),
            drained.boxed_local(),
        ];
        select_all(first).await.0
    };
    match ending {
        Some(ending) => ending,
        None => match node.drain().await {
            Ok(()) => Ending::Drained,
            Err(error) => Ending::Failed(error.to_string()),
        },
    }
}

fn providers(simulation: &Simulation) -> Vec<Arc<ProviderAccount>> {
    let timeout = Duration::from_millis(simulation.plan.request_timeout_ms);
    let public_url = simulation.plan.receipts_come.then_some(PUBLIC_URL);
    let accounts = (0..).zip(simulation.world.providers());
    let opened = accounts.map(|(place, plan)| {
        let number = place + 1;
        let burst = plan
            .burst
            .map_or(String::new(), |burst| format!("burst = {burst}\n"));
        let settings = format!(
            "name = \"sandbox-{number}\"\nkind = \"twilio\"\nrate = {:.1}\n{burst}\
             max_in_flight = {}\nsenders = [\"+1500555{number:04}\"]\n\
             account_sid = \"{}\"\nauth_token = \"{}\"\nbase_url = \"http://provider\"\n",
            plan.rate,
            plan.max_in_flight,
            account_sid(number),
            auth_token(number),
        );
        let settings = toml::from_str(&settings).expect("settings");
        let wire: Arc<dyn engine::provider::transport::Transport> =
            Arc::new(Wire::new(&simulation.world, place, timeout));
        let account = engine::provider::open_over(&wire, &settings, public_url);
        Arc::new(account.expect("a provider account"))
    });
    opened.collect()
}

/// Makes the customers' accounts and keys.
async fn sign_up(
    simulation: &Simulation,
    storage: &Storage,
    runtime: &Runtime,
) -> Result<(), String> {
    for number in 0..simulation.plan.accounts {
        let name = format!("customer {number}");
        let account = api::accounts::create_account(&storage.store, runtime, name).await;
        let account = account.map_err(|error| error.to_string())?.id;
        let key =
            api::accounts::create_key(&storage.store, runtime, account, "key".to_owned()).await;
        let (_, secret) = key
            .map_err(|error| error.to_string())?
            .expect("the account");
        let secret = secret.expose().to_owned();
        simulation
            .customers
            .state()
            .accounts
            .push((account, secret));
    }
    Ok(())
}
