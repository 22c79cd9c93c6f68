//! The journal's part in a group commit: admits changes, applies them in order and
//! writes one record for each partition that changed.

use std::collections::BTreeMap;

use schemas::change::{Change, JournalRecord};
use schemas::due::DueKind;
use schemas::position::{CommittedPosition, SourceId};
use schemas::record::{KeyPart, Projection, Record};
use schemas::{Partition, PartitionRange, UnixMicros};

use super::apply::Applying;
use super::checkpoint::{self, CHECKPOINT_EVERY, Checkpoint};
use super::state::{OpenAttempt, PartitionState};
use super::view::View;
use super::{Refusal, Verdict, partition_count, reads, receipts, records};
use crate::store::StoreError;
use crate::store::kv::Space;
use crate::store::overlay::Overlay;
use crate::store::writer::GroupParticipant;

/// What is asked of the journal inside a group.
#[derive(Debug)]
pub enum Request {
    /// Apply and write these.
    Commit(Vec<(Partition, Change)>),
    /// Nothing of this kind may fall due up to this instant any more.
    RaiseDueMark {
        /// Where.
        partition: Partition,
        /// What.
        kind: DueKind,
        /// The instant.
        to: UnixMicros,
    },
    /// The attempts that are open.
    OpenAttempts,
    /// Write a checkpoint of every partition now.
    Checkpoint,
}

/// What it answers.
#[derive(Debug)]
pub enum Reply {
    /// To [`Request::Commit`]: one for each change.
    Verdicts(Vec<Verdict>),
    /// To [`Request::OpenAttempts`].
    OpenAttempts(Vec<OpenAttempt>),
    /// To the others.
    Done,
}

/// All partitions of one owner.
#[derive(Debug)]
pub struct Projector {
    partitions: BTreeMap<Partition, PartitionLog>,
    /// Which of all they are.
    range: PartitionRange,
    trim: bool,
    /// Whether the number of partitions is written down.
    is_marked: bool,
    aborted: bool,
}

#[derive(Debug)]
struct PartitionLog {
    state: PartitionState,
    /// Changes of the group being built.
    changes: Vec<Change>,
    checkpointed: u64,
    /// Bytes of the records since then.
    written: usize,
    trimmed: u64,
    checkpoint_due: bool,
}

impl Projector {
    /// Brings every partition to where its journal ends: from its checkpoint on, the
    /// records are read again for the attempts they leave open.
    ///
    /// # Errors
    /// When the journal cannot be read, is damaged or has a gap.
    pub fn recover(
        view: &mut Overlay<'_>,
        range: PartitionRange,
        trim: bool,
    ) -> Result<Self, StoreError> {
        let is_marked = partition_count::check(view, range.all())?;
        let mut logs = BTreeMap::new();
        for partition in range.partitions() {
            let checkpoint = checkpoint::read(view, partition)?;
            let mut state = PartitionState::at(partition, checkpoint.sequence);
            state.open = checkpoint
                .open
                .into_iter()
                .map(|open| (open.attempt.message, open))
                .collect();
            state.parked = records::count_parked(view, partition)?;
            raise_due_marks(view, &mut state)?;
            records::replay(view, partition, checkpoint.sequence, |record| {
                state.sequence = record.sequence;
                record
                    .changes
                    .iter()
                    .for_each(|change| records::track(&mut state, change));
                Ok(())
            })?;
            let log = PartitionLog {
                state,
                changes: Vec::new(),
                checkpointed: checkpoint.sequence,
                written: 0,
                trimmed: checkpoint.trimmed,
                checkpoint_due: false,
            };
            logs.insert(partition, log);
        }
        Ok(Self {
            partitions: logs,
            range,
            trim,
            is_marked,
            aborted: false,
        })
    }

    /// Where each partition stands.
    pub(super) fn into_states(self) -> impl Iterator<Item = PartitionState> {
        self.partitions.into_values().map(|log| log.state)
    }

