//! What machines call: webhooks, health, numbers; and this document with its page.

use schemas::ProviderId;
use schemas::http::health::{LiveBody, ReadyBody};
use serde_json::json;

use super::operation::Operation;
use crate::problem::ProblemCode;

pub const WEBHOOKS: &str = "Webhooks";
pub const NODE: &str = "Node";
pub const DOCUMENT: &str = "Document";

pub fn operations() -> Vec<Operation> {
    vec![
        status(),
        inbound(),
        live(),
        ready(),
        metrics(),
        document(),
        file("/docs", "getDocs", "text/html", "This page"),
        file(
            "/docs/page.js",
            "getDocsScript",
            "text/javascript",
            "What starts this page",
        ),
        file(
            "/docs/scalar.js",
            "getDocsReader",
            "text/javascript",
            "What this page is made with",
        ),
    ]
}

fn status() -> Operation {
    webhook("/v1/webhooks/{id}/status", "receiveStatus")
        .does(
            "A provider tells what became of a text",
            "In the provider's own form, and signed by it. The answer comes when the receipt is \
             durable.",
        )
        .answers_nothing(200, "It is kept.")
}

fn inbound() -> Operation {
    webhook("/v1/webhooks/{id}/inbound", "receiveInbound")
        .does(
            "A provider tells what a person texted",
            "In the provider's own form, and signed by it. After a STOP has been answered \
             nothing more goes to that person.",
        )
        .answers_as(
            200,
            "It is taken; there is nothing to text back.",
            "text/xml",
            json!({ "type": "string", "const": "<Response/>" }),
        )
}

fn webhook(path: &'static str, id: &str) -> Operation {
    Operation::new("post", path, WEBHOOKS, id)
        .with_id::<ProviderId>()
        .with_header(
            "X-Twilio-Signature",
            "The provider's signature over the request.",
        )
        .takes_as(
            "application/x-www-form-urlencoded",
            json!({ "type": "object" }),
        )
        .writes()
        .fails(&[ProblemCode::InvalidSignature])
}

fn live() -> Operation {
    Operation::new("get", "/livez", NODE, "getLive")
        .does(
            "Does the process serve?",
            "Restart it if this is not answered.",
        )
        .answers::<LiveBody>(200, "It does.")
}

fn ready() -> Operation {
    Operation::new("get", "/readyz", NODE, "getReady")
        .does(
            "Can the node take work?",
            "Send it no requests while it cannot. A provider that is down is no reason.",
        )
        .answers::<ReadyBody>(200, "It can.")
        .fails(&[ProblemCode::Unavailable])
}

fn metrics() -> Operation {
    Operation::new("get", "/metrics", NODE, "getMetrics")
        .does(
            "The numbers of this process",
            "In Prometheus' text format, version 0.0.4.",
        )
        .answers_as(
            200,
            "All of them.",
            "text/plain",
            json!({ "type": "string" }),
        )
}

fn document() -> Operation {
    Operation::new("get", "/openapi.json", DOCUMENT, "getOpenApi")
        .does("This document", "OpenAPI 3.1.")
        .answers_as(
            200,
            "The document.",
            "application/json",
            json!({ "type": "object" }),
        )
}

fn file(path: &'static str, id: &str, media_type: &str, summary: &str) -> Operation {
    Operation::new("get", path, DOCUMENT, id)
        .does(
            summary,
            "It comes from the binary, and asks nobody but this node.",
        )
        .answers_as(200, "The file.", media_type, json!({ "type": "string" }))
}
