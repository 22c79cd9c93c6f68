//! The dispatcher of all partitions that this process owns. It decides; tasks read
//! sources and commit attempts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use engine::dispatch::audience::CampaignPlan;
use engine::dispatch::read_ahead::{Pool, ReadAhead};
use engine::dispatch::ready::ReadyQueue;
use engine::dispatch::{Origin, Ready};
use engine::journal::CommitError;
use engine::runtime::BootMicros;
use schemas::change::Change;
use schemas::due::DueKind;
use schemas::position::{CommittedPosition, SourceId};
use schemas::{AccountId, CampaignId, MessageClass, Partition, ProviderId};

use super::begin::{Beginner, Pick};
use super::demand::{Coming, Demand};
use super::holds::Holds;
use super::messages::{Finished, Opened, Read, ReadSources};
use super::source::{Kind, Readers, Source};
use super::stranded::{Aside, PutAside};
use crate::instruments;
use crate::provider::pacing::Pacing;
use crate::provider::resting::Resting;
use crate::provider::sender::commit_ahead;
use crate::supervision::{Escalation, Lifeline, TaskPanicked, spawn_for};

/// How often cursors are committed. What a crash leaves behind its cursor is read
/// again and refused, so this only bounds how much that is.
const COMMIT_CURSORS_EVERY: Duration = Duration::from_millis(100);

/// How often due entries are looked for: a scheduled text leaves at most this late.
pub(super) const LOOK_FOR_DUE_EVERY: Duration = Duration::from_millis(250);

/// How soon to look again for somebody who has no room: as often as a busy sender looks.
const LOOK_FOR_ROOM_AFTER: Duration = Duration::from_millis(5);

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
    /// Campaigns of which nothing may begin.
    pub holds: Holds,
    /// The provider accounts, by their numbers.
    pub providers: Arc<[ProviderId]>,
    /// Which of them rest.
    pub resting: Resting,
    /// How many positions of a pool may be read and not finished.
    pub read_ahead: usize,
    /// What paces each of them.
    pub pacings: Arc<[Pacing]>,
    /// Who hears that the journal takes nothing more.
    pub escalation: Escalation,
}

/// Gives work out.
pub struct Dispatcher {
    pub(super) parts: DispatcherParts,
    pub(super) sources: BTreeMap<(Partition, SourceId), Source>,
    pub(super) ready: ReadyQueue,
    pub(super) demands: BTreeMap<usize, Demand>,
    pub(super) openings: u64,
    /// Campaigns that run, as their rows have them.
    pub(super) plans: BTreeMap<CampaignId, Arc<CampaignPlan>>,
    /// Whether it looks again when somebody's limit has room.
    waits_for_room: bool,
    /// Whether it is about to read sources.
    reads_soon: bool,
    /// What is known of what waits for a provider account that works.
    pub(super) aside: Aside,
    /// Accounts whose weight is known, or is being read, by the version of their rows.
    pub(super) weighed: BTreeMap<AccountId, u64>,
    _lifeline: Lifeline,
}

impl Dispatcher {
    /// A dispatcher that knows no source yet; it opens them when it starts.
    pub fn new(parts: DispatcherParts, lifeline: Lifeline) -> Self {
        let routing = Arc::clone(&parts.beginner.routing);
        Self {
            parts,
            sources: BTreeMap::new(),
            ready: ReadyQueue::new(routing),
            demands: BTreeMap::new(),
            openings: 0,
            plans: BTreeMap::new(),
            waits_for_room: false,
            reads_soon: false,
            aside: Aside::default(),
            weighed: BTreeMap::new(),
            _lifeline: lifeline,
        }
    }

