//! The outermost middleware: request ids in and out, problems with their request's id,
//! and the numbers that `/metrics` shows about the door itself.

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, web};
use engine::runtime::Runtime;
use schemas::http::problem::MEDIA_TYPE;

use crate::problem::{Problem, ProblemCode};

const REQUESTS: &str = "volley_http_requests_total";
const DURATION: &str = "volley_http_request_duration_seconds";

/// What people texted to us.
pub(crate) const INBOUND_TEXTS: &str = "volley_inbound_texts_total";

/// The header that carries a request's id, in and out.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest request id taken from outside: it is repeated in logs and answers.
const REQUEST_ID_MAX: usize = 128;

/// Says what all numbers mean, once for each process.
pub fn describe() {
    engine::store::describe_metrics();
    actors::instruments::describe();
    metrics::describe_counter!(
        INBOUND_TEXTS,
        "Texts that people sent to our senders, by what they want."
    );
    metrics::describe_counter!(REQUESTS, "Requests answered, by method, route and status.");
    metrics::describe_histogram!(
        DURATION,
        metrics::Unit::Seconds,
        "From a request's head to its answer's head, by route."
    );
}

/// Runs around every request.
///
/// # Errors
/// What the framework could not turn into an answer itself.
pub async fn observe(
    runtime: web::Data<Runtime>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let began = runtime.boot();
    let request_id = given_request_id(&request).unwrap_or_else(|| {
        uuid::Builder::from_random_bytes(runtime.random_bytes())
            .into_uuid()
            .to_string()
    });
    let response = next.call(request).await?.map_into_boxed_body();
    // The pattern, never the path: paths hold ids, and labels must stay few.
    let route = response.request().match_pattern();
    let route = route.unwrap_or_else(|| "unmatched".to_owned());
    let response = finished(response, &request_id);
    count(&response, route, runtime.boot().saturating_sub(began));
    Ok(response)
}

/// An answer of ours with its request's id.
fn finished(response: ServiceResponse<BoxBody>, request_id: &str) -> ServiceResponse<BoxBody> {
    let mut response = with_problem(response, request_id);
    if let Ok(value) = HeaderValue::from_str(request_id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

fn given_request_id(request: &ServiceRequest) -> Option<String> {
    let text = request.headers().get(REQUEST_ID)?.to_str().ok()?;
    let usable =
        (1..=REQUEST_ID_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    usable.then(|| text.to_owned())
}

/// Renders a problem again with the request's id, and turns an error that the
/// framework made by itself into a problem.
fn with_problem(response: ServiceResponse<BoxBody>, request_id: &str) -> ServiceResponse<BoxBody> {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let problem = response.response().extensions().get::<Problem>().cloned();
    let own = problem.is_some();
    let problem = problem.unwrap_or_else(|| Problem::new(code_of(status)));
    let mut response = response.map_body(|_, _| BoxBody::new(problem.json(request_id)));
    if !own {
        *response.response_mut().status_mut() = problem.code.status();
    }
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    response
}

fn code_of(status: StatusCode) -> ProblemCode {
    match status {
        StatusCode::NOT_FOUND => ProblemCode::NotFound,
        StatusCode::METHOD_NOT_ALLOWED => ProblemCode::MethodNotAllowed,
        StatusCode::PAYLOAD_TOO_LARGE => ProblemCode::BodyTooLarge,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => ProblemCode::UnsupportedMediaType,
        other if other.is_client_error() => ProblemCode::BadRequest,
        _ => ProblemCode::Internal,
    }
}

/// Clients may send any word as a method; labels must stay few.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

fn count(response: &ServiceResponse<BoxBody>, route: String, micros: u64) {
    let method = method_label(response.request().method());
    let status = response.status().as_u16().to_string();
    metrics::counter!(
        REQUESTS,
        "method" => method, "route" => route.clone(), "status" => status
    )
    .increment(1);
    metrics::histogram!(DURATION, "route" => route).record(micros as f64 / 1e6);
}
