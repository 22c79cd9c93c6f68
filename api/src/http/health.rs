//! `/livez` and `/readyz`: whether to restart this process, and whether to send it
//! requests. A dead provider is no reason for either.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use schemas::account::Account;
use schemas::http::health::{LiveBody, ReadyBody, ReadyChecks};

use crate::doors::DoorState;
use crate::json::answer;
use crate::problem::{Problem, ProblemCode};

/// The process serves requests.
pub async fn live() -> HttpResponse {
    answer(StatusCode::OK, &LiveBody { status: ok() })
}

/// The node can take work: it is not stopping, and its store can be read.
///
/// # Errors
/// `unavailable`, with what is wrong.
pub async fn ready(state: web::Data<DoorState>) -> Result<HttpResponse, Problem> {
    let not_ready = |why| Problem::with_detail(ProblemCode::Unavailable, why);
    if state.is_closing() {
        return Err(not_ready("the node is stopping"));
    }
    let prefix = Account::partition_key();
    let order = engine::store::Order::Ascending;
    let read = state.store().list::<Account>(&prefix, None, order, 1).await;
    if let Err(error) = read {
        tracing::error!(%error, "the store cannot be read");
        return Err(not_ready("the store cannot be read"));
    }
    let checks = ReadyChecks {
        store: ok(),
        node: ok(),
    };
    let body = ReadyBody {
        status: ok(),
        checks,
    };
    Ok(answer(StatusCode::OK, &body))
}

fn ok() -> String {
    "ok".to_owned()
}
