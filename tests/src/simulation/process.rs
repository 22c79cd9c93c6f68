//! One process: opened as the program opens it, over memory instead of a disk and lines
//! of the simulated world instead of sockets, and served until its end.

mod serving;

use std::cell::{OnceCell, RefCell};
use std::fmt::Display;
use std::mem::ManuallyDrop;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actors::import::Imports;
use api::doors::Doors;
use api::in_process::{InProcess, Routes};
use api::ownership::Ownership;
use engine::intake::Intake;
use engine::log::Log;
use engine::provider::ProviderAccount;
use engine::runtime::Runtime;
use engine::storage::{JournalSettings, Shared, Storage};
use engine::store::Store;
use schemas::{PartitionCount, Secret};
use tokio::sync::oneshot;

use self::serving::{Work, serve_all, sign_up};
use super::Simulation;
use super::life::Ending;
use super::machine::Machine;
use super::plan::Plan;
use super::wire::Wire;
use super::world::{PUBLIC_URL, second_sender};
use crate::fixture::{account_sid, auth_token, default_sender};

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
    let work = Rc::new(Work {
        simulation: Rc::clone(simulation),
        machine: Arc::clone(machine),
        ownership: ground.ownership,
        runtime,
        providers: if is_bare { Vec::new() } else { providers },
        imports,
    });
    let (drain, drained) = oneshot::channel();
    let process = Process {
        doors,
        drain: Some(drain),
        ended: Rc::default(),
    };
    match ground.journals {
        Journals::Here(storage) => {
            sign_up(&work, &storage).await?;
            let serving = Rc::clone(&work).serve(*storage, async {
                let _ = drained.await;
            });
            work.spawn(&process.ended, serving);
        }
        Journals::OnServers(shared) => {
            let (owns, owned) = oneshot::channel();
            let serving = serve_all(Rc::clone(&work), *shared, owns, drained);
            work.spawn(&process.ended, serving);
            if owned.await.is_err() {
                // It has ended before.
                let ended = process.ended.borrow_mut().take();
                return Err(match ended {
                    Some(Ending::NotStarted(cause) | Ending::Failed(cause)) => cause,
                    ended => format!("{ended:?}"),
                });
            }
        }
    }
    Ok(process)
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
