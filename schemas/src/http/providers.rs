//! `/v1/providers`: the provider accounts this node sends through.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::health::{HealthEvent, HealthState, ProviderHealth};
use crate::id::ProviderId;

/// `GET /v1/providers`
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ProvidersBody {
    /// All provider accounts, in the order of the settings.
    pub data: Vec<ProviderBody>,
}

/// A provider account.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ProviderBody {
    /// Its id.
    pub id: ProviderId,
    /// What the settings call it.
    pub name: String,
    /// The senders it owns.
    pub senders: Vec<String>,
    /// The sender of messages that ask for none.
    pub default_sender: String,
    /// What it is sent at most, in `unit`.
    pub rate: f64,
    /// The most that `rate` can be: what the settings have.
    pub rate_limit: f64,
    /// Whether texts are sent through it.
    pub enabled: bool,
    /// `segments/s`
    pub unit: String,
    /// The most requests on their way at once.
    pub max_in_flight: u32,
    /// How it does; shown to the holder of the root key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<ProviderHealthBody>,
}

/// How a provider account does, as of some second before.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ProviderHealthBody {
    /// Whether it seems to work.
    pub state: HealthState,
    /// What it is sent at most just now, in `unit`: less than `rate` while it throttles, fails
    /// or is slow to answer, and for a while afterwards.
    pub rate: f64,
    /// What changed lately, the newest first.
    #[schema(max_items = 100)]
    pub changes: Vec<HealthChangeBody>,
}

/// A change of a provider account's health.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct HealthChangeBody {
    /// When.
    #[schema(format = DateTime)]
    pub at: String,
    /// What.
    pub event: HealthEvent,
    /// Why: a stable word, such as `silence` or `throttled`.
    pub cause: String,
    /// What it was sent at most from then on, in `unit`.
    pub rate: f64,
}

impl ProviderHealthBody {
    /// How people see it.
    pub fn of(health: &ProviderHealth) -> Self {
        let changes = health.changes.iter().rev().map(|change| HealthChangeBody {
            at: change.at.to_rfc3339(),
            event: change.event,
            cause: change.cause.clone(),
            rate: change.rate_millionths as f64 / 1e6,
        });
        Self {
            state: health.state,
            rate: health.rate_millionths as f64 / 1e6,
            changes: changes.collect(),
        }
    }
}

/// `PATCH /v1/providers/{id}`: what is left out stays as it is.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProviderPatch {
    /// Segments per second, 0.01 to `rate_limit`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0.01)]
    pub rate: Option<f64>,
    /// `false` lets nothing more go through it; what is in flight goes on to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}
