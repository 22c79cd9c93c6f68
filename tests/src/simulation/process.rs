//! One process: opened as the program opens it, over memory instead of a disk and lines
//! of the simulated world instead of sockets, and served until its end.

use std::cell::{OnceCell, RefCell};
use std::fmt::Display;
use std::mem::ManuallyDrop;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actors::import::Imports;
use actors::node::{Node, NodeParts};
use api::doors::Doors;
use api::in_process::{InProcess, Routes};
use api::ownership::Ownership;
use engine::intake::Intake;
use engine::log::Log;
use engine::provider::ProviderAccount;
use engine::retry::RetryPolicy;
use engine::runtime::Runtime;
use engine::storage::{JournalSettings, Shared, Storage};
use engine::store::Store;
use futures::FutureExt;
use futures::future::{select_all, try_join_all};
use schemas::{PartitionCount, Secret};
use tokio::sync::oneshot;

use super::Simulation;
use super::life::Ending;
use super::machine::Machine;
use super::plan::Plan;
use super::wire::Wire;
use super::world::{PUBLIC_URL, second_sender};
use crate::fixture::{account_sid, auth_token, default_sender};

/// How long a process may take to see that its store has failed.
const NOTICES_WITHIN: Duration = Duration::from_secs(8);

/// A process that runs.
pub struct Process {
    /// Its doors.
    pub doors: InProcess,
    /// Ends it in good order.
    pub drain: Option<oneshot::Sender<()>>,
    /// How it ended by itself, once it has.
    pub ended: Rc<RefCell<Option<Ending>>>,
}

thread_local! {
    /// The routes of all processes on this thread. They are never dropped: what they keep
    /// in the thread may be gone before them.
    static ROUTES: OnceCell<ManuallyDrop<Routes>> = const { OnceCell::new() };
}

/// Starts a process on a machine. The first one of a schedule signs the customers up. One that is
/// bare has nobody to send by; its doors know whom customers may name, who hear no other answer
/// than from any process. Its doors are shown as soon as they are open: on servers before its turn.
///
/// # Errors
/// Why it cannot be started.
pub async fn start(
    simulation: &Rc<Simulation>,
    machine: &Arc<Machine>,
    runtime: Runtime,
    is_bare: bool,
    opens: impl FnOnce(&InProcess),
) -> Result<Process, String> {
    let plan = &simulation.plan;
    let settings = journal_settings(plan);
    let ground = ground(simulation, machine, &runtime, settings)?;
    let providers = providers(simulation, machine);
    let imports = Imports::own(simulation.folder.join("imports"));
    let doors = Doors {
        runtime: runtime.clone(),
        store: ground.store,
        log: ground.log,
        intake: ground.intake,
        ownership: ground.ownership.clone(),
        providers: providers.clone(),
        imports: imports.clone(),
        root_key: Secret::new("volley_root"),
        metrics: simulation.metrics.clone(),
    };
    let doors = InProcess::open(&routes().await, doors, &simulation.http);
    let doors = doors.map_err(|error| format!("the doors cannot be opened: {error}"))?;
    opens(&doors);
    let storages = match ground.journals {
        Journals::Here(storage) => vec![*storage],
        Journals::OnServers(shared) => own_all(&shared).await?,
    };
    let beside = storages.len() as u64 - 1;
    simulation
        .tally
        .add("a range was owned beside another", beside);
    if simulation.customers.state().accounts.is_empty() {
        sign_up(simulation, &storages[0], &runtime).await?;
    }
    let make = |storage: &Storage| NodeParts {
        store: storage.store.patient(&runtime),
        log: storage.log.patient(&runtime),
        runtime: runtime.clone(),
        journal: storage.journal.clone(),
        providers: if is_bare {
            Vec::new()
        } else {
            providers.clone()
        },
        retry: RetryPolicy {
            max_attempts: plan.max_attempts,
            first_delay: Duration::from_millis(plan.first_delay_ms),
            ..RetryPolicy::default()
        },
        receipts_come: plan.receipts_come,
        read_ahead: plan.read_ahead,
        imports: imports.clone(),
    };
    let trees = storages
        .into_iter()
        .map(|storage| (make(&storage), storage));
    let trees: Vec<_> = trees.collect();
    let (drain, drained) = oneshot::channel();
    let ended: Rc<RefCell<Option<Ending>>> = Rc::default();
    let (told, world) = (Rc::clone(&ended), Arc::clone(&simulation.world));
    let ownership = ground.ownership;
    machine.start_local(async move {
        // A panic in the program's own task ends the program.
        let served = AssertUnwindSafe(serve_all(trees, ownership, drained));
        let ending = served.catch_unwind().await;
        let ending = ending.unwrap_or_else(|_| Ending::Failed("it panicked".to_owned()));
        told.borrow_mut().get_or_insert(ending);
        world.changed.notify_one();
    });
    Ok(Process {
        doors,
        drain: Some(drain),
        ended,
    })
}

/// How the journals of a plan are kept.
pub fn journal_settings(plan: &Plan) -> JournalSettings {
    let count = |count| PartitionCount::new(count).expect("a power of two");
    JournalSettings {
        partitions: count(plan.partitions),
        owners: count(plan.owners),
        trim: plan.trim,
    }
}

/// Owns every range: here the turn to all of them is one.
async fn own_all(shared: &Shared) -> Result<Vec<Storage>, String> {
    let owned = shared.ranges().map(|range| shared.own(range));
    try_join_all(owned).await.map_err(not_opened)
}

