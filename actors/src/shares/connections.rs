//! The connections to provider accounts, where several owners divide them.

use std::sync::Arc;

use engine::pacing::share::{Undividable, part};
use engine::provider::ProviderAccount;
use schemas::PartitionRange;

/// The provider accounts as the owner of a range may use them: with its part of what may be in
/// flight, and of what may leave at once. An account that cannot be divided comes with its name.
pub fn of_range(
    accounts: &[Arc<ProviderAccount>],
    range: PartitionRange,
) -> Result<Vec<Arc<ProviderAccount>>, (String, Undividable)> {
    let owners = u32::from(range.ranges());
    let parts = accounts.iter().map(|account| {
        let max_in_flight = part(account.max_in_flight, range);
        Ok(Arc::new(ProviderAccount {
            burst: account.burst.map(|burst| (burst / owners).max(1)),
            max_in_flight: max_in_flight.map_err(|error| (account.name.clone(), error))?,
            ..(**account).clone()
        }))
    });
    parts.collect()
}
