//! `/v1/contact-lists/{id}/imports`: a contacts file becomes a job.
//!
//! The body is written to the node's folder as it comes and is never in memory whole.
//! Only when the file is durable is the job's row stored, and only then is the node
//! told; a crash in between leaves a file that nobody names, or a job that the next
//! start finds. Where rows are on servers the file is kept there as well: the import may be
//! another node's.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

use actix_web::http::StatusCode;
use actix_web::web::{Bytes, BytesMut, Payload};
use actix_web::{HttpRequest, HttpResponse, web};
use actors::import::Imports;
use actors::import::shared::{SharedError, forget, share};
use engine::contacts::PhoneParser;
use engine::runtime::Runtime;
use engine::store::PutOnce;
use futures::StreamExt;
use schemas::campaign::ControlRecord;
use schemas::contact::ContactList;
use schemas::http::jobs::JobBody;
use schemas::job::{Job, JobWork};
use schemas::{JobId, ListId};
use sha2::{Digest, Sha256};

use super::campaigns::announce;
use super::jobs::progress_of;
use crate::auth::Caller;
use crate::doors::DoorState;
use crate::idempotency::IdempotencyHeader;
use crate::json::{BODY_TIMEOUT, created, too_large};
use crate::parameters::{PathId, Query};
use crate::problem::{Problem, ProblemCode, wrong_field};

/// Bytes that are collected before they are written: each write goes to another thread.
const WRITE_BYTES: usize = 256 * 1_024;

/// Takes a contacts file in.
///
/// # Errors
/// The problem; nothing is imported then.
pub async fn create(
    caller: Caller,
    state: web::Data<DoorState>,
    path: PathId<ListId>,
    header: IdempotencyHeader,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let account = caller.0;
    let work = judge(path.0, &request)?;
    let list = state
        .store()
        .get::<ContactList>(&ContactList::key_of(account, path.0))
        .await?;
    list.ok_or_else(|| Problem::new(ProblemCode::NotFound))?;

    let now = state.runtime().now();
    let id = JobId::mint(now, state.runtime().random_bytes());
    let uploaded = Uploaded::receive(&state, id, payload).await?;
    let claim = header
        .claim_hashed(&state, account, uploaded.sha256.clone(), *id.as_bytes())
        .await?;
    let job = Job {
        account,
        id: JobId::from_bytes(claim.id),
        work,
        created_at: now,
    };
    let job = match state
        .store()
        .get::<Job>(&Job::key_of(account, job.id))
        .await?
    {
        Some(earlier) => earlier,
        None => {
            let (imports, runtime) = (&state.doors().imports, state.runtime());
            uploaded.keep_as(runtime, imports, job.id).await?;
            let shared = share(imports, state.store(), runtime, job.id).await;
            let ownership = &state.doors().ownership;
            if shared.is_err() || ownership.owners() > 1 || !ownership.is_first() {
                // Nobody reads it in, or whoever does has it from its rows.
                forget(imports, runtime, job.id).await?;
            }
            shared.map_err(not_shared)?;
            match state.store().put_once(&job).await? {
                PutOnce::Stored => job,
                PutOnce::Exists(earlier) => earlier,
            }
        }
    };
    // Told again on a replay: the first request may have ended before it was told.
    let record = ControlRecord::JobCreated {
        account,
        job: job.id,
    };
    announce(&state, &record).await?;
    let progress = progress_of(&state, job.id).await?;
    let location = format!("/v1/jobs/{}", job.id);
    let body = JobBody::of(&job, progress.as_ref());
    Ok(created(
        StatusCode::ACCEPTED,
        &location,
        claim.replayed,
        &body,
    ))
}

fn judge(list: ListId, request: &HttpRequest) -> Result<JobWork, Problem> {
    let mut query = Query::of(request);
    let region = "the two-letter code of a region with telephone numbers, such as US";
    let default_region = query.read("region", ProblemCode::InvalidValue, region, |text| {
        PhoneParser::new(Some(text))
            .is_ok()
            .then(|| text.to_ascii_uppercase())
    });
    let phone_column = query.text("phone_column");
    query.finish()?;
    Ok(JobWork::ImportContacts {
        list,
        default_region,
        phone_column,
    })
}

/// A file that was received whole and lies beside its place. It is deleted unless it
/// is kept.
struct Uploaded {
    sha256: Sha256,
    file: File,
    path: TemporaryPath,
}

/// Deletes the file when it is dropped, also when the client goes away half-way.
struct TemporaryPath(PathBuf);

impl Drop for TemporaryPath {
    fn drop(&mut self) {
        match std::fs::remove_file(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, "an unfinished upload cannot be deleted");
            }
            Ok(()) | Err(_) => {}
        }
    }
}

impl Uploaded {
    async fn receive(state: &DoorState, id: JobId, mut payload: Payload) -> Result<Self, Problem> {
        let path = TemporaryPath(state.doors().imports.unfinished_of(id));
        let runtime = state.runtime();
        let target = path.0.clone();
        let mut file = runtime
            .blocking(move || File::create_new(target))
            .await?
            .map_err(file_problem)?;
        let (mut sha256, mut buffer, mut length) = (Sha256::new(), BytesMut::new(), 0_u64);
        while let Some(chunk) = next_piece(&mut payload).await? {
            length += chunk.len() as u64;
            if length > state.import_limit_bytes() {
                return Err(too_large(state.import_limit_bytes()));
            }
            sha256.update(&chunk);
            buffer.extend_from_slice(&chunk);
            if buffer.len() >= WRITE_BYTES {
                file = write(runtime, file, buffer.split().freeze()).await?;
            }
        }
        if length == 0 {
            return Err(wrong_field(
                "",
                ProblemCode::Required,
                "the contacts file is empty",
            ));
        }
        file = write(runtime, file, buffer.freeze()).await?;
        Ok(Self { sha256, file, path })
    }

    /// Makes the file durable as that of a job.
    async fn keep_as(
        self,
        runtime: &Runtime,
        imports: &Imports,
        job: JobId,
    ) -> Result<(), Problem> {
        let Self { file, path, .. } = self;
        let (from, imports) = (path.0.clone(), imports.clone());
        let kept = move || imports.keep(&file, &from, job);
        runtime.blocking(kept).await?.map_err(file_problem)
    }
}

/// The next piece of the file; none at its end.
async fn next_piece(payload: &mut Payload) -> Result<Option<Bytes>, Problem> {
    let piece = tokio::time::timeout(BODY_TIMEOUT, payload.next()).await;
    let piece = piece.map_err(|_| Problem::new(ProblemCode::RequestTimeout))?;
    let broke_off = |_| Problem::with_detail(ProblemCode::BadRequest, "the body broke off");
    piece.transpose().map_err(broke_off)
}

async fn write(runtime: &Runtime, mut file: File, bytes: Bytes) -> Result<File, Problem> {
    let written = runtime
        .blocking(move || file.write_all(&bytes).map(|()| file))
        .await?;
    written.map_err(file_problem)
}

fn not_shared(error: SharedError) -> Problem {
    match error {
        SharedError::Store(error) => error.into(),
        SharedError::File(error) => file_problem(error),
        SharedError::WorkLost(error) => error.into(),
    }
}

fn file_problem(error: io::Error) -> Problem {
    if matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    ) {
        Problem::new(ProblemCode::DiskFull)
    } else {
        Problem::internal(&error)
    }
}
