//! JSON bodies in and out. Whatever is wrong with a body is a problem that points at
//! the field.

use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName, LOCATION};
use actix_web::web::{Bytes, BytesMut};
use actix_web::{FromRequest, HttpRequest, HttpResponse, web};
use futures::StreamExt;
use futures::future::LocalBoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::doors::DoorState;
use crate::problem::{FieldProblems, Problem, ProblemCode};

/// How long a body, or the next piece of a contacts file, may take: a client that sends
/// a byte now and then must not hold a connection for ever.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Tells a client that its request was answered before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// A JSON body, and the bytes it was read from.
pub struct JsonBody<T> {
    /// What it says.
    pub value: T,
    /// How it was written.
    pub raw: Bytes,
}

impl<T: DeserializeOwned + 'static> FromRequest for JsonBody<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let checked = check_media_type(request);
        let limit = request
            .app_data::<web::Data<DoorState>>()
            .map_or(0, |state| state.json_limit_bytes());
        let payload = payload.take();
        Box::pin(async move {
            checked?;
            let raw = read(payload, limit).await?;
            let value = parse(&raw)?;
            Ok(Self { value, raw })
        })
    }
}

fn check_media_type(request: &HttpRequest) -> Result<(), Problem> {
    let header = |name| {
        request
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    let essence = header(CONTENT_TYPE)
        .unwrap_or("")
        .split(';')
        .next()
        .unwrap_or("")
        .trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(Problem::with_detail(
            ProblemCode::UnsupportedMediaType,
            "send `Content-Type: application/json`",
        ));
    }
    match header(CONTENT_ENCODING) {
        None | Some("identity") => Ok(()),
        Some(_) => Err(Problem::with_detail(
            ProblemCode::UnsupportedMediaType,
            "send the body without a content encoding",
        )),
    }
}

/// Reads a body of at most `limit` bytes.
///
/// # Errors
/// When it is longer, breaks off, or takes longer than [`BODY_TIMEOUT`].
pub async fn read(payload: Payload, limit: usize) -> Result<Bytes, Problem> {
    let read = tokio::time::timeout(BODY_TIMEOUT, read_to_end(payload, limit));
    read.await
        .unwrap_or_else(|_| Err(Problem::new(ProblemCode::RequestTimeout)))
}

async fn read_to_end(mut payload: Payload, limit: usize) -> Result<Bytes, Problem> {
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk
            .map_err(|_| Problem::with_detail(ProblemCode::BadRequest, "the body broke off"))?;
        if body.len() + chunk.len() > limit {
            return Err(too_large(limit as u64));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// The body is longer than `limit` bytes.
pub fn too_large(limit: u64) -> Problem {
    Problem::with_detail(
        ProblemCode::BodyTooLarge,
        format!("at most {limit} bytes are taken"),
    )
}

/// Reads an object, judging field by field, so that each wrong field is named.
///
/// # Errors
/// All that is wrong with it.
pub fn parse<T: DeserializeOwned>(raw: &[u8]) -> Result<T, Problem> {
    let value: Value = serde_json::from_slice(raw)
        .map_err(|error| Problem::with_detail(ProblemCode::InvalidJson, error.to_string()))?;
    let mut problems = FieldProblems::default();
    let Value::Object(fields) = value else {
        problems.field("", ProblemCode::WrongType, "the body must be a JSON object");
        return Err(unexpected(problems));
    };
    let alone = |name: &str, value: &Value| {
        let object = Map::from_iter([(name.to_owned(), value.clone())]);
        serde_json::from_value::<T>(Value::Object(object))
    };
    for (name, value) in &fields {
        // Every field of a request may be null, so null is refused only where there
        // is no such field.
        if alone(name, &Value::Null).is_err() {
            let detail = format!("there is no field `{name}`");
            problems.field(pointer(name), ProblemCode::UnknownField, detail);
        } else if let Err(error) = alone(name, value) {
            problems.field(pointer(name), ProblemCode::WrongType, error.to_string());
        }
    }
    problems.finish()?;
    serde_json::from_value(Value::Object(fields))
        .map_err(|error| Problem::with_detail(ProblemCode::WrongType, error.to_string()))
}

fn unexpected(problems: FieldProblems) -> Problem {
    problems
        .finish()
        .err()
        .unwrap_or_else(|| Problem::new(ProblemCode::WrongType))
}

/// The JSON Pointer to a field of the body (RFC 6901).
fn pointer(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// An answer with a JSON body.
pub fn answer(status: StatusCode, body: &impl Serialize) -> HttpResponse {
    HttpResponse::build(status).json(body)
}

/// An answer to a POST that made something, or had made it before.
pub fn created(
    status: StatusCode,
    location: &str,
    replayed: bool,
    body: &impl Serialize,
) -> HttpResponse {
    let mut builder = HttpResponse::build(status);
    builder.insert_header((LOCATION, location));
    if replayed {
        builder.insert_header((REPLAYED, "true"));
    }
    builder.json(body)
}

#[cfg(test)]
mod tests {
    use schemas::http::messages::MessageRequest;

    use super::parse;
    use crate::problem::ProblemCode;

    fn pointers(text: &str) -> Vec<(String, String)> {
        let problem = parse::<MessageRequest>(text.as_bytes()).expect_err("a problem");
        let errors = problem.errors.into_iter();
        errors
            .map(|error| (error.pointer.unwrap_or_default(), error.code))
            .collect()
    }

    #[test]
    fn each_wrong_field_is_named() {
        assert_eq!(
            pointers(r#"{"to": 7, "bdy": "x", "validity_period": -1, "a/b~c": 1}"#),
            [
                ("/a~1b~0c", "unknown_field"),
                ("/bdy", "unknown_field"),
                ("/to", "wrong_type"),
                ("/validity_period", "wrong_type"),
            ]
            .map(|(pointer, code)| (pointer.to_owned(), code.to_owned()))
        );
        assert_eq!(pointers("[1]"), [(String::new(), "wrong_type".to_owned())]);
    }

    #[test]
    fn what_is_not_json_is_told_apart() {
        for text in [
            "",
            "{",
            "{\"to\": }",
            "{} x",
            "\u{feff}{}",
            "{\"to\": \"\\ud800\"}",
        ] {
            let problem = parse::<MessageRequest>(text.as_bytes()).expect_err("a problem");
            assert_eq!(problem.code, ProblemCode::InvalidJson, "{text}");
        }
        assert!(parse::<MessageRequest>(b"\xff").is_err());
        let request = parse::<MessageRequest>(br#"{"to": null}"#).expect("a request");
        assert!(request.to.is_none());
    }
}
