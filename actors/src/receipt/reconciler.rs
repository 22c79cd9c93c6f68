//! The reconciler of all partitions that this process owns: it settles the attempts
//! that a crash left open, and works through the look-ups that fall due.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use actix::prelude::*;
use engine::dispatch::positions::IDLE_STEP;
use engine::store::StoreError;
use futures::FutureExt;
use schemas::Partition;
use schemas::change::Change;
use schemas::due::{DueKind, DueLookUps, LookUp};
use schemas::position::{CommittedPosition, SourceId};

use super::look_up::{LookUps, ReconcileError};
use super::parked;
use crate::dispatch::due::due_page;
use crate::dispatch::source::{ReadError, Readers};
use crate::supervision::{Escalation, Lifeline, TaskPanicked, spawn_for};

/// How often look-ups that fell due are read.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How often parked receipts are tried again. What they wait for usually comes within
/// seconds and finds them itself; this is for the rest. A sweep that takes longer than
/// this runs beside the next, and the journal refuses what is said twice.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// How many look-ups are under way at a time. Asking uses the provider's API beside
/// sending, so it must stay a small part of what goes on.
const LOOK_UPS_IN_FLIGHT: usize = 16;

/// How many due look-ups of a partition are read at a time.
const LOOK_UPS_A_PAGE: usize = 256;

/// What a reconciler is built from.
#[derive(Clone)]
pub struct ReconcilerParts {
    /// Reads due entries.
    pub readers: Readers,
    /// Asks.
    pub look_ups: LookUps,
    /// Who hears that the store or journal fails.
    pub escalation: Escalation,
}

/// Asks for the receipts that do not come.
pub struct StatusReconciler {
    parts: ReconcilerParts,
    working: bool,
    _lifeline: Lifeline,
}

impl StatusReconciler {
    /// A reconciler that starts with what is due now.
    pub fn new(parts: ReconcilerParts, lifeline: Lifeline) -> Self {
        Self {
            parts,
            working: false,
            _lifeline: lifeline,
        }
    }

    fn work(&mut self, context: &Context<Self>) {
        if std::mem::replace(&mut self.working, true) {
            return;
        }
        let (parts, address) = (self.parts.clone(), context.address());
        spawn_for(&self.parts.readers.runtime, context.address(), async move {
            for partition in parts.readers.journal.range().partitions() {
                if let Err(error) = work_through(&parts, partition).await {
                    return parts.escalation.raise(error.to_string());
                }
            }
            let _ = address.send(Worked).await;
        });
    }
}

/// Tries what is parked again.
async fn sweep_parked(parts: &ReconcilerParts) {
    let readers = &parts.readers;
    for partition in readers.journal.range().partitions() {
        let swept = parked::sweep(
            &readers.runtime,
            &readers.store,
            &readers.journal,
            partition,
        )
        .await;
        if let Err(error) = swept {
            return parts.escalation.raise(error.to_string());
        }
    }
}

/// Handles one page of what is due in a partition and moves its cursor past it.
async fn work_through(parts: &ReconcilerParts, partition: Partition) -> Result<(), WorkError> {
    let source = SourceId::Due(DueKind::LookUp);
    let key = CommittedPosition::key_of(partition, &source);
    let from = parts.readers.store.get::<CommittedPosition>(&key).await?;
    let from = from.map_or(0, |row| row.position);
    let now = parts.readers.runtime.now();
    let page =
        due_page::<DueLookUps>(&parts.readers, partition, from, now, LOOK_UPS_A_PAGE).await?;
    if page.rows.is_empty() && page.next < from.saturating_add(IDLE_STEP) {
        return Ok(());
    }
    look_up_all(parts, page.rows).await?;
    let advanced = Change::Advanced {
        source,
        position: page.next,
    };
    parts
        .readers
        .journal
        .commit(vec![(partition, advanced)])
        .await
        .map_err(ReadError::from)?;
    Ok(())
}

/// Asks about one message. A panic over it is no matter of the others.
async fn look_up(parts: &ReconcilerParts, look_up: LookUp) -> Result<(), ReconcileError> {
    let looked_up = AssertUnwindSafe(parts.look_ups.handle(&look_up)).catch_unwind();
    match looked_up.await {
        Ok(looked_up) => looked_up,
        Err(_) => {
            tracing::error!(message = %look_up.message, "a look-up panicked");
            parts.look_ups.pass_over(&look_up).await
        }
    }
}

async fn look_up_all(parts: &ReconcilerParts, rows: Vec<DueLookUps>) -> Result<(), ReconcileError> {
    use futures::StreamExt;
    let due = rows.into_iter().flat_map(|row| row.look_ups);
    let mut answers = futures::stream::iter(due)
        .map(|due| look_up(parts, due))
        .buffer_unordered(LOOK_UPS_IN_FLIGHT);
    while let Some(answer) = answers.next().await {
        answer?;
    }
    Ok(())
}

#[derive(Debug, thiserror::Error)]
enum WorkError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Reconcile(#[from] ReconcileError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Actor for StatusReconciler {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.run_interval(LOOK_EVERY, |reconciler, context| reconciler.work(context));
        context.run_interval(SWEEP_EVERY, |reconciler, context| {
            let (parts, runtime) = (reconciler.parts.clone(), &reconciler.parts.readers.runtime);
            let sweep = async move { sweep_parked(&parts).await };
            spawn_for(runtime, context.address(), sweep);
        });
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Worked;

impl Handler<Worked> for StatusReconciler {
    type Result = ();

    fn handle(&mut self, _: Worked, _: &mut Self::Context) {
        self.working = false;
    }
}

impl Handler<TaskPanicked> for StatusReconciler {
    type Result = ();

    fn handle(&mut self, _: TaskPanicked, context: &mut Self::Context) {
        context.terminate();
    }
}
