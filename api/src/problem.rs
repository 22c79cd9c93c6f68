//! Problems: every answer that is not a success, as RFC 9457 has it.
//!
//! One table leads from a code to its title and status. Clients program against the
//! code; titles and details are for people. A problem is rendered twice: bare where it
//! is born, and with the request's id by the outermost middleware.

use std::fmt;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, ResponseError};
use schemas::http::problem::{FieldProblem, MEDIA_TYPE, ProblemBody};

/// Where each code is described.
const KIND_PREFIX: &str = "urn:volley:problem:";

macro_rules! problem_codes {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $status:ident, $title:literal;)*) => {
        /// What can go wrong. The words never change; new ones may come.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum ProblemCode {
            $($(#[$doc])* $variant,)*
        }

        impl ProblemCode {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The stable word.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $code,)*
                }
            }

            /// The HTTP status.
            pub const fn status(self) -> StatusCode {
                match self {
                    $(Self::$variant => StatusCode::$status,)*
                }
            }

            /// The kind of problem, for people.
            pub const fn title(self) -> &'static str {
                match self {
                    $(Self::$variant => $title,)*
                }
            }
        }
    };
}

problem_codes! {
    /// The body is not JSON.
    InvalidJson = "invalid_json", BAD_REQUEST, "The body is not valid JSON";
    /// A header cannot be used.
    InvalidHeader = "invalid_header", BAD_REQUEST, "A request header cannot be used";
    /// The request broke off or is malformed.
    BadRequest = "bad_request", BAD_REQUEST, "The request cannot be read";
    /// No API key, or none of ours.
    Unauthorized = "unauthorized", UNAUTHORIZED, "A valid API key is needed";
    /// This key may not do this.
    Forbidden = "forbidden", FORBIDDEN, "This key may not do this";
    /// A webhook that its provider did not sign.
    InvalidSignature = "invalid_signature", FORBIDDEN, "The signature does not fit the request";
    /// Nothing of the caller's is there.
    NotFound = "not_found", NOT_FOUND, "There is no such thing";
    /// The body did not come in time.
    RequestTimeout = "request_timeout", REQUEST_TIMEOUT, "The body did not come in time";
    /// The path exists for other methods.
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, "The path does not take this method";
    /// The first request under this key is not finished.
    IdempotencyInFlight = "idempotency_in_flight", CONFLICT, "The first request with this key is still under way";
    /// The campaign's state does not allow this.
    CampaignState = "campaign_state", CONFLICT, "The campaign's state does not allow this";
    /// Somebody else changed the same thing at the same time.
    Conflict = "conflict", CONFLICT, "The resource was changed at the same time";
    /// One verification at a time.
    VerificationRunning = "verification_running", CONFLICT, "Another verification is under way";
    /// The body is too long.
    BodyTooLarge = "body_too_large", PAYLOAD_TOO_LARGE, "The body is too long";
    /// The media type is not the one taken here.
    UnsupportedMediaType = "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, "The body's media type is not taken here";
    /// The same idempotency key came with another request.
    IdempotencyKeyReused = "idempotency_key_reused", UNPROCESSABLE_ENTITY, "The idempotency key belongs to another request";
    /// A field must be there.
    Required = "required", UNPROCESSABLE_ENTITY, "A field is missing";
    /// A field that does not exist.
    UnknownField = "unknown_field", UNPROCESSABLE_ENTITY, "A field does not exist";
    /// A query parameter that does not exist.
    UnknownParameter = "unknown_parameter", UNPROCESSABLE_ENTITY, "A query parameter does not exist";
    /// A value of another type.
    WrongType = "wrong_type", UNPROCESSABLE_ENTITY, "A field has the wrong type";
    /// A value that is not one of a list, or not well formed.
    InvalidValue = "invalid_value", UNPROCESSABLE_ENTITY, "A value is not allowed";
    /// A text that is too long.
    TooLong = "too_long", UNPROCESSABLE_ENTITY, "A text is too long";
    /// A number outside its range.
    OutOfRange = "out_of_range", UNPROCESSABLE_ENTITY, "A number is out of range";
    /// Not a number in E.164.
    InvalidPhone = "invalid_phone", UNPROCESSABLE_ENTITY, "Not a telephone number in E.164";
    /// No provider account owns the sender.
    SenderUnknown = "sender_unknown", UNPROCESSABLE_ENTITY, "No provider account owns this sender";
    /// There is no such provider account.
    ProviderUnknown = "provider_unknown", UNPROCESSABLE_ENTITY, "There is no such provider account";
    /// There is no such contact list.
    ListUnknown = "list_unknown", UNPROCESSABLE_ENTITY, "There is no such contact list";
    /// The time has passed.
    SendAtInPast = "send_at_in_past", UNPROCESSABLE_ENTITY, "send_at has passed";
    /// The time is too far ahead.
    SendAtTooFar = "send_at_too_far", UNPROCESSABLE_ENTITY, "send_at is too far ahead";
    /// The template does not compile.
    InvalidTemplate = "invalid_template", UNPROCESSABLE_ENTITY, "The template cannot be used";
    /// The cursor is none that a listing gave.
    InvalidCursor = "invalid_cursor", UNPROCESSABLE_ENTITY, "The cursor is none of this listing";
    /// The key or its account asks more often than it may.
    RateLimited = "rate_limited", TOO_MANY_REQUESTS, "Too many requests";
    /// A defect of ours; the log has the cause under the request's id.
    Internal = "internal", INTERNAL_SERVER_ERROR, "Something went wrong on our side";
    /// What is stored cannot be read.
    Damaged = "damaged", INTERNAL_SERVER_ERROR, "What is stored is damaged";
    /// The node is stopping, or has as much under way as it takes.
    Unavailable = "unavailable", SERVICE_UNAVAILABLE, "The node cannot take this now";
    /// The disk is full.
    DiskFull = "disk_full", INSUFFICIENT_STORAGE, "The node's disk is full";
}

