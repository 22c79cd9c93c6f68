//! `/metrics`: the numbers of this process, in Prometheus' text format.

use actix_web::{HttpResponse, web};
use metrics_exporter_prometheus::PrometheusHandle;

use crate::doors::DoorState;

/// Prometheus' text format, version 0.0.4.
const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All numbers.
pub async fn show(state: web::Data<DoorState>) -> HttpResponse {
    page(&state.doors().metrics)
}

/// All numbers, as a page.
pub(crate) fn page(numbers: &PrometheusHandle) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(MEDIA_TYPE)
        .body(numbers.render())
}
