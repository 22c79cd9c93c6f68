//! The topics that other systems read and write, as an AsyncAPI 3.0 document: who produces what,
//! and how a record looks. `schemas/events/asyncapi.json` is this document; a test compares them.

use serde_json::{Map, Value, json};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::event::MessageEvent;
use crate::ingress::RecordRequest;

/// The document.
pub fn document() -> Value {
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Volley over Kafka",
            "version": "1.0.0",
            "description": "Topics begin with `kafka.prefix`, here `volley`.",
        },
        "defaultContentType": "application/json",
        "channels": {
            "requestsTransactional": requests("transactional"),
            "requestsMarketing": requests("marketing"),
            "events": {
                "address": "volley.events",
                "description": "What happens to messages. Read it with \
                                isolation.level=read_committed: a record counts when what it \
                                tells of does.",
                "messages": { "MessageEvent": { "$ref": "#/components/messages/MessageEvent" } },
            },
        },
        "operations": {
            "requestTransactional": operation("receive", "requestsTransactional", "MessageRequest"),
            "requestMarketing": operation("receive", "requestsMarketing", "MessageRequest"),
            "tell": operation("send", "events", "MessageEvent"),
        },
        "components": {
            "messages": messages(),
            "schemas": schemas(),
        },
    })
}

fn requests(class: &str) -> Value {
    json!({
        "address": format!("volley.requests.{class}"),
        "description": format!(
            "Texts of the class `{class}` to be sent. Keys and partitions are the producer's. A \
             CloudEvent 1.0 of the type `volley.message.requested` with the same data is taken too."
        ),
        "messages": { "MessageRequest": { "$ref": "#/components/messages/MessageRequest" } },
    })
}

fn operation(action: &str, channel: &str, message: &str) -> Value {
    json!({
        "action": action,
        "channel": { "$ref": format!("#/channels/{channel}") },
        "messages": [{ "$ref": format!("#/channels/{channel}/messages/{message}") }],
    })
}

fn messages() -> Value {
    json!({
        "MessageRequest": {
            "summary": "One text to one person",
            "headers": {
                "type": "object",
                "required": ["volley-key"],
                "properties": {
                    "volley-key": {
                        "type": "string",
                        "description": "An API key of the account whose message it is.",
                    },
                    "idempotency-key": {
                        "type": "string",
                        "description": "Records with the same key make one message.",
                        "minLength": 1,
                        "maxLength": 255,
                    },
                },
            },
            "payload": { "$ref": "#/components/schemas/RecordRequest" },
        },
        "MessageEvent": {
            "summary": "One thing that happened to a message",
            "payload": { "$ref": "#/components/schemas/MessageEvent" },
            "bindings": {
                "kafka": { "key": { "type": "string", "description": "The message's id." } },
            },
        },
    })
}

fn schemas() -> Map<String, Value> {
    let mut schemas: Vec<(String, RefOr<Schema>)> = vec![
        (RecordRequest::name().into_owned(), RecordRequest::schema()),
        (MessageEvent::name().into_owned(), MessageEvent::schema()),
    ];
    RecordRequest::schemas(&mut schemas);
    MessageEvent::schemas(&mut schemas);
    schemas
        .into_iter()
        .map(|(name, schema)| (name, serde_json::to_value(schema).unwrap_or_default()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::document;

    const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/events/asyncapi.json");

    /// With `VOLLEY_WRITE` set, the file is written instead.
    #[test]
    fn the_file_is_the_document() {
        let document = serde_json::to_string_pretty(&document()).expect("JSON") + "\n";
        if std::env::var_os("VOLLEY_WRITE").is_some() {
            std::fs::write(FILE, &document).expect("it is written");
        }
        let file = std::fs::read_to_string(FILE).expect("the file");
        assert!(file == document, "VOLLEY_WRITE=1 writes {FILE} anew");
    }
}
