//! Many callers of the REST API at once, each on a connection of its own: it asks for a text,
//! waits for the answer, waits as long as the answer says, and asks again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use schemas::Secret;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::failure::{BenchError, machine};

/// Numbers that are texted; after the last the first comes again.
const NUMBERS: u64 = 1_000_000;

/// Callers that connect in one millisecond: as many at once as there are would only fill the
/// machine's list of connections to be accepted.
const CONNECT_AT_ONCE: usize = 10;

/// What the callers were answered.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub struct Answers {
    /// 202: the node has taken the text.
    pub taken: u64,
    /// 429: more than this key or account may ask.
    pub too_many: u64,
    /// 503: more than the node takes at once.
    pub busy: u64,
    /// Connections that ended without an answer.
    pub broken: u64,
}

/// What all callers share.
struct Crowd {
    address: SocketAddr,
    keys: Vec<Secret>,
    ended: AtomicBool,
    next: AtomicU64,
}

/// What a caller was answered.
enum Answer {
    Taken,
    /// Come back after so long.
    Refused(StatusCode, Duration),
}

/// Has so many callers ask for so long, and tells what they were answered.
///
/// # Errors
/// When a connection cannot be made, or an answer is none that an overloaded node may give.
pub async fn ask(
    address: SocketAddr,
    keys: &[Secret],
    callers: usize,
    span: Duration,
) -> Result<Answers, BenchError> {
    let crowd = Arc::new(Crowd {
        address,
        keys: keys.to_vec(),
        ended: AtomicBool::new(false),
        next: AtomicU64::new(0),
    });
    let mut tasks = JoinSet::new();
    for caller in 0..callers {
        let crowd = Arc::clone(&crowd);
        let delay = Duration::from_millis((caller / CONNECT_AT_ONCE) as u64);
        tasks.spawn(async move {
            tokio::time::sleep(delay).await;
            call(&crowd, caller).await
        });
    }
    tokio::time::sleep(span).await;
    crowd.ended.store(true, Ordering::Relaxed);
    let mut all = Answers::default();
    while let Some(ended) = tasks.join_next().await {
        let failed = machine("a caller");
        let answers = ended.map_err(|error| failed(std::io::Error::other(error)))??;
        all.taken += answers.taken;
        all.too_many += answers.too_many;
        all.busy += answers.busy;
        all.broken += answers.broken;
    }
    Ok(all)
}

/// One caller, until all have ended.
async fn call(crowd: &Crowd, caller: usize) -> Result<Answers, BenchError> {
    let key = &crowd.keys[caller % crowd.keys.len()];
    let mut answers = Answers::default();
    let mut connection = None;
    while !crowd.ended.load(Ordering::Relaxed) {
        let mut open = match connection.take() {
            Some(open) => open,
            None => connect(crowd.address).await?,
        };
        // The node may have closed it after its last answer.
        if open.sender.ready().await.is_err() {
            continue;
        }
        let number = crowd.next.fetch_add(1, Ordering::Relaxed) % NUMBERS;
        match exchange(&mut open.sender, key, number).await {
            Ok(Answer::Taken) => answers.taken += 1,
            Ok(Answer::Refused(status, wait)) => {
                if status == StatusCode::TOO_MANY_REQUESTS {
                    answers.too_many += 1;
                } else {
                    answers.busy += 1;
                }
                tokio::time::sleep(wait).await;
            }
            Err(Failure::Broken) => {
                answers.broken += 1;
                continue;
            }
            Err(Failure::Wrong(what)) => return Err(BenchError::Invalid(what)),
        }
        connection = Some(open);
    }
    Ok(answers)
}

/// A connection, and what drives it: dropped together.
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    _driver: JoinSet<hyper::Result<()>>,
}

async fn connect(address: SocketAddr) -> Result<Connection, BenchError> {
    let failed = machine("a caller cannot connect");
    let stream = TcpStream::connect(address).await.map_err(&failed)?;
    stream.set_nodelay(true).map_err(&failed)?;
    let shaken = handshake(TokioIo::new(stream)).await;
    let (sender, driver) = shaken.map_err(|error| failed(std::io::Error::other(error)))?;
    // How a connection ended shows in its requests.
    let mut drivers = JoinSet::new();
    drivers.spawn(driver);
    Ok(Connection {
        sender,
        _driver: drivers,
    })
}

/// Why there is no answer that counts.
enum Failure {
    /// The connection ended first.
    Broken,
    /// It is none that an overloaded node may give.
    Wrong(String),
}

async fn exchange(
    sender: &mut SendRequest<Full<Bytes>>,
    key: &Secret,
    number: u64,
) -> Result<Answer, Failure> {
    let wrong = |what: String| Failure::Wrong(what);
    let to = 2_000_000 + number;
    let body =
        format!(r#"{{"to":"+1202{to}","body":"Your table is booked.","class":"marketing"}}"#);
    let request = Request::post("/v1/messages")
        .header("host", "node")
        .header("authorization", format!("Bearer {}", key.expose()))
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| wrong(error.to_string()))?;
    let answer = sender.send_request(request).await;
    let (head, body) = answer.map_err(|_| Failure::Broken)?.into_parts();
    body.collect().await.map_err(|_| Failure::Broken)?;
    match head.status {
        StatusCode::ACCEPTED => Ok(Answer::Taken),
        status @ (StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) => {
            let seconds = head.headers.get("retry-after");
            let seconds = seconds.and_then(|value| value.to_str().ok()?.parse().ok());
            let seconds = seconds.ok_or_else(|| wrong(format!("{status} without Retry-After")))?;
            Ok(Answer::Refused(status, Duration::from_secs(seconds)))
        }
        status => Err(wrong(format!("an answer is {status}"))),
    }
}