/// What the doors stand on.
struct Ground {
    store: Store,
    log: Log,
    intake: Intake,
    ownership: Ownership,
    journals: Journals,
}

/// Where the journals are.
enum Journals {
    Here(Box<Storage>),
    OnServers(Box<Shared>),
}

/// Opens what is the process's own, or connects it to its servers.
fn ground(
    simulation: &Simulation,
    machine: &Arc<Machine>,
    runtime: &Runtime,
    settings: JournalSettings,
) -> Result<Ground, String> {
    if let Some(fleet) = &simulation.fleet {
        let shared = fleet.connect(machine, runtime, settings);
        return Ok(Ground {
            store: shared.store.clone(),
            log: shared.log.clone(),
            intake: shared.intake.clone(),
            ownership: Ownership::awaited(settings.partitions, settings.owners),
            journals: Journals::OnServers(Box::new(shared)),
        });
    }
    let storage = Storage::in_memory(simulation.memory.clone(), runtime, settings);
    let storage = storage.map_err(not_opened)?;
    Ok(Ground {
        store: storage.store.clone(),
        log: storage.log.clone(),
        intake: storage.intake.clone(),
        ownership: Ownership::of(&storage),
        journals: Journals::Here(Box::new(storage)),
    })
}

fn not_opened(error: impl Display) -> String {
    format!("the store cannot be opened: {error}")
}

/// The routes of this thread, compiled by the first who asks.
async fn routes() -> Routes {
    if let Some(compiled) = ROUTES.with(|kept| kept.get().map(|routes| Routes::clone(routes))) {
        return compiled;
    }
    let compiled = Routes::compile().await;
    ROUTES.with(|kept| drop(kept.set(ManuallyDrop::new(compiled.clone()))));
    compiled
}

/// Serves all ranges until the end, as the program does: the first that fails ends the process, and
/// where all are to end in good order, all have to.
async fn serve_all(
    trees: Vec<(NodeParts, Storage)>,
    ownership: Ownership,
    drain: oneshot::Receiver<()>,
) -> Ending {
    let drain = drain.map(drop).shared();
    let served = trees.into_iter().map(|(parts, storage)| {
        let (ownership, drain) = (ownership.clone(), drain.clone());
        serve(parts, storage, ownership, drain).boxed_local()
    });
    let mut left: Vec<_> = served.collect();
    loop {
        let (ending, _, others) = select_all(left).await;
        if ending != Ending::Drained || others.is_empty() {
            return ending;
        }
        left = others;
    }
}

/// Serves until the end.
async fn serve(
    parts: NodeParts,
    storage: Storage,
    ownership: Ownership,
    drain: impl Future<Output = ()>,
) -> Ending {
    let mut closed = storage.closed.clone();
    let runtime = parts.runtime.clone();
    let mut node = match Node::start(parts).await {
        Ok(node) => node,
        Err(error) => return Ending::NotStarted(error.to_string()),
    };
    ownership.begins(&storage);
    let ending = {
        let failed = async { Some(Ending::Failed(node.failed().await)) };
        let store_failed = async {
            closed.wait().await;
            runtime.sleep(NOTICES_WITHIN).await;
            Some(Ending::NotNoticed)
        };
        let drained = drain.map(|()| None);
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

fn providers(simulation: &Simulation, machine: &Arc<Machine>) -> Vec<Arc<ProviderAccount>> {
    let timeout = Duration::from_millis(simulation.plan.request_timeout_ms);
    let public_url = simulation.plan.receipts_come.then_some(PUBLIC_URL);
    let accounts = (0..).zip(simulation.world.providers());
    let opened = accounts.map(|(place, plan)| {
        let number = place + 1;
        let burst = plan
            .burst
            .map_or(String::new(), |burst| format!("burst = {burst}\n"));
        let senders = [default_sender(number), second_sender(number)];
        let senders = senders.iter().zip(plan.sender_rates);
        let senders: Vec<_> = senders.map(|(name, rate)| sender(name, rate)).collect();
        let settings = format!(
            "name = \"sandbox-{number}\"\nkind = \"twilio\"\nrate = {:.1}\n{burst}\
             max_in_flight = {}\nsenders = [{}]\n\
             account_sid = \"{}\"\nauth_token = \"{}\"\nbase_url = \"http://provider\"\n",
            plan.rate,
            plan.max_in_flight,
            senders.join(", "),
            account_sid(number),
            auth_token(number),
        );
        let settings = toml::from_str(&settings).expect("settings");
        let wire: Arc<dyn engine::provider::transport::Transport> =
            Arc::new(Wire::new(&simulation.world, machine, place, timeout));
        let account = engine::provider::open_over(&wire, &settings, public_url);
        Arc::new(account.expect("a provider account"))
    });
    opened.collect()
}

/// A sender in the settings.
fn sender(name: &str, rate: Option<f64>) -> String {
    match rate {
        Some(rate) => format!("{{ number = \"{name}\", rate = {rate:?} }}"),
        None => format!("\"{name}\""),
    }
}

/// Makes the customers' accounts and keys.
async fn sign_up(
    simulation: &Simulation,
    storage: &Storage,
    runtime: &Runtime,
) -> Result<(), String> {
    for (number, plan) in simulation.plan.accounts.iter().enumerate() {
        let name = format!("customer {number}");
        let rate = plan.rate.map(|rate| (rate * 1e6).round() as u64);
        let account = api::accounts::create_account(&storage.store, runtime, name, 1, rate).await;
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
