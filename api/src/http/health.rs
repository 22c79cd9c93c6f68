//! `/livez` and `/readyz`: whether to restart this process, and whether to send it
//! requests. A dead provider is no reason for either.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use engine::log::Topic;
use futures::future::{Either, select};
use schemas::Partition;
use schemas::account::Account;
use schemas::http::health::{LiveBody, ReadyBody, ReadyChecks};

use crate::doors::DoorState;
use crate::json::answer;
use crate::problem::{Problem, ProblemCode};

/// The process serves requests.
pub async fn live() -> HttpResponse {
    answer(StatusCode::OK, &LiveBody { status: ok() })
}

/// How long each of what a node stands on may take to answer: those who ask wait some seconds.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// The node can take work: it is not stopping, and its store and its log can be read.
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
    let read = state.store().list::<Account>(&prefix, None, order, 1);
    match within(&state, read).await {
        Some(Ok(_)) => {}
        Some(Err(error)) => {
            tracing::error!(%error, "the store cannot be read");
            return Err(not_ready("the store cannot be read"));
        }
        None => return Err(not_ready("the store does not answer")),
    }
    match within(&state, state.doors().log.end(Topic::Control, Partition(0))).await {
        Some(Ok(_)) => {}
        Some(Err(error)) => {
            tracing::error!(%error, "the log cannot be read");
            return Err(not_ready("the log cannot be read"));
        }
        None => return Err(not_ready("the log does not answer")),
    }
    let checks = ReadyChecks {
        store: ok(),
        log: ok(),
        node: ok(),
    };
    let body = ReadyBody {
        status: ok(),
        checks,
    };
    Ok(answer(StatusCode::OK, &body))
}

/// What somebody says, unless it takes too long.
async fn within<T>(state: &DoorState, said: impl Future<Output = T>) -> Option<T> {
    let late = state.runtime().sleep(ANSWER_WITHIN);
    match select(pin!(said), pin!(late)).await {
        Either::Left((said, _)) => Some(said),
        Either::Right(_) => None,
    }
}

fn ok() -> String {
    "ok".to_owned()
}
