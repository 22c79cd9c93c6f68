//! The journal: its records without a gap, and the attempts that are open after them.

use std::collections::BTreeMap;

use schemas::audience::NumberKey;
use schemas::change::{Change, JournalRecord};
use schemas::message::message_key;
use schemas::position::Sequence;
use schemas::provider::AttemptRef;
use schemas::{CampaignId, Envelope, Message, MessageId, Partition, PartitionCount};

use super::{Difference, Verified, VerifyError, rows};
use crate::journal::{checkpoint, records};
use crate::store::kv::KvRead;
use crate::store::overlay::Overlay;

/// An attempt without an outcome.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    pub(super) attempt: u32,
    pub(super) campaign: Option<CampaignId>,
    pub(super) to: NumberKey,
}

/// What the journal says of every partition.
#[derive(Debug, Default)]
pub(super) struct Journal {
    /// The last record of each partition.
    last: BTreeMap<Partition, Sequence>,
    /// Open attempts.
    pub(super) open: BTreeMap<MessageId, Open>,
}

impl Journal {
    /// That a row includes no record that there is not.
    pub(super) fn check_sequence(
        &self,
        partition: Partition,
        sequence: Sequence,
        subject: impl std::fmt::Display,
    ) -> Result<(), Difference> {
        let last = self.last.get(&partition).copied().unwrap_or(0);
        if sequence <= last {
            return Ok(());
        }
        let detail = format!("its row includes record {sequence}, the journal ends with {last}");
        Err(Difference::new(subject, detail))
    }
}

/// Reads the journal of every partition.
pub(super) fn read(
    kv: &dyn KvRead,
    partitions: PartitionCount,
    verified: &mut Verified,
) -> Result<Journal, VerifyError> {
    let mut journal = Journal::default();
    for partition in partitions.all() {
        let mut view = Overlay::new(kv);
        let checkpoint = checkpoint::read(&mut view, partition)?;
        if checkpoint.trimmed > checkpoint.sequence {
            let detail = format!(
                "records up to {} are gone, and its checkpoint ends with {}",
                checkpoint.trimmed, checkpoint.sequence
            );
            return Err(Difference::new(subject(partition), detail).into());
        }
        for open in &checkpoint.open {
            journal.begin(&open.envelope, open.attempt.attempt)?;
        }
        let mut last = checkpoint.sequence;
        let mut found = Ok(());
        records::replay(&view, partition, checkpoint.trimmed, |record| {
            verified.journal_records += 1;
            last = last.max(record.sequence);
            let is_after = record.sequence > checkpoint.sequence;
            if found.is_ok() {
                found = journal.follow(kv, record, is_after);
            }
            Ok(())
        })?;
        found?;
        journal.last.insert(partition, last);
    }
    verified.open_attempts = journal.open.len() as u64;
    Ok(journal)
}

impl Journal {
    /// Follows the attempts of a record. Those of records that the checkpoint includes are
    /// in it already; that their outcomes are in their rows is looked at all the same.
    fn follow(
        &mut self,
        kv: &dyn KvRead,
        record: &JournalRecord,
        is_after_checkpoint: bool,
    ) -> Result<(), VerifyError> {
        for change in &record.changes {
            if let Change::AttemptBegun {
                envelope, attempt, ..
            } = change
                && is_after_checkpoint
            {
                self.begin(envelope, *attempt)?;
            }
            if let Change::AttemptEnded { attempt, .. } = change {
                if is_after_checkpoint {
                    self.end(*attempt)?;
                }
                outcome_is_in_row(kv, *attempt, record.sequence)?;
            }
        }
        Ok(())
    }

    fn begin(&mut self, envelope: &Envelope, attempt: u32) -> Result<(), Difference> {
        let open = Open {
            attempt,
            campaign: envelope.campaign,
            to: NumberKey::of(&envelope.to),
        };
        match self.open.insert(envelope.id, open) {
            None => Ok(()),
            Some(earlier) => {
                let detail = format!(
                    "attempt {attempt} began while attempt {} was open",
                    earlier.attempt
                );
                Err(Difference::new(envelope.id, detail))
            }
        }
    }

    fn end(&mut self, ended: AttemptRef) -> Result<(), Difference> {
        match self.open.remove(&ended.message) {
            Some(open) if open.attempt == ended.attempt => Ok(()),
            Some(_) | None => {
                let detail = format!("attempt {} ended and was not open", ended.attempt);
                Err(Difference::new(ended.message, detail))
            }
        }
    }
}

fn outcome_is_in_row(
    kv: &dyn KvRead,
    ended: AttemptRef,
    sequence: Sequence,
) -> Result<(), VerifyError> {
    let row = rows::get::<Message>(kv, &message_key(ended.account, ended.message))?;
    let detail = match row {
        Some(message) if message.sequence >= sequence => return Ok(()),
        Some(message) => format!(
            "the outcome of attempt {} is in record {sequence}, its row includes {}",
            ended.attempt, message.sequence
        ),
        None => format!(
            "attempt {} ended in record {sequence}, and there is no row",
            ended.attempt
        ),
    };
    Err(Difference::new(ended.message, detail).into())
}

fn subject(partition: Partition) -> String {
    format!("journal of partition {}", partition.0)
}
