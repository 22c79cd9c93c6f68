//! `/livez` and `/readyz`: whether to restart this process, and whether to send it
//! requests. A dead provider is no reason for either.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use schemas::account::Account;
use serde_json::json;

use crate::doors::DoorState;
use crate::json::answer;

/// The process serves requests.
pub async fn live() -> HttpResponse {
    answer(StatusCode::OK, &json!({ "status": "ok" }))
}

/// The node can take work: it is not stopping, and its store can be read.
pub async fn ready(state: web::Data<DoorState>) -> HttpResponse {
    let prefix = Account::partition_key();
    let order = engine::store::Order::Ascending;
    let store_reads = state
        .store()
        .list::<Account>(&prefix, None, order, 1)
        .await
        .is_ok();
    let ready = store_reads && !state.is_closing();
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let word = |good: bool, bad: &'static str| if good { "ok" } else { bad };
    let checks = json!({
        "store": word(store_reads, "failed"),
        "node": word(!state.is_closing(), "stopping"),
    });
    HttpResponse::build(status)
        .json(json!({ "status": word(ready, "unavailable"), "checks": checks }))
}
