//! The table of routes.

use actix_web::http::header::ALLOW;
use actix_web::middleware::from_fn;
use actix_web::{HttpResponse, Resource, ResponseError, web};

use super::{
    accounts, campaign_commands, campaigns, contact_lists, health, imports, jobs, messages,
    metrics, providers, verifications, webhooks,
};
use crate::auth::authenticate;
use crate::problem::{Problem, ProblemCode};

/// Every route. What lies under `/v1`, but for the webhooks, needs a key, also to learn
/// that a path does not exist.
pub fn configure(config: &mut web::ServiceConfig) {
    config
        .service(only("/livez", "GET").route(web::get().to(health::live)))
        .service(only("/readyz", "GET").route(web::get().to(health::ready)))
        .service(only("/metrics", "GET").route(web::get().to(metrics::show)))
        .service(only("/v1/webhooks/{id}/status", "POST").route(web::post().to(webhooks::status)))
        .service(only("/v1/webhooks/{id}/inbound", "POST").route(web::post().to(webhooks::inbound)))
        .service(
            web::scope("/v1")
                .wrap(from_fn(authenticate))
                .configure(with_key),
        )
        .default_service(web::to(not_found));
}

fn with_key(config: &mut web::ServiceConfig) {
    config
        .service(
            only("/messages", "GET, POST")
                .route(web::get().to(messages::list))
                .route(web::post().to(messages::send)),
        )
        .service(only("/messages/{id}", "GET").route(web::get().to(messages::show)))
        .service(only("/contact-lists", "POST").route(web::post().to(contact_lists::create)))
        .service(only("/contact-lists/{id}/imports", "POST").route(web::post().to(imports::create)))
        .service(only("/jobs/{id}", "GET").route(web::get().to(jobs::show)))
        .service(only("/jobs/{id}/errors", "GET").route(web::get().to(jobs::errors)))
        .service(only("/campaigns", "POST").route(web::post().to(campaigns::create)))
        .service(only("/campaigns/{id}", "GET").route(web::get().to(campaigns::show)))
        .service(only("/campaigns/{id}/start", "POST").route(web::post().to(campaigns::start)))
        .service(
            only("/campaigns/{id}/pause", "POST").route(web::post().to(campaign_commands::pause)),
        )
        .service(
            only("/campaigns/{id}/resume", "POST").route(web::post().to(campaign_commands::resume)),
        )
        .service(
            only("/campaigns/{id}/cancel", "POST").route(web::post().to(campaign_commands::cancel)),
        )
        .service(only("/providers", "GET").route(web::get().to(providers::list)))
        .service(only("/providers/{id}", "PATCH").route(web::patch().to(providers::change)))
        .service(only("/accounts", "POST").route(web::post().to(accounts::create)))
        .service(only("/accounts/{id}/keys", "POST").route(web::post().to(accounts::create_key)))
        .service(only("/verifications", "POST").route(web::post().to(verifications::create)))
        .default_service(web::to(not_found));
}

/// A path that takes only the methods named in `allowed`.
fn only(path: &str, allowed: &'static str) -> Resource {
    web::resource(path).default_service(web::to(move || async move { not_allowed(allowed) }))
}

fn not_allowed(allowed: &'static str) -> HttpResponse {
    let mut response = Problem::new(ProblemCode::MethodNotAllowed).error_response();
    let allowed = actix_web::http::header::HeaderValue::from_static(allowed);
    response.headers_mut().insert(ALLOW, allowed);
    response
}

async fn not_found() -> Result<HttpResponse, Problem> {
    Err(Problem::new(ProblemCode::NotFound))
}
