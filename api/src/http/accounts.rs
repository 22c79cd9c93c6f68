//! `/v1/accounts`, for the holder of the root key.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use engine::store::Replaced;
use schemas::AccountId;
use schemas::account::Account;
use schemas::campaign::ControlRecord;
use schemas::http::accounts::{AccountBody, AccountPatch, AccountRequest, KeyRequest, NewKeyBody};

use super::campaigns::announce_command;
use super::fields::{name_or, rate_millionths, refused, required_name};
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
    let weight = body.value.weight;
    let weight = weight.map_or(Account::plain_weight(), |given| {
        self::weight(&mut problems, given)
    });
    let rate = body.value.rate;
    let rate = rate.map(|rate| rate_millionths(&mut problems, rate));
    problems.finish()?;
    let (store, runtime) = (state.store(), state.runtime());
    let account = accounts::create_account(store, runtime, name, weight, rate).await?;
    if rate.is_some() {
        tell(&state, &account).await?;
    }
    Ok(answer(StatusCode::CREATED, &body_of(account)))
}

/// Changes how fast an account goes, or its share beside others: within a second, and over
/// restarts.
///
/// # Errors
/// The problem.
pub async fn change(
    _: RootCaller,
    state: web::Data<DoorState>,
    path: PathId<AccountId>,
    body: JsonBody<AccountPatch>,
) -> Result<HttpResponse, Problem> {
    let mut problems = FieldProblems::default();
    let weight = body.value.weight;
    let weight = weight.map(|given| self::weight(&mut problems, given));
    let rate = body.value.rate;
    let rate = rate.map(|given| given.map(|rate| rate_millionths(&mut problems, rate)));
    let not_found = || Problem::new(ProblemCode::NotFound);
    let key = Account::key_of(path.0);
    let known = state.store().get::<Account>(&key).await?;
    let mut account = known.ok_or_else(not_found)?;
    problems.finish()?;
    let account = loop {
        account.weight = weight.unwrap_or(account.weight);
        account.rate_millionths = rate.unwrap_or(account.rate_millionths);
        account = match state.store().replace(account).await? {
            Replaced::Stored(account) => break account,
            Replaced::Conflict(other) => other.ok_or_else(not_found)?,
        };
    };
    tell(&state, &account).await?;
    Ok(answer(StatusCode::OK, &body_of(account)))
}

/// Tells every node that an account's row was changed.
async fn tell(state: &DoorState, account: &Account) -> Result<(), Problem> {
    let account = account.id;
    announce_command(state, &ControlRecord::AccountChanged { account }).await
}

fn body_of(account: Account) -> AccountBody {
    AccountBody {
        id: account.id,
        rate: account.rate(),
        name: account.name,
        weight: account.weight,
        created_at: account.created_at.to_rfc3339(),
    }
}

/// A share beside other accounts.
fn weight(problems: &mut FieldProblems, given: u64) -> u32 {
    match u32::try_from(given) {
        Ok(weight) if (1..=Account::MOST_WEIGHT).contains(&weight) => weight,
        Ok(_) | Err(_) => {
            let detail = format!("is not from 1 to {}", Account::MOST_WEIGHT);
            problems.field("/weight", ProblemCode::OutOfRange, detail);
            refused()
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
