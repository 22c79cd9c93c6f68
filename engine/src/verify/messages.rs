//! Messages: each life along the edges there are, and its place in what is due.

use std::collections::BTreeMap;

use schemas::audience::NumberKey;
use schemas::due::{DueEntry, DueKind};
use schemas::held::{HeldList, HeldMessage};
use schemas::message::TimelineEntry;
use schemas::position::{CommittedPosition, SourceId};
use schemas::record::Record;
use schemas::{CampaignId, Message, MessageStatus, Partition, PartitionCount, UnixMicros};

use super::journal::Journal;
use super::{Difference, Verified, VerifyError, rows};
use crate::store::kv::KvRead;

/// What the messages of one campaign and partition tell.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Rows by state; those with an open attempt are `submitting`, whatever their row says.
    pub(super) by_status: BTreeMap<MessageStatus, u64>,
    /// Skipped ones by reason.
    pub(super) skipped: BTreeMap<String, u64>,
    /// The numbers that have a row, in order once all are there.
    pub(super) numbers: Vec<NumberKey>,
}

/// By campaign and partition.
pub(super) type ByCampaign = BTreeMap<(CampaignId, Partition), Told>;

/// Follows every message, and shows each to `also`.
pub(super) fn check(
    kv: &dyn KvRead,
    partitions: PartitionCount,
    journal: &Journal,
    verified: &mut Verified,
    also: &mut dyn FnMut(&Message),
) -> Result<ByCampaign, VerifyError> {
    let mut told = ByCampaign::new();
    let cursors = cursors(kv, partitions)?;
    rows::each::<Message>(kv, |message| {
        also(&message);
        let id = message.envelope.id;
        let partition = partitions.of(message.envelope.to.slice());
        if id.slice() != message.envelope.to.slice() {
            let detail = "its id carries another slice than its recipient";
            return Err(Difference::new(id, detail).into());
        }
        life(&message).map_err(|detail| Difference::new(id, detail))?;
        journal.check_sequence(partition, message.sequence, id)?;
        verified.messages += 1;
        let open = journal.open.get(&id);
        if open.is_none() {
            is_due(kv, partition, &cursors, &message)?;
        }
        if let Some(campaign) = message.envelope.campaign {
            let told = told.entry((campaign, partition)).or_default();
            let status = match open {
                Some(_) => MessageStatus::Submitting,
                None => message.status,
            };
            *told.by_status.entry(status).or_default() += 1;
            if status == MessageStatus::Skipped {
                let reason = message.reason.clone().unwrap_or_default();
                *told.skipped.entry(reason).or_default() += 1;
            }
            told.numbers.push(NumberKey::of(&message.envelope.to));
        }
        Ok(())
    })?;
    for ((campaign, partition), told) in &mut told {
        told.numbers.sort_unstable();
        if told.numbers.windows(2).any(|pair| pair[0] == pair[1]) {
            let subject = super::campaigns::part(*campaign, *partition);
            return Err(Difference::new(subject, "a number has two messages").into());
        }
    }
    Ok(told)
}

/// What is wrong with a message's life, if anything.
fn life(message: &Message) -> Result<(), String> {
    use MessageStatus as S;
    let mut before: Option<MessageStatus> = None;
    // An attempt that was handed back untouched does not count, and its number comes again.
    let (mut attempts, mut handed_back) = (0, false);
    for entry in &message.timeline {
        let TimelineEntry { status, event, .. } = entry;
        let fits = match before {
            None => matches!(status, S::Scheduled | S::Queued),
            Some(before) => before == *status || follows(before, *status),
        };
        if !fits {
            let before = before.map_or("nothing", MessageStatus::as_str);
            return Err(format!("{event}: {} after {before}", status.as_str()));
        }
        match event.as_str() {
            "attempt_begun" => {
                let number = entry.attempt.unwrap_or(0);
                if number != attempts + 1 && !(handed_back && number == attempts) {
                    return Err(format!("attempt {number} follows attempt {attempts}"));
                }
                (attempts, handed_back) = (number, false);
            }
            "retry_planned" => {
                let detail = entry.detail.as_deref().unwrap_or_default();
                handed_back = detail.starts_with("not sent");
            }
            _ => {}
        }
        before = Some(*status);
    }
    if before != Some(message.status) {
        let status = message.status.as_str();
        return Err(format!("it is {status}, its life ends otherwise"));
    }
    let uncounted = handed_back && message.attempts + 1 == attempts;
    if message.attempts != attempts && !uncounted {
        let noted = message.attempts;
        return Err(format!("{noted} attempts noted, {attempts} in its life"));
    }
    if message.status == S::Accepted && message.provider_message_id.is_none() {
        return Err("accepted without the provider's id".to_owned());
    }
    if message.status == S::Skipped && message.reason.is_none() {
        return Err("skipped without a reason".to_owned());
    }
    Ok(())
}

