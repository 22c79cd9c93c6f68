//! `/metrics`: the numbers of this process, in Prometheus' text format.

use actix_web::{HttpResponse, web};

use crate::doors::DoorState;

/// Prometheus' text format, version 0.0.4.
const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All numbers.
pub async fn show(state: web::Data<DoorState>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(MEDIA_TYPE)
        .body(state.doors().metrics.render())
}
