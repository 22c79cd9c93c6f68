//! What the owner of a partition knows without reading: its place in the journal, the
//! attempts that are open, and the rows that nearly every commit changes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use schemas::campaign::CampaignTally;
use schemas::change::{AfterAttempt, Change, Learnt};
use schemas::due::DueKind;
use schemas::held::HeldCount;
use schemas::position::{CommittedPosition, Sequence, SourceId};
use schemas::provider::{AttemptRef, DeliveryReceipt, ProviderStamp};
use schemas::record::Record;
use schemas::{CampaignId, Envelope, MessageId, MessageStatus, Partition, ProviderId, UnixMicros};
use serde::{Deserialize, Serialize};

use super::look_ups::PlannedLookUps;
use super::view::View;
use crate::store::StoreError;

/// An attempt that was committed and whose outcome was not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenAttempt {
    /// Which.
    pub attempt: AttemptRef,
    /// What is sent.
    pub envelope: Arc<Envelope>,
    /// To which provider account.
    pub provider: ProviderId,
    /// From which sender.
    pub sender: String,
    /// When it was committed.
    pub at: UnixMicros,
    /// The provider may not be written to after this.
    pub deadline: UnixMicros,
    /// Receipts that came before the outcome, in order of arrival.
    pub early: Vec<EarlyReceipt>,
}

impl OpenAttempt {
    /// The attempt that a change begins, if it begins one.
    pub(super) fn begun_by(change: &Change) -> Option<Self> {
        let Change::AttemptBegun {
            envelope,
            attempt,
            provider,
            sender,
            at,
            deadline,
        } = change
        else {
            return None;
        };
        let (account, message) = (envelope.account, envelope.id);
        Some(Self {
            attempt: AttemptRef {
                account,
                message,
                attempt: *attempt,
            },
            envelope: Arc::clone(envelope),
            provider: *provider,
            sender: sender.clone(),
            at: *at,
            deadline: *deadline,
            early: Vec::new(),
        })
    }
}

/// A receipt that overtook the answer of its own attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EarlyReceipt {
    /// From which provider account.
    pub provider: ProviderId,
    /// What it says.
    pub receipt: DeliveryReceipt,
    /// How it was learnt.
    pub learnt: Learnt,
    /// When.
    pub at: UnixMicros,
}

/// The most receipts that wait for one open attempt. A provider sends three or four
/// for a text; more than this in the seconds of an attempt are repetitions.
pub const EARLY_RECEIPTS: usize = 16;

/// One partition's state.
#[derive(Debug)]
pub struct PartitionState {
    /// Which.
    pub partition: Partition,
    /// The last record of the journal.
    pub sequence: Sequence,
    /// Open attempts. Bounded by what is in flight and what is committed ahead.
    pub open: BTreeMap<MessageId, OpenAttempt>,
    /// Those of them whose messages are known to have no row: nothing writes one while an
    /// attempt is open, so the outcome need not look. Not known after a start.
    pub unwritten: BTreeSet<MessageId>,
    /// Look-ups that the record being written plans.
    pub look_ups: PlannedLookUps,
    /// How many receipts are parked; while none is, nothing looks for them.
    pub parked: u64,
    /// Entries due before these instants have been read: new ones go after them.
    due_marks: BTreeMap<DueKind, UnixMicros>,
    tallies: Cached<CampaignId, CampaignTally>,
    positions: Cached<SourceId, CommittedPosition>,
    stamps: Cached<ProviderId, ProviderStamp>,
    held: Cached<[u8; 16], HeldCount>,
}

impl PartitionState {
    /// The state of a partition whose journal ends at `sequence`, nothing being open.
    pub fn at(partition: Partition, sequence: Sequence) -> Self {
        Self {
            partition,
            sequence,
            open: BTreeMap::new(),
            unwritten: BTreeSet::new(),
            look_ups: PlannedLookUps::default(),
            parked: 0,
            due_marks: BTreeMap::new(),
            tallies: Cached::default(),
            positions: Cached::default(),
            stamps: Cached::default(),
            held: Cached::default(),
        }
    }

    /// From now on entries of this kind are due after `instant`.
    pub fn raise_due_mark(&mut self, kind: DueKind, instant: UnixMicros) {
        let mark = self.due_marks.entry(kind).or_default();
        *mark = (*mark).max(instant);
    }

    /// `due`, or the first instant after what has been read.
    pub fn after_due_mark(&self, kind: DueKind, due: UnixMicros) -> UnixMicros {
        self.due_marks
            .get(&kind)
            .map_or(due, |mark| due.max(mark.plus_micros(1)))
    }

    /// Puts the instants of `then` after what has been read.
    pub fn admit_after(&self, then: AfterAttempt) -> AfterAttempt {
        match then {
            AfterAttempt::RetryAt(due) => {
                AfterAttempt::RetryAt(self.after_due_mark(DueKind::Send, due))
            }
            AfterAttempt::Return(due) => {
                AfterAttempt::Return(self.after_due_mark(DueKind::Send, due))
            }
            AfterAttempt::LookUpAt(due) => {
                AfterAttempt::LookUpAt(self.after_due_mark(DueKind::LookUp, due))
            }
            AfterAttempt::Settle | AfterAttempt::GiveUp | AfterAttempt::Expire => then,
        }
    }

