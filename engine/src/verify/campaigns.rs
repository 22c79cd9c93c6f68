//! Campaigns: the numbers of every partition, counted again from its chunks and rows.

use std::collections::BTreeSet;

use schemas::audience::{AudienceChunk, NumberKey};
use schemas::campaign::{Campaign, CampaignTally};
use schemas::held::HeldList;
use schemas::position::{AudiencePosition, CommittedPosition, SourceId};
use schemas::{CampaignId, MessageStatus, Partition, PartitionCount, Slice};

use super::held::Held;
use super::journal::Journal;
use super::messages::{ByCampaign, Told};
use super::{Difference, Verified, VerifyError, rows};
use crate::store::kv::KvRead;

/// Counts every campaign again.
pub(super) fn check(
    kv: &dyn KvRead,
    partitions: PartitionCount,
    journal: &Journal,
    told: &ByCampaign,
    held: &Held,
    verified: &mut Verified,
) -> Result<(), VerifyError> {
    rows::each::<Campaign>(kv, |campaign| {
        verified.campaigns += 1;
        for partition in partitions.all() {
            let nothing = Told::default();
            let told = told.get(&(campaign.id, partition)).unwrap_or(&nothing);
            let counting = Counting {
                kv,
                partitions,
                campaign: campaign.id,
                partition,
                told,
                held: held.of(&HeldList::Campaign(campaign.id), partition),
            };
            verified.recipients += counting.check(journal)?;
        }
        Ok(())
    })
}

/// One campaign's part in one partition.
struct Counting<'a> {
    kv: &'a dyn KvRead,
    partitions: PartitionCount,
    campaign: CampaignId,
    partition: Partition,
    told: &'a Told,
    /// Messages that were put aside.
    held: u64,
}

impl Counting<'_> {
    /// Counts everything again and tells how many recipients there are.
    fn check(&self, journal: &Journal) -> Result<u64, VerifyError> {
        let key = CampaignTally::key_of(self.campaign, self.partition);
        let tally = rows::get::<CampaignTally>(self.kv, &key)?;
        let tally = tally.unwrap_or_else(|| CampaignTally::empty(self.campaign, self.partition));
        journal.check_sequence(self.partition, tally.sequence, self.subject())?;
        let open = self.open(journal);
        let (recipients, untouched) = self.audience(&tally, &open)?;
        self.agree("recipients", tally.total_recipients, recipients)?;
        // Who is not touched yet has no row, and is queued or counted off.
        let stands_at = if tally.canceled {
            MessageStatus::Canceled
        } else {
            MessageStatus::Queued
        };
        let rows = |status| self.told.by_status.get(&status).copied().unwrap_or(0);
        for status in MessageStatus::ALL {
            if status == stands_at {
                continue;
            }
            let counted = if status == MessageStatus::Submitting {
                open.len() as u64
            } else {
                rows(status)
            };
            self.agree(status.as_str(), tally.count(status), counted)?;
        }
        let counted = rows(stands_at) + untouched;
        self.agree(stands_at.as_str(), tally.count(stands_at), counted)?;
        let is_left = if tally.canceled { 0 } else { untouched };
        self.agree("untouched", tally.untouched, is_left)?;
        self.agree("held", tally.held, self.held)?;
        if tally.skipped == self.told.skipped {
            return Ok(recipients);
        }
        let (noted, found) = (&tally.skipped, &self.told.skipped);
        Err(self.differs(format!("skipped: {noted:?} noted, {found:?} in rows")))
    }

    /// Counts the audience and those of it of whom nothing has begun and nothing is
    /// written. Looks for the messages behind the cursor, which must be there unless the
    /// campaign was canceled, and for those that nobody is to get.
    fn audience(
        &self,
        tally: &CampaignTally,
        open: &BTreeSet<NumberKey>,
    ) -> Result<(u64, u64), VerifyError> {
        let source = SourceId::Audience(self.campaign);
        let key = CommittedPosition::key_of(self.partition, &source);
        let cursor = rows::get::<CommittedPosition>(self.kv, &key)?;
        let cursor = AudiencePosition::from_number(cursor.map_or(0, |row| row.position));
        let (mut recipients, mut with_row, mut untouched, mut last) = (0, 0, 0, None);
        for chunk in 0..tally.chunks {
            let key = AudienceChunk::key_of(self.campaign, self.partition, chunk);
            let row = rows::get::<AudienceChunk>(self.kv, &key)?;
            let row = row.ok_or_else(|| self.differs(format!("chunk {chunk} is not there")))?;
            for (entry, (number, _)) in (0..).zip(&row.entries) {
                let place = AudiencePosition { chunk, entry };
                let slice = number.phone().map(|phone| phone.slice());
                let in_order = Some((slice, *number)) > last;
                if !in_order || !slice.is_some_and(|slice| self.owns(slice)) {
                    return Err(self.differs(format!("{place:?} is out of order")));
                }
                last = Some((slice, *number));
                recipients += 1;
                if self.told.numbers.binary_search(number).is_ok() {
                    with_row += 1;
                } else if !open.contains(number) {
                    untouched += 1;
                    if place < cursor && !tally.canceled {
                        let detail = format!("{place:?} lies behind the cursor and has no message");
                        return Err(self.differs(detail));
                    }
                }
            }
        }
        let messages = self.told.numbers.len() as u64;
        self.agree("messages to its audience", messages, with_row)?;
        Ok((recipients, untouched))
    }

    /// Who has an open attempt. It may have no row yet, and lie behind the cursor: a
    /// dispatcher that is built anew reads its position again and finds it under way.
    fn open(&self, journal: &Journal) -> BTreeSet<NumberKey> {
        let open = journal
            .open
            .iter()
            .filter(|(id, open)| open.campaign == Some(self.campaign) && self.owns(id.slice()));
        open.map(|(_, open)| open.to).collect()
    }

    fn owns(&self, slice: Slice) -> bool {
        self.partitions.of(slice) == self.partition
    }

    fn agree(&self, what: &str, noted: u64, counted: u64) -> Result<(), VerifyError> {
        if noted == counted {
            return Ok(());
        }
        Err(self.differs(format!("{what}: {noted} noted, {counted} counted")))
    }

    fn differs(&self, detail: String) -> VerifyError {
        Difference::new(self.subject(), detail).into()
    }

    fn subject(&self) -> String {
        part(self.campaign, self.partition)
    }
}

/// A campaign's part in a partition, as a difference names it.
pub(super) fn part(campaign: CampaignId, partition: Partition) -> String {
    format!("{campaign} in partition {}", partition.0)
}
