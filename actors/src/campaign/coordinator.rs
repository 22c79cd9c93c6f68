//! The coordinator of one campaign that was started: it waits for its time, freezes the
//! audience, tells the dispatcher how far, carries out what is commanded, and writes down when nothing is
//! pending any more.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use engine::dispatch::audience::CampaignPlan;
use engine::dispatch::freeze::Freeze;
use engine::dispatch::routing::Routing;
use engine::journal::{CAMPAIGN_HELD, Journal, NO_PROVIDER};
use engine::runtime::Runtime;
use engine::send_window::changes_at;
use engine::store::{Replaced, Store, StoreError};
use schemas::campaign::{Campaign, CampaignState, CampaignTally};
use schemas::{AccountId, CampaignId, MessageStatus, Partition};
use tokio::sync::{Notify, Semaphore};

use crate::dispatch::dispatcher::Dispatcher;
use crate::dispatch::holds::{Hold, Holds};
use crate::dispatch::messages::{CampaignEnded, CampaignHeld, CampaignRuns};
use crate::instruments::CampaignInstrument;
use crate::provider::resting::Resting;

use super::held::{self, FollowError};
use super::launch::run;
use crate::supervision::{Escalation, Lifeline, Post, TaskPanicked, spawn_for};

/// How often the row and the numbers are looked at: what was commanded, and whether the
/// campaign is finished.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Chunks that are frozen at a time behind the first ones, over all campaigns: a processor of the
/// smallest machine is left to everything else. When a hundred large campaigns start at once, the
/// next small one's first chunks wait for one chunk of theirs and not for a hundred.
pub const FREEZING: usize = 1;

/// What a coordinator is built from.
#[derive(Clone)]
pub struct CoordinatorParts {
    /// Time and tasks.
    pub runtime: Runtime,
    /// Rows.
    pub store: Store,
    /// Where chunks are counted.
    pub journal: Journal,
    /// Which provider may carry what.
    pub routing: Arc<Routing>,
    /// Who sends it.
    pub dispatcher: Post<Dispatcher>,
    /// Where it is written that nothing of it may begin.
    pub holds: Holds,
    /// Who freezes a chunk behind the first ones, over all campaigns; in order of arrival.
    pub freezing: Arc<Semaphore>,
    /// Which provider accounts rest.
    pub resting: Resting,
    /// Who hears that the store or journal fails.
    pub escalation: Escalation,
    /// Whose campaign.
    pub account: AccountId,
    /// Which.
    pub campaign: CampaignId,
}

/// One running campaign's coordinator.
pub struct CampaignCoordinator {
    parts: CoordinatorParts,
    plan: Option<Arc<CampaignPlan>>,
    chunks: BTreeMap<Partition, u32>,
    looking: bool,
    /// Whether it was called while it looked.
    called: bool,
    /// Its row was changed while it waits for its time.
    changed: Arc<Notify>,
    instrument: CampaignInstrument,
    lifeline: Lifeline,
}

impl CampaignCoordinator {
    /// A coordinator that has read nothing yet.
    pub fn new(parts: CoordinatorParts, lifeline: Lifeline) -> Self {
        Self {
            parts,
            plan: None,
            chunks: BTreeMap::new(),
            looking: false,
            called: false,
            changed: Arc::default(),
            instrument: CampaignInstrument::default(),
            lifeline,
        }
    }

    /// What may begin, or that nothing may. Said again and again.
    fn tell_dispatcher(&self) {
        let campaign = self.parts.campaign;
        if self.parts.holds.of(campaign).is_some() {
            self.parts.dispatcher.tell(CampaignHeld(campaign));
        } else if let Some(plan) = &self.plan {
            let runs = CampaignRuns {
                plan: Arc::clone(plan),
                chunks: self.chunks.clone(),
            };
            // A dispatcher that is being built again hears of it at the next look.
            self.parts.dispatcher.tell(runs);
        }
    }

