//! The dispatcher of all partitions that this process owns. It decides; tasks read
//! sources and commit attempts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use actix::prelude::*;
use engine::dispatch::audience::CampaignPlan;
use engine::dispatch::positions::PositionTracker;
use engine::dispatch::ready::ReadyQueue;
use engine::dispatch::{MIN_READ_AHEAD, Origin, READ_AHEAD};
use engine::journal::CommitError;
use schemas::change::Change;
use schemas::message::DueKind;
use schemas::position::{CommittedPosition, SourceId};
use schemas::{CampaignId, MessageClass, Partition, ProviderId};

use super::begin::{Beginner, Pick};
use super::source::{Batch, Kind, ReadError, Readers, Source};
use crate::provider::lane::Lane;
use crate::supervision::{Escalation, Lifeline};

/// How often cursors are committed. What a crash leaves behind its cursor is read
/// again and refused, so this only bounds how much that is.
const COMMIT_CURSORS_EVERY: Duration = Duration::from_millis(100);

/// How often due entries are looked for: a scheduled text leaves at most this late.
const LOOK_FOR_DUE_EVERY: Duration = Duration::from_millis(250);

/// The mailbox: a message is a batch, and there are as many at a time as there are
/// sources, senders and outcome commits.
const MAILBOX: usize = 4_096;

/// What a dispatcher is built from.
#[derive(Clone)]
pub struct DispatcherParts {
    /// Reads sources.
    pub readers: Readers,
    /// Commits attempts.
    pub beginner: Beginner,
    /// The provider accounts, by their numbers.
    pub providers: Arc<[ProviderId]>,
    /// Who hears that the journal takes nothing more.
    pub escalation: Escalation,
}

/// Gives work out.
pub struct Dispatcher {
    parts: DispatcherParts,
    sources: BTreeMap<(Partition, SourceId), Source>,
    ready: ReadyQueue,
    demands: BTreeMap<usize, Demand>,
    _lifeline: Lifeline,
}

impl Dispatcher {
    /// A dispatcher that knows no source yet; it opens them when it starts.
    pub fn new(parts: DispatcherParts, lifeline: Lifeline) -> Self {
        Self {
            parts,
            sources: BTreeMap::new(),
            ready: ReadyQueue::default(),
            demands: BTreeMap::new(),
            _lifeline: lifeline,
        }
    }

    /// Opens a source at its committed position.
    fn open(&self, partition: Partition, source: SourceId, kind: Kind, context: &Context<Self>) {
        let address = context.address();
        let (store, escalation) = (
            self.parts.readers.store.clone(),
            self.parts.escalation.clone(),
        );
        self.parts.readers.runtime.spawn(async move {
            let key = CommittedPosition::key_of(partition, &source);
            match store.get::<CommittedPosition>(&key).await {
                Ok(row) => {
                    let position = row.map_or(0, |row| row.position);
                    let opened = Opened {
                        partition,
                        source,
                        kind,
                        position,
                    };
                    let _ = address.send(opened).await;
                }
                Err(error) => escalation.raise(error.to_string()),
            }
        });
    }

    /// Starts a read of every source that wants one.
    fn read_sources(&mut self, context: &Context<Self>) {
        for (&(partition, source), state) in &mut self.sources {
            if !state.wants_read() {
                continue;
            }
            state.reading = true;
            state.poked = false;
            let limit = state.read_ahead - state.positions.unfinished();
            let (kind, from) = (state.kind.clone(), state.positions.next());
            let (readers, address) = (self.parts.readers.clone(), context.address());
            self.parts.readers.runtime.spawn(async move {
                let batch = readers.read(partition, &kind, from, limit).await;
                let _ = address
                    .send(Read {
                        partition,
                        source,
                        batch,
                    })
                    .await;
            });
        }
    }

    /// Gives every sender that asked what there is for it.
    fn serve(&mut self, context: &Context<Self>) {
        let mut served = Vec::new();
        for (index, demand) in &mut self.demands {
            let messages = self.ready.take(*index, demand.segments);
            if messages.is_empty() {
                continue;
            }
            let segments: u32 = messages
                .iter()
                .map(|ready| ready.envelope.segments.max(1))
                .sum();
            let answered = segments.min(demand.segments);
            demand.segments -= answered;
            served.push(Pick {
                provider: self.parts.providers[*index],
                index: *index,
                messages,
                lane: Arc::clone(&demand.lane),
                asked: Arc::clone(&demand.asked),
                answered,
            });
        }
        self.demands.retain(|_, demand| demand.segments > 0);
        for pick in served {
            let (beginner, address) = (self.parts.beginner.clone(), context.address());
            let escalation = self.parts.escalation.clone();
            self.parts.readers.runtime.spawn(async move {
                report(beginner.begin(pick).await, &address, &escalation).await;
            });
        }
    }

    fn settle(&self, settled: Vec<(Origin, Change)>, context: &Context<Self>) {
        if settled.is_empty() {
            return;
        }
        let (journal, address) = (self.parts.readers.journal.clone(), context.address());
        let escalation = self.parts.escalation.clone();
        self.parts.readers.runtime.spawn(async move {
            let (origins, changes): (Vec<_>, Vec<_>) = settled
                .into_iter()
                .map(|(origin, change)| (origin, (origin.partition, change)))
                .unzip();
            let committed = journal.commit(changes).await.map(|_| origins);
            report(committed, &address, &escalation).await;
        });
    }

