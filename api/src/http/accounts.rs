//! `/v1/accounts`, for the holder of the root key.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use schemas::AccountId;
use schemas::account::Account;
use schemas::http::accounts::{AccountBody, AccountRequest, KeyRequest, NewKeyBody};

use super::fields::{name_or, required_name};
use crate::accounts;
use crate::auth::RootCaller;
use crate::doors::DoorState;
use crate::json::{JsonBody, answer};
use crate::parameters::PathId;
use crate::problem::{FieldProblems, Problem, ProblemCode};

/// Makes an account.
///
/// # Errors
/// The problem.
pub async fn create(
    _: RootCaller,
    state: web::Data<DoorState>,
    body: JsonBody<AccountRequest>,
) -> Result<HttpResponse, Problem> {
    let mut problems = FieldProblems::default();
    let name = required_name(&mut problems, body.value.name);
    let weight = weight(&mut problems, body.value.weight);
    problems.finish()?;
    let account = accounts::create_account(state.store(), state.runtime(), name, weight).await?;
    let body = AccountBody {
        id: account.id,
        name: account.name,
        weight: account.weight,
        created_at: account.created_at.to_rfc3339(),
    };
    Ok(answer(StatusCode::CREATED, &body))
}

/// A share beside other accounts.
fn weight(problems: &mut FieldProblems, given: Option<u64>) -> u32 {
    let plain = Account::plain_weight();
    let weight = given.map_or(Ok(plain), u32::try_from);
    match weight {
        Ok(weight) if (1..=Account::MOST_WEIGHT).contains(&weight) => weight,
        Ok(_) | Err(_) => {
            let detail = format!("is not from 1 to {}", Account::MOST_WEIGHT);
            problems.field("/weight", ProblemCode::OutOfRange, detail);
            plain
        }
    }
}

/// Makes an API key. The answer is the only place where its secret is ever shown.
///
/// # Errors
/// The problem.
pub async fn create_key(
    _: RootCaller,
    state: web::Data<DoorState>,
    path: PathId<AccountId>,
    body: JsonBody<KeyRequest>,
) -> Result<HttpResponse, Problem> {
    let mut problems = FieldProblems::default();
    let name = name_or(&mut problems, body.value.name, || "default".to_owned());
    problems.finish()?;
    let made = accounts::create_key(state.store(), state.runtime(), path.0, name).await?;
    let (key, secret) = made.ok_or_else(|| Problem::new(ProblemCode::NotFound))?;
    let body = NewKeyBody {
        id: key.id,
        account: key.account,
        name: key.name,
        secret: secret.expose().to_owned(),
        created_at: key.created_at.to_rfc3339(),
    };
    Ok(answer(StatusCode::CREATED, &body))
}
