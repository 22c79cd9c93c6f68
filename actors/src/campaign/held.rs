//! What was due while its campaign was paused: it goes on with the campaign, or is
//! withdrawn with it.

use engine::journal::CommitError;
use engine::store::{Order, StoreError};
use schemas::Partition;
use schemas::campaign::{CampaignTally, HeldMessage};
use schemas::change::Change;

use super::coordinator::CoordinatorParts;

/// Messages of a partition in one commit.
const PAGE: usize = 500;

/// Following a campaign's state failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum FollowError {
    /// The store cannot be read.
    #[error("a campaign cannot be followed: {0}")]
    Store(#[from] StoreError),
    /// The journal takes nothing more.
    #[error("a campaign cannot be followed: {0}")]
    Commit(#[from] CommitError),
}

/// Makes what was put aside due again.
pub(super) async fn release(
    parts: &CoordinatorParts,
    tallies: &[CampaignTally],
) -> Result<(), FollowError> {
    for tally in tallies.iter().filter(|tally| tally.held > 0) {
        let now = parts.runtime.now();
        let changed = |held: &HeldMessage| Change::MessageReleased {
            campaign: held.campaign,
            account: held.account,
            message: held.message,
            due: now,
            at: now,
        };
        each_held(parts, tally.partition, changed).await?;
    }
    Ok(())
}

/// Counts off whoever was not touched yet, and withdraws what was put aside.
pub(super) async fn withdraw(
    parts: &CoordinatorParts,
    tallies: &[CampaignTally],
) -> Result<(), FollowError> {
    let at = parts.runtime.now();
    let campaign = parts.campaign;
    let cancel = Change::CampaignCanceled { campaign, at };
    let untold = tallies.iter().filter(|tally| !tally.canceled);
    let cancel: Vec<_> = untold
        .map(|tally| (tally.partition, cancel.clone()))
        .collect();
    if !cancel.is_empty() {
        parts.journal.commit(cancel).await?;
    }
    for tally in tallies.iter().filter(|tally| tally.held > 0) {
        let changed = |held: &HeldMessage| Change::MessageCanceled {
            account: held.account,
            message: held.message,
            at,
        };
        each_held(parts, tally.partition, changed).await?;
    }
    Ok(())
}

/// Commits a change for everything that is held of the campaign in a partition. What was
/// handled is not held any more, so the list is read from its beginning each time.
async fn each_held(
    parts: &CoordinatorParts,
    partition: Partition,
    changed: impl Fn(&HeldMessage) -> Change,
) -> Result<(), FollowError> {
    let prefix = HeldMessage::partition_key(parts.campaign, partition);
    let mut after = None;
    loop {
        let list = parts
            .store
            .list::<HeldMessage>(&prefix, after.as_ref(), Order::Ascending, PAGE);
        let page = list.await?;
        let changes: Vec<_> = page.rows.iter().map(&changed).collect();
        if changes.is_empty() {
            return Ok(());
        }
        let changes = changes.into_iter().map(|change| (partition, change));
        parts.journal.commit(changes.collect()).await?;
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}
