//! Bare hyper: the HTTP library under the engine's client, without pool, timeouts or
//! anything else, keep-alive, one request in flight per connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::failure::{BenchError, machine};
use crate::request::CapturedRequest;

/// Posts `texts` requests over so many connections.
///
/// # Errors
/// When a connection breaks or an answer is not 201.
pub async fn post(
    address: SocketAddr,
    request: &CapturedRequest,
    connections: u32,
    texts: u64,
) -> Result<(), BenchError> {
    let request = Arc::new(request.clone());
    let taken = Arc::new(AtomicU64::new(0));
    let (mut tasks, mut drivers) = (JoinSet::new(), JoinSet::new());
    for _ in 0..connections {
        let failed = machine("the hyper client cannot connect");
        let stream = TcpStream::connect(address).await.map_err(&failed)?;
        stream.set_nodelay(true).map_err(&failed)?;
        let shaken = handshake(TokioIo::new(stream)).await;
        let (mut sender, driver) = shaken.map_err(|error| failed(std::io::Error::other(error)))?;
        // How a connection ended shows in its requests.
        drivers.spawn(driver);
        let (request, taken) = (Arc::clone(&request), Arc::clone(&taken));
        tasks.spawn(async move {
            while taken.fetch_add(1, Ordering::Relaxed) < texts {
                exchange(&mut sender, &request, address).await?;
            }
            Ok(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        let ended = ended.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        ended.map_err(machine("the hyper client"))?;
    }
    Ok(())
}

async fn exchange(
    sender: &mut SendRequest<Full<Bytes>>,
    captured: &CapturedRequest,
    address: SocketAddr,
) -> std::io::Result<()> {
    sender.ready().await.map_err(std::io::Error::other)?;
    let mut request = Request::post(captured.path.as_str()).header("host", address.to_string());
    for (name, value) in &captured.headers {
        request = request.header(name, value);
    }
    let request = request.body(Full::new(Bytes::from(captured.body.clone())));
    let request = request.map_err(std::io::Error::other)?;
    let answer = sender
        .send_request(request)
        .await
        .map_err(std::io::Error::other)?;
    if answer.status() != StatusCode::CREATED {
        return Err(std::io::Error::other("an answer is not 201"));
    }
    answer
        .into_body()
        .collect()
        .await
        .map_err(std::io::Error::other)?;
    Ok(())
}
