//! HTTP to providers: one request, one answer, and on failure the one thing that
//! matters: whether a byte of the request can have left.
//!
//! Nothing is repeated. reqwest's own repeats are off. What stays on, below it, is that
//! hyper-util moves a request to a fresh connection when a pooled one turned out closed
//! *before hyper took the request up* (hyper hands the request itself back as the
//! proof, hyper-util 0.1.21 `legacy/client.rs`, `TrySendError::Retryable`); a request of
//! which a byte was given to a socket is never handed back. A pooled connection that
//! closes after that is `connection_lost`, which is unknown.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "the wildcards are over other crates' growing enums"
)]

use std::error::Error as _;
use std::io;
use std::time::Duration;

use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use reqwest::{Client, Request, Response, StatusCode, Url, redirect, retry};

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

/// Why no answer came. The words are stable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum TransportFailure {
    /// No byte of the request left.
    NotSent(&'static str),
    /// Some or all of the request may have arrived.
    Unknown(&'static str),
}

impl TransportFailure {
    /// The word alone.
    pub(super) const fn cause(self) -> &'static str {
        match self {
            Self::NotSent(cause) | Self::Unknown(cause) => cause,
        }
    }
}

/// The head of an answer and as much of its body as came.
pub(super) struct Answer {
    /// The status line's number.
    pub(super) status: StatusCode,
    /// The headers.
    pub(super) headers: HeaderMap,
    /// The whole body, or why it is not whole: a stable word.
    pub(super) body: Result<Vec<u8>, &'static str>,
}

/// A client for one provider account.
///
/// # Errors
/// reqwest's, when the trusted certificates of the system cannot be read.
pub(super) fn client(base_url: &Url, limits: Limits) -> Result<Client, reqwest::Error> {
    let idle = usize::try_from(limits.max_in_flight).unwrap_or(usize::MAX);
    let builder = Client::builder()
        // Over HTTP/2 hyper holds one connection per host and queues silently when its
        // streams run out (hyper issue 3623); over HTTP/1.1 each open request has its own.
        .http1_only()
        .redirect(redirect::Policy::none())
        .referer(false)
        .retry(retry::never())
        .no_proxy()
        .connect_timeout(limits.connect_timeout)
        .timeout(limits.request_timeout)
        .pool_idle_timeout(POOL_IDLE_TIMEOUT)
        .pool_max_idle_per_host(idle);
    if base_url.scheme() == "https" {
        builder.build()
    } else {
        // Plain HTTP, a sandbox: it must work on a machine without any certificates.
        builder.tls_certs_only([]).build()
    }
}

/// Sends `request` once and reads its answer up to `limit` bytes of body.
///
/// # Errors
/// [`TransportFailure`] when not even the head of an answer came.
pub(super) async fn exchange(
    client: &Client,
    request: Request,
    limit: usize,
) -> Result<Answer, TransportFailure> {
    let mut response = client
        .execute(request)
        .await
        .map_err(|error| classify(&error))?;
    let status = response.status();
    let headers = std::mem::take(response.headers_mut());
    let body = read_body(&mut response, limit).await;
    Ok(Answer {
        status,
        headers,
        body,
    })
}

/// The body, unless it is longer than `limit` bytes or breaks off.
async fn read_body(response: &mut Response, limit: usize) -> Result<Vec<u8>, &'static str> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > limit => return Err("answer_too_large"),
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return Ok(body),
            Err(error) => return Err(classify(&error).cause()),
        }
    }
}

/// The one place that says what a failure of the transport means. Only what is proven
/// not to have left is `NotSent`.
fn classify(error: &reqwest::Error) -> TransportFailure {
    if error.is_builder() {
        return TransportFailure::NotSent("invalid_request");
    }
    if error.is_connect() {
        // Connecting ends before the first byte of a request is written, TLS included.
        return TransportFailure::NotSent(if error.is_dns() {
            "dns"
        } else if error.is_timeout() {
            "connect_timeout"
        } else {
            connect_cause(error)
        });
    }
    if never_started(error) {
        return TransportFailure::NotSent("connection_closed");
    }
    TransportFailure::Unknown(if error.is_timeout() {
        "timeout"
    } else {
        "connection_lost"
    })
}

/// The word for a connection that did not come about.
fn connect_cause(error: &reqwest::Error) -> &'static str {
    let mut next = error.source();
    while let Some(cause) = next {
        let Some(io_error) = cause.downcast_ref::<io::Error>() else {
            next = cause.source();
            continue;
        };
        let kind = io_error.kind();
        if kind == io::ErrorKind::ConnectionRefused {
            return "connect_refused";
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
fn never_started(error: &reqwest::Error) -> bool {
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

#[cfg(test)]
mod tests {
    use reqwest::header::{DATE, HeaderMap, HeaderValue, RETRY_AFTER};

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
