//! The sources of one owner, and the tasks that read them.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::dispatch::audience::{self, AudienceItem, CampaignPlan};
use engine::dispatch::chunks::Chunks;
use engine::dispatch::positions::PositionTracker;
use engine::dispatch::routing::{Routes, Routing};
use engine::dispatch::{Origin, Ready};
use engine::journal::{CommitError, Journal};
use engine::log::{Log, LogError, Topic};
use engine::runtime::Runtime;
use engine::store::{Store, StoreError};
use schemas::campaign::Campaign;
use schemas::change::Change;
use schemas::due::{DueEntry, DueKind};
use schemas::message::{Intake, WorkItem, message_key};
use schemas::position::{AudiencePosition, SourceId};
use schemas::record::Key;
use schemas::{CampaignId, Envelope, Message, MessageClass, Partition, UnixMicros};

use super::due::due_page;

/// Reading a source failed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The store cannot be read.
    #[error("a source cannot be read: {0}")]
    Store(#[from] StoreError),
    /// The work log cannot be read.
    #[error("a source cannot be read: {0}")]
    Log(#[from] LogError),
    /// The journal takes nothing more.
    #[error("a source cannot be read: {0}")]
    Commit(#[from] CommitError),
}

/// What the readers use.
#[derive(Clone, Debug)]
pub struct Readers {
    /// Time and tasks.
    pub runtime: Runtime,
    /// Rows.
    pub store: Store,
    /// Work lanes.
    pub log: Log,
    /// Due marks.
    pub journal: Journal,
    /// Which provider may carry what.
    pub routing: Arc<Routing>,
    /// Parts of frozen audiences.
    pub chunks: Chunks,
}

/// What kind of source it is, with what reading it takes.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A lane of the work log.
    Work(MessageClass),
    /// The audience of a running campaign, frozen up to `chunks`.
    Audience {
        /// The campaign.
        plan: Arc<CampaignPlan>,
        /// Chunks that may be read.
        chunks: u32,
    },
    /// What was scheduled or waits for another attempt.
    Due,
}

/// One source of one partition.
#[derive(Debug)]
pub struct Source {
    /// What it is.
    pub kind: Kind,
    /// How far it was read and finished.
    pub positions: PositionTracker,
    /// How many positions are being read: 0 when no read is under way.
    pub reading: usize,
    /// Whether there may be something to read: set when something was added.
    pub poked: bool,
    /// Which opening of the source this is. What was read for an earlier one, before its
    /// campaign was paused, is read again.
    pub opening: u64,
}

impl Source {
    /// Positions that were read, or are being read, and are not finished.
    pub fn unfinished(&self) -> usize {
        self.positions.unfinished() + self.reading
    }

    /// Whether there is something that nobody reads yet.
    pub fn has_more(&self) -> bool {
        let has_more = match &self.kind {
            Kind::Audience { chunks, .. } => {
                AudiencePosition::from_number(self.positions.next()).chunk < *chunks
            }
            Kind::Work(_) | Kind::Due => self.poked,
        };
        self.reading == 0 && has_more
    }
}

/// What a read gave.
#[derive(Debug, Default)]
pub struct Batch {
    /// Can be sent.
    pub ready: Vec<Ready>,
    /// Cannot be sent now: what to write down instead.
    pub settled: Vec<(Origin, Change)>,
    /// Nothing to do: it was handled before.
    pub handled: Vec<Origin>,
    /// Where to read on.
    pub next: u64,
    /// Whether there may be more already.
    pub more: bool,
}

impl Batch {
    /// Nothing, up to there.
    pub(super) fn at(next: u64) -> Self {
        Self {
            next,
            ..Self::default()
        }
    }

    /// This and what was read after it.
    pub(super) fn append(&mut self, after: Self) {
        self.ready.extend(after.ready);
        self.settled.extend(after.settled);
        self.handled.extend(after.handled);
        (self.next, self.more) = (after.next, after.more);
    }

    /// Takes in a recipient that was read.
    pub(super) fn take(&mut self, item: AudienceItem, at: UnixMicros) {
        match item {
            AudienceItem::Ready(ready) => self.offer(ready, at),
            AudienceItem::Skip {
                origin,
                recipient,
                reason,
            } => {
                let reason = reason.to_owned();
                let skipped = Change::Skipped {
                    recipient,
                    reason,
                    at,
                };
                self.settled.push((origin, skipped));
            }
        }
    }

    /// Lets a message wait for a provider account, unless its validity has ended.
    fn offer(&mut self, ready: Ready, at: UnixMicros) {
        if ready.envelope.valid_until > at {
            self.ready.push(ready);
        } else {
            let envelope = ready.envelope;
            let ended = Change::ValidityEnded { envelope, at };
            self.settled.push((ready.origin, ended));
        }
    }

    /// Where every message was read.
    pub fn origins(&self) -> impl Iterator<Item = &Origin> + '_ {
        let ready = self.ready.iter().map(|ready| &ready.origin);
        let settled = self.settled.iter().map(|(origin, _)| origin);
        ready.chain(settled).chain(&self.handled)
    }
}

