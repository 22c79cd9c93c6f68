//! The coordinator of one running campaign: it freezes the audience, tells the
//! dispatcher how far, carries out what is commanded, and writes down when nothing is
//! pending any more.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use engine::dispatch::audience::CampaignPlan;
use engine::dispatch::freeze::{Freeze, FreezeError};
use engine::dispatch::routing::Routing;
use engine::journal::Journal;
use engine::runtime::Runtime;
use engine::store::{Replaced, Store, StoreError};
use futures::future::try_join_all;
use schemas::account::Account;
use schemas::campaign::{Campaign, CampaignState, CampaignTally};
use schemas::{AccountId, CampaignId, MessageStatus, Partition};

use crate::control::DISK_FULL_PAUSE;
use crate::dispatch::dispatcher::Dispatcher;
use crate::dispatch::holds::{Hold, Holds};
use crate::dispatch::messages::{CampaignEnded, CampaignHeld, CampaignRuns};
use crate::instruments::CampaignInstrument;

use super::held::{self, FollowError};
use crate::supervision::{Escalation, Lifeline, Post, TaskPanicked, spawn_for};

/// How often the row and the numbers are looked at: what was commanded, and whether the
/// campaign is finished.
const LOOK_EVERY: Duration = Duration::from_millis(500);

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

    fn look(&mut self, context: &Context<Self>) {
        self.instrument
            .is(match self.parts.holds.of(self.parts.campaign) {
                None => "running",
                Some(Hold::Paused) => "paused",
                Some(Hold::Canceled) => "canceled",
            });
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

/// Loads the campaign's row and its account, and freezes the audience.
async fn run(
    parts: CoordinatorParts,
    address: Addr<CampaignCoordinator>,
) -> Result<(), FreezeError> {
    let Some(plan) = load(&parts).await? else {
        let _ = address.send(Looked::Over).await;
        return Ok(());
    };
    let plan = Arc::new(plan);
    let _ = address.send(Loaded(Arc::clone(&plan))).await;
    let partitions = parts.journal.partitions();
    let mut freezes = Vec::new();
    for partition in partitions.all() {
        let freeze = Freeze::resume(&parts.store, &plan.campaign, partitions, partition).await?;
        let _ = address
            .send(Frozen {
                partition,
                chunks: freeze.chunks(),
            })
            .await;
        freezes.push(freeze);
    }
    // All first chunks together: a small campaign is frozen with them, in two commits.
    let first = freezes.iter_mut().filter(|freeze| freeze.chunks() == 0);
    let first = first.map(|freeze| next_chunk(&parts, &plan.campaign, freeze, &address));
    try_join_all(first).await?;
    // Then round by round, so that every partition goes on.
    while freezes.iter().any(|freeze| !freeze.is_done()) {
        if parts.holds.of(parts.campaign) == Some(Hold::Canceled) {
            // The audience ends where it is.
            return Ok(());
        }
        for freeze in freezes.iter_mut().filter(|freeze| !freeze.is_done()) {
            next_chunk(&parts, &plan.campaign, freeze, &address).await?;
        }
    }
    Ok(())
}

/// Freezes the next chunk and tells of it. While the disk is nearly full a freeze waits, as an
/// import does: what is in flight needs the node, and the rest of the audience can come later.
async fn next_chunk(
    parts: &CoordinatorParts,
    campaign: &Campaign,
    freeze: &mut Freeze,
    address: &Addr<CampaignCoordinator>,
) -> Result<(), FreezeError> {
    while let Err(error) = freeze
        .next_chunk(&parts.store, &parts.journal, campaign)
        .await
    {
        if !matches!(error, FreezeError::Store(StoreError::DiskFull { .. })) {
            return Err(error);
        }
        parts.runtime.sleep(DISK_FULL_PAUSE).await;
        // The members that were read are not in a chunk: it reads them again.
        let (partitions, partition) = (parts.journal.partitions(), freeze.partition());
        *freeze = Freeze::resume(&parts.store, campaign, partitions, partition).await?;
    }
    let frozen = Frozen {
        partition: freeze.partition(),
        chunks: freeze.chunks(),
    };
    let _ = address.send(frozen).await;
    Ok(())
}

async fn load(parts: &CoordinatorParts) -> Result<Option<CampaignPlan>, StoreError> {
    let key = Campaign::key_of(parts.account, parts.campaign);
    let Some(campaign) = parts.store.get::<Campaign>(&key).await? else {
        return Ok(None);
    };
    if !campaign.is_under_way() {
        return Ok(None);
    }
    parts.holds.set(&campaign, parts.runtime.boot());
    let Some(account) = parts
        .store
        .get::<Account>(&Account::key_of(parts.account))
        .await?
    else {
        return Ok(None);
    };
    match CampaignPlan::new(campaign, &account.number_key, &parts.routing) {
        Ok(plan) => Ok(Some(plan)),
        Err(error) => {
            // The door compiles a template before it takes a campaign.
            tracing::error!(campaign = %parts.campaign, %error, "a running campaign's template does not compile");
            Ok(None)
        }
    }
}

/// Does what the campaign's state asks for, and tells what its row says now. The row is what
/// people's commands change, so it is read each time.
async fn follow(parts: &CoordinatorParts, may_resend: bool) -> Result<Looked, FollowError> {
    let key = Campaign::key_of(parts.account, parts.campaign);
    let Some(campaign) = parts.store.get::<Campaign>(&key).await? else {
        return Ok(Looked::Over);
    };
    parts.holds.set(&campaign, parts.runtime.boot());
    let hold = parts.holds.of(campaign.id);
    let tallies = tallies(parts).await?;
    match hold {
        None => held::release(parts, &tallies).await?,
        Some(Hold::Paused) => {}
        Some(Hold::Canceled) => held::withdraw(parts, &tallies).await?,
    }
    let is_canceled = hold == Some(Hold::Canceled);
    let may_resend = may_resend && !is_canceled;
    // What was read before the cancel was written down may be queued again by now.
    let is_over =
        |tally: &CampaignTally| is_settled(tally, may_resend) && (tally.canceled || !is_canceled);
    if tallies.iter().all(is_over) {
        finish(parts).await?;
        return Ok(Looked::Over);
    }
    Ok(Looked::UnderWay(Box::new(campaign)))
}

/// The campaign's numbers in every partition.
async fn tallies(parts: &CoordinatorParts) -> Result<Vec<CampaignTally>, StoreError> {
    let mut tallies = Vec::new();
    for partition in parts.journal.partitions().all() {
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
        spawn_for(&self.parts.runtime, context.address(), async move {
            let escalation = parts.escalation.clone();
            if let Err(error) = run(parts, address).await {
                escalation.raise(error.to_string());
            }
        });
        context.run_interval(LOOK_EVERY, |coordinator, context| coordinator.look(context));
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Loaded(Arc<CampaignPlan>);

impl Handler<Loaded> for CampaignCoordinator {
    type Result = ();

    fn handle(&mut self, loaded: Loaded, _: &mut Self::Context) {
        self.plan = Some(loaded.0);
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Frozen {
    partition: Partition,
    chunks: u32,
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
enum Looked {
    /// As its row has it.
    UnderWay(Box<Campaign>),
    /// Nothing of it is pending any more.
    Over,
}

impl Handler<Looked> for CampaignCoordinator {
    type Result = ();

    fn handle(&mut self, looked: Looked, context: &mut Self::Context) {
        self.looking = false;
        let Looked::UnderWay(campaign) = looked else {
            self.parts
                .dispatcher
                .tell(CampaignEnded(self.parts.campaign));
            self.parts.holds.forget(self.parts.campaign);
            self.lifeline.finish();
            context.stop();
            return;
        };
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
        self.look(context);
    }
}

impl Handler<TaskPanicked> for CampaignCoordinator {
    type Result = ();

    fn handle(&mut self, _: TaskPanicked, context: &mut Self::Context) {
        context.terminate();
    }
}