    /// The campaign's numbers in this partition.
    pub fn tally<V: View>(
        &mut self,
        view: &mut V,
        campaign: CampaignId,
    ) -> Result<&mut CachedRow<CampaignTally>, StoreError> {
        let partition = self.partition;
        self.tallies.row(campaign, || {
            let stored = view.get(&CampaignTally::key_of(campaign, partition))?;
            Ok(stored.unwrap_or_else(|| CampaignTally::empty(campaign, partition)))
        })
    }

    /// Moves one message of a campaign from one state to another.
    pub fn count_move<V: View>(
        &mut self,
        view: &mut V,
        envelope: &Envelope,
        from: MessageStatus,
        to: MessageStatus,
    ) -> Result<(), StoreError> {
        let Some(campaign) = envelope.campaign else {
            return Ok(());
        };
        let tally = self.tally(view, campaign)?.change();
        let left = tally.by_status.entry(from).or_default();
        *left = left.saturating_sub(1);
        if *left == 0 {
            tally.by_status.remove(&from);
        }
        *tally.by_status.entry(to).or_default() += 1;
        Ok(())
    }

    /// How far a source has been read.
    pub fn position<V: View>(
        &mut self,
        view: &mut V,
        source: SourceId,
    ) -> Result<&mut CachedRow<CommittedPosition>, StoreError> {
        let partition = self.partition;
        self.positions.row(source, || {
            let stored = view.get(&CommittedPosition::key_of(partition, &source))?;
            let start = CommittedPosition {
                partition,
                source,
                position: 0,
                sequence: 0,
            };
            Ok(stored.unwrap_or(start))
        })
    }

    /// How many messages wait for one of these provider accounts.
    pub fn held<V: View>(
        &mut self,
        view: &mut V,
        providers: &[ProviderId],
    ) -> Result<&mut CachedRow<HeldCount>, StoreError> {
        let start = HeldCount {
            partition: self.partition,
            providers: providers.to_vec(),
            messages: 0,
            sequence: 0,
        };
        self.held.row(start.list().name(), || {
            Ok(view.get(&start.key())?.unwrap_or(start))
        })
    }

    /// The latest deadline at a provider.
    pub fn stamp<V: View>(
        &mut self,
        view: &mut V,
        provider: ProviderId,
    ) -> Result<&mut CachedRow<ProviderStamp>, StoreError> {
        let partition = self.partition;
        self.stamps.row(provider, || {
            let stored = view.get(&ProviderStamp::key_of(provider, partition))?;
            let start = ProviderStamp {
                provider,
                partition,
                latest_deadline: UnixMicros::default(),
                sequence: 0,
            };
            Ok(stored.unwrap_or(start))
        })
    }

    /// Writes the cached rows that changed since the last call, and what was planned.
    pub fn write_back<V: View>(&mut self, view: &mut V) -> Result<(), StoreError> {
        let sequence = self.sequence;
        for row in self.look_ups.take(self.partition, sequence) {
            view.put(&row)?;
        }
        self.tallies
            .write_back(view, |tally| tally.sequence = sequence)?;
        self.positions
            .write_back(view, |position| position.sequence = sequence)?;
        self.held
            .write_back(view, |held| held.sequence = sequence)?;
        self.stamps
            .write_back(view, |stamp| stamp.sequence = sequence)
    }
}

/// Rows that are read once and written at most once a commit.
#[derive(Debug)]
struct Cached<K, R> {
    rows: BTreeMap<K, CachedRow<R>>,
}

/// A row, and whether it has to be written. Who only looks at one, to refuse a change,
/// must leave no trace: a refused change is not in the journal.
#[derive(Debug)]
pub struct CachedRow<R> {
    row: R,
    changed: bool,
}

impl<R> CachedRow<R> {
    /// The row as it stands.
    pub fn get(&self) -> &R {
        &self.row
    }

    /// The row, for changing.
    pub fn change(&mut self) -> &mut R {
        self.changed = true;
        &mut self.row
    }
}

/// The most rows of one kind that are kept. A source or campaign that ended leaves its
/// row behind until then; the rows are some hundred bytes each.
const CACHED_ROWS: usize = 256;

impl<K, R> Default for Cached<K, R> {
    fn default() -> Self {
        Self {
            rows: BTreeMap::new(),
        }
    }
}

impl<K: Ord + Copy, R: schemas::record::Record<Writing = schemas::record::Projection>>
    Cached<K, R>
{
    fn row(
        &mut self,
        key: K,
        read: impl FnOnce() -> Result<R, StoreError>,
    ) -> Result<&mut CachedRow<R>, StoreError> {
        use std::collections::btree_map::Entry;
        Ok(match self.rows.entry(key) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(CachedRow {
                row: read()?,
                changed: false,
            }),
        })
    }

    fn write_back<V: View>(
        &mut self,
        view: &mut V,
        stamp: impl Fn(&mut R),
    ) -> Result<(), StoreError> {
        for cached in self.rows.values_mut().filter(|cached| cached.changed) {
            stamp(&mut cached.row);
            view.put(&cached.row)?;
            cached.changed = false;
        }
        if self.rows.len() > CACHED_ROWS {
            self.rows.clear();
        }
        Ok(())
    }
}
