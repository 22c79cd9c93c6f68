//! `/v1/verifications`: whether everything that a node keeps agrees. For the holder of the
//! root key only.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `POST /v1/verifications`: what was found at one moment. Numbers count what was looked
/// at; where there is a difference, up to it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct VerificationBody {
    /// Whether everything agrees.
    pub agrees: bool,
    /// The first thing that does not; null when everything agrees.
    #[schema(required = true)]
    pub difference: Option<DifferenceBody>,
    /// Campaigns whose numbers were counted again.
    pub campaigns: u64,
    /// Recipients in frozen audiences.
    pub recipients: u64,
    /// Messages whose lives were followed.
    pub messages: u64,
    /// Attempts that are committed and have no outcome.
    pub open_attempts: u64,
    /// Journal records that are not trimmed.
    pub journal_records: u64,
}

/// Something that does not agree. It names ids, never numbers or texts.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct DifferenceBody {
    /// What it is about.
    pub subject: String,
    /// What was expected and what was found.
    pub detail: String,
}
