//! HTTP to providers: one request, one answer, and on failure the one thing that
//! matters: whether a byte of the request can have left.
//!
//! Nothing is repeated. What the pool does is to move a request to a fresh connection
//! when a pooled one turned out closed *before hyper took the request up* (hyper hands
//! the request itself back as the proof, hyper-util 0.1.21 `legacy/client.rs`,
//! `TrySendError::Retryable`); a request of which a byte was given to a socket is never
//! handed back. A pooled connection that closes after that is `connection_lost`, which
//! is unknown. Redirects are not followed: an answer is an answer.

use std::error::Error as _;
use std::io;
use std::pin::{Pin, pin};
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::{BoxFuture, Either, select};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::Incoming;
use hyper::header::{DATE, HeaderMap, RETRY_AFTER};
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use schemas::UnixMicros;

use super::connect::{ConnectTimeout, Connector, DnsFailure, TlsProblem};
use super::transport::{Answer, Transport, TransportFailure};

/// How long an idle connection is kept. It must end before the provider's side ends it,
/// or requests meet closing connections and become unknown; 60 s is the shortest
/// customary limit of load balancers.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(20);

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

/// Connections to one provider account, over HTTP/1.1: over HTTP/2 hyper holds one
/// connection per host and queues silently when its streams run out (hyper issue 3623).
pub(super) struct Client {
    pool: legacy::Client<Connector, Full<Bytes>>,
    request_timeout: Duration,
}

impl Client {
    /// A client without connections; `tls` tells whether it will need any certificates.
    ///
    /// # Errors
    /// When the trusted certificates of the system cannot be read.
    pub(super) fn new(limits: Limits, tls: bool) -> Result<Self, TlsProblem> {
        let idle = usize::try_from(limits.max_in_flight).unwrap_or(usize::MAX);
        let pool = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .pool_max_idle_per_host(idle)
            .build(Connector::new(limits.connect_timeout, tls)?);
        Ok(Self {
            pool,
            request_timeout: limits.request_timeout,
        })
    }

    async fn carry(
        &self,
        request: Request<Bytes>,
        limit: usize,
    ) -> Result<Answer, TransportFailure> {
        let request = self.pool.request(request.map(Full::new));
        let mut deadline = pin!(tokio::time::sleep(self.request_timeout));
        let response = match select(request, deadline.as_mut()).await {
            Either::Left((answered, _)) => answered.map_err(|error| classify(&error))?,
            Either::Right(_) => return Err(TransportFailure::Unknown(TIMEOUT)),
        };
        let (head, body) = response.into_parts();
        let body = read_body(body, limit, deadline).await;
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body,
        })
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

/// The body, unless it is longer than `limit` bytes, breaks off or comes too late.
async fn read_body(
    mut body: Incoming,
    limit: usize,
    mut deadline: Pin<&mut tokio::time::Sleep>,
) -> Result<Vec<u8>, &'static str> {
    let mut content = Vec::new();
    loop {
        let frame = match select(body.frame(), deadline.as_mut()).await {
            Either::Left((frame, _)) => frame,
            Either::Right(_) => return Err(TIMEOUT),
        };
        match frame {
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

/// The one place that says what a failure of the transport means. Only what is proven
/// not to have left is `NotSent`.
fn classify(error: &legacy::Error) -> TransportFailure {
    if error.is_connect() {
        // Connecting ends before the first byte of a request is written, TLS included.
        return TransportFailure::NotSent(connect_cause(error));
    }
    if never_started(error) {
        return TransportFailure::NotSent("connection_closed");
    }
    TransportFailure::Unknown(CONNECTION_LOST)
}

/// The word for a connection that did not come about.
fn connect_cause(error: &legacy::Error) -> &'static str {
    let mut next = error.source();
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

/// Whether hyper proves that it never took the request up: on HTTP/1.1 it reports
/// "canceled" only together with the untouched request (hyper 1.12,
/// `client/dispatch.rs` and `proto/h1/dispatch.rs`).
fn never_started(error: &legacy::Error) -> bool {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(cause) = cause.downcast_ref::<hyper::Error>() {
            return cause.is_canceled();
        }
        source = cause.source();
    }
    false
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
mod tests {
    use hyper::header::{DATE, HeaderMap, HeaderValue, RETRY_AFTER};

    use super::{LONGEST_RETRY_AFTER_MS, retry_after_ms};

    fn wait(retry_after: &'static str, date: Option<&'static str>) -> Option<u64> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_static(retry_after));
        if let Some(date) = date {
            headers.insert(DATE, HeaderValue::from_static(date));
        }
        retry_after_ms(&headers)
    }

    #[test]
    fn a_wait_comes_in_seconds_or_as_a_date() {
        let now = Some("Fri, 02 Jan 2026 15:30:00 GMT");
        assert_eq!(wait("0", None), Some(0));
        assert_eq!(wait("7", None), Some(7_000));
        assert_eq!(wait("Fri, 02 Jan 2026 15:30:09 GMT", now), Some(9_000));
        assert_eq!(wait("Fri, 02 Jan 2026 15:29:09 GMT", now), Some(0));
        assert_eq!(wait("99999999999", None), Some(LONGEST_RETRY_AFTER_MS));
        assert_eq!(retry_after_ms(&HeaderMap::new()), None);
    }

    #[test]
    fn a_wait_that_cannot_be_read_is_none() {
        for wrong in ["", "-3", "1.5", "soon", "Fri, 02 Jan 2026 15:30:09 GMT"] {
            assert_eq!(wait(wrong, None), None, "{wrong}");
        }
    }
}
