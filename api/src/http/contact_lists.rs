//! `/v1/contact-lists`

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use engine::store::Replaced;
use schemas::ListId;
use schemas::contact::ContactList;
use schemas::http::contact_lists::{ContactListBody, ContactListRequest};

use super::fields::required_name;
use crate::auth::Caller;
use crate::doors::DoorState;
use crate::idempotency::IdempotencyHeader;
use crate::json::{JsonBody, created};
use crate::problem::{FieldProblems, Problem, ProblemCode};

/// Makes an empty list.
///
/// # Errors
/// The problem.
pub async fn create(
    caller: Caller,
    state: web::Data<DoorState>,
    header: IdempotencyHeader,
    body: JsonBody<ContactListRequest>,
) -> Result<HttpResponse, Problem> {
    let mut problems = FieldProblems::default();
    let name = required_name(&mut problems, body.value.name);
    problems.finish()?;
    let now = state.runtime().now();
    let id = ListId::mint(now, state.runtime().random_bytes());
    let claim = header
        .claim(&state, caller.0, &body.raw, *id.as_bytes())
        .await?;
    let list = ContactList {
        account: caller.0,
        id: ListId::from_bytes(claim.id),
        name,
        created_at: now,
        version: 0,
    };
    let list = match state.store().replace(list).await? {
        Replaced::Stored(list) | Replaced::Conflict(Some(list)) => list,
        Replaced::Conflict(None) => return Err(Problem::new(ProblemCode::Conflict)),
    };
    let location = format!("/v1/contact-lists/{}", list.id);
    let body = ContactListBody::of(&list);
    Ok(created(
        StatusCode::CREATED,
        &location,
        claim.replayed,
        &body,
    ))
}