impl ProblemCode {
    /// Seconds until a repeat makes sense, where one does.
    pub fn retry_after(self) -> Option<&'static str> {
        let is_for_later = matches!(
            self,
            Self::IdempotencyInFlight | Self::Unavailable | Self::RateLimited
        );
        is_for_later.then_some("1")
    }
}

/// A problem on its way to the client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// What went wrong.
    pub code: ProblemCode,
    /// What is wrong in this case.
    pub detail: Option<String>,
    /// What is wrong with which field.
    pub errors: Vec<FieldProblem>,
}

impl Problem {
    /// A problem with nothing to add to its title.
    pub fn new(code: ProblemCode) -> Self {
        Self {
            code,
            detail: None,
            errors: Vec::new(),
        }
    }

    /// It cannot be taken just now, and why.
    pub fn unavailable(why: impl Into<String>) -> Self {
        Self::with_detail(ProblemCode::Unavailable, why)
    }

    /// A problem of this case.
    pub fn with_detail(code: ProblemCode, detail: impl Into<String>) -> Self {
        Self {
            detail: Some(detail.into()),
            ..Self::new(code)
        }
    }

    /// A defect or outage behind the door: the cause goes to the log, not to the client.
    pub fn internal(cause: &dyn fmt::Display) -> Self {
        tracing::error!(%cause, "a request failed");
        Self::new(ProblemCode::Internal)
    }

    /// The body, for a request with this id.
    pub fn body(&self, request_id: &str) -> ProblemBody {
        ProblemBody {
            kind: format!("{KIND_PREFIX}{}", self.code.as_str()),
            title: self.code.title().to_owned(),
            status: self.code.status().as_u16(),
            code: self.code.as_str().to_owned(),
            detail: self.detail.clone(),
            request_id: request_id.to_owned(),
            errors: self.errors.clone(),
        }
    }

    /// The body as JSON.
    pub fn json(&self, request_id: &str) -> String {
        // Texts and numbers only: there is nothing in it that JSON cannot hold.
        serde_json::to_string(&self.body(request_id)).unwrap_or_default()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.code.as_str())
    }
}

impl std::error::Error for Problem {}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.code.status()
    }

    fn error_response(&self) -> HttpResponse {
        let mut builder = HttpResponse::build(self.status_code());
        builder.insert_header((header::CONTENT_TYPE, MEDIA_TYPE));
        if self.code == ProblemCode::Unauthorized {
            builder.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
        }
        if let Some(seconds) = self.code.retry_after() {
            builder.insert_header((header::RETRY_AFTER, seconds));
        }
        let mut response = builder.body(self.json(""));
        response.extensions_mut().insert(self.clone());
        response
    }
}

/// Collects what is wrong with a request's fields, so that one answer names all of it.
#[derive(Debug, Default)]
pub struct FieldProblems(Vec<(ProblemCode, FieldProblem)>);

impl FieldProblems {
    /// A field of the body is wrong; `pointer` is a JSON Pointer.
    pub fn field(
        &mut self,
        pointer: impl Into<String>,
        code: ProblemCode,
        detail: impl Into<String>,
    ) {
        self.add(code, Some(pointer.into()), None, detail.into());
    }

    /// A query parameter is wrong.
    pub fn parameter(&mut self, name: &str, code: ProblemCode, detail: impl Into<String>) {
        self.add(code, None, Some(name.to_owned()), detail.into());
    }

    fn add(
        &mut self,
        code: ProblemCode,
        pointer: Option<String>,
        parameter: Option<String>,
        detail: String,
    ) {
        self.0.push((
            code,
            FieldProblem {
                pointer,
                parameter,
                code: code.as_str().to_owned(),
                detail,
            },
        ));
    }

    /// Nothing when all is well, else one problem with the code of the first field.
    ///
    /// # Errors
    /// The problem.
    pub fn finish(self) -> Result<(), Problem> {
        let Some((code, first)) = self.0.first() else {
            return Ok(());
        };
        Err(Problem {
            code: *code,
            detail: Some(first.detail.clone()),
            errors: self.0.into_iter().map(|(_, problem)| problem).collect(),
        })
    }
}

/// One wrong field and nothing else.
pub fn wrong_field(pointer: &str, code: ProblemCode, detail: impl Into<String>) -> Problem {
    let detail = detail.into();
    Problem {
        code,
        detail: Some(detail.clone()),
        errors: vec![FieldProblem {
            pointer: Some(pointer.to_owned()),
            parameter: None,
            code: code.as_str().to_owned(),
            detail,
        }],
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::ProblemCode;

    #[test]
    fn codes_are_distinct_and_their_statuses_are_errors() {
        let words: BTreeSet<&str> = ProblemCode::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(words.len(), ProblemCode::ALL.len());
        for code in ProblemCode::ALL {
            assert!(code.status().is_client_error() || code.status().is_server_error());
        }
    }
}
