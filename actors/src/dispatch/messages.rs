//! What the dispatcher is told, and what it does then.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix::prelude::*;
use engine::dispatch::Origin;
use engine::dispatch::audience::CampaignPlan;
use engine::dispatch::positions::PositionTracker;
use schemas::account::Account;
use schemas::position::SourceId;
use schemas::{AccountId, CampaignId, MessageClass, Partition};

use super::dispatcher::Dispatcher;
use super::holds::put_aside;
use super::source::{Batch, Kind, ReadError, Source};

/// A source is open at its committed position.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Opened {
    pub(super) partition: Partition,
    pub(super) source: SourceId,
    pub(super) kind: Kind,
    pub(super) position: u64,
}

impl Handler<Opened> for Dispatcher {
    type Result = ();

    fn handle(&mut self, opened: Opened, context: &mut Self::Context) {
        if let SourceId::Audience(campaign) = opened.source
            && self.parts.holds.of(campaign).is_some()
        {
            // It was to be opened before its campaign was held.
            return;
        }
        if let Kind::Audience { plan, .. } = &opened.kind
            && self.is_stranded(plan)
        {
            return;
        }
        self.openings += 1;
        let source = Source {
            kind: opened.kind,
            positions: PositionTracker::at(opened.position),
            reading: 0,
            poked: true,
            opening: self.openings,
        };
        self.sources
            .entry((opened.partition, opened.source))
            .or_insert(source);
        self.read_soon(context);
    }
}

/// It is to look what can be read.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct ReadSources;

impl Handler<ReadSources> for Dispatcher {
    type Result = ();

    fn handle(&mut self, _: ReadSources, context: &mut Self::Context) {
        self.read_sources(context);
    }
}

/// A read of a source has ended.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Read {
    pub(super) partition: Partition,
    pub(super) source: SourceId,
    pub(super) opening: u64,
    pub(super) batch: Result<Batch, ReadError>,
}

impl Handler<Read> for Dispatcher {
    type Result = ();

    fn handle(&mut self, read: Read, context: &mut Self::Context) {
        let batch = match read.batch {
            Ok(batch) => batch,
            Err(error) => return self.parts.escalation.raise(error.to_string()),
        };
        let opened = self.sources.get_mut(&(read.partition, read.source));
        let Some(source) = opened.filter(|source| source.opening == read.opening) else {
            return;
        };
        source.reading = 0;
        source.poked |= batch.more;
        let read = batch.origins();
        let read = read.map(|origin| (origin.position, origin.message));
        source.positions.read(read, batch.next);
        self.finish(&batch.handled);
        self.settle(batch.settled, context);
        let held = self.admit(batch.ready, context);
        self.settle(held, context);
        self.go_on(context);
    }
}

/// An account's share beside the others, as its row has it.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Weighed {
    account: AccountId,
    weight: u32,
    version: u64,
}

impl Weighed {
    /// What this row says.
    pub fn of(account: &Account) -> Self {
        Self {
            account: account.id,
            weight: account.weight,
            version: account.version,
        }
    }
}

impl Handler<Weighed> for Dispatcher {
    type Result = ();

    fn handle(&mut self, weighed: Weighed, _: &mut Self::Context) {
        // Of whom nothing was read yet, the row is read when there is something. Two may have
        // read it, and the one with the older version comes too late.
        if let Some(known) = self.weighed.get_mut(&weighed.account)
            && *known <= weighed.version
        {
            *known = weighed.version;
            self.ready.weigh(weighed.account, weighed.weight);
        }
    }
}

/// These positions are done with.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Finished(pub Vec<Origin>);

impl Handler<Finished> for Dispatcher {
    type Result = ();

    fn handle(&mut self, finished: Finished, context: &mut Self::Context) {
        self.finish(&finished.0);
        self.read_soon(context);
    }
}

/// A campaign runs, and its audience is frozen so far in each partition. Said again
/// and again, so that a dispatcher that was built anew hears of it.
#[derive(Message)]
#[rtype(result = "()")]
pub struct CampaignRuns {
    /// The campaign.
    pub plan: Arc<CampaignPlan>,
    /// Chunks by partition.
    pub chunks: BTreeMap<Partition, u32>,
}

impl Handler<CampaignRuns> for Dispatcher {
    type Result = ();

    fn handle(&mut self, runs: CampaignRuns, context: &mut Self::Context) {
        let campaign = runs.plan.campaign.id;
        let id = SourceId::Audience(campaign);
        self.follow(&runs.plan);
        let is_stranded = self.is_stranded(&runs.plan);
        for (partition, frozen) in runs.chunks {
            match self
                .sources
                .get_mut(&(partition, id))
                .map(|source| &mut source.kind)
            {
                Some(Kind::Audience { plan, chunks }) => {
                    *plan = Arc::clone(&runs.plan);
                    *chunks = frozen.max(*chunks);
                }
                Some(Kind::Work(_) | Kind::Due) => {}
                // It stands still; this is said again.
                None if is_stranded => {}
                None => {
                    let kind = Kind::Audience {
                        plan: Arc::clone(&runs.plan),
                        chunks: frozen,
                    };
                    self.open(partition, id, kind, context);
                }
            }
        }
        self.go_on(context);
    }
}

/// Nothing of a campaign may begin for now. Said again and again: what was opened when it
/// was said may not have been there yet.
#[derive(Message)]
#[rtype(result = "()")]
pub struct CampaignHeld(pub CampaignId);

impl Handler<CampaignHeld> for Dispatcher {
    type Result = ();

    fn handle(&mut self, held: CampaignHeld, context: &mut Self::Context) {
        let campaign = held.0;
        self.commit_cursors(context);
        let id = SourceId::Audience(campaign);
        self.sources.retain(|(_, source), _| *source != id);
        // What was read from the audience is read again. What was due lies behind a cursor
        // that goes on.
        let waiting = self.ready.remove(campaign);
        let now = self.parts.readers.runtime.now();
        let was_due = waiting
            .into_iter()
            .filter(|ready| ready.origin.source != id);
        let aside = was_due.map(|ready| (ready.origin, put_aside(&ready.envelope, now)));
        let aside = aside.collect();
        self.settle(aside, context);
    }
}

/// Nothing of a campaign is pending any more.
#[derive(Message)]
#[rtype(result = "()")]
pub struct CampaignEnded(pub CampaignId);

impl Handler<CampaignEnded> for Dispatcher {
    type Result = ();

    fn handle(&mut self, ended: CampaignEnded, context: &mut Self::Context) {
        self.commit_cursors(context);
        let id = SourceId::Audience(ended.0);
        self.plans.remove(&ended.0);
        self.sources.retain(|(_, source), _| *source != id);
    }
}

/// Something was appended to this lane of the work log.
#[derive(Message)]
#[rtype(result = "()")]
pub struct WorkAppended(pub MessageClass);

impl Handler<WorkAppended> for Dispatcher {
    type Result = ();

    fn handle(&mut self, appended: WorkAppended, context: &mut Self::Context) {
        self.poke(|kind| matches!(kind, Kind::Work(class) if *class == appended.0));
        self.go_on(context);
    }
}
