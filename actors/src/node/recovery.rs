//! Before a node sends: what a crash left open is settled, what providers told meanwhile is
//! committed, cursors over instants are opened, and provider accounts rest from what was sent before.

use engine::callbacks::Callbacks;
use engine::dispatch::routing::Routing;
use engine::pacing::share::LARGEST_TEXT;
use engine::pacing::{Limiter, Pace};
use engine::store::StoreError;
use schemas::ProviderId;
use schemas::change::Change;
use schemas::due::DueKind;
use schemas::position::{CommittedPosition, SourceId};
use schemas::provider::{ProviderOrder, ProviderStamp, SubmitOutcome};

use super::wiring::rules;
use super::{NodeParts, StartError};
use crate::provider::pacing::Pacing;
use crate::receipt::callbacks::{CallbackError, CallbackReader};
use crate::shares::Shares;

/// Attempts that a crash left open are unknown: the provider may have them or not.
pub(super) async fn settle_open_attempts(parts: &NodeParts) -> Result<(), StartError> {
    let open = parts.journal.open_attempts().await?;
    if open.is_empty() {
        return Ok(());
    }
    tracing::warn!(
        attempts = open.len(),
        "attempts were open when the node stopped"
    );
    let at = parts.runtime.now();
    let rules = rules(parts);
    let changes = open.into_iter().map(|open| {
        let outcome = SubmitOutcome::Unknown {
            cause: "crash".to_owned(),
        };
        let then = rules.after(&outcome, &open.envelope, open.attempt.attempt, at, 0);
        let partition = parts.journal.partitions().of(open.attempt.message.slice());
        let attempt = open.attempt;
        (
            partition,
            Change::AttemptEnded {
                attempt,
                outcome,
                then,
                sent_at: None,
                at,
            },
        )
    });
    parts.journal.commit(changes.collect()).await?;
    Ok(())
}

/// What providers told other nodes while this one did not own: a STOP holds before anything begins.
pub(super) async fn commit_callbacks(parts: &NodeParts) -> Result<CallbackReader, CallbackError> {
    let callbacks = Callbacks::new(
        parts.runtime.clone(),
        parts.store.clone(),
        parts.log.clone(),
    );
    CallbackReader::begin(callbacks, parts.journal.clone()).await
}

/// A cursor over instants starts at the node's first start: nothing is due before it.
pub(super) async fn open_due_cursors(parts: &NodeParts) -> Result<(), StartError> {
    let position = u64::try_from(parts.runtime.now().0).unwrap_or(1);
    let mut changes = Vec::new();
    for partition in parts.journal.range().partitions() {
        for source in DueKind::ALL.map(SourceId::Due) {
            let key = CommittedPosition::key_of(partition, &source);
            if parts.store.get::<CommittedPosition>(&key).await?.is_none() {
                changes.push((partition, Change::Advanced { source, position }));
            }
        }
    }
    if !changes.is_empty() {
        parts.journal.commit(changes).await?;
    }
    Ok(())
}

/// One pace for each provider account, as operators ordered it. An account that was ever written to
/// rests: its last texts count until they are a window old.
pub(super) async fn pace_providers(
    parts: &NodeParts,
    shares: &Shares,
) -> Result<Vec<Pacing>, StartError> {
    let (mut pacings, mut rates) = (Vec::new(), Vec::new());
    for account in &parts.providers {
        let pace = Pace::new(account.rate, account.burst).map_err(|error| StartError::Pace {
            name: account.name.clone(),
            error,
        })?;
        let boot = parts.runtime.boot();
        let key = ProviderOrder::key_of(account.id);
        let order = parts.store.get::<ProviderOrder>(&key).await?;
        let order = order.unwrap_or_else(|| ProviderOrder::none(account.id));
        // What was sent before may have been sent at either rate; the slower one holds longer.
        let slower = Pace::new(order.rate(account.rate), account.burst).unwrap_or(pace);
        let mut limiter = Limiter::new(pace, boot);
        if let Some(segments) = counts_still(parts, account.id, &[pace, slower]).await? {
            let rest = pace.hold_micros(segments).max(slower.hold_micros(segments));
            limiter.resume_after(boot, boot + rest);
        }
        let pacing = Pacing::new(limiter, account);
        rates.push(pacing.obey(&order, account).unwrap_or(account.rate));
        pacings.push(pacing);
    }
    shares.pace(pacings.clone());
    for (index, (account, rate)) in parts.providers.iter().zip(rates).enumerate() {
        shares.set_provider(index, account, rate);
    }
    Ok(pacings)
}

/// The limits of senders hold from now on. Like its account, one that may have been used rests.
pub(super) async fn limit_senders(
    parts: &NodeParts,
    routing: &Routing,
    shares: &Shares,
) -> Result<(), StartError> {
    for (index, account) in parts.providers.iter().enumerate() {
        for (who, sender, rate) in routing.sender_rates(index) {
            let pace = Pace::new(rate, None).map_err(|error| StartError::Pace {
                name: account.name.clone(),
                error,
            })?;
            let rests = counts_still(parts, account.id, &[pace]).await?;
            shares.set_sender((who, sender), account, rate, rests);
        }
    }
    Ok(())
}

/// The segments of the largest text that may still count at a provider account, under the
/// slowest of these paces; `None` if nothing was ever written to it.
async fn counts_still(
    parts: &NodeParts,
    provider: ProviderId,
    paces: &[Pace],
) -> Result<Option<u32>, StoreError> {
    let now = parts.runtime.now();
    let Some(last) = last_deadline(parts, provider).await? else {
        return Ok(None);
    };
    let holds = paces.iter().map(|pace| pace.hold_micros(LARGEST_TEXT));
    let longest = i64::try_from(holds.max().unwrap_or(0)).unwrap_or(i64::MAX);
    // The process that sent is gone, so its last text left before now; the deadline is later
    // than that only if the process died young. Where the clock says that it was long ago, the
    // clock may have been set: one window is rested always.
    let is_recent = last.0.saturating_add(longest) > now.0;
    Ok(Some(if is_recent { LARGEST_TEXT } else { 1 }))
}

/// The latest deadline of any attempt; `None` before the first.
async fn last_deadline(
    parts: &NodeParts,
    provider: ProviderId,
) -> Result<Option<schemas::UnixMicros>, StoreError> {
    let mut last = None;
    for partition in parts.journal.range().partitions() {
        let key = ProviderStamp::key_of(provider, partition);
        let stamp = parts.store.get::<ProviderStamp>(&key).await?;
        last = last.max(stamp.map(|stamp| stamp.latest_deadline));
    }
    Ok(last)
}