    /// A window closes at its minute, not at the next look.
    fn look_when_window_changes(&self, plan: &CampaignPlan, context: &mut Context<Self>) {
        let now = self.parts.runtime.now();
        let Some(window) = &plan.campaign.window else {
            return;
        };
        let left = changes_at(window, now).0.saturating_sub(now.0);
        let wait = Duration::from_micros(u64::try_from(left).unwrap_or(u64::MAX));
        if wait < LOOK_EVERY {
            context.run_later(wait, |coordinator, context| coordinator.look(context));
        }
    }

    fn look(&mut self, context: &mut Context<Self>) {
        if let Some(plan) = &self.plan {
            // The time of day may have closed it.
            self.parts.holds.set(&plan.campaign, &self.parts.runtime);
            let hold = self.parts.holds.of(self.parts.campaign);
            self.instrument.is(Hold::word(hold));
            self.look_when_window_changes(plan, context);
        }
        self.tell_dispatcher();
        let Some(plan) = self.plan.as_ref().filter(|_| !self.looking) else {
            self.called = true;
            return;
        };
        let may_resend = plan.may_resend(self.parts.runtime.now());
        (self.looking, self.called) = (true, false);
        let (parts, address) = (self.parts.clone(), context.address());
        spawn_for(&self.parts.runtime, context.address(), async move {
            match follow(&parts, may_resend).await {
                Ok(looked) => drop(address.send(looked).await),
                Err(error) => parts.escalation.raise(error.to_string()),
            }
        });
    }
}

/// Does what the campaign's state asks for, and tells what its row says now. The row is what
/// people's commands change, so it is read each time.
async fn follow(parts: &CoordinatorParts, may_resend: bool) -> Result<Looked, FollowError> {
    let key = Campaign::key_of(parts.account, parts.campaign);
    let Some(campaign) = parts.store.get::<Campaign>(&key).await? else {
        return Ok(Looked::Over);
    };
    parts.holds.set(&campaign, &parts.runtime);
    let hold = parts.holds.of(campaign.id);
    let tallies = tallies(parts, parts.journal.range().partitions()).await?;
    match hold {
        None => held::release(parts, &campaign, &tallies).await?,
        Some(Hold::Paused | Hold::Closed) => {}
        Some(Hold::Canceled) => held::withdraw(parts, &tallies).await?,
    }
    let is_canceled = hold == Some(Hold::Canceled);
    let may_resend = may_resend && !is_canceled;
    // What was read before the cancel was written down may be queued again by now.
    let is_over =
        |tally: &CampaignTally| is_settled(tally, may_resend) && (tally.canceled || !is_canceled);
    if tallies.iter().all(is_over) {
        // Then the others may be as well.
        let range = parts.journal.range();
        let others = range
            .all()
            .all()
            .filter(|partition| !range.holds(*partition));
        if self::tallies(parts, others).await?.iter().all(is_over) {
            finish(parts).await?;
            return Ok(Looked::Over);
        }
    }
    let held = tallies.iter().map(|tally| tally.held).sum();
    Ok(Looked::UnderWay(Box::new(campaign), held))
}

/// The campaign's numbers in some partitions.
async fn tallies(
    parts: &CoordinatorParts,
    partitions: impl Iterator<Item = Partition>,
) -> Result<Vec<CampaignTally>, StoreError> {
    let mut tallies = Vec::new();
    for partition in partitions {
        let key = CampaignTally::key_of(parts.campaign, partition);
        let stored = parts.store.get::<CampaignTally>(&key).await?;
        tallies.push(stored.unwrap_or_else(|| CampaignTally::empty(parts.campaign, partition)));
    }
    Ok(tallies)
}

/// Whether the audience is frozen, nothing is pending, and nothing that is unknown may be
/// sent again.
fn is_settled(tally: &CampaignTally, may_resend: bool) -> bool {
    let unknown = tally.count(MessageStatus::Unknown);
    tally.frozen && tally.pending() == 0 && !(may_resend && unknown > 0)
}