    fn finish(&mut self, origins: &[Origin]) {
        for origin in origins {
            if let Some(source) = self.sources.get_mut(&(origin.partition, origin.source)) {
                source.positions.finish(origin.position);
            }
        }
    }

    fn commit_cursors(&mut self) {
        let changes: Vec<_> = self
            .sources
            .iter_mut()
            .filter_map(|(&(partition, source), state)| {
                let position = state.positions.advance()?;
                Some((partition, Change::Advanced { source, position }))
            })
            .collect();
        if changes.is_empty() {
            return;
        }
        let (journal, escalation) = (
            self.parts.readers.journal.clone(),
            self.parts.escalation.clone(),
        );
        self.parts.readers.runtime.spawn(async move {
            if journal.commit(changes).await.is_err() {
                escalation.raise("cursors cannot be committed".to_owned());
            }
        });
    }

    fn poke(&mut self, wanted: impl Fn(&Kind) -> bool) {
        for source in self
            .sources
            .values_mut()
            .filter(|source| wanted(&source.kind))
        {
            source.poked = true;
        }
    }

    fn go_on(&mut self, context: &Context<Self>) {
        self.serve(context);
        self.read_sources(context);
    }
}

async fn report(
    finished: Result<Vec<Origin>, CommitError>,
    address: &Addr<Dispatcher>,
    escalation: &Escalation,
) {
    match finished {
        Ok(origins) if origins.is_empty() => {}
        Ok(origins) => {
            let _ = address.send(Finished(origins)).await;
        }
        Err(_) => escalation.raise("the journal takes nothing more".to_owned()),
    }
}

impl Actor for Dispatcher {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.set_mailbox_capacity(MAILBOX);
        for partition in self.parts.readers.journal.partitions().all() {
            for class in MessageClass::ALL {
                self.open(partition, SourceId::Work(class), Kind::Work(class), context);
            }
            self.open(partition, SourceId::Due(DueKind::Send), Kind::Due, context);
        }
        context.run_interval(COMMIT_CURSORS_EVERY, |dispatcher, _| {
            dispatcher.commit_cursors()
        });
        context.run_interval(LOOK_FOR_DUE_EVERY, |dispatcher, context| {
            dispatcher.poke(|kind| matches!(kind, Kind::Due));
            dispatcher.go_on(context);
        });
    }
}

/// A sender has permits for so many segments more.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Demand {
    /// The provider account's number in the routes.
    pub provider: usize,
    /// How many segments.
    pub segments: u32,
    /// Where to put them.
    pub lane: Arc<Lane>,
    /// What the sender has asked for and not got; counted down when it gets it.
    pub asked: Arc<AtomicU64>,
}

impl Handler<Demand> for Dispatcher {
    type Result = ();

    fn handle(&mut self, demand: Demand, context: &mut Self::Context) {
        match self.demands.get_mut(&demand.provider) {
            Some(waiting) if Arc::ptr_eq(&waiting.lane, &demand.lane) => {
                waiting.segments += demand.segments;
            }
            Some(_) | None => {
                self.demands.insert(demand.provider, demand);
            }
        }
        self.go_on(context);
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Opened {
    partition: Partition,
    source: SourceId,
    kind: Kind,
    position: u64,
}

impl Handler<Opened> for Dispatcher {
    type Result = ();

    fn handle(&mut self, opened: Opened, context: &mut Self::Context) {
        let partitions = usize::from(self.parts.readers.journal.partitions().get());
        let read_ahead = (READ_AHEAD / partitions).max(MIN_READ_AHEAD);
        let source = Source {
            kind: opened.kind,
            positions: PositionTracker::at(opened.position),
            read_ahead,
            reading: false,
            poked: true,
        };
        self.sources
            .entry((opened.partition, opened.source))
            .or_insert(source);
        self.go_on(context);
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Read {
    partition: Partition,
    source: SourceId,
    batch: Result<Batch, ReadError>,
}

impl Handler<Read> for Dispatcher {
    type Result = ();

    fn handle(&mut self, read: Read, context: &mut Self::Context) {
        let batch = match read.batch {
            Ok(batch) => batch,
            Err(error) => return self.parts.escalation.raise(error.to_string()),
        };
        let Some(source) = self.sources.get_mut(&(read.partition, read.source)) else {
            return;
        };
        source.reading = false;
        source.poked |= batch.more;
        let positions: Vec<u64> = batch.positions().collect();
        source.positions.read(positions, batch.next);
        self.finish(&batch.handled);
        self.settle(batch.settled, context);
        for ready in batch.ready {
            self.ready.push(ready);
        }
        self.go_on(context);
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
        self.read_sources(context);
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
        let id = SourceId::Audience(runs.plan.campaign.id);
        for (partition, frozen) in runs.chunks {
            match self
                .sources
                .get_mut(&(partition, id))
                .map(|source| &mut source.kind)
            {
                Some(Kind::Audience { chunks, .. }) => *chunks = frozen.max(*chunks),
                Some(Kind::Work(_) | Kind::Due) => {}
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

/// Nothing of a campaign is pending any more.
#[derive(Message)]
#[rtype(result = "()")]
pub struct CampaignEnded(pub CampaignId);

impl Handler<CampaignEnded> for Dispatcher {
    type Result = ();

    fn handle(&mut self, ended: CampaignEnded, _: &mut Self::Context) {
        self.commit_cursors();
        let id = SourceId::Audience(ended.0);
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
