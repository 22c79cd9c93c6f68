//! One operation: what it takes, and everything it can answer.

use std::collections::BTreeMap;

use schemas::http::problem::MEDIA_TYPE;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use crate::problem::ProblemCode;

/// The security scheme of an account's API keys.
pub const API_KEY: &str = "apiKey";
/// The security scheme of the node's root key.
pub const ROOT_KEY: &str = "rootKey";

/// The schema of a page of messages.
pub const MESSAGE_PAGE: &str = "MessagePage";

/// What an operation that reads the store can fail with.
const READING: [ProblemCode; 2] = [ProblemCode::Internal, ProblemCode::Unavailable];

/// An operation while it is described.
pub struct Operation {
    path: &'static str,
    method: &'static str,
    fields: Map<String, Value>,
    parameters: Vec<Value>,
    answers: Map<String, Value>,
    problems: Vec<ProblemCode>,
}

impl Operation {
    /// An operation whose id is `id`; generators of clients name functions after it.
    pub fn new(method: &'static str, path: &'static str, tag: &str, id: &str) -> Self {
        let fields = json!({ "operationId": id, "tags": [tag], "security": [] });
        Self {
            path,
            method,
            fields: object(fields),
            parameters: Vec::new(),
            answers: Map::new(),
            problems: Vec::new(),
        }
    }

    /// What it does: in a line, and in full.
    pub fn does(self, summary: &str, description: &str) -> Self {
        self.with("summary", json!(summary))
            .with("description", json!(description))
    }

    fn with(mut self, name: &str, value: Value) -> Self {
        self.fields.insert(name.to_owned(), value);
        self
    }

    /// What it can fail with, besides what other parts of it bring.
    pub fn fails(mut self, codes: &[ProblemCode]) -> Self {
        self.problems.extend(codes);
        self
    }

    /// It reads the store.
    pub fn reads(self) -> Self {
        self.fails(&READING)
    }

    /// It writes to the store.
    pub fn writes(self) -> Self {
        self.reads().fails(&[ProblemCode::DiskFull])
    }

    /// It takes an account's API key; the root key is refused.
    pub fn with_api_key(self) -> Self {
        self.secured(API_KEY)
    }

    /// It takes the node's root key; an account's key is refused.
    pub fn with_root_key(self) -> Self {
        self.secured(ROOT_KEY)
    }

    /// It takes either key.
    pub fn with_any_key(self) -> Self {
        // Keys lie in the store.
        self.reads()
            .fails(&[ProblemCode::Unauthorized, ProblemCode::RateLimited])
            .with("security", json!([{ API_KEY: [] }, { ROOT_KEY: [] }]))
    }

    fn secured(self, scheme: &str) -> Self {
        self.reads()
            .fails(&[
                ProblemCode::Unauthorized,
                ProblemCode::Forbidden,
                ProblemCode::RateLimited,
            ])
            .with("security", json!([{ scheme: [] }]))
    }

    /// Its path names a thing of the caller's.
    pub fn with_id<T: ToSchema>(mut self) -> Self {
        self.parameters.push(json!({
            "name": "id", "in": "path", "required": true, "schema": reference::<T>(),
        }));
        self.fails(&[ProblemCode::NotFound])
    }

    /// It takes a query parameter, which may be left out.
    pub fn with_query(mut self, name: &str, description: &str, schema: Value) -> Self {
        self.parameters.push(json!({
            "name": name, "in": "query", "description": description, "schema": schema,
        }));
        self
    }

    /// It refuses query parameters that do not exist, come twice or make no sense.
    pub fn judges_query(self) -> Self {
        self.fails(&[ProblemCode::InvalidValue, ProblemCode::UnknownParameter])
    }

    /// It needs this header.
    pub fn with_header(mut self, name: &str, description: &str) -> Self {
        self.parameters.push(json!({
            "name": name, "in": "header", "required": true, "description": description,
            "schema": { "type": "string" },
        }));
        self
    }

    /// It takes an `Idempotency-Key`.
    pub fn with_idempotency_key(mut self) -> Self {
        let parameter = json!({ "$ref": "#/components/parameters/IdempotencyKey" });
        self.parameters.push(parameter);
        self.writes().fails(&[
            ProblemCode::InvalidHeader,
            ProblemCode::IdempotencyKeyReused,
        ])
    }

    /// It takes a JSON body.
    pub fn takes<T: ToSchema>(self) -> Self {
        self.takes_as("application/json", reference::<T>()).fails(&[
            ProblemCode::InvalidJson,
            ProblemCode::UnsupportedMediaType,
            ProblemCode::WrongType,
            ProblemCode::UnknownField,
        ])
    }