/// Every edge of a message's life, spelled out again on purpose.
fn follows(before: MessageStatus, after: MessageStatus) -> bool {
    use MessageStatus as S;
    let has_receipt = matches!(
        after,
        S::Sent | S::Delivered | S::Undelivered | S::Failed | S::Expired | S::Canceled
    );
    match before {
        S::Scheduled => matches!(after, S::Queued | S::Skipped | S::Expired | S::Canceled),
        S::Queued => has_receipt || matches!(after, S::Submitting | S::Skipped | S::Accepted),
        S::Submitting => matches!(
            after,
            S::Accepted | S::Failed | S::Queued | S::Unknown | S::Expired
        ),
        S::Accepted => has_receipt || after == S::Unknown,
        S::Sent => (has_receipt && after != S::Sent) || after == S::Unknown,
        S::Unknown => has_receipt || matches!(after, S::Queued | S::Accepted),
        S::Delivered | S::Undelivered | S::Failed | S::Expired | S::Canceled | S::Skipped => false,
    }
}

/// Up to where every partition has read what fell due.
fn cursors(
    kv: &dyn KvRead,
    partitions: PartitionCount,
) -> Result<BTreeMap<Partition, UnixMicros>, VerifyError> {
    let source = SourceId::Due(DueKind::Send);
    let mut cursors = BTreeMap::new();
    for partition in partitions.all() {
        let key = CommittedPosition::key_of(partition, &source);
        let row = rows::get::<CommittedPosition>(kv, &key)?;
        let position = row.map_or(0, |row| row.position);
        let cursor = UnixMicros(i64::try_from(position).unwrap_or(i64::MAX));
        cursors.insert(partition, cursor);
    }
    Ok(cursors)
}

/// That a message which waits for an instant lies in a bucket that is still to be read.
fn is_due(
    kv: &dyn KvRead,
    partition: Partition,
    cursors: &BTreeMap<Partition, UnixMicros>,
    message: &Message,
) -> Result<(), VerifyError> {
    // Not the `send_at` that was asked for: what had been read when it was written down
    // was put behind that.
    if !message.status.has_not_begun() {
        return Ok(());
    }
    let held = is_held(kv, partition, message)?;
    let Some(due) = message.next_attempt_at else {
        if held {
            // Until its campaign goes on.
            return Ok(());
        }
        let detail = "it waits for no instant";
        return Err(Difference::new(message.envelope.id, detail).into());
    };
    let entry = DueEntry {
        partition,
        due,
        account: message.envelope.account,
        message: message.envelope.id,
        sequence: 0,
    };
    if rows::get::<DueEntry>(kv, &entry.key())?.is_none() {
        let detail = "it waits for an instant and lies in no bucket";
        return Err(Difference::new(message.envelope.id, detail).into());
    }
    if cursors.get(&partition).is_some_and(|cursor| due < *cursor) {
        let detail = "it waits behind the cursor of its bucket";
        return Err(Difference::new(message.envelope.id, detail).into());
    }
    Ok(())
}

/// Whether it is put aside: it lies in the list that it names. Rows that were put aside earlier
/// name none and lie in their campaign's.
fn is_held(kv: &dyn KvRead, partition: Partition, message: &Message) -> Result<bool, VerifyError> {
    let id = message.envelope.id;
    let list = message.held.clone();
    let Some(list) = list.or(message.envelope.campaign.map(HeldList::Campaign)) else {
        return Ok(false);
    };
    let key = HeldMessage::key_of(&list, partition, id);
    let is_held = rows::get::<HeldMessage>(kv, &key)?.is_some();
    if message.held.is_some() && !is_held {
        let detail = "it was put aside and lies in no list";
        return Err(Difference::new(id, detail).into());
    }
    Ok(is_held)
}
