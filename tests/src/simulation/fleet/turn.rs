//! One turn: from when a node waits for it to how it ends, with all others going on beside it.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use futures::future::select;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep};

use super::{COME_MEANWHILE, Fleet, Node};
use crate::simulation::Simulation;
use crate::simulation::life::{Ending, LOOK_EVERY, Life, Until};
use crate::simulation::machine::Machine;
use crate::simulation::plan::{End, LifePlan};
use crate::simulation::process::Process;
use crate::simulation::world::Action;

/// The longest that a node may wait for its turn and take over, in microseconds: a session, and
/// servers that are away for as long as they ever are.
const TAKES_OVER_WITHIN: u64 = 90_000_000;

/// How often tasks that can go on do so before a node falls asleep, at most.
pub(super) const UNTIL_STILL: usize = 1_000;

/// Milliseconds until a customer tries again at doors that are shut.
const SHUT_MS: u64 = 150;

/// Nobody's life.
const NOBODY: usize = usize::MAX;

/// Whose turn it is.
#[derive(Default)]
pub(super) struct Turn {
    /// The life of who got it last.
    pub(super) owner: Option<usize>,
    /// Before which step the next dies as it takes over.
    pub(super) dies_opening: Option<u64>,
}

/// The turn, as every node sees it.
#[derive(Clone, Default)]
pub(super) struct SharedTurn(Arc<Mutex<Turn>>);

impl SharedTurn {
    pub(super) fn lock(&self) -> MutexGuard<'_, Turn> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs the turn of the next owner.
pub fn live(simulation: &Rc<Simulation>, fleet: &Fleet, plan: &LifePlan, until: Until) -> Ending {
    let is_last = until == Until::NothingIsLeft;
    fleet.plan_beside(None);
    fleet.await_turn(simulation, plan, is_last);
    let taken_over = fleet.tasks.block_on(async {
        simulation.time.life_begins(Instant::now());
        simulation.world.life_begins(NOBODY);
        let owner = fleet
            .beside(simulation, next_owner(simulation, fleet))
            .await;
        simulation.time.life_ended();
        owner
    });
    let Some(mut node) = taken_over else {
        return Ending::StoodStill;
    };
    if is_last {
        // Where days pass in a moment, whoever waits would take that for silence.
        fleet.end_all(simulation);
    }
    let life = node.machine.life;
    let (machine, started) = (Arc::clone(&node.machine), Rc::clone(&node.started));
    let ending = fleet.tasks.block_on(async {
        simulation.time.life_begins(Instant::now());
        simulation.world.life_begins(life);
        let turn = turn((simulation, fleet), &machine, &started, plan, until);
        let ending = fleet.beside(simulation, node.local.run_until(turn)).await;
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
            fleet.put_to_sleep(simulation, node, now + for_ms * 1_000);
        }
        _ => fleet.end(simulation, node),
    }
    fleet.bury(simulation);
    ending
}

/// Waits until one of those that wait has its turn; none within the time that it may take.
async fn next_owner(simulation: &Rc<Simulation>, fleet: &Fleet) -> Option<Node> {
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
        fleet.bury(simulation);
        pass(simulation, fleet).await;
    }
}

/// Lets some time pass, and the world go on while nobody owns.
async fn pass(simulation: &Rc<Simulation>, fleet: &Fleet) {
    for action in simulation.world.happen() {
        match action {
            Action::Receipt(receipt) => {
                if !fleet.is_brought(simulation, &receipt, COME_MEANWHILE) {
                    simulation.not_connected(&receipt);
                }
            }
            Action::Errand(errand) => {
                if fleet.is_asked(simulation, errand, COME_MEANWHILE) {
                    continue;
                }
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
    (simulation, fleet): (&Rc<Simulation>, &Fleet),
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
        pass(simulation, fleet).await;
    }
    let begun = simulation.time.now();
    fleet.plan_beside(plan.beside);
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