    fn commit(
        &mut self,
        view: &mut Overlay<'_>,
        changes: Vec<(Partition, Change)>,
    ) -> Result<Vec<Verdict>, StoreError> {
        let mut verdicts = Vec::with_capacity(changes.len());
        for (partition, change) in changes {
            let Some(log) = self.partitions.get_mut(&partition) else {
                verdicts.push(Verdict::Refused(Refusal::NotOwned));
                continue;
            };
            view.enter(Some(partition));
            verdicts.push(log.take(view, change)?);
        }
        view.enter(None);
        Ok(verdicts)
    }
}

impl PartitionLog {
    fn take(&mut self, view: &mut Overlay<'_>, change: Change) -> Result<Verdict, StoreError> {
        if self.changes.is_empty() {
            self.state.sequence += 1;
        }
        let change = admit(view, &self.state, change)?;
        let verdict = Applying {
            view,
            state: &mut self.state,
        }
        .apply(&change)?;
        match verdict {
            Verdict::Done | Verdict::Merged | Verdict::Parked => self.changes.push(change),
            Verdict::Refused(_) if self.changes.is_empty() => self.state.sequence -= 1,
            Verdict::Refused(_) => {}
        }
        Ok(verdict)
    }

    fn seal(&mut self, view: &mut Overlay<'_>, trim: bool) -> Result<(), StoreError> {
        if !self.changes.is_empty() {
            self.state.write_back(view)?;
            let record = JournalRecord {
                partition: self.state.partition,
                sequence: self.state.sequence,
                changes: std::mem::take(&mut self.changes),
            };
            self.written += records::append(view, &record)?;
        }
        let (after_records, after_bytes) = CHECKPOINT_EVERY;
        let due =
            self.state.sequence >= self.checkpointed + after_records || self.written >= after_bytes;
        if due || (self.checkpoint_due && self.state.sequence > self.checkpointed) {
            (self.checkpointed, self.written) = (self.state.sequence, 0);
            let open = self.state.open.values().cloned().collect();
            let trimmed = if trim {
                self.checkpointed
            } else {
                self.trimmed
            };
            let checkpoint = Checkpoint {
                sequence: self.checkpointed,
                trimmed,
                open,
            };
            checkpoint::write(view, self.state.partition, &checkpoint)?;
            records::remove(view, self.state.partition, self.trimmed + 1..=trimmed)?;
            self.trimmed = trimmed;
        }
        self.checkpoint_due = false;
        Ok(())
    }
}

/// Where every group of one of several owners says how many there are: who comes after another number
/// of them has more to finish.
pub(crate) const OWNERS: &[u8] = b"o";

/// What the cursors of due entries have passed stays closed after a start too: the
/// clock may have been set back meanwhile, and what is due behind them is never read.
fn raise_due_marks(view: &mut Overlay<'_>, state: &mut PartitionState) -> Result<(), StoreError> {
    for kind in DueKind::ALL {
        let key = CommittedPosition::key_of(state.partition, &SourceId::Due(kind));
        if let Some(row) = view.get::<CommittedPosition>(&key)? {
            // The position is the first instant that is still to be read.
            let passed = i64::try_from(row.position).unwrap_or(i64::MAX) - 1;
            state.raise_due_mark(kind, UnixMicros(passed));
        }
    }
    Ok(())
}

/// Puts what the change makes due after what has been read already, so that nothing
/// is appended behind its reader, and names the attempt that a receipt is about where
/// only the provider's id tells it. What is admitted is what the journal holds, so a
/// start that reads no rows knows it too.
fn admit(
    view: &mut Overlay<'_>,
    state: &PartitionState,
    mut change: Change,
) -> Result<Change, StoreError> {
    match &mut change {
        Change::Scheduled { at, .. } => *at = state.after_due_mark(DueKind::Send, *at),
        Change::AttemptEnded { then, .. } => *then = state.admit_after(*then),
        Change::LookedUp {
            next: Some(next), ..
        } => {
            *next = state.after_due_mark(DueKind::LookUp, *next);
        }
        Change::Resend { due, .. }
        | Change::MessageReleased { due, .. }
        | Change::Postponed { due, .. } => *due = state.after_due_mark(DueKind::Send, *due),
        Change::Receipt {
            provider, receipt, ..
        } if receipt.attempt.is_none() => {
            let bound = receipts::binding(view, *provider, receipt)?;
            receipt.attempt = bound.map(|bound| bound.attempt);
        }
        Change::MessageHeld {
            until: Some(until), ..
        } => *until = state.after_due_mark(DueKind::Send, *until),
        Change::AttemptBegun { .. }
        | Change::Skipped { .. }
        | Change::ValidityEnded { .. }
        | Change::Receipt { .. }
        | Change::LookedUp { next: None, .. }
        | Change::NoReceipt { .. }
        | Change::AudienceFrozen { .. }
        | Change::CampaignCanceled { .. }
        | Change::MessageCanceled { .. }
        | Change::MessageHeld { until: None, .. }
        | Change::ConsentChanged { .. }
        | Change::Advanced { .. }
        | Change::ContactImported { .. }
        | Change::ImportAdvanced { .. }
        | Change::ParkedDropped { .. } => {}
    }
    Ok(change)
}

