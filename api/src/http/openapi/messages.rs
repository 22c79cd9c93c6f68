//! `/v1/messages`.

use schemas::http::messages::{MessageBody, MessageRequest};
use schemas::{CampaignId, MessageId, MessageStatus, ProviderId};
use serde_json::json;

use super::operation::{MESSAGE_PAGE, Operation, reference, reference_to};
use crate::parameters::{PAGE_DEFAULT, PAGE_MAX};
use crate::problem::ProblemCode;

pub const TAG: &str = "Messages";

pub fn operations() -> Vec<Operation> {
    vec![list(), send(), show()]
}

fn list() -> Operation {
    let time = || json!({ "type": "string", "format": "date-time" });
    Operation::new("get", "/v1/messages", TAG, "listMessages")
        .does(
            "List messages, newest first",
            "A page may be short, even empty, and have a next one: filters look at a bounded \
             number of rows for each page. Rows come without their `timeline`.",
        )
        .with_api_key()
        .with_query(
            "limit",
            "Rows of a page at most.",
            json!({
                "type": "integer", "minimum": 1, "maximum": PAGE_MAX, "default": PAGE_DEFAULT,
            }),
        )
        .with_query(
            "cursor",
            "`next_cursor` of the page before.",
            json!({ "type": "string" }),
        )
        .with_query(
            "since",
            "Accepted at this instant or later, RFC 3339.",
            time(),
        )
        .with_query("until", "Accepted before this instant, RFC 3339.", time())
        .with_query("campaign", "Of this campaign.", reference::<CampaignId>())
        .with_query(
            "status",
            "That stand here now.",
            reference::<MessageStatus>(),
        )
        .with_query(
            "provider",
            "That this account carried last.",
            reference::<ProviderId>(),
        )
        .judges_query()
        .fails(&[ProblemCode::OutOfRange, ProblemCode::InvalidCursor])
        .answers_as(
            200,
            "A page.",
            "application/json",
            reference_to(MESSAGE_PAGE),
        )
}

fn send() -> Operation {
    Operation::new("post", "/v1/messages", TAG, "sendMessage")
        .does(
            "Send a text",
            "The answer comes when the message is durable; from then on it is sent, over \
             crashes too. What becomes of it is told by `getMessage`.",
        )
        .with_api_key()
        .with_idempotency_key()
        .takes::<MessageRequest>()
        .fails(&[
            ProblemCode::IdempotencyInFlight,
            ProblemCode::Required,
            ProblemCode::InvalidValue,
            ProblemCode::TooLong,
            ProblemCode::OutOfRange,
            ProblemCode::InvalidPhone,
            ProblemCode::SenderUnknown,
            ProblemCode::ProviderUnknown,
            ProblemCode::SendAtInPast,
            ProblemCode::SendAtTooFar,
        ])
        .answers::<MessageBody>(202, "The message as it was accepted.")
        .sends("Location", "Location")
        .sends("Idempotent-Replayed", "Replayed")
        .leads_to(&["getMessage"])
}

fn show() -> Operation {
    Operation::new("get", "/v1/messages/{id}", TAG, "getMessage")
        .does(
            "Look at a message",
            "Where it stands, and in `timeline` everything that happened to it.",
        )
        .with_api_key()
        .with_id::<MessageId>()
        .answers::<MessageBody>(200, "The message.")
}
