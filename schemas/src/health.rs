//! How a provider account does, and what changed of it lately, as the node that sends through
//! it writes it down. Never anything of a text.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::id::ProviderId;
use crate::record::{CompareAndSet, Key, KeyPart, Record, Table, Versioned, tables};
use crate::time::UnixMicros;

/// The changes that are kept of an account: an hour of one that comes and goes every minute,
/// at some 40 bytes each.
pub const CHANGES_KEPT: usize = 100;

/// Whether an account seems to work.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HealthState {
    /// It is sent what its rate allows.
    #[default]
    Working,
    /// It seems dead and is sent nothing.
    Resting,
    /// It seems dead, and one text is out to see whether it is.
    Probing,
}

/// What changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HealthEvent {
    /// It was taken for dead.
    Opened,
    /// A text left to see whether it works.
    Probed,
    /// It answered again.
    Closed,
    /// It is sent less than its limit.
    Slowed,
    /// It is sent its whole limit again.
    Whole,
    /// An operator's order came into force.
    Ordered,
}

/// One change.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HealthChange {
    /// When.
    pub at: UnixMicros,
    /// What.
    pub event: HealthEvent,
    /// Why: a stable word, such as `silence` or `throttled`.
    pub cause: String,
    /// The rate that was used from then on, in millionths of a segment per second.
    pub rate_millionths: u64,
}

/// An account's health: one row, that holds the last [`CHANGES_KEPT`] changes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ProviderHealth {
    /// The provider account.
    pub provider: ProviderId,
    /// Whether it seems to work.
    pub state: HealthState,
    /// What it is sent at most, in millionths of a segment per second.
    pub rate_millionths: u64,
    /// When this was so.
    pub at: UnixMicros,
    /// The changes, the oldest first.
    pub changes: Vec<HealthChange>,
    /// See [`Versioned`].
    pub version: u64,
}

impl ProviderHealth {
    /// Nothing is known yet of an account at this rate.
    pub const fn unknown(provider: ProviderId, rate_millionths: u64) -> Self {
        Self {
            provider,
            state: HealthState::Working,
            rate_millionths,
            at: UnixMicros(0),
            changes: Vec::new(),
            version: 0,
        }
    }

    /// Adds changes; the oldest beyond those that are kept are forgotten.
    pub fn add(&mut self, changes: impl IntoIterator<Item = HealthChange>) {
        self.changes.extend(changes);
        let beyond = self.changes.len().saturating_sub(CHANGES_KEPT);
        self.changes.drain(..beyond);
    }

    /// The key of one account's health.
    pub fn key_of(provider: ProviderId) -> Key {
        vec![KeyPart::Id(*provider.as_bytes())]
    }
}

impl Record for ProviderHealth {
    type Writing = CompareAndSet;
    const TABLE: Table = tables::PROVIDER_HEALTH;

    fn key(&self) -> Key {
        Self::key_of(self.provider)
    }
}

impl Versioned for ProviderHealth {
    fn version(&self) -> u64 {
        self.version
    }

    fn set_version(&mut self, version: u64) {
        self.version = version;
    }
}

#[cfg(test)]
mod tests {
    use super::{CHANGES_KEPT, HealthChange, HealthEvent, ProviderHealth};
    use crate::{ProviderId, UnixMicros};

    #[test]
    fn the_newest_changes_are_kept() {
        let mut health = ProviderHealth::unknown(ProviderId::of_name("one"), 1);
        for at in 0..1_000 {
            health.add([HealthChange {
                at: UnixMicros(at),
                event: HealthEvent::Probed,
                cause: "rested".to_owned(),
                rate_millionths: 1,
            }]);
            assert!(health.changes.len() <= CHANGES_KEPT);
        }
        assert_eq!(health.changes.last().map(|change| change.at.0), Some(999));
    }
}
