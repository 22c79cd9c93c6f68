//! Passing a request on to another node, as it came, and its answer back.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use futures::stream::BoxStream;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

/// How long the other node may take to take a connection: they are in one network.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);

/// How long a connection is kept for the next request: for less long than the other node keeps it,
/// 5 s, so that no request is written to one that is just being closed.
const IDLE: Duration = Duration::from_secs(3);

/// Marks a request that was passed on, so that none goes round in a circle.
const MARK: HeaderName = HeaderName::from_static("volley-passed-on");

/// What belongs to one connection and not to the request (RFC 9110, 7.6.1).
const OF_A_CONNECTION: [&str; 7] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The bytes of a body.
pub type Chunks = BoxStream<'static, io::Result<Bytes>>;

/// Headers in their order, as bytes.
pub type Headers = Vec<(String, Vec<u8>)>;

/// A request to be passed on.
pub struct Passing {
    /// Its method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// All of its headers.
    pub headers: Headers,
    /// Its body, if it has one.
    pub body: Option<Chunks>,
}

/// The answer.
pub struct Passed {
    /// The HTTP status.
    pub status: u16,
    /// Its headers, but for those of the connection.
    pub headers: Headers,
    /// Its body.
    pub body: Chunks,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    /// The other node was not reached: it knows nothing of the request.
    #[error("not reached: {0}")]
    NotReached(#[source] reqwest::Error),
    /// It was lost before it answered: nobody knows what it did.
    #[error("lost: {0}")]
    Lost(#[source] reqwest::Error),
    /// The request was passed on before.
    #[error("the request has been passed on before")]
    InACircle,
    /// It cannot be written as a request.
    #[error("no request that can be passed on")]
    Unfit,
}

/// Passes requests on.
#[derive(Debug)]
pub struct Passer {
    http: reqwest::Client,
}

impl Passer {
    /// One with connections of its own.
    ///
    /// # Errors
    /// When no client can be made.
    pub fn new() -> io::Result<Self> {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_WITHIN)
            .pool_idle_timeout(IDLE)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(io::Error::other)?;
        Ok(Self { http })
    }

    /// Passes a request on to the node at `url`. The answer may take as long as the node takes.
    ///
    /// # Errors
    /// [`PassError`].
    pub async fn pass(&self, url: &str, request: Passing) -> Result<Passed, PassError> {
        let method = request.method.parse().map_err(|_| PassError::Unfit)?;
        let mut headers = kept(&request.headers)?;
        if headers
            .insert(MARK, HeaderValue::from_static("1"))
            .is_some()
        {
            return Err(PassError::InACircle);
        }
        let mut passed = self
            .http
            .request(method, at(url, &request.target)?)
            .headers(headers);
        if let Some(body) = request.body {
            passed = passed.body(reqwest::Body::wrap_stream(body));
        }
        let answer = passed.send().await.map_err(|error| {
            if error.is_connect() {
                PassError::NotReached(error)
            } else if error.is_builder() {
                PassError::Unfit
            } else {
                PassError::Lost(error)
            }
        })?;
        Ok(Passed {
            status: answer.status().as_u16(),
            headers: given_back(answer.headers()),
            body: Box::pin(answer.bytes_stream().map_err(io::Error::other)),
        })
    }
}

/// The same path at another node. One that is written so that it means another, such as
/// `/v1/%2e%2e/metrics`, is refused: who stands in front of the nodes let that pass, not the other.
fn at(url: &str, target: &str) -> Result<reqwest::Url, PassError> {
    let whole = reqwest::Url::parse(&format!("{url}{target}")).map_err(|_| PassError::Unfit)?;
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    if whole.path() == path {
        Ok(whole)
    } else {
        Err(PassError::Unfit)
    }
}

fn belongs_to_connection(name: &str) -> bool {
    OF_A_CONNECTION.contains(&name)
}

fn kept(headers: &Headers) -> Result<HeaderMap, PassError> {
    let mut kept = HeaderMap::new();
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| PassError::Unfit)?;
        let value = HeaderValue::from_bytes(value).map_err(|_| PassError::Unfit)?;
        if !belongs_to_connection(name.as_str()) {
            kept.append(name, value);
        }
    }
    Ok(kept)
}

fn given_back(headers: &HeaderMap) -> Headers {
    let all = headers.iter();
    let kept = all.filter(|(name, _)| !belongs_to_connection(name.as_str()));
    kept.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::at;

    #[test]
    fn a_path_stays_what_it_was() {
        let node = "http://10.0.0.5:8080";
        let kept = at(node, "/v1/messages/msg_1?limit=3&to=%2B1").expect("it stays");
        assert_eq!(
            kept.as_str(),
            "http://10.0.0.5:8080/v1/messages/msg_1?limit=3&to=%2B1"
        );
        for other in [
            "/v1/%2e%2e/metrics",
            "/v1/../metrics",
            "/./metrics",
            "/v1\\x",
        ] {
            assert!(at(node, other).is_err(), "{other}");
        }
    }
}
