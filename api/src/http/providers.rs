//! `/v1/providers`

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use engine::pacing::{MIN_RATE, millionths};
use engine::provider::ProviderAccount;
use engine::store::{Replaced, StoreError};
use schemas::ProviderId;
use schemas::health::ProviderHealth;
use schemas::http::providers::{ProviderBody, ProviderHealthBody, ProviderPatch, ProvidersBody};
use schemas::provider::ProviderOrder;

use crate::auth::{AnyCaller, RootCaller};
use crate::doors::DoorState;
use crate::json::{JsonBody, answer};
use crate::parameters::PathId;
use crate::problem::{FieldProblems, Problem, ProblemCode};

/// Every provider account, in the order of the settings; for the holder of the root key with how
/// it does.
///
/// # Errors
/// The problem.
pub async fn list(caller: AnyCaller, state: web::Data<DoorState>) -> Result<HttpResponse, Problem> {
    let mut data = Vec::new();
    for account in &state.doors().providers {
        let mut body = body_of(account, &order(&state, account.id).await?);
        if caller == AnyCaller::Root {
            body.health = Some(health(&state, &body).await?);
        }
        data.push(body);
    }
    Ok(answer(StatusCode::OK, &ProvidersBody { data }))
}

/// One provider account and how it does, for the holder of the root key.
///
/// # Errors
/// The problem.
pub async fn show(
    _: RootCaller,
    state: web::Data<DoorState>,
    path: PathId<ProviderId>,
) -> Result<HttpResponse, Problem> {
    let account = find(&state, path.0)?;
    let mut body = body_of(account, &order(&state, account.id).await?);
    body.health = Some(health(&state, &body).await?);
    Ok(answer(StatusCode::OK, &body))
}

/// Changes the rate of a provider account, or lets nothing more go through it, for the
/// holder of the root key. The row is all that is written: the node reads it twice a second,
/// and when it starts.
///
/// # Errors
/// The problem.
pub async fn change(
    _: RootCaller,
    state: web::Data<DoorState>,
    path: PathId<ProviderId>,
    body: JsonBody<ProviderPatch>,
) -> Result<HttpResponse, Problem> {
    let account = find(&state, path.0)?;
    let mut problems = FieldProblems::default();
    let wanted = body.value;
    if let Some(rate) = wanted.rate
        && !(MIN_RATE..=account.rate).contains(&rate)
    {
        let most = account.rate;
        let detail = format!("is not from {MIN_RATE} to {most}, the rate of the settings");
        problems.field("/rate", ProblemCode::OutOfRange, detail);
    }
    problems.finish()?;
    let mut order = order(&state, account.id).await?;
    let order = loop {
        if let Some(rate) = wanted.rate {
            order.rate_millionths = Some(millionths(rate));
        }
        if let Some(enabled) = wanted.enabled {
            order.is_disabled = !enabled;
        }
        // The first order to an account is a new row, and may be what frees the disk.
        order = match state.store().for_commands().replace(order).await? {
            Replaced::Stored(order) => break order,
            Replaced::Conflict(other) => other.unwrap_or_else(|| ProviderOrder::none(account.id)),
        };
    };
    Ok(answer(StatusCode::OK, &body_of(account, &order)))
}

/// The provider account with this id.
pub(super) fn find(state: &DoorState, id: ProviderId) -> Result<&Arc<ProviderAccount>, Problem> {
    let account = state.provider(id);
    account.ok_or_else(|| Problem::new(ProblemCode::NotFound))
}

async fn order(state: &DoorState, provider: ProviderId) -> Result<ProviderOrder, StoreError> {
    let key = ProviderOrder::key_of(provider);
    let stored = state.store().get::<ProviderOrder>(&key).await?;
    Ok(stored.unwrap_or_else(|| ProviderOrder::none(provider)))
}

/// How an account does: what its sender wrote down, and that all is well before it wrote
/// anything. An order that it has not heard of yet holds all the same.
async fn health(state: &DoorState, body: &ProviderBody) -> Result<ProviderHealthBody, StoreError> {
    let key = ProviderHealth::key_of(body.id);
    let stored = state.store().get::<ProviderHealth>(&key).await?;
    let unknown = || ProviderHealth::unknown(body.id, millionths(body.rate));
    let mut health = ProviderHealthBody::of(&stored.unwrap_or_else(unknown));
    health.rate = health.rate.min(body.rate);
    Ok(health)
}

fn body_of(account: &ProviderAccount, order: &ProviderOrder) -> ProviderBody {
    ProviderBody {
        id: account.id,
        name: account.name.clone(),
        senders: account.senders.clone(),
        default_sender: account.default_sender.clone(),
        rate: order.rate(account.rate),
        rate_limit: account.rate,
        enabled: !order.is_disabled,
        unit: "segments/s".to_owned(),
        max_in_flight: account.max_in_flight,
        health: None,
    }
}
