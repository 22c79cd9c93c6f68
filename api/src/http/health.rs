//! `/livez` and `/readyz`: whether to restart this process, and whether to send it
//! requests. A dead provider is no reason for either.

use std::fmt::Display;
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
use crate::problem::Problem;

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
    if state.is_closing() {
        return Err(Problem::unavailable("the node is stopping"));
    }
    let prefix = Account::partition_key();
    let order = engine::store::Order::Ascending;
    let read = state.store().list::<Account>(&prefix, None, order, 1);
    check(&state, "store", read).await?;
    let end = state.doors().log.end(Topic::Control, Partition(0));
    check(&state, "log", end).await?;
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

/// Whether what a node stands on can be read, and answers in time.
async fn check<T, E: Display>(
    state: &DoorState,
    what: &str,
    read: impl Future<Output = Result<T, E>>,
) -> Result<(), Problem> {
    let late = state.runtime().sleep(ANSWER_WITHIN);
    match select(pin!(read), pin!(late)).await {
        Either::Left((Ok(_), _)) => Ok(()),
        Either::Left((Err(error), _)) => {
            tracing::error!(%error, "the {what} cannot be read");
            Err(Problem::unavailable(format!("the {what} cannot be read")))
        }
        Either::Right(_) => Err(Problem::unavailable(format!("the {what} does not answer"))),
    }
}

fn ok() -> String {
    "ok".to_owned()
}
