//! Between bytes and the core: what every dialect must be able to do.
//!
//! A request is turned into calls of the core and the result into bytes without
//! any socket, so the server and a simulation share this path. A further
//! provider is one more variant here and one more folder like `twilio`.

use crate::config::AccountConfig;
use crate::core::{Answer, Core, DueReceipt, TextId};
use crate::twilio;
use serde::{Deserialize, Serialize};

/// The provider an account pretends to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// Twilio's Messages API of 2010-04-01.
    #[default]
    Twilio,
}

/// The request method, as far as a dialect tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// GET.
    Get,
    /// POST.
    Post,
    /// Anything else.
    Other,
}

/// A whole request. No `Debug`: it holds passwords, numbers and bodies.
#[derive(Clone, Copy)]
pub struct HttpRequest<'a> {
    /// The method.
    pub method: Method,
    /// The path of the target, still percent-encoded.
    pub path: &'a str,
    /// The query of the target without the question mark, or nothing.
    pub query: &'a str,
    /// The value of the `Authorization` header.
    pub authorization: Option<&'a [u8]>,
    /// The body.
    pub body: &'a [u8],
}

/// What goes back and when.
pub struct HttpReply {
    /// When it leaves, Unix microseconds.
    pub at: u64,
    /// The answer; nothing means that the connection is reset then.
    pub answer: Option<HttpAnswer>,
    /// Whoever sends receipts should look at the schedule again.
    pub wake: bool,
}

/// An HTTP answer. No `Debug`: it may hold numbers and bodies.
#[derive(Clone)]
pub struct HttpAnswer {
    /// The status.
    pub status: u16,
    /// Seconds in the `Retry-After` header, if it is set.
    pub retry_after: Option<u64>,
    /// The `Content-Type` header.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
}

/// A receipt as a POST request. No `Debug`: it holds numbers.
pub struct ReceiptRequest {
    /// The whole URL without its fragment; the scheme is `http`.
    pub url: String,
    /// Headers, `Content-Type` included.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// What a person texts to a sender. No `Debug`: it holds numbers and a body.
#[derive(Clone, Copy)]
pub struct PersonText<'a> {
    /// Where the account's inbound texts go, without a fragment.
    pub url: &'a str,
    /// The provider's id of the text.
    pub id: &'a str,
    /// Who texts.
    pub from: &'a str,
    /// To which sender.
    pub to: &'a str,
    /// What.
    pub body: &'a str,
}

/// Answers one request that arrived at `now`, whatever the dialect of its path.
pub fn respond(core: &Core, now: u64, request: &HttpRequest<'_>) -> HttpReply {
    // Twilio's is the only dialect so far; it answers 404 on paths it does not know.
    twilio::respond(core, now, request)
}

impl Dialect {
    /// The request that carries a receipt, or nothing if its account is of another core.
    pub fn receipt(self, core: &Core, receipt: &DueReceipt) -> Option<ReceiptRequest> {
        match self {
            Self::Twilio => twilio::receipt(core, receipt),
        }
    }

    /// The request that brings a person's text; nothing if it cannot be written as a form.
    pub fn inbound(self, account: &AccountConfig, text: &PersonText<'_>) -> Option<ReceiptRequest> {
        match self {
            Self::Twilio => twilio::inbound(account, text),
        }
    }

    /// How this provider writes a text's id.
    pub fn text_name(self, id: TextId) -> String {
        match self {
            Self::Twilio => twilio::text_name(id),
        }
    }

    /// Reads an id back.
    pub fn text_id(self, name: &str) -> Option<TextId> {
        match self {
            Self::Twilio => twilio::text_id(name),
        }
    }

    /// The HTTP status and the provider's error code of an answer, as far as it has them.
    pub(crate) fn status_and_code(self, answer: &Answer<'_>) -> (Option<u16>, Option<u32>) {
        match self {
            Self::Twilio => twilio::status_and_code(answer),
        }
    }
}
