//! `/v1/providers`: the provider accounts this node sends through.

use serde::{Deserialize, Serialize};

use crate::id::ProviderId;

/// `GET /v1/providers`
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProvidersBody {
    /// All provider accounts, in the order of the settings.
    pub data: Vec<ProviderBody>,
}

/// A provider account.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProviderBody {
    /// Its id.
    pub id: ProviderId,
    /// What the settings call it.
    pub name: String,
    /// The senders it owns.
    pub senders: Vec<String>,
    /// The sender of messages that ask for none.
    pub default_sender: String,
    /// What it may be sent, in `unit`.
    pub rate: f64,
    /// `segments/s`
    pub unit: String,
    /// The most requests on their way at once.
    pub max_in_flight: u32,
}
