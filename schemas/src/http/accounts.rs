//! `/v1/accounts`: customers and their API keys. For the holder of the root key only.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::given;
use crate::id::{AccountId, KeyId};

/// `POST /v1/accounts`
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountRequest {
    /// What people call it.
    #[schema(value_type = String, min_length = 1, max_length = 200, pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$", examples("My company"))]
    pub name: Option<String>,
    /// Its share beside other accounts while they wait for the same provider account: 1, which
    /// is the default, to 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 100)]
    pub weight: Option<u64>,
    /// What it sends at most, in segments per second, with all of its campaigns and single
    /// messages; left out, as fast as the provider accounts allow.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0.01, maximum = 1_000_000)]
    pub rate: Option<f64>,
}

/// `PATCH /v1/accounts/{id}`: what is left out stays as it is.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountPatch {
    /// Its share beside other accounts from now on, 1 to 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 100)]
    pub weight: Option<u64>,
    /// What it sends at most from now on, in segments per second; null is as fast as the
    /// provider accounts allow.
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<f64>, minimum = 0.01, maximum = 1_000_000)]
    pub rate: Option<Option<f64>>,
}

/// An account.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AccountBody {
    /// Its id.
    pub id: AccountId,
    /// What people call it.
    pub name: String,
    /// Its share beside other accounts.
    pub weight: u32,
    /// What it sends at most, in segments per second; null is as fast as the provider accounts
    /// allow.
    #[schema(required = true)]
    pub rate: Option<f64>,
    /// When it was created, RFC 3339.
    #[schema(format = DateTime)]
    pub created_at: String,
}

/// `POST /v1/accounts/{id}/keys`
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyRequest {
    /// What people call it.
    #[schema(
        min_length = 1,
        max_length = 200,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$",
        examples("billing")
    )]
    pub name: Option<String>,
}

/// A new API key. Its secret is shown this once.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct NewKeyBody {
    /// Its id.
    pub id: KeyId,
    /// Whose it is.
    pub account: AccountId,
    /// What people call it.
    pub name: String,
    /// What goes into `Authorization: Bearer …`.
    #[schema(pattern = "^volley_[0-9a-f]{64}$")]
    pub secret: String,
    /// When it was created, RFC 3339.
    #[schema(format = DateTime)]
    pub created_at: String,
}

impl std::fmt::Debug for NewKeyBody {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "NewKeyBody({}, {})", self.id, self.account)
    }
}
