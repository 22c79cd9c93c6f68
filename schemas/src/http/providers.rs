//! `/v1/providers`: the provider accounts this node sends through.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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
