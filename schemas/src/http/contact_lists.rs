//! `/v1/contact-lists`: named lists of contacts.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::contact::ContactList;
use crate::id::ListId;

/// `POST /v1/contact-lists`
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ContactListRequest {
    /// What people call it.
    #[schema(value_type = String, min_length = 1, max_length = 200, pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$", examples("Customers"))]
    pub name: Option<String>,
}

/// A contact list.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ContactListBody {
    /// Its id.
    pub id: ListId,
    /// What people call it.
    pub name: String,
    /// When it was created, RFC 3339.
    #[schema(format = DateTime)]
    pub created_at: String,
}

impl ContactListBody {
    /// The body of a stored list.
    pub fn of(list: &ContactList) -> Self {
        Self {
            id: list.id,
            name: list.name.clone(),
            created_at: list.created_at.to_rfc3339(),
        }
    }
}
