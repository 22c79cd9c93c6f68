//! `/livez` and `/readyz`: whether this process serves, and whether it can take work.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `GET /livez`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct LiveBody {
    /// `ok`
    pub status: String,
}

/// `GET /readyz`, when the node can take work.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ReadyBody {
    /// `ok`
    pub status: String,
    /// What was looked at.
    pub checks: ReadyChecks,
}

/// What a node needs in order to take work.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ReadyChecks {
    /// Whether the store can be read: `ok`.
    pub store: String,
    /// Whether the log can be read: `ok`.
    pub log: String,
    /// Whether the node goes on: `ok`.
    pub node: String,
}
