//! Connections to one provider account, kept open between requests.
//!
//! Who sends a request drives its connection, in the same task: a connection with a task of its
//! own is woken, and wakes, for every request and every answer, which cost a text as much as
//! hyper itself. So nobody looks at an idle connection; what happened to it meanwhile is seen
//! before the next request is given to it.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body as _, Frame, Incoming};
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderValue};
use hyper::http::uri::Scheme;
use hyper::rt::Executor as _;
use hyper::{Request, Response, Uri};
use hyper_rustls::MaybeHttpsStream;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tower_service::Service;

use super::connect::{BoxError, Connector};

/// How long an idle connection is kept. It must end before the provider's side ends it,
/// or requests meet closing connections and become unknown; 60 s is the shortest
/// customary limit of load balancers.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);

type Requests = http1::SendRequest<Full<Bytes>>;
type Driver = http1::Connection<MaybeHttpsStream<TokioIo<TcpStream>>, Full<Bytes>>;

/// A connection over HTTP/1.1: over HTTP/2 hyper holds one connection per host and queues
/// silently when its streams run out (hyper issue 3623).
pub(super) struct Connection {
    /// To where: the scheme and the authority count.
    target: Uri,
    host: HeaderValue,
    requests: Requests,
    /// Does what there is to do on the socket; `None` once the connection has ended.
    driver: Option<Box<Driver>>,
    idle_since: Instant,
}

/// A request without an answer.
pub(super) enum Lost {
    /// Some or all of it may have left.
    Begun,
    /// hyper hands it back: no byte of it was given to the socket.
    Untouched(Box<Request<Full<Bytes>>>),
}

impl Connection {
    /// Opens a connection to where `uri` points.
    ///
    /// # Errors
    /// What the connector says; no byte of a request has left then.
    pub(super) async fn open(connector: &Connector, uri: &Uri) -> Result<Self, BoxError> {
        let host = HeaderValue::from_str(&host_of(uri))?;
        let stream = connector.clone().call(uri.clone()).await?;
        let (requests, driver) = http1::Builder::new()
            .writev(false)
            .handshake(stream)
            .await?;
        Ok(Self {
            target: uri.clone(),
            host,
            requests,
            driver: Some(Box::new(driver)),
            idle_since: Instant::now(),
        })
    }

    fn leads_to(&self, uri: &Uri) -> bool {
        self.target.scheme() == uri.scheme() && self.target.authority() == uri.authority()
    }

    /// Sends a request, and waits for the head of its answer.
    ///
    /// # Errors
    /// [`Lost`]; the connection has ended then.
    pub(super) async fn send(
        &mut self,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, Lost> {
        if let Some(path) = request.uri().path_and_query() {
            *request.uri_mut() = Uri::from(path.clone());
        }
        request.headers_mut().insert(HOST, self.host.clone());
        let answered = self.requests.try_send_request(request);
        let mut answered = std::pin::pin!(answered);
        let driver = &mut self.driver;
        let answer = poll_fn(|context| {
            drive(driver, context);
            answered.as_mut().poll(context)
        });
        answer
            .await
            .map_err(|mut error| match error.take_message() {
                Some(request) => Lost::Untouched(Box::new(request)),
                None => Lost::Begun,
            })
    }

    /// The next part of the answer's body; `None` at its end.
    pub(super) async fn next_frame(
        &mut self,
        body: &mut Incoming,
    ) -> Option<hyper::Result<Frame<Bytes>>> {
        let driver = &mut self.driver;
        poll_fn(|context| {
            let mut poll = |context: &mut Context<'_>| Pin::new(&mut *body).poll_frame(context);
            if let Poll::Ready(frame) = poll(context) {
                return Poll::Ready(frame);
            }
            drive(driver, context);
            poll(context)
        })
        .await
    }
}

fn drive(driver: &mut Option<Box<Driver>>, context: &mut Context<'_>) {
    if let Some(connection) = driver
        && Pin::new(connection).poll(context).is_ready()
    {
        // What it ended with shows in the request, if there is one.
        *driver = None;
    }
}

/// Idle connections.
pub(super) struct Idle {
    kept: Arc<Mutex<Kept>>,
    most: usize,
}

#[derive(Default)]
struct Kept {
    /// The longest idle first.
    connections: VecDeque<Connection>,
    /// Whether somebody closes them when they are old.
    are_watched: bool,
}

impl Idle {
    /// Keeps at most so many.
    pub(super) fn new(most: usize) -> Self {
        Self {
            kept: Arc::default(),
            most,
        }
    }

    /// One that leads to where `uri` points.
    pub(super) fn take(&self, uri: &Uri) -> Option<Connection> {
        let connections = &mut lock(&self.kept).connections;
        drop_old(connections);
        let place = connections.iter().rposition(|idle| idle.leads_to(uri))?;
        connections.remove(place)
    }

    /// Keeps a connection whose last answer was read to its end, if it can carry another one.
    pub(super) fn put(&self, mut connection: Connection) {
        if connection.driver.is_none() || !connection.requests.is_ready() {
            return;
        }
        connection.idle_since = Instant::now();
        let mut kept = lock(&self.kept);
        if kept.connections.len() < self.most {
            kept.connections.push_back(connection);
        }
        if !std::mem::replace(&mut kept.are_watched, true) {
            let watching = close_when_old(Arc::downgrade(&self.kept));
            TokioExecutor::new().execute(watching);
        }
    }
}

/// Closes those that nobody takes in time, until none is left.
async fn close_when_old(kept: Weak<Mutex<Kept>>) {
    loop {
        tokio::time::sleep(IDLE_TIMEOUT).await;
        let Some(kept) = kept.upgrade() else {
            return;
        };
        let mut kept = lock(&kept);
        drop_old(&mut kept.connections);
        if kept.connections.is_empty() {
            kept.are_watched = false;
            return;
        }
    }
}

fn drop_old(connections: &mut VecDeque<Connection>) {
    while let Some(first) = connections.front()
        && first.idle_since.elapsed() >= IDLE_TIMEOUT
    {
        connections.pop_front();
    }
}

fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the header `Host` says: the port only where it is not the scheme's own (RFC 9110,
/// section 7.2).
fn host_of(uri: &Uri) -> String {
    let host = uri.host().unwrap_or_default();
    let own = if uri.scheme() == Some(&Scheme::HTTPS) {
        443
    } else {
        80
    };
    match uri.port_u16() {
        Some(port) if port != own => format!("{host}:{port}"),
        Some(_) | None => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::host_of;

    #[test]
    fn the_host_names_a_port_that_is_not_the_schemes_own() {
        for (uri, host) in [
            ("https://api.example.com/x", "api.example.com"),
            ("https://api.example.com:443/x", "api.example.com"),
            ("https://api.example.com:80/x", "api.example.com:80"),
            ("http://127.0.0.1:8080/x?y=z", "127.0.0.1:8080"),
            ("http://127.0.0.1:80/x", "127.0.0.1"),
        ] {
            assert_eq!(host_of(&uri.parse().expect("a URI")), host, "{uri}");
        }
    }
}
