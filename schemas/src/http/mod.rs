//! HTTP bodies: what the REST API says and is told, one file for each resource.
//!
//! Requests hold every field as the caller wrote it and leave judging to the API, which
//! can then name all fields that are wrong at once. Unknown fields are refused: a field
//! that is silently ignored is a text that goes out differently than its author thinks.

pub mod accounts;
pub mod campaigns;
pub mod contact_lists;
pub mod health;
pub mod jobs;
pub mod messages;
pub mod problem;
pub mod providers;
pub mod verifications;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One page of a listing.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PageBody<T> {
    /// The rows. A page may be short, even empty, and have a next one: filters look at
    /// a bounded number of rows for each page.
    pub data: Vec<T>,
    /// Pass it as `cursor` for the next page; null at the end.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
}

/// Tells null from what is left out.
fn given<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Some)
}
