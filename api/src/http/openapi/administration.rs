//! `/v1/accounts`, `/v1/providers`, `/v1/verifications`.

use schemas::http::accounts::{AccountBody, AccountPatch, AccountRequest, KeyRequest, NewKeyBody};
use schemas::http::providers::{ProviderBody, ProviderPatch, ProvidersBody};
use schemas::http::verifications::VerificationBody;
use schemas::{AccountId, ProviderId};

use super::operation::Operation;
use crate::problem::ProblemCode;

pub const TAG: &str = "Administration";

pub fn operations() -> Vec<Operation> {
    vec![
        create_account(),
        change_account(),
        create_key(),
        providers(),
        show_provider(),
        change_provider(),
        verify(),
    ]
}

fn create_account() -> Operation {
    Operation::new("post", "/v1/accounts", TAG, "createAccount")
        .does("Make an account", "It can do nothing before it has a key.")
        .with_root_key()
        .writes()
        .takes::<AccountRequest>()
        .fails(&[
            ProblemCode::Required,
            ProblemCode::InvalidValue,
            ProblemCode::TooLong,
            ProblemCode::OutOfRange,
        ])
        .answers::<AccountBody>(201, "The account.")
        .leads_to(&["createKey", "changeAccount"])
}

fn change_account() -> Operation {
    Operation::new("patch", "/v1/accounts/{id}", TAG, "changeAccount")
        .does(
            "Slow an account down, or change its share",
            "Holds within a second, and over restarts.",
        )
        .with_root_key()
        .with_id::<AccountId>()
        .writes()
        .takes::<AccountPatch>()
        .fails(&[ProblemCode::OutOfRange])
        .answers::<AccountBody>(200, "The account afterwards.")
}

fn create_key() -> Operation {
    Operation::new("post", "/v1/accounts/{id}/keys", TAG, "createKey")
        .does(
            "Make an API key",
            "The answer is the only place where its secret is ever shown.",
        )
        .with_root_key()
        .with_id::<AccountId>()
        .writes()
        .takes::<KeyRequest>()
        .fails(&[ProblemCode::InvalidValue, ProblemCode::TooLong])
        .answers::<NewKeyBody>(201, "The key with its secret.")
}

fn providers() -> Operation {
    Operation::new("get", "/v1/providers", TAG, "listProviders")
        .does(
            "List provider accounts",
            "In the order of the node's settings. The holder of the root key sees how each does.",
        )
        .with_any_key()
        .answers::<ProvidersBody>(200, "All of them.")
}

fn show_provider() -> Operation {
    Operation::new("get", "/v1/providers/{id}", TAG, "getProvider")
        .does(
            "Show a provider account and how it does",
            "What it is sent at most just now, whether it seems to work, and what changed of \
             that lately.",
        )
        .with_root_key()
        .with_id::<ProviderId>()
        .answers::<ProviderBody>(200, "The provider account.")
}

fn change_provider() -> Operation {
    Operation::new("patch", "/v1/providers/{id}", TAG, "changeProvider")
        .does(
            "Slow a provider account down, or rest it",
            "Holds within a second, and over restarts.",
        )
        .with_root_key()
        .with_id::<ProviderId>()
        .writes()
        .takes::<ProviderPatch>()
        .fails(&[ProblemCode::OutOfRange])
        .answers::<ProviderBody>(200, "The provider account afterwards.")
}

fn verify() -> Operation {
    Operation::new("post", "/v1/verifications", TAG, "verify")
        .does(
            "Verify everything that is stored",
            "As it is at one moment, while the node goes on; takes seconds for each million \
             messages. One at a time. A difference is an answer like any other.",
        )
        .with_root_key()
        .fails(&[ProblemCode::VerificationRunning, ProblemCode::Damaged])
        .answers::<VerificationBody>(200, "What was found.")
}
