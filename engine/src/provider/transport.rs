//! What carries a provider's requests: sockets in production, anything that keeps to
//! this in a simulation. What an adapter says and understands is the same over both.

use bytes::Bytes;
use futures::future::BoxFuture;
use hyper::header::HeaderMap;
use hyper::{Request, StatusCode};

/// Carries one request, and what came back.
pub trait Transport: Send + Sync + 'static {
    /// Sends `request` once and reads its answer up to `limit` bytes of body. Ends
    /// within the account's request timeout.
    ///
    /// # Errors
    /// [`TransportFailure`] when not even the head of an answer came.
    fn exchange(
        &self,
        request: Request<Bytes>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Answer, TransportFailure>>;
}

/// Why no answer came. The words are stable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TransportFailure {
    /// No byte of the request left.
    NotSent(&'static str),
    /// Some or all of the request may have arrived.
    Unknown(&'static str),
}

impl TransportFailure {
    /// The word alone.
    pub const fn cause(self) -> &'static str {
        match self {
            Self::NotSent(cause) | Self::Unknown(cause) => cause,
        }
    }
}

/// The head of an answer and as much of its body as came.
pub struct Answer {
    /// The status line's number.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body, or why it is not whole: a stable word.
    pub body: Result<Vec<u8>, &'static str>,
}
