//! A request on a line between the process and a provider, and what comes back.

use sandbox::dialect::{HttpAnswer, Method};
use tokio::sync::oneshot;

/// A request on its way.
pub struct Request {
    /// The provider account's place.
    pub provider: usize,
    /// The method.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// See `path`.
    pub query: String,
    /// The `Authorization` header.
    pub authorization: Vec<u8>,
    /// The body.
    pub body: Vec<u8>,
    /// Its place among the ledger's calls, if it creates a text.
    pub call: Option<usize>,
    /// What the line does to it.
    pub fate: Fate,
    /// Who waits for the answer.
    pub reply: Option<oneshot::Sender<Reply>>,
    /// Whether the provider has seen it.
    pub arrived: bool,
}

/// What the line does to a request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Nothing.
    Passes,
    /// Its answer does not come back.
    AnswerLost,
    /// Half of the answer's body does.
    HalfBody,
}

/// What comes back to the process.
pub enum Reply {
    /// An answer; `true` when only half of its body came.
    Answer(HttpAnswer, bool),
    /// The line was cut.
    Cut,
}

impl Request {
    /// A request that has not left.
    pub fn new(provider: usize, method: Method, path: &str, query: &str) -> Self {
        Self {
            provider,
            method,
            path: path.to_owned(),
            query: query.to_owned(),
            authorization: Vec::new(),
            body: Vec::new(),
            call: None,
            fate: Fate::Passes,
            reply: None,
            arrived: false,
        }
    }
}