    /// It takes a body of this media type.
    pub fn takes_as(self, media_type: &str, schema: Value) -> Self {
        let content = json!({ media_type: { "schema": schema } });
        self.with(
            "requestBody",
            json!({ "required": true, "content": content }),
        )
        .reads_body()
        .fails(&[ProblemCode::RequestTimeout])
    }

    /// It reads a body, if only for its idempotency key.
    pub fn reads_body(self) -> Self {
        self.fails(&[ProblemCode::BadRequest, ProblemCode::BodyTooLarge])
    }

    /// It answers with JSON.
    pub fn answers<T: ToSchema>(self, status: u16, description: &str) -> Self {
        self.answers_as(status, description, "application/json", reference::<T>())
    }

    /// It answers with a body of this media type.
    pub fn answers_as(self, status: u16, text: &str, media_type: &str, schema: Value) -> Self {
        let content = json!({ media_type: { "schema": schema } });
        self.answer(status, json!({ "description": text, "content": content }))
    }

    /// It answers without a body.
    pub fn answers_nothing(self, status: u16, description: &str) -> Self {
        self.answer(status, json!({ "description": description }))
    }

    fn answer(mut self, status: u16, mut answer: Value) -> Self {
        answer["headers"]["X-Request-Id"] = header("RequestId");
        self.answers.insert(status.to_string(), answer);
        self
    }

    /// Its successes have this header, one of the components.
    pub fn sends(mut self, name: &str, component: &str) -> Self {
        for answer in self.answers.values_mut() {
            answer["headers"][name] = header(component);
        }
        self
    }

    /// What it answers with names the thing that `operation` takes as its `id`.
    pub fn leads_to(mut self, operations: &[&str]) -> Self {
        for answer in self.answers.values_mut() {
            for operation in operations {
                answer["links"][*operation] = json!({
                    "operationId": operation,
                    "parameters": { "id": "$response.body#/id" },
                });
            }
        }
        self
    }

    /// Puts it among the paths.
    pub fn describe(mut self, paths: &mut Map<String, Value>) {
        for (status, codes) in by_status(&self.problems) {
            self.answers
                .insert(status.to_string(), problem(status, &codes));
        }
        if !self.parameters.is_empty() {
            let parameters = Value::Array(self.parameters);
            self.fields.insert("parameters".to_owned(), parameters);
        }
        let answers = Value::Object(self.answers);
        self.fields.insert("responses".to_owned(), answers);
        let path = paths.entry(self.path).or_insert_with(|| json!({}));
        path[self.method] = Value::Object(self.fields);
    }
}

/// Each code once, in the order of the table of codes.
fn by_status(problems: &[ProblemCode]) -> BTreeMap<u16, Vec<ProblemCode>> {
    let mut statuses: BTreeMap<u16, Vec<ProblemCode>> = BTreeMap::new();
    for code in ProblemCode::ALL
        .iter()
        .filter(|code| problems.contains(code))
    {
        let status = code.status().as_u16();
        statuses.entry(status).or_default().push(*code);
    }
    statuses
}

/// The answer of one status: a problem with one of these codes.
fn problem(status: u16, codes: &[ProblemCode]) -> Value {
    let told = codes
        .iter()
        .map(|code| format!("- `{}`: {}", code.as_str(), code.title()));
    let words: Vec<&str> = codes.iter().map(|code| code.as_str()).collect();
    let schema = json!({
        "allOf": [{ "$ref": "#/components/schemas/ProblemBody" }],
        "properties": { "status": { "const": status }, "code": { "enum": words } },
    });
    let mut headers = json!({ "X-Request-Id": header("RequestId") });
    if codes.contains(&ProblemCode::Unauthorized) {
        headers["WWW-Authenticate"] = header("Authenticate");
    }
    if codes.contains(&ProblemCode::RateLimited) {
        headers["RateLimit"] = header("RateLimit");
        headers["RateLimit-Policy"] = header("RateLimitPolicy");
    }
    if codes.iter().any(|code| code.retry_after().is_some()) {
        headers["Retry-After"] = header("RetryAfter");
    }
    json!({
        "description": told.collect::<Vec<_>>().join("\n"),
        "headers": headers,
        "content": { MEDIA_TYPE: { "schema": schema } },
    })
}

fn header(component: &str) -> Value {
    json!({ "$ref": format!("#/components/headers/{component}") })
}

/// A reference to a type's schema among the components.
pub fn reference<T: ToSchema>() -> Value {
    reference_to(&T::name())
}

/// A reference to the schema of this name.
pub fn reference_to(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// The members of what was written as an object.
pub fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Map::new()
        }
    }
}
