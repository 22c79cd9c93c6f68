//! `/v1/contact-lists`: named lists of contacts.

use serde::{Deserialize, Serialize};

use crate::contact::ContactList;
use crate::id::ListId;

/// `POST /v1/contact-lists`
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContactListRequest {
    /// What people call it.
    pub name: Option<String>,
}

/// A contact list.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ContactListBody {
    /// Its id.
    pub id: ListId,
    /// What people call it.
    pub name: String,
    /// When it was created, RFC 3339.
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
