//! The table of routes. The document of the API is held against it by a test.

use actix_web::http::Method;
use actix_web::http::header::{ALLOW, HeaderValue};
use actix_web::middleware::from_fn;
use actix_web::{HttpResponse, Resource, ResponseError, Route, web};

use super::{
    accounts, campaign_change, campaign_commands, campaigns, contact_lists, docs, health, imports,
    jobs, messages, metrics, openapi, providers, verifications, webhooks,
};
use crate::admission::admit;
use crate::auth::authenticate;
use crate::problem::{Problem, ProblemCode};

/// What needs a key lies under this.
const KEYED: &str = "/v1";

/// A method and who answers to it.
type Answerer = (Method, fn() -> Route);

/// A path and its methods.
struct Path {
    path: &'static str,
    methods: &'static [Answerer],
}

const fn path(path: &'static str, methods: &'static [Answerer]) -> Path {
    Path { path, methods }
}

/// What needs no key: what machines look at, the document of the API, and webhooks, which
/// are signed.
const OPEN: &[Path] = &[
    path("/livez", &[(Method::GET, || web::to(health::live))]),
    path("/readyz", &[(Method::GET, || web::to(health::ready))]),
    path("/metrics", &[(Method::GET, || web::to(metrics::show))]),
    path("/openapi.json", &[(Method::GET, || web::to(openapi::show))]),
    path("/docs", &[(Method::GET, || web::to(docs::page))]),
    path(
        "/docs/page.js",
        &[(Method::GET, || web::to(docs::page_script))],
    ),
    path(
        "/docs/scalar.js",
        &[(Method::GET, || web::to(docs::scalar))],
    ),
    path(
        "/v1/webhooks/{id}/status",
        &[(Method::POST, || web::to(webhooks::status))],
    ),
    path(
        "/v1/webhooks/{id}/inbound",
        &[(Method::POST, || web::to(webhooks::inbound))],
    ),
];

/// What needs a key; the paths stand under [`KEYED`].
const WITH_KEY: &[Path] = &[
    path(
        "/messages",
        &[
            (Method::GET, || web::to(messages::list)),
            (Method::POST, || web::to(messages::send)),
        ],
    ),
    path(
        "/messages/{id}",
        &[(Method::GET, || web::to(messages::show))],
    ),
    path(
        "/contact-lists",
        &[(Method::POST, || web::to(contact_lists::create))],
    ),
    path(
        "/contact-lists/{id}/imports",
        &[(Method::POST, || web::to(imports::create))],
    ),
    path("/jobs/{id}", &[(Method::GET, || web::to(jobs::show))]),
    path(
        "/jobs/{id}/errors",
        &[(Method::GET, || web::to(jobs::errors))],
    ),
    path(
        "/campaigns",
        &[(Method::POST, || web::to(campaigns::create))],
    ),
    path(
        "/campaigns/{id}",
        &[
            (Method::GET, || web::to(campaigns::show)),
            (Method::PATCH, || web::to(campaign_change::change)),
        ],
    ),
    path(
        "/campaigns/{id}/start",
        &[(Method::POST, || web::to(campaigns::start))],
    ),
    path(
        "/campaigns/{id}/pause",
        &[(Method::POST, || web::to(campaign_commands::pause))],
    ),
    path(
        "/campaigns/{id}/resume",
        &[(Method::POST, || web::to(campaign_commands::resume))],
    ),
    path(
        "/campaigns/{id}/cancel",
        &[(Method::POST, || web::to(campaign_commands::cancel))],
    ),
    path("/providers", &[(Method::GET, || web::to(providers::list))]),
    path(
        "/providers/{id}",
        &[
            (Method::GET, || web::to(providers::show)),
            (Method::PATCH, || web::to(providers::change)),
        ],
    ),
    path("/accounts", &[(Method::POST, || web::to(accounts::create))]),
    path(
        "/accounts/{id}",
        &[(Method::PATCH, || web::to(accounts::change))],
    ),
    path(
        "/accounts/{id}/keys",
        &[(Method::POST, || web::to(accounts::create_key))],
    ),
    path(
        "/verifications",
        &[(Method::POST, || web::to(verifications::create))],
    ),
];

/// Every route. What lies under `/v1`, but for the webhooks, needs a key, also to learn
/// that a path does not exist.
pub fn configure(config: &mut web::ServiceConfig) {
    for path in OPEN {
        config.service(resource(path));
    }
    config
        .service(
            web::scope(KEYED)
                // The last is the first that a request comes to.
                .wrap(from_fn(admit))
                .wrap(from_fn(authenticate))
                .configure(with_key),
        )
        .default_service(web::to(not_found));
}

fn with_key(config: &mut web::ServiceConfig) {
    for path in WITH_KEY {
        config.service(resource(path));
    }
    config.default_service(web::to(not_found));
}

/// A path that takes only its own methods.
fn resource(path: &Path) -> Resource {
    let methods = path.methods;
    let mut resource = web::resource(path.path);
    for (method, route) in methods {
        resource = resource.route(route().method(method.clone()));
    }
    resource.default_service(web::to(move || async move { not_allowed(methods) }))
}

fn not_allowed(methods: &[Answerer]) -> HttpResponse {
    let mut response = Problem::new(ProblemCode::MethodNotAllowed).error_response();
    let words: Vec<_> = methods.iter().map(|(method, _)| method.as_str()).collect();
    if let Ok(allowed) = HeaderValue::from_str(&words.join(", ")) {
        response.headers_mut().insert(ALLOW, allowed);
    }
    response
}

async fn not_found() -> Result<HttpResponse, Problem> {
    Err(Problem::new(ProblemCode::NotFound))
}

/// Every path with each of its methods, and whether it needs a key.
#[cfg(test)]
pub fn table() -> impl Iterator<Item = (String, &'static Method, bool)> {
    let open = OPEN.iter().map(|path| (path, ""));
    let keyed = WITH_KEY.iter().map(|path| (path, KEYED));
    open.chain(keyed).flat_map(|(path, under)| {
        let methods = path.methods.iter().map(|(method, _)| method);
        methods.map(move |method| (format!("{under}{}", path.path), method, !under.is_empty()))
    })
}
