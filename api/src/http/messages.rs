//! `/v1/messages`

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use engine::intake::Acceptance;
use schemas::http::messages::{MessageBody, MessageRequest};
use schemas::message::{Intake, Message, message_key};
use schemas::{AccountId, MessageId};

use super::message_listing::{Filter, page};
use super::outgoing;
use crate::auth::Caller;
use crate::doors::DoorState;
use crate::idempotency::IdempotencyHeader;
use crate::json::{JsonBody, answer, created};
use crate::parameters::PathId;
use crate::problem::{Problem, ProblemCode};

/// Takes a message in: 202 only after it is durable.
///
/// # Errors
/// The problem; the message was not taken then.
pub async fn send(
    caller: Caller,
    state: web::Data<DoorState>,
    header: IdempotencyHeader,
    body: JsonBody<MessageRequest>,
) -> Result<HttpResponse, Problem> {
    let account = caller.0;
    // Before judging: the first request was judged by its own time and settings. Of one that
    // broke off behind its claim there is no message yet: this one makes it.
    if let Some(claim) = header.earlier(&state, account, &body.raw).await?
        && let Some(answer) = replayed(&state, account, MessageId::from_bytes(claim.id)).await?
    {
        return Ok(answer);
    }
    let envelope = outgoing::envelope(&state, account, body.value)?;
    let id = envelope.id;
    let claim = header.row(&state, account, &body.raw, *id.as_bytes());
    let accepted = Intake {
        envelope: Arc::new(envelope.clone()),
    };
    match state.doors().intake.accept(envelope, claim).await? {
        Acceptance::Accepted(_) => Ok(accepted_answer(&accepted, false)),
        Acceptance::Replayed(id) => replayed(&state, account, id)
            .await?
            .ok_or_else(|| Problem::new(ProblemCode::IdempotencyInFlight)),
        Acceptance::KeyReused => Err(Problem::new(ProblemCode::IdempotencyKeyReused)),
    }
}

/// The answer to a request that is a repeat, if the message of the first is there.
async fn replayed(
    state: &DoorState,
    account: AccountId,
    id: MessageId,
) -> Result<Option<HttpResponse>, Problem> {
    let key = message_key(account, id);
    let Some(intake) = state.store().get::<Intake>(&key).await? else {
        return Ok(None);
    };
    // 202 is a promise each time.
    state.doors().intake.confirm(&intake).await?;
    Ok(Some(accepted_answer(&intake, true)))
}

/// The same body for the first request and every repeat: the message as it was
/// accepted.
fn accepted_answer(intake: &Intake, replayed: bool) -> HttpResponse {
    let location = format!("/v1/messages/{}", intake.envelope.id);
    let body = MessageBody::of_intake(intake);
    created(StatusCode::ACCEPTED, &location, replayed, &body)
}

/// A message with its whole timeline.
///
/// # Errors
/// The problem.
pub async fn show(
    caller: Caller,
    state: web::Data<DoorState>,
    path: PathId<MessageId>,
) -> Result<HttpResponse, Problem> {
    let key = message_key(caller.0, path.0);
    if let Some(message) = state.store().get::<Message>(&key).await? {
        return Ok(answer(StatusCode::OK, &MessageBody::whole(&message)));
    }
    match state.store().get::<Intake>(&key).await? {
        Some(intake) => Ok(answer(StatusCode::OK, &MessageBody::whole_intake(&intake))),
        None => Err(Problem::new(ProblemCode::NotFound)),
    }
}

/// A page of messages, newest first.
///
/// # Errors
/// The problem.
pub async fn list(
    caller: Caller,
    state: web::Data<DoorState>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let filter = Filter::of(&state, caller.0, &request).await?;
    Ok(answer(
        StatusCode::OK,
        &page(&state, caller.0, filter).await?,
    ))
}
