//! What several operations share: schemas, headers, the idempotency key, the keys.

use schemas::http::PageBody;
use schemas::http::accounts::{AccountBody, AccountPatch, AccountRequest, KeyRequest, NewKeyBody};
use schemas::http::campaigns::{CampaignBody, CampaignPatch, CampaignRequest};
use schemas::http::contact_lists::{ContactListBody, ContactListRequest};
use schemas::http::health::{LiveBody, ReadyBody};
use schemas::http::jobs::JobBody;
use schemas::http::messages::{MessageBody, MessageRequest};
use schemas::http::problem::ProblemBody;
use schemas::http::providers::{ProviderBody, ProviderPatch, ProvidersBody};
use schemas::http::verifications::VerificationBody;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

use super::operation::{API_KEY, MESSAGE_PAGE, ROOT_KEY};

/// All of them.
pub fn all() -> Value {
    json!({
        "schemas": schemas(),
        "parameters": {
            "IdempotencyKey": {
                "name": "Idempotency-Key",
                "in": "header",
                "description": "The same request under the same key makes one thing. 1 to 255 \
                                printable ASCII characters; the account's own.",
                "schema": {
                    "type": "string",
                    "minLength": 1,
                    "maxLength": 255,
                    "pattern": "^[!-~]([ -~]*[!-~])?$",
                },
            },
        },
        "headers": headers(),
        "securitySchemes": {
            API_KEY: {
                "type": "http",
                "scheme": "bearer",
                "description": "An account's API key: `volley key create`.",
            },
            ROOT_KEY: {
                "type": "http",
                "scheme": "bearer",
                "description": "The node's root key, in `root.key` of its data folder.",
            },
        },
    })
}

fn headers() -> Value {
    let header = |required: bool, description: &str, schema: Value| json!({ "required": required, "description": description, "schema": schema });
    json!({
        "RequestId": header(
            true,
            "The request's id, as logs and problems have it.",
            json!({ "type": "string", "pattern": "^[!-~]{1,128}$" }),
        ),
        "Location": header(
            true,
            "Where the thing is.",
            json!({ "type": "string", "format": "uri-reference" }),
        ),
        "Replayed": header(
            false,
            "The answer is that of an earlier request under the same key.",
            json!({ "type": "string", "const": "true" }),
        ),
        "RetryAfter": header(
            false,
            "Seconds until a repeat makes sense.",
            json!({ "type": "integer", "minimum": 1 }),
        ),
        "RateLimit": header(
            false,
            "How many more requests the key and its account may make at once; all answers to an \
             API key have it, but those to a pause or a cancel, which have a rate of their own.",
            json!({ "type": "string" }),
        ),
        "RateLimitPolicy": header(
            false,
            "How many requests the key and its account may make in a second.",
            json!({ "type": "string" }),
        ),
        "Authenticate": header(
            true,
            "The scheme of the keys.",
            json!({ "type": "string", "const": "Bearer" }),
        ),
    })
}

fn schemas() -> Map<String, Value> {
    let mut schemas = Vec::new();
    add::<MessageRequest>(&mut schemas);
    add::<MessageBody>(&mut schemas);
    add_as::<PageBody<MessageBody>>(MESSAGE_PAGE, &mut schemas);
    add::<CampaignRequest>(&mut schemas);
    add::<CampaignPatch>(&mut schemas);
    add::<CampaignBody>(&mut schemas);
    add::<ContactListRequest>(&mut schemas);
    add::<ContactListBody>(&mut schemas);
    add::<JobBody>(&mut schemas);
    add::<AccountRequest>(&mut schemas);
    add::<AccountPatch>(&mut schemas);
    add::<AccountBody>(&mut schemas);
    add::<KeyRequest>(&mut schemas);
    add::<NewKeyBody>(&mut schemas);
    add::<ProviderBody>(&mut schemas);
    add::<ProviderPatch>(&mut schemas);
    add::<ProvidersBody>(&mut schemas);
    add::<VerificationBody>(&mut schemas);
    add::<LiveBody>(&mut schemas);
    add::<ReadyBody>(&mut schemas);
    add::<ProblemBody>(&mut schemas);
    // Paths name what no body names.
    add::<schemas::AccountId>(&mut schemas);
    schemas
        .into_iter()
        .map(|(name, schema)| (name, serde_json::to_value(schema).unwrap_or_default()))
        .collect()
}

/// Adds a type's schema and those that it names.
fn add<T: ToSchema>(schemas: &mut Vec<(String, RefOr<Schema>)>) {
    add_as::<T>(&T::name(), schemas);
}

/// The same under another name: a generic type is called alike whatever it holds.
fn add_as<T: ToSchema>(name: &str, schemas: &mut Vec<(String, RefOr<Schema>)>) {
    schemas.push((name.to_owned(), T::schema()));
    T::schemas(schemas);
}
