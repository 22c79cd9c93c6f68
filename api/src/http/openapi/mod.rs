//! `/openapi.json`: the document of the API, OpenAPI 3.1, for people, for generators of
//! clients and for tests. It says of each route what it takes and everything that it can
//! answer. It is put together once, by hand: the bodies describe themselves, in `schemas`,
//! but which problems a route has is known to nobody but who reads it.

mod administration;
mod campaigns;
mod components;
mod contacts;
mod machines;
mod messages;
mod operation;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use serde_json::{Map, Value, json};

use crate::json::answer;

static DOCUMENT: LazyLock<Value> = LazyLock::new(document);

const DESCRIPTION: &str = "\
Volley sends text messages in very large numbers and can prove what became of each one.

**Keys.** Send `Authorization: Bearer volley_…`. An account's API key opens what belongs to the \
account; the node's root key, in `root.key` of its data folder, opens the administration and \
nothing else.

**Repeating.** A POST with an `Idempotency-Key` can be repeated: it makes one thing, and a \
repeat is answered with `Idempotent-Replayed: true`.

**Problems.** Whatever is not a success is `application/problem+json` (RFC 9457) with a stable \
`code` to program against. All fields that are wrong are named at once, in `errors`. A path \
that does not exist is `not_found`, another method on one that does is `method_not_allowed`, \
with `Allow`. New codes may come.

**Request ids.** Every answer has an `X-Request-Id`: the request's own, if it came with one of \
1 to 128 printable characters without spaces, else a new one.

**This document** is [`/openapi.json`](/openapi.json); `/docs` is a page to try it.";

/// The document.
pub async fn show() -> HttpResponse {
    answer(StatusCode::OK, &*DOCUMENT)
}

fn document() -> Value {
    let mut paths = Map::new();
    let parts = [
        messages::operations(),
        campaigns::operations(),
        contacts::operations(),
        administration::operations(),
        machines::operations(),
    ];
    for operation in parts.into_iter().flatten() {
        operation.describe(&mut paths);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Volley",
            "version": env!("CARGO_PKG_VERSION"),
            "description": DESCRIPTION,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/", "description": "This node" }],
        "tags": [
            { "name": messages::TAG, "description": "One text to one person." },
            { "name": campaigns::TAG, "description": "One text to the members of lists." },
            { "name": contacts::TAG, "description": "Who can be texted, and how they come in." },
            { "name": administration::TAG, "description": "Accounts, keys, provider accounts." },
            { "name": machines::WEBHOOKS, "description": "What providers call." },
            { "name": machines::NODE, "description": "What looks after the process." },
            { "name": machines::DOCUMENT, "description": "What you are reading." },
        ],
        "paths": paths,
        "components": components::all(),
    })
}
