//! `/v1/jobs`

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::web::Bytes;
use actix_web::{HttpResponse, web};
use engine::store::{Cursor, Order, Store};
use futures::Stream;
use schemas::JobId;
use schemas::http::jobs::JobBody;
use schemas::job::{Job, JobProgress, JobReject};
use schemas::record::KeyPart;

use crate::auth::Caller;
use crate::doors::DoorState;
use crate::json::answer;
use crate::parameters::PathId;
use crate::problem::{Problem, ProblemCode};

/// Refused records that are read at a time: some 100 kB of CSV.
const REJECTS_A_PAGE: usize = 1_000;

/// A job as it stands now.
///
/// # Errors
/// The problem.
pub async fn show(
    caller: Caller,
    state: web::Data<DoorState>,
    path: PathId<JobId>,
) -> Result<HttpResponse, Problem> {
    let job = find(&state, &caller, path.0).await?;
    let progress = progress_of(&state, job.id).await?;
    Ok(answer(
        StatusCode::OK,
        &JobBody::of(&job, progress.as_ref()),
    ))
}

/// The refused records as CSV, as far as the job has come.
///
/// # Errors
/// The problem.
pub async fn errors(
    caller: Caller,
    state: web::Data<DoorState>,
    path: PathId<JobId>,
) -> Result<HttpResponse, Problem> {
    let job = find(&state, &caller, path.0).await?;
    Ok(HttpResponse::Ok()
        .content_type("text/csv; charset=utf-8")
        .streaming(rejects(state.into_inner(), job.id)))
}

/// How far a job is, over all owners of its parts.
pub(super) async fn progress_of(
    state: &DoorState,
    job: JobId,
) -> Result<Option<JobProgress>, Problem> {
    let owners = state.doors().ownership.owners();
    let prefix = JobProgress::partition_key(job);
    let store = state.store();
    let parts = store.list::<JobProgress>(&prefix, None, Order::Ascending, owners.into());
    Ok(JobProgress::whole(parts.await?.rows, owners))
}

async fn find(state: &DoorState, caller: &Caller, id: JobId) -> Result<Job, Problem> {
    let job = state.store().get::<Job>(&Job::key_of(caller.0, id)).await?;
    job.ok_or_else(|| Problem::new(ProblemCode::NotFound))
}

/// Where the stream of refused records is.
enum Place {
    Start,
    After(Cursor),
    End,
}

fn rejects(
    state: Arc<DoorState>,
    job: JobId,
) -> impl Stream<Item = Result<Bytes, Problem>> + 'static {
    futures::stream::try_unfold(Place::Start, move |place| {
        let store = state.store().clone();
        async move {
            let (head, after) = match place {
                Place::Start => (true, None),
                Place::After(cursor) => (false, Some(cursor)),
                Place::End => return Ok(None),
            };
            let (chunk, next) = chunk(&store, job, head, after).await?;
            Ok(Some((chunk, next.map_or(Place::End, Place::After))))
        }
    })
}

async fn chunk(
    store: &Store,
    job: JobId,
    head: bool,
    after: Option<Cursor>,
) -> Result<(Bytes, Option<Cursor>), Problem> {
    let prefix = [KeyPart::Id(*job.as_bytes())];
    let order = Order::Ascending;
    let page = store
        .list::<JobReject>(&prefix, after.as_ref(), order, REJECTS_A_PAGE)
        .await?;
    let mut writer = csv::Writer::from_writer(Vec::new());
    if head {
        writer
            .write_record(["line", "column", "reason"])
            .map_err(|error| Problem::internal(&error))?;
    }
    for reject in &page.rows {
        let line = reject.line.to_string();
        let column = reject.column.as_deref().unwrap_or("");
        writer
            .write_record([&line, column, &reject.reason])
            .map_err(|error| Problem::internal(&error))?;
    }
    let bytes = writer
        .into_inner()
        .map_err(|error| Problem::internal(&error))?;
    Ok((Bytes::from(bytes), page.next))
}