impl GroupParticipant for Projector {
    type Request = Request;
    type Reply = Reply;

    fn begin(&mut self) {}

    fn apply(&mut self, view: &mut Overlay<'_>, request: Request) -> Result<Reply, StoreError> {
        if self.aborted {
            return Err(StoreError::Closed);
        }
        match request {
            Request::Commit(changes) => {
                let verdicts = self.commit(view, changes);
                // What is in memory may be ahead of the rows now: the group must not be
                // committed, nor any after it.
                self.aborted |= verdicts.is_err();
                verdicts.map(Reply::Verdicts)
            }
            Request::RaiseDueMark {
                partition,
                kind,
                to,
            } => {
                if let Some(log) = self.partitions.get_mut(&partition) {
                    log.state.raise_due_mark(kind, to);
                }
                Ok(Reply::Done)
            }
            Request::OpenAttempts => {
                let logs = self.partitions.values();
                let open = logs
                    .flat_map(|log| log.state.open.values().cloned())
                    .collect();
                Ok(Reply::OpenAttempts(open))
            }
            Request::Checkpoint => {
                self.partitions
                    .values_mut()
                    .for_each(|log| log.checkpoint_due = true);
                Ok(Reply::Done)
            }
        }
    }

    fn seal(&mut self, view: &mut Overlay<'_>) -> Result<(), StoreError> {
        if self.aborted {
            return Err(StoreError::Closed);
        }
        if !self.is_marked && self.partitions.values().any(|log| !log.changes.is_empty()) {
            view.put_raw(
                Space::Journal,
                partition_count::KEY.to_vec(),
                self.range.all().get().to_be_bytes().to_vec(),
            );
            self.is_marked = true;
        }
        if self.range.ranges() > 1 && self.partitions.values().any(|log| !log.changes.is_empty()) {
            let owners = self.range.ranges().to_be_bytes().to_vec();
            view.put_raw(Space::Journal, OWNERS.to_vec(), owners);
        }
        for (partition, log) in &mut self.partitions {
            view.enter(Some(*partition));
            log.seal(view, self.trim)?;
        }
        view.enter(None);
        Ok(())
    }

    fn reads(&self, request: &Request) -> Vec<Vec<u8>> {
        match request {
            Request::Commit(changes) => reads::of_changes(changes),
            Request::RaiseDueMark { .. } | Request::OpenAttempts | Request::Checkpoint => {
                Vec::new()
            }
        }
    }

    fn committed(&mut self) {}

    /// What is in memory is ahead of what is stored now: the next start reads what is.
    fn aborted(&mut self) {
        self.aborted = true;
    }
}

impl View for Overlay<'_> {
    fn get<R: Record>(&mut self, key: &[KeyPart]) -> Result<Option<R>, StoreError> {
        Overlay::get(self, key)
    }

    fn list<R: Record>(
        &mut self,
        prefix: &[KeyPart],
        from: &[KeyPart],
        limit: usize,
    ) -> Result<Vec<R>, StoreError> {
        Overlay::list(self, prefix, Some(from), limit)
    }

    fn put<R: Record<Writing = Projection>>(&mut self, row: &R) -> Result<(), StoreError> {
        Overlay::put(self, row)
    }

    fn delete<R: Record<Writing = Projection>>(
        &mut self,
        key: &[KeyPart],
    ) -> Result<(), StoreError> {
        Overlay::delete::<R>(self, key)
    }
}