/// Writes down that the campaign is over. A canceled one stays canceled.
async fn finish(parts: &CoordinatorParts) -> Result<(), StoreError> {
    let key = Campaign::key_of(parts.account, parts.campaign);
    while let Some(mut campaign) = parts.store.get::<Campaign>(&key).await? {
        if campaign.finished_at.is_some() {
            // Another owner was faster.
            break;
        }
        if campaign.state != CampaignState::Canceled {
            campaign.state = CampaignState::Finished;
        }
        campaign.finished_at = Some(parts.runtime.now());
        if let Replaced::Stored(_) = parts.store.replace(campaign).await? {
            break;
        }
    }
    Ok(())
}

impl Actor for CampaignCoordinator {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let (parts, address) = (self.parts.clone(), context.address());
        let changed = Arc::clone(&self.changed);
        spawn_for(&self.parts.runtime, context.address(), async move {
            let escalation = parts.escalation.clone();
            if let Err(error) = run(parts, address, changed).await {
                escalation.raise(error.to_string());
            }
        });
        context.run_interval(LOOK_EVERY, |coordinator, context| coordinator.look(context));
    }
}

/// Its time has not come.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Waits;

impl Handler<Waits> for CampaignCoordinator {
    type Result = ();

    fn handle(&mut self, _: Waits, _: &mut Self::Context) {
        self.instrument.is("scheduled");
    }
}

#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Loaded(pub(super) Arc<CampaignPlan>);

impl Handler<Loaded> for CampaignCoordinator {
    type Result = ();

    fn handle(&mut self, loaded: Loaded, _: &mut Self::Context) {
        self.plan = Some(loaded.0);
    }
}

#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Frozen {
    pub(super) partition: Partition,
    pub(super) chunks: u32,
}

impl Frozen {
    /// What is frozen so far.
    pub(super) fn of(freeze: &Freeze) -> Self {
        Self {
            partition: freeze.partition(),
            chunks: freeze.chunks(),
        }
    }
}

impl Handler<Frozen> for CampaignCoordinator {
    type Result = ();

    fn handle(&mut self, frozen: Frozen, _: &mut Self::Context) {
        self.chunks.insert(frozen.partition, frozen.chunks);
        self.tell_dispatcher();
    }
}

#[derive(Message)]
#[rtype(result = "()")]
pub(super) enum Looked {
    /// As its row has it, with so many messages put aside.
    UnderWay(Box<Campaign>, u64),
    /// Nothing of it is pending any more.
    Over,
}

impl Handler<Looked> for CampaignCoordinator {
    type Result = ();

    fn handle(&mut self, looked: Looked, context: &mut Self::Context) {
        self.looking = false;
        let Looked::UnderWay(campaign, held) = looked else {
            self.parts
                .dispatcher
                .tell(CampaignEnded(self.parts.campaign));
            self.parts.holds.forget(self.parts.campaign);
            self.lifeline.finish();
            context.stop();
            return;
        };
        let cause = match self.parts.holds.of(self.parts.campaign) {
            Some(_) => CAMPAIGN_HELD,
            None => NO_PROVIDER,
        };
        self.instrument.holds(cause, held);
        if let Some(plan) = &mut self.plan
            && plan.campaign.version < campaign.version
        {
            *plan = Arc::new(plan.changed_to(*campaign, &self.parts.routing));
        }
        if self.called {
            self.look(context);
        } else {
            self.tell_dispatcher();
        }
    }
}

/// The campaign's row was changed.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Look;

impl Handler<Look> for CampaignCoordinator {
    type Result = ();

    fn handle(&mut self, _: Look, context: &mut Self::Context) {
        self.changed.notify_one();
        self.look(context);
    }
}

impl Handler<TaskPanicked> for CampaignCoordinator {
    type Result = ();

    fn handle(&mut self, _: TaskPanicked, context: &mut Self::Context) {
        context.terminate();
    }
}
