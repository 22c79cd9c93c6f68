//! HTTP to providers: one request, one answer, and on failure the one thing that
//! matters: whether a byte of the request can have left.
//!
//! Nothing is repeated. What is done is to move a request to another connection when an idle
//! one turned out closed *before hyper took the request up* (hyper hands the request itself back
//! as the proof, hyper 1.12 `client/dispatch.rs`, `TrySendError`); a request of which a byte was
//! given to a socket is never handed back. A connection that closes after that is
//! `connection_lost`, which is unknown. Redirects are not followed: an answer is an answer.

use std::error::Error;
use std::io;
use std::pin::pin;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::{BoxFuture, Either, select};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{DATE, HeaderMap, RETRY_AFTER};
use hyper::{Request, Response};

use schemas::UnixMicros;

use super::connect::{BoxError, ConnectTimeout, Connector, DnsFailure, TlsProblem};
use super::connections::{Connection, Idle, Lost};
use super::transport::{Answer, Transport, TransportFailure};

/// The longest wait that a provider can ask for, in milliseconds: one day. Longer ones
/// are cut to it.
const LONGEST_RETRY_AFTER_MS: u64 = 24 * 60 * 60 * 1_000;

/// What bounds the connection to a provider.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Until a connection stands, TLS included.
    pub(super) connect_timeout: Duration,
    /// From the start of a request to the last byte of its answer.
    pub(super) request_timeout: Duration,
    /// Idle connections kept: as many as may be in use at once.
    pub(super) max_in_flight: u32,
}

/// Connections to one provider account.
pub(super) struct Client {
    connector: Connector,
    idle: Idle,
    request_timeout: Duration,
}

impl Client {
    /// A client without connections; `tls` tells whether it will need any certificates.
    ///
    /// # Errors
    /// When the trusted certificates of the system cannot be read.
    pub(super) fn new(limits: Limits, tls: bool) -> Result<Self, TlsProblem> {
        let most = usize::try_from(limits.max_in_flight).unwrap_or(usize::MAX);
        Ok(Self {
            connector: Connector::new(limits.connect_timeout, tls)?,
            idle: Idle::new(most),
            request_timeout: limits.request_timeout,
        })
    }

    async fn carry(
        &self,
        request: Request<Bytes>,
        limit: usize,
    ) -> Result<Answer, TransportFailure> {
        let mut deadline = pin!(tokio::time::sleep(self.request_timeout));
        let answered = pin!(self.send(request));
        let (mut connection, response) = match select(answered, deadline.as_mut()).await {
            Either::Left((answered, _)) => answered?,
            Either::Right(_) => return Err(TransportFailure::Unknown(TIMEOUT)),
        };
        let (head, mut body) = response.into_parts();
        let content = {
            let reading = pin!(read_body(&mut connection, &mut body, limit));
            match select(reading, deadline).await {
                Either::Left((content, _)) => content,
                Either::Right(_) => Err(TIMEOUT),
            }
        };
        if content.is_ok() {
            self.idle.put(connection);
        }
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body: content,
        })
    }

    /// Sends the request on an idle connection, or else on a new one.
    async fn send(
        &self,
        request: Request<Bytes>,
    ) -> Result<(Connection, Response<Incoming>), TransportFailure> {
        let uri = request.uri().clone();
        let mut request = request.map(Full::new);
        loop {
            let idle = self.idle.take(&uri);
            let was_idle = idle.is_some();
            let mut connection = match idle {
                Some(connection) => connection,
                None => {
                    // Rare, and large: not a part of what every text carries along.
                    let opened = Connection::open(&self.connector, &uri).boxed().await;
                    opened.map_err(|error| TransportFailure::NotSent(connect_cause(&error)))?
                }
            };
            match connection.send(request).await {
                Ok(response) => return Ok((connection, response)),
                Err(Lost::Begun) => return Err(TransportFailure::Unknown(CONNECTION_LOST)),
                Err(Lost::Untouched(untouched)) if was_idle => request = *untouched,
                Err(Lost::Untouched(_)) => {
                    return Err(TransportFailure::NotSent("connection_closed"));
                }
            }
        }
    }
}

impl Transport for Client {
    fn exchange(
        &self,
        request: Request<Bytes>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Answer, TransportFailure>> {
        self.carry(request, limit).boxed()
    }
}

const TIMEOUT: &str = "timeout";
const CONNECTION_LOST: &str = "connection_lost";

/// The body, unless it is longer than `limit` bytes or breaks off.
async fn read_body(
    connection: &mut Connection,
    body: &mut Incoming,
    limit: usize,
) -> Result<Vec<u8>, &'static str> {
    let mut content = Vec::new();
    loop {
        match connection.next_frame(body).await {
            Some(Ok(frame)) => match frame.data_ref() {
                Some(chunk) if content.len() + chunk.len() > limit => {
                    return Err("answer_too_large");
                }
                Some(chunk) => content.extend_from_slice(chunk),
                None => {}
            },
            Some(Err(_)) => return Err(CONNECTION_LOST),
            None => return Ok(content),
        }
    }
}

/// The word for a connection that did not come about.
fn connect_cause(error: &BoxError) -> &'static str {
    let mut next: Option<&(dyn Error + 'static)> = Some(&**error);
    while let Some(cause) = next {
        if cause.is::<DnsFailure>() {
            return "dns";
        }
        if cause.is::<ConnectTimeout>() {
            return "connect_timeout";
        }
        let Some(io_error) = cause.downcast_ref::<io::Error>() else {
            next = cause.source();
            continue;
        };
        let kind = io_error.kind();
        if kind == io::ErrorKind::ConnectionRefused {
            return "connect_refused";
        }
        if kind == io::ErrorKind::TimedOut {
            return "connect_timeout";
        }
        // What rustls does not understand, and a line cut in the handshake: a bare TCP
        // connect yields neither.
        if matches!(
            kind,
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
        ) {
            return "tls_handshake";
        }
        // `source` of an I/O error leaves out the error that it holds itself.
        next = match io_error.get_ref() {
            Some(inner) => Some(inner),
            None => io_error.source(),
        };
    }
    "connect_failed"
}

/// The wait that an answer asks for, in milliseconds: `Retry-After` in seconds, or as a
/// date (RFC 9110, section 10.2.3), which is measured from the answer's own `Date`, so
/// that nobody's clock matters but the provider's. `None` when it cannot be read.
pub(super) fn retry_after_ms(headers: &HeaderMap) -> Option<u64> {
    let text = |name| Some(headers.get(name)?.to_str().ok()?.trim());
    let wanted = text(RETRY_AFTER)?;
    let milliseconds = if wanted.bytes().all(|byte| byte.is_ascii_digit()) {
        wanted.parse::<u64>().ok()?.saturating_mul(1_000)
    } else {
        let until = httpdate::parse_http_date(wanted).ok()?;
        let now = httpdate::parse_http_date(text(DATE)?).ok()?;
        let wait = until.duration_since(now).unwrap_or(Duration::ZERO);
        u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)
    };
    Some(milliseconds.min(LONGEST_RETRY_AFTER_MS))
}

/// When the answer was made, by the clock of whoever made it.
pub(super) fn date(headers: &HeaderMap) -> Option<UnixMicros> {
    let date = httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()?;
    let since = date.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_micros()).ok().map(UnixMicros)
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
