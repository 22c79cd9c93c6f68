//! Parked receipts: those that fitted no message when they came are tried again, and
//! after 72 hours they are dropped and counted.

use std::time::Duration;

use engine::journal::{CommitError, Journal};
use engine::runtime::Runtime;
use engine::store::{Store, StoreError};
use schemas::change::{Change, Learnt};
use schemas::message::message_key;
use schemas::record::KeyPart;
use schemas::text::{Binding, ParkedReceipt};
use schemas::{Message, Partition};

use crate::instruments::UNMATCHED;

/// How long a receipt that fits no message is kept.
const KEEP: Duration = Duration::from_secs(72 * 3_600);

/// How many parked receipts of a partition are looked at in one sweep.
const A_SWEEP: usize = 500;

/// A sweep failed.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The store cannot be read.
    #[error("parked receipts cannot be read")]
    Store(#[from] StoreError),
    /// The journal takes nothing more.
    #[error("parked receipts cannot be tried again")]
    Commit(#[from] CommitError),
}

/// Tries a partition's parked receipts again, each once for a message that has come to
/// be, and drops those that waited long enough.
///
/// # Errors
/// [`SweepError`].
pub async fn sweep(
    runtime: &Runtime,
    store: &Store,
    journal: &Journal,
    partition: Partition,
) -> Result<(), SweepError> {
    let prefix = [KeyPart::U16(partition.0)];
    let page = store.list::<ParkedReceipt>(&prefix, None, engine::store::Order::Ascending, A_SWEEP);
    let (now, mut changes) = (runtime.now(), Vec::new());
    for parked in page.await?.rows {
        let fits = has_message(store, &parked).await?;
        let is_old = parked.received_at.plus(KEEP) < now;
        if !fits && !is_old {
            continue;
        }
        if !fits {
            metrics::counter!(UNMATCHED).increment(1);
        }
        changes.push((
            partition,
            Change::ParkedDropped {
                provider: parked.provider,
                provider_message_id: parked.receipt.provider_message_id.clone(),
                provider_status: parked.receipt.provider_status.clone(),
            },
        ));
        if fits {
            let (provider, receipt) = (parked.provider, parked.receipt);
            let (learnt, at) = (Learnt::Webhook, parked.received_at);
            changes.push((
                partition,
                Change::Receipt {
                    provider,
                    receipt,
                    learnt,
                    at,
                },
            ));
        }
    }
    if !changes.is_empty() {
        journal.commit(changes).await?;
    }
    Ok(())
}

async fn has_message(store: &Store, parked: &ParkedReceipt) -> Result<bool, StoreError> {
    let attempt = match parked.receipt.attempt {
        Some(attempt) => attempt,
        None => {
            let Some(key) = Binding::key_told_by(parked.provider, &parked.receipt) else {
                return Ok(false);
            };
            let Some(binding) = store.get::<Binding>(&key).await? else {
                return Ok(false);
            };
            binding.attempt
        }
    };
    let message = store
        .get::<Message>(&message_key(attempt.account, attempt.message))
        .await?;
    Ok(message.is_some())
}
