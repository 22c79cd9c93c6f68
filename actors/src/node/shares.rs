//! What the owner of a range may use of limits that are divided among several: its share of the
//! rates, and its part of the connections.

use std::sync::Arc;

use engine::pacing::share::{Undividable, part, share};
use engine::provider::ProviderAccount;
use schemas::PartitionRange;
use schemas::provider::ProviderOrder;

use super::StartError;

/// The provider accounts as the owner of a range may use them.
pub(super) fn of_accounts(
    accounts: &[Arc<ProviderAccount>],
    range: PartitionRange,
) -> Result<Vec<Arc<ProviderAccount>>, StartError> {
    let shares = accounts.iter().map(|account| {
        of_account(account, range)
            .map(Arc::new)
            .map_err(|error| StartError::Undividable {
                name: account.name.clone(),
                error,
            })
    });
    shares.collect()
}

fn of_account(
    account: &ProviderAccount,
    range: PartitionRange,
) -> Result<ProviderAccount, Undividable> {
    let owners = u32::from(range.ranges());
    let senders = account.sender_rates.iter();
    let senders = senders.map(|(sender, rate)| Ok((sender.clone(), share(*rate, range)?)));
    Ok(ProviderAccount {
        rate: share(account.rate, range)?,
        burst: account.burst.map(|burst| (burst / owners).max(1)),
        max_in_flight: part(account.max_in_flight, range)?,
        sender_rates: senders.collect::<Result<_, _>>()?,
        ..account.clone()
    })
}

/// What an operator's order means for the owner of a range. A rate that cannot be divided is one that
/// the door does not take, and no rate here.
pub(super) fn of_order(order: ProviderOrder, range: PartitionRange) -> ProviderOrder {
    let rate = order.rate_millionths.map(|rate| rate as f64 / 1e6);
    let share = rate.map(|rate| share(rate, range).unwrap_or(0.0));
    ProviderOrder {
        rate_millionths: share.map(|share| (share * 1e6).round() as u64),
        ..order
    }
}