impl Readers {
    /// Reads the next part of a source at once.
    pub(super) async fn read_part(
        &self,
        partition: Partition,
        kind: &Kind,
        from: u64,
        limit: usize,
    ) -> Result<Batch, ReadError> {
        match kind {
            Kind::Work(class) => self.read_work(partition, *class, from, limit).await,
            Kind::Audience { plan, .. } => self.read_audience(partition, plan, from, limit).await,
            Kind::Due => self.read_due(partition, from, limit).await,
        }
    }

    async fn read_audience(
        &self,
        partition: Partition,
        plan: &CampaignPlan,
        from: u64,
        limit: usize,
    ) -> Result<Batch, ReadError> {
        let page = audience::read(&self.store, &self.chunks, plan, partition, from, limit).await?;
        let Some(page) = page else {
            return Ok(Batch {
                next: from,
                ..Batch::default()
            });
        };
        let mut batch = Batch {
            next: page.next,
            more: true,
            ..Batch::default()
        };
        let at = self.runtime.now();
        for item in page.items {
            batch.take(item, at);
        }
        Ok(batch)
    }

    async fn read_work(
        &self,
        partition: Partition,
        class: MessageClass,
        from: u64,
        limit: usize,
    ) -> Result<Batch, ReadError> {
        let records = self
            .log
            .read(Topic::Work(class), partition, from, limit)
            .await?;
        let more = records.len() == limit;
        let next = records.last().map_or(from, |(offset, _)| offset + 1);
        let mut batch = Batch {
            next,
            more,
            ..Batch::default()
        };
        for (offset, payload) in records {
            let (origin, key) = work_item(partition, class, offset, &payload)?;
            let mut intake = self.store.get::<Intake>(&key).await?;
            if intake.is_none() {
                // It was committed with its place in the log, and a flush of the database
                // beside that commit may have shown the one before the other.
                self.store.settled().await?;
                intake = self.store.get::<Intake>(&key).await?;
            }
            match intake {
                Some(intake) => self.sort_in(&mut batch, origin, intake),
                None => batch.handled.push(origin),
            }
        }
        Ok(batch)
    }

    fn sort_in(&self, batch: &mut Batch, origin: Origin, intake: Intake) {
        let envelope = intake.envelope;
        let at = self.runtime.now();
        if let Some(send_at) = envelope.send_at.filter(|send_at| *send_at > at) {
            batch.settled.push((
                origin,
                Change::Scheduled {
                    envelope,
                    at: send_at,
                },
            ));
            return;
        }
        let routes = self.routing.routes_of(&envelope);
        let ready = Ready {
            envelope,
            attempt: 1,
            origin,
            routes,
        };
        batch.offer(ready, at);
    }

    async fn read_due(
        &self,
        partition: Partition,
        from: u64,
        limit: usize,
    ) -> Result<Batch, ReadError> {
        let now = self.runtime.now();
        let page = due_page::<DueEntry>(self, partition, from, now, limit).await?;
        let mut batch = Batch {
            next: page.next,
            more: page.more,
            ..Batch::default()
        };
        let mut campaigns = BTreeMap::new();
        for entry in page.rows {
            let origin = due_origin(partition, &entry);
            let key = message_key(entry.account, entry.message);
            match self.store.get::<Message>(&key).await? {
                Some(message) if message.status.has_not_begun() => {
                    let (envelope, attempt) = (message.envelope, message.attempts + 1);
                    let routes = self.routes_now(&envelope, &mut campaigns).await?;
                    let ready = Ready {
                        envelope,
                        attempt,
                        origin,
                        routes,
                    };
                    batch.offer(ready, now);
                }
                Some(_) | None => batch.handled.push(origin),
            }
        }
        Ok(batch)
    }

    /// Who may carry a message: of a campaign's, whom the campaign names now. `known` are
    /// those that were looked up before.
    async fn routes_now(
        &self,
        envelope: &Envelope,
        known: &mut BTreeMap<CampaignId, Routes>,
    ) -> Result<Routes, StoreError> {
        let Some(id) = envelope.campaign else {
            return Ok(self.routing.routes_of(envelope));
        };
        if let Some(routes) = known.get(&id) {
            return Ok(*routes);
        }
        let key = Campaign::key_of(envelope.account, id);
        let campaign = self.store.get::<Campaign>(&key).await?;
        let routes = campaign.map_or_else(Routes::default, |campaign| {
            self.routing.routes_of_campaign(&campaign)
        });
        known.insert(id, routes);
        Ok(routes)
    }
}

/// Where a work item was read, and the key of its message.
pub(super) fn work_item(
    partition: Partition,
    class: MessageClass,
    offset: u64,
    payload: &[u8],
) -> Result<(Origin, Key), StoreError> {
    let Ok(item) = rmp_serde::from_slice::<WorkItem>(payload) else {
        return Err(StoreError::damaged("work", "a work item cannot be read"));
    };
    let origin = Origin {
        partition,
        source: SourceId::Work(class),
        position: offset,
        message: item.message,
    };
    Ok((origin, message_key(item.account, item.message)))
}

/// Where what is due was read: its position is an instant.
pub(super) fn due_origin(partition: Partition, entry: &DueEntry) -> Origin {
    Origin {
        partition,
        source: SourceId::Due(DueKind::Send),
        position: u64::try_from(entry.due.0).unwrap_or(0),
        message: entry.message,
    }
}
