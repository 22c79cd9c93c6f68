//! What was due while its campaign was paused, or had just been canceled, or while none of its
//! provider accounts worked: it goes on with the campaign, or is withdrawn with it.

use std::time::Duration;

use engine::journal::CommitError;
use engine::store::{Order, StoreError};
use schemas::Partition;
use schemas::campaign::{Campaign, CampaignTally};
use schemas::change::Change;
use schemas::held::{HeldList, HeldMessage};

use super::coordinator::CoordinatorParts;

/// How soon what was put aside is due: after the look for due entries that may be under way.
const RELEASED_AFTER: Duration = Duration::from_millis(20);

/// How far apart: at one instant everything is read at once, and others' messages that are due
/// meanwhile take turns with these.
const RELEASED_EVERY: Duration = Duration::from_micros(250);

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

/// Makes what was put aside due again, unless the campaign is held once more meanwhile. While
/// none of its provider accounts works, one for a probe, if one of them would get it.
pub(super) async fn release(
    parts: &CoordinatorParts,
    campaign: &Campaign,
    tallies: &[CampaignTally],
) -> Result<(), FollowError> {
    let routes = parts.routing.routes_of_campaign(campaign);
    let rests = || routes.is_within(parts.resting.routes());
    let is_probe = rests();
    let probed = parts.resting.to_be_probed(parts.runtime.boot());
    if is_probe && !routes.meets(probed) {
        return Ok(());
    }
    let most = if is_probe { 1 } else { usize::MAX };
    for tally in tallies.iter().filter(|tally| tally.held > 0).take(most) {
        // All after what is being read just now.
        let mut due = parts.runtime.now().plus(RELEASED_AFTER);
        let changed = |held: &HeldMessage| {
            due = due.max(parts.runtime.now()).plus(RELEASED_EVERY);
            Change::MessageReleased {
                campaign: held.campaign,
                account: held.account,
                message: held.message,
                due,
                at: parts.runtime.now(),
            }
        };
        let goes_on = || parts.holds.of(parts.campaign).is_none() && rests() == is_probe;
        each_held(parts, tally.partition, most, changed, goes_on).await?;
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
        each_held(parts, tally.partition, usize::MAX, changed, || true).await?;
    }
    Ok(())
}

/// Commits a change for so much of what is held of the campaign in a partition, a page at a
/// time, for as long as that is wanted.
async fn each_held(
    parts: &CoordinatorParts,
    partition: Partition,
    most: usize,
    mut changed: impl FnMut(&HeldMessage) -> Change,
    goes_on: impl Fn() -> bool,
) -> Result<(), FollowError> {
    let prefix = HeldMessage::partition_key(&HeldList::Campaign(parts.campaign), partition);
    let (mut after, mut left) = (None, most);
    while goes_on() && left > 0 {
        let (store, limit) = (&parts.store, left.min(PAGE));
        let list = store.list::<HeldMessage>(&prefix, after.as_ref(), Order::Ascending, limit);
        let page = list.await?;
        left -= page.rows.len();
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
