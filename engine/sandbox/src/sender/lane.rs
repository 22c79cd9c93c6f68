//! One connection to a receiver, used for one receipt after another.

use crate::book::ReceiptResult;
use crate::core::DueReceipt;
use crate::dialect::ReceiptRequest;
use crate::sandbox::Shared;
use crate::seam;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{HOST, HeaderName, HeaderValue};
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{Mutex, mpsc};
use tokio::time::timeout;

/// Twilio's bound on one connect.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// Twilio's bound on a callback with all its tries.
const ALL_WITHIN: Duration = Duration::from_secs(15);

/// Tries to connect: Twilio's default is one retry, and only for this.
const CONNECT_TRIES: u8 = 2;

/// A connection idle for longer is not used again: web servers close theirs after
/// a few seconds, and a receipt written into a closing one would be lost.
const IDLE_US: u64 = 1_000_000;

/// Bytes read of a receiver's answer, which means nothing beyond its status.
const LARGEST_ANSWER: usize = 64 << 10;

struct Connection {
    requests: SendRequest<Full<Bytes>>,
    last_used: u64,
}

/// One of a receiver's connections.
pub(super) struct Lane {
    shared: Arc<Shared>,
    receiver: Arc<str>,
    connection: Option<Connection>,
}

impl Lane {
    pub(super) fn new(shared: Arc<Shared>, receiver: Arc<str>) -> Self {
        Self {
            shared,
            receiver,
            connection: None,
        }
    }

    /// Sends receipts from the receiver's common queue until it is closed and empty.
    pub(super) async fn run(mut self, receipts: Arc<Mutex<mpsc::Receiver<DueReceipt>>>) {
        loop {
            let next = receipts.lock().await.recv().await;
            let Some(receipt) = next else { return };
            let at = self.shared.clock.now_us();
            let mut attempts = 0;
            let tried = timeout(ALL_WITHIN, self.send(&receipt, &mut attempts)).await;
            let result = tried.unwrap_or(ReceiptResult::TimedOut);
            if !matches!(result, ReceiptResult::Answered(_)) {
                self.connection = None;
            }
            let ended = self.shared.clock.now_us();
            self.shared
                .core
                .receipt_tried(&receipt, at, ended, attempts.max(1), result);
        }
    }

    async fn send(&mut self, receipt: &DueReceipt, attempts: &mut u8) -> ReceiptResult {
        let core = &self.shared.core;
        let request = core
            .dialect_of(receipt.account)
            .and_then(|one| one.receipt(core, receipt));
        let Some(request) = request.and_then(|request| build(&self.receiver, request)) else {
            return ReceiptResult::NotConnected;
        };
        let now = self.shared.clock.now_us();
        let kept = self.connection.take();
        let fresh = kept.filter(|kept| now.saturating_sub(kept.last_used) < IDLE_US);
        let usable = match fresh {
            Some(mut kept) => kept.requests.ready().await.is_ok().then_some(kept),
            None => None,
        };
        *attempts = 1;
        let connection = match usable {
            Some(kept) => kept,
            None => match self.connect(attempts).await {
                Some(connection) => connection,
                None => return ReceiptResult::NotConnected,
            },
        };
        self.exchange(connection, request).await
    }

    async fn exchange(
        &mut self,
        mut connection: Connection,
        request: Request<Full<Bytes>>,
    ) -> ReceiptResult {
        let Ok(response) = connection.requests.send_request(request).await else {
            return ReceiptResult::Broken;
        };
        let status = response.status().as_u16();
        // Only a connection whose answer was read to its end can be used again.
        if Limited::new(response.into_body(), LARGEST_ANSWER)
            .collect()
            .await
            .is_ok()
        {
            connection.last_used = self.shared.clock.now_us();
            self.connection = Some(connection);
        }
        ReceiptResult::Answered(status)
    }

    async fn connect(&self, attempts: &mut u8) -> Option<Connection> {
        for attempt in 1..=CONNECT_TRIES {
            *attempts = attempt;
            let target = with_port(&self.receiver);
            let Ok(Ok(stream)) = timeout(CONNECT_WITHIN, TcpStream::connect(target)).await else {
                continue;
            };
            let _ = stream.set_nodelay(true);
            let Ok((requests, driver)) = http1::handshake(TokioIo::new(stream)).await else {
                continue;
            };
            seam::spawn_task(async move {
                // How the connection ended shows in its requests.
                let _ = driver.await;
            });
            return Some(Connection {
                requests,
                last_used: self.shared.clock.now_us(),
            });
        }
        None
    }
}

fn with_port(receiver: &str) -> String {
    let has_port = receiver
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    if has_port {
        receiver.to_owned()
    } else {
        format!("{receiver}:80")
    }
}

fn build(receiver: &str, receipt: ReceiptRequest) -> Option<Request<Full<Bytes>>> {
    let uri: Uri = receipt.url.parse().ok()?;
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let mut request = Request::new(Full::new(Bytes::from(receipt.body)));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = target.parse().ok()?;
    let headers = request.headers_mut();
    headers.insert(HOST, HeaderValue::from_str(receiver).ok()?);
    for (name, value) in receipt.headers {
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_str(&value).ok()?,
        );
    }
    Some(request)
}
