//! `/v1/contact-lists`, `/v1/jobs`.

use schemas::http::contact_lists::{ContactListBody, ContactListRequest};
use schemas::http::jobs::JobBody;
use schemas::{JobId, ListId};
use serde_json::json;

use super::operation::Operation;
use crate::problem::ProblemCode;

pub const TAG: &str = "Contacts";

/// A contacts file.
const EXAMPLE: &str = "phone,first_name\n+12025550123,Ada\n";

pub fn operations() -> Vec<Operation> {
    vec![create_list(), import(), job(), job_errors()]
}

fn create_list() -> Operation {
    Operation::new("post", "/v1/contact-lists", TAG, "createContactList")
        .does(
            "Make an empty contact list",
            "Contacts come in by `importContacts`.",
        )
        .with_api_key()
        .with_idempotency_key()
        .takes::<ContactListRequest>()
        .fails(&[
            ProblemCode::Conflict,
            ProblemCode::Required,
            ProblemCode::InvalidValue,
            ProblemCode::TooLong,
        ])
        .answers::<ContactListBody>(201, "The list.")
        .sends("Location", "Location")
        .sends("Idempotent-Replayed", "Replayed")
        .leads_to(&["importContacts"])
}

fn import() -> Operation {
    Operation::new(
        "post",
        "/v1/contact-lists/{id}/imports",
        TAG,
        "importContacts",
    )
    .does(
        "Import contacts",
        "Takes a CSV file, of whatever media type it is said to be, and reads it in the \
             background. A column with telephone numbers is found by its name; all others can \
             be named in templates. A number that is on the list already keeps its place, and \
             its fields are taken over.",
    )
    .with_api_key()
    .with_id::<ListId>()
    .with_idempotency_key()
    .with_query(
        "region",
        "The region that numbers in national form belong to, such as `US`.",
        json!({ "type": "string", "pattern": "^[A-Za-z]{2}$" }),
    )
    .with_query(
        "phone_column",
        "The column with the numbers, if its name does not tell.",
        json!({ "type": "string" }),
    )
    .judges_query()
    .takes_as(
        "text/csv",
        json!({ "type": "string", "minLength": 1, "examples": [EXAMPLE] }),
    )
    .fails(&[ProblemCode::Required])
    .answers::<JobBody>(202, "The job that reads it.")
    .sends("Location", "Location")
    .sends("Idempotent-Replayed", "Replayed")
    .leads_to(&["getJob", "getJobErrors"])
}

fn job() -> Operation {
    Operation::new("get", "/v1/jobs/{id}", TAG, "getJob")
        .does("Look at a job", "How far it has come.")
        .with_api_key()
        .with_id::<JobId>()
        .answers::<JobBody>(200, "The job.")
}

fn job_errors() -> Operation {
    Operation::new("get", "/v1/jobs/{id}/errors", TAG, "getJobErrors")
        .does(
            "Download what a job refused",
            "One line for each record: its line in the file, the column, the reason.",
        )
        .with_api_key()
        .with_id::<JobId>()
        .answers_as(200, "The records.", "text/csv", json!({ "type": "string" }))
}
