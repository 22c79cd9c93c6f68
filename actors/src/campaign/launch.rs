//! How a campaign begins: it waits for its time, is launched, and its audience is frozen.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use actix::Addr;
use engine::dispatch::audience::CampaignPlan;
use engine::dispatch::freeze::{Freeze, FreezeError};
use engine::store::{Replaced, StoreError};
use futures::future::{select, try_join_all};
use schemas::account::Account;
use schemas::campaign::{Campaign, CampaignState};
use tokio::sync::Notify;

use super::coordinator::{CampaignCoordinator, CoordinatorParts, Frozen, Loaded, Looked, Waits};
use crate::control::DISK_FULL_PAUSE;
use crate::dispatch::holds::Hold;

/// How often a campaign that waits for its time is looked at: the clock may be set meanwhile.
const READ_ROW_EVERY: Duration = Duration::from_secs(60);

/// Waits for the campaign's time, loads its row and its account, and freezes the audience.
pub(super) async fn run(
    parts: CoordinatorParts,
    address: Addr<CampaignCoordinator>,
    changed: Arc<Notify>,
) -> Result<(), FreezeError> {
    let Some(campaign) = launch(&parts, &address, &changed).await? else {
        let _ = address.send(Looked::Over).await;
        return Ok(());
    };
    let Some(plan) = load(&parts, campaign).await? else {
        let _ = address.send(Looked::Over).await;
        return Ok(());
    };
    let plan = Arc::new(plan);
    let _ = address.send(Loaded(Arc::clone(&plan))).await;
    let range = parts.journal.range();
    let mut freezes = Vec::new();
    for partition in range.partitions() {
        let freeze = Freeze::resume(&parts.store, &plan.campaign, range.all(), partition).await?;
        if freeze.chunks() > 0 {
            let _ = address.send(Frozen::of(&freeze)).await;
        }
        freezes.push(freeze);
    }
    // All first chunks together: a small campaign is frozen with them, in two commits.
    let first = freezes.iter_mut().filter(|freeze| freeze.chunks() == 0);
    let first = first.map(|freeze| next_chunk(&parts, &plan.campaign, freeze, &address));
    try_join_all(first).await?;
    // Then round by round, so that every partition goes on.
    while freezes.iter().any(|freeze| !freeze.is_done()) {
        if parts.holds.of(parts.campaign) == Some(Hold::Canceled) {
            // The audience ends where it is.
            return Ok(());
        }
        for freeze in freezes.iter_mut().filter(|freeze| !freeze.is_done()) {
            // It is never closed, so there is always a turn.
            let turn = parts.freezing.acquire().await.ok();
            next_chunk(&parts, &plan.campaign, freeze, &address).await?;
            drop(turn);
        }
    }
    Ok(())
}

/// Freezes the next chunk and tells of it. While the disk is nearly full a freeze waits, as an
/// import does: what is in flight needs the node, and the rest of the audience can come later.
async fn next_chunk(
    parts: &CoordinatorParts,
    campaign: &Campaign,
    freeze: &mut Freeze,
    address: &Addr<CampaignCoordinator>,
) -> Result<(), FreezeError> {
    while let Err(error) = freeze
        .next_chunk(&parts.store, &parts.journal, campaign)
        .await
    {
        if !matches!(error, FreezeError::Store(StoreError::DiskFull { .. })) {
            return Err(error);
        }
        parts.runtime.sleep(DISK_FULL_PAUSE).await;
        // The members that were read are not in a chunk: it reads them again.
        let (partitions, partition) = (parts.journal.partitions(), freeze.partition());
        *freeze = Freeze::resume(&parts.store, campaign, partitions, partition).await?;
    }
    let _ = address.send(Frozen::of(freeze)).await;
    Ok(())
}

/// Waits until the campaign's time has come, and lets it begin; `None` when it is over, or was
/// withdrawn meanwhile.
async fn launch(
    parts: &CoordinatorParts,
    address: &Addr<CampaignCoordinator>,
    changed: &Notify,
) -> Result<Option<Campaign>, StoreError> {
    let key = Campaign::key_of(parts.account, parts.campaign);
    loop {
        let Some(mut campaign) = parts.store.get::<Campaign>(&key).await? else {
            return Ok(None);
        };
        if campaign.state != CampaignState::Scheduled {
            return Ok(campaign.is_under_way().then_some(campaign));
        }
        let now = parts.runtime.now();
        if let Some(send_at) = campaign.send_at.filter(|send_at| *send_at > now) {
            let _ = address.send(Waits).await;
            let left = u64::try_from(send_at.0 - now.0).unwrap_or(0);
            let wait = Duration::from_micros(left).min(READ_ROW_EVERY);
            let pause = pin!(parts.runtime.sleep(wait));
            select(pause, pin!(changed.notified())).await;
            continue;
        }
        campaign.state = CampaignState::Running;
        campaign.started_at = Some(now);
        if let Replaced::Stored(campaign) = parts.store.replace(campaign).await? {
            return Ok(Some(campaign));
        }
    }
}

async fn load(
    parts: &CoordinatorParts,
    campaign: Campaign,
) -> Result<Option<CampaignPlan>, StoreError> {
    parts.holds.set(&campaign, &parts.runtime);
    let Some(account) = parts
        .store
        .get::<Account>(&Account::key_of(parts.account))
        .await?
    else {
        return Ok(None);
    };
    match CampaignPlan::new(campaign, &account.number_key, &parts.routing) {
        Ok(plan) => Ok(Some(plan)),
        Err(error) => {
            // The door compiles a template before it takes a campaign.
            tracing::error!(campaign = %parts.campaign, %error, "a running campaign's template does not compile");
            Ok(None)
        }
    }
}
