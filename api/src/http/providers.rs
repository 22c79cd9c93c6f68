//! `/v1/providers`

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use schemas::http::providers::{ProviderBody, ProvidersBody};

use crate::auth::Caller;
use crate::doors::DoorState;
use crate::json::answer;

/// Every provider account, in the order of the settings.
pub async fn list(_: Caller, state: web::Data<DoorState>) -> HttpResponse {
    let accounts = state.doors().providers.iter();
    let data = accounts
        .map(|account| ProviderBody {
            id: account.id,
            name: account.name.clone(),
            senders: account.senders.clone(),
            default_sender: account.default_sender.clone(),
            rate: account.rate,
            unit: "segments/s".to_owned(),
            max_in_flight: account.max_in_flight,
        })
        .collect();
    answer(StatusCode::OK, &ProvidersBody { data })
}
