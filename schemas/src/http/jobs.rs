//! `/v1/jobs`: work in the background. One shape for every kind of job.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::id::{JobId, ListId};
use crate::job::{Job, JobProgress, JobState, JobWork};

/// A job as it stands now. total = succeeded + failed; succeeded = contacts + merged.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct JobBody {
    /// Its id.
    pub id: JobId,
    /// What it does: `import_contacts`.
    pub kind: String,
    /// Where it stands.
    pub state: JobState,
    /// Records read so far.
    pub total: u64,
    /// Records that were taken.
    pub succeeded: u64,
    /// Records that were refused.
    pub failed: u64,
    /// Where the refused records are told, as CSV.
    pub errors_url: String,
    /// Records that put a number on the list.
    pub contacts: u64,
    /// Records whose number was on the list already.
    pub merged: u64,
    /// The list it imports into.
    #[schema(required = true)]
    pub list: Option<ListId>,
    /// Why the whole of it failed.
    #[schema(required = true)]
    pub error: Option<String>,
    /// When it was asked for, RFC 3339.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// When it last got on, RFC 3339.
    #[schema(format = DateTime)]
    pub updated_at: String,
}

impl JobBody {
    /// The body of a job; `progress` is missing until its owner has begun.
    pub fn of(job: &Job, progress: Option<&JobProgress>) -> Self {
        let (kind, list) = match &job.work {
            JobWork::ImportContacts { list, .. } => ("import_contacts", Some(*list)),
        };
        let contacts = progress.map_or(0, |progress| progress.contacts);
        let merged = progress.map_or(0, |progress| progress.merged);
        Self {
            id: job.id,
            kind: kind.to_owned(),
            state: progress.map_or(JobState::Pending, |progress| progress.state),
            total: progress.map_or(0, |progress| progress.records),
            succeeded: contacts + merged,
            failed: progress.map_or(0, |progress| progress.rejected),
            errors_url: format!("/v1/jobs/{}/errors", job.id),
            contacts,
            merged,
            list,
            error: progress.and_then(|progress| progress.error.clone()),
            created_at: job.created_at.to_rfc3339(),
            updated_at: progress
                .map_or(job.created_at, |progress| progress.updated_at)
                .to_rfc3339(),
        }
    }
}