    /// Opens a source at its committed position.
    pub(super) fn open(
        &self,
        partition: Partition,
        source: SourceId,
        kind: Kind,
        context: &Context<Self>,
    ) {
        let address = context.address();
        let (store, escalation) = (
            self.parts.readers.store.clone(),
            self.parts.escalation.clone(),
        );
        spawn_for(&self.parts.readers.runtime, context.address(), async move {
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

    /// Reads sources when everything that was told by now has been heard: what a hundred
    /// campaigns tell as they start is one look at all sources, not a hundred.
    pub(super) fn read_soon(&mut self, context: &mut Context<Self>) {
        if !self.reads_soon {
            self.reads_soon = true;
            context.notify(ReadSources);
        }
    }

    /// Starts a read of every source that has something and room for it.
    pub(super) fn read_sources(&mut self, context: &Context<Self>) {
        self.reads_soon = false;
        let mut pools = Pool::ALL.map(|_| ReadAhead::of(self.parts.read_ahead));
        let (rests, now) = (
            self.parts.resting.routes(),
            self.parts.readers.runtime.now(),
        );
        let mut may_read = Vec::new();
        for (key, state) in &self.sources {
            let has_more = state.has_more();
            if let Some(pool) = Pool::of(key.1) {
                pools[pool.index()].count(state.unfinished(), has_more);
                if has_more {
                    may_read.push((*key, pool, self.may_read(state, rests, now)));
                }
            }
        }
        may_read.retain(|(_, _, most)| *most > 0);
        for ((partition, source), pool, most) in may_read {
            let Some(state) = self.sources.get_mut(&(partition, source)) else {
                continue;
            };
            let Some(limit) = pools[pool.index()].grant(state.unfinished()) else {
                continue;
            };
            let limit = limit.min(most);
            state.reading = limit;
            state.poked = false;
            let (kind, from) = (state.kind.clone(), state.positions.next());
            let opening = state.opening;
            let (readers, address) = (self.parts.readers.clone(), context.address());
            spawn_for(&self.parts.readers.runtime, context.address(), async move {
                let batch = readers.read(partition, &kind, from, limit).await;
                let _ = address
                    .send(Read {
                        partition,
                        source,
                        opening,
                        batch,
                    })
                    .await;
            });
        }
    }

    /// Gives every sender that asked what there is for it.
    fn serve(&mut self, context: &mut Context<Self>) {
        if !self.parts.beginner.gate.is_open() {
            return;
        }
        let limits = self.parts.holds.shares().limits();
        let now = self.parts.readers.runtime.boot();
        let mut room = limits.room(now, self.ahead_micros());
        let routing = &self.parts.beginner.routing;
        let shared = |index: usize, ready: Ready| {
            let sender = routing.limited_sender(index, ready.routes);
            let share = limits.give(&ready.envelope, sender);
            (ready, share)
        };
        let mut served = Vec::new();
        for (index, demand) in &mut self.demands {
            let before = demand.wanted;
            let mut budget = self.parts.pacings[*index].retries();
            let may_retry = budget.room(now);
            let mut retries = may_retry;
            let wanted = &mut demand.wanted;
            let messages = self.ready.take(*index, wanted, &mut room, &mut retries);
            budget.give(now, may_retry - retries);
            drop(budget);
            if messages.is_empty() {
                continue;
            }
            let messages = messages.into_iter();
            served.push(Pick {
                provider: self.parts.providers[*index],
                index: *index,
                messages: messages.map(|ready| shared(*index, ready)).collect(),
                lane: Arc::clone(&demand.lane),
                coming: Coming::of(&demand.asked, before.minus(demand.wanted)),
            });
        }
        self.demands.retain(|_, demand| !demand.wanted.is_nothing());
        if room.is_short() && !self.demands.is_empty() && !self.ready.is_empty() {
            self.wait_for_room(now, context);
        }
        for pick in served {
            let (begun, address) = (self.parts.beginner.begin(pick), context.address());
            let escalation = self.parts.escalation.clone();
            spawn_for(&self.parts.readers.runtime, context.address(), async move {
                report(begun.await, &address, &escalation).await;
            });
        }
    }

    /// How far ahead of their permits texts are given out whose account, campaign or sender has
    /// a limit of its own: as far as work is committed ahead.
    fn ahead_micros(&self) -> u64 {
        let ahead = commit_ahead(&self.parts.beginner.journal);
        u64::try_from(ahead.as_micros()).unwrap_or(u64::MAX)
    }

    /// Looks again when somebody who has no room now has some. What was given out may come back
    /// before, or be slow to leave.
    fn wait_for_room(&mut self, now: BootMicros, context: &mut Context<Self>) {
        let limits = self.parts.holds.shares().limits();
        let next = limits.next_room(now, self.ahead_micros());
        if let Some(next) = next.filter(|_| !self.waits_for_room) {
            self.waits_for_room = true;
            let wait = Duration::from_micros(next.saturating_sub(now));
            let wait = wait.clamp(LOOK_FOR_ROOM_AFTER, LOOK_FOR_DUE_EVERY);
            context.run_later(wait, |dispatcher, context| {
                dispatcher.waits_for_room = false;
                dispatcher.go_on(context);
            });
        }
    }

    /// A campaign's texts go where its row says now, those too that were read before.
    pub(super) fn follow(&mut self, plan: &Arc<CampaignPlan>) {
        let id = plan.campaign.id;
        let known = self.plans.insert(id, Arc::clone(plan));
        if known.is_none_or(|known| known.routes != plan.routes) && !plan.routes.is_empty() {
            self.ready.reroute(id, plan.routes);
        }
    }

    pub(super) fn settle(&self, settled: Vec<(Origin, Change)>, context: &Context<Self>) {
        if settled.is_empty() {
            return;
        }
        let (journal, address) = (self.parts.readers.journal.clone(), context.address());
        let escalation = self.parts.escalation.clone();
        spawn_for(&self.parts.readers.runtime, context.address(), async move {
            let is_held =
                |(_, change): &(Origin, Change)| matches!(change, Change::MessageHeld { .. });
            let has_held = settled.iter().any(is_held);
            let (origins, changes): (Vec<_>, Vec<_>) = settled
                .into_iter()
                .map(|(origin, change)| (origin, (origin.partition, change)))
                .unzip();
            let committed = journal.commit(changes).await.map(|_| origins);
            if has_held {
                let _ = address.send(PutAside).await;
            }
            report(committed, &address, &escalation).await;
        });
    }

    pub(super) fn finish(&mut self, origins: &[Origin]) {
        for origin in origins {
            if let Some(source) = self.sources.get_mut(&(origin.partition, origin.source)) {
                source.positions.finish(origin.position, origin.message);
            }
        }
    }

    pub(super) fn commit_cursors(&mut self, context: &Context<Self>) {
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
        spawn_for(&self.parts.readers.runtime, context.address(), async move {
            if journal.commit(changes).await.is_err() {
                escalation.raise("cursors cannot be committed".to_owned());
            }
        });
    }

    pub(super) fn poke(&mut self, wanted: impl Fn(&Kind) -> bool) {
        for source in self
            .sources
            .values_mut()
            .filter(|source| wanted(&source.kind))
        {
            source.poked = true;
        }
    }

    pub(super) fn go_on(&mut self, context: &mut Context<Self>) {
        self.serve(context);
        self.read_soon(context);
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
        for partition in self.parts.readers.journal.range().partitions() {
            for class in MessageClass::ALL {
                self.open(partition, SourceId::Work(class), Kind::Work(class), context);
            }
            self.open(partition, SourceId::Due(DueKind::Send), Kind::Due, context);
        }
        context.run_interval(COMMIT_CURSORS_EVERY, |dispatcher, context| {
            dispatcher.commit_cursors(context)
        });
        let range = self.parts.readers.journal.range();
        context.run_interval(LOOK_FOR_DUE_EVERY, move |dispatcher, context| {
            for class in MessageClass::ALL {
                let waiting = dispatcher.ready.waiting(class);
                instruments::waiting(range, class, waiting);
            }
            dispatcher.wait_for_shares();
            dispatcher.poke(|kind| matches!(kind, Kind::Due));
            dispatcher.put_stranded_aside(context);
            dispatcher.postpone_retries(context);
            dispatcher.release(context);
            dispatcher.go_on(context);
        });
    }
}

impl Drop for Dispatcher {
    /// What it has read waits no more: its successor reads it again, here or at another node.
    fn drop(&mut self) {
        for class in MessageClass::ALL {
            instruments::waiting(self.parts.readers.journal.range(), class, (0, None));
        }
    }
}

impl Handler<TaskPanicked> for Dispatcher {
    type Result = ();

    fn handle(&mut self, _: TaskPanicked, context: &mut Self::Context) {
        context.terminate();
    }
}
