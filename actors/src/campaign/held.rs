//! What was due while its campaign was paused, or had just been canceled: it goes on with the
//! campaign, or is withdrawn with it.

use std::time::Duration;

use engine::journal::CommitError;
use engine::store::{Order, StoreError};
use schemas::Partition;
use schemas::campaign::{CampaignTally, HeldMessage};
use schemas::change::Change;

use super::coordinator::CoordinatorParts;

/// How soon what was put aside is due: after the look for due entries that may be under way.
const RELEASED_AFTER: Duration = Duration::from_millis(20);

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

/// Makes what was put aside due again, unless the campaign is held once more meanwhile.
pub(super) async fn release(
    parts: &CoordinatorParts,
    tallies: &[CampaignTally],
) -> Result<(), FollowError> {
    for tally in tallies.iter().filter(|tally| tally.held > 0) {
        // Each at an instant of its own, and all after what is being read just now: what is due
        // at one instant is read at once.
        let mut due = parts.runtime.now().plus(RELEASED_AFTER);
        let changed = |held: &HeldMessage| {
            due = due.max(parts.runtime.now()).plus_micros(1);
            Change::MessageReleased {
                campaign: held.campaign,
                account: held.account,
                message: held.message,
                due,
                at: parts.runtime.now(),
            }
        };
        let goes_on = || parts.holds.of(parts.campaign).is_none();
        each_held(parts, tally.partition, changed, goes_on).await?;
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
        each_held(parts, tally.partition, changed, || true).await?;
    }
    Ok(())
}

/// Commits a change for everything that is held of the campaign in a partition, a page at a
/// time, for as long as that is wanted.
async fn each_held(
    parts: &CoordinatorParts,
    partition: Partition,
    mut changed: impl FnMut(&HeldMessage) -> Change,
    goes_on: impl Fn() -> bool,
) -> Result<(), FollowError> {
    let prefix = HeldMessage::partition_key(parts.campaign, partition);
    let mut after = None;
    while goes_on() {
        let list = parts
            .store
            .list::<HeldMessage>(&prefix, after.as_ref(), Order::Ascending, PAGE);
        let page = list.await?;
        let changes: Vec<_> = page.rows.iter().map(&mut changed).collect();
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
    Ok(())
}
