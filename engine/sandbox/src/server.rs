//! HTTP/1.1 in front of the core: one connection, one request at a time.

use crate::dialect::{self, HttpAnswer, HttpRequest, Method};
use crate::sandbox::Shared;
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method as HttpMethod, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;

/// Bytes of the largest request body: forty times the longest text, escaped.
const LARGEST_BODY: usize = 256 << 10;

/// Where judges ask for the counts.
const STATISTICS: &str = "/sandbox/statistics";

/// No answer: the connection is to be reset.
#[derive(Debug, thiserror::Error)]
#[error("the connection is cut without an answer")]
struct Cut;

/// Serves one connection until either side ends it.
pub(crate) async fn serve(shared: Arc<Shared>, mut stream: TcpStream) {
    let service = service_fn(|request| answer(Arc::clone(&shared), request));
    // Clients are trusted to finish their headers, so no timer runs per request.
    let mut http = http1::Builder::new();
    let http = http.header_read_timeout(None).pipeline_flush(true);
    let served = http
        .serve_connection(TokioIo::new(&mut stream), service)
        .await;
    if served.is_err_and(|error| error.is_user()) {
        // Without lingering the kernel sends a reset instead of an orderly end.
        let _ = stream.set_zero_linger();
    }
}

async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Cut> {
    let arrived = shared.clock.now_us();
    let (head, body) = request.into_parts();
    if head.uri.path() == STATISTICS {
        return Ok(statistics(&shared));
    }
    let Some(body) = read(body).await? else {
        let mut refused = Response::new(Full::default());
        *refused.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
        return Ok(refused);
    };
    let method = match head.method {
        HttpMethod::GET => Method::Get,
        HttpMethod::POST => Method::Post,
        _ => Method::Other,
    };
    let reply = dialect::respond(
        &shared.core,
        arrived,
        &HttpRequest {
            method,
            path: head.uri.path(),
            query: head.uri.query().unwrap_or_default(),
            authorization: head.headers.get(AUTHORIZATION).map(HeaderValue::as_bytes),
            body: &body,
        },
    );
    if reply.wake {
        shared.receipts_changed.notify_one();
    }
    if reply.at > arrived {
        let wait = reply.at.saturating_sub(shared.clock.now_us());
        tokio::time::sleep(Duration::from_micros(wait)).await;
    }
    reply.answer.map(into_response).ok_or(Cut)
}

/// The whole body, or nothing when it is too large. Most come in one frame and are not copied.
async fn read(mut body: Incoming) -> Result<Option<Bytes>, Cut> {
    let mut whole = Bytes::new();
    while let Some(frame) = body.frame().await {
        // The client broke off in its request: there is nobody to answer.
        let Ok(data) = frame.map_err(|_| Cut)?.into_data() else {
            continue;
        };
        if whole.len() + data.len() > LARGEST_BODY {
            return Ok(None);
        }
        whole = if whole.is_empty() {
            data
        } else {
            let mut joined = BytesMut::from(whole);
            joined.extend_from_slice(&data);
            joined.freeze()
        };
    }
    Ok(Some(whole))
}

fn into_response(answer: HttpAnswer) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(answer.body)));
    *response.status_mut() =
        StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    if let Some(seconds) = answer.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

fn statistics(shared: &Shared) -> Response<Full<Bytes>> {
    match serde_json::to_vec(&shared.statistics()) {
        Ok(body) => into_response(HttpAnswer {
            status: 200,
            retry_after: None,
            content_type: "application/json",
            body,
        }),
        Err(_) => into_response(HttpAnswer {
            status: 500,
            retry_after: None,
            content_type: "text/plain",
            body: Vec::new(),
        }),
    }
}
