//! Waits that answers ask for, and connections over real sockets: kept while they can be, and
//! never the reason that a text is lost.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request};

use super::{Client, LONGEST_RETRY_AFTER_MS, Limits, retry_after_ms};
use crate::provider::transport::{Transport, TransportFailure};

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

/// What a provider does with a connection.
#[derive(Clone, Copy)]
enum Then {
    /// Answers, and keeps it.
    Keep,
    /// Answers, and closes it without a word.
    Close,
    /// Answers, says that it closes it, and closes it.
    SayAndClose,
    /// Closes it as soon as a request came.
    Cut,
}

/// A provider that does this with one request after the other. Tells the number of the connection
/// and the first line of each, and on a closed connection nothing before it is closed.
fn provider(script: Vec<Then>) -> (SocketAddr, std::sync::mpsc::Receiver<(usize, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let (heard, hears) = channel();
    let serve = move || {
        let mut script = script.into_iter();
        let mut connections = 0;
        while script.len() > 0 {
            let (stream, _) = listener.accept().expect("a connection");
            answer_all(stream, connections, &mut script, &heard);
            connections += 1;
        }
    };
    std::thread::Builder::new().spawn(serve).expect("a thread");
    (address, hears)
}

fn answer_all(
    mut stream: TcpStream,
    number: usize,
    script: &mut impl Iterator<Item = Then>,
    heard: &Sender<(usize, String)>,
) {
    loop {
        let mut request = Vec::new();
        while !request.ends_with(b"text") {
            let mut bytes = [0; 1024];
            match stream.read(&mut bytes) {
                Ok(0) | Err(_) => return,
                Ok(read) => request.extend_from_slice(&bytes[..read]),
            }
        }
        let request = String::from_utf8(request).expect("a request is text");
        let line = request.lines().next().unwrap_or_default().to_owned();
        let Some(then) = script.next() else { return };
        let close = match then {
            Then::SayAndClose => "connection: close\r\n",
            Then::Keep | Then::Close | Then::Cut => "",
        };
        if !matches!(then, Then::Cut) {
            let answer = format!("HTTP/1.1 200 OK\r\n{close}content-length: 2\r\n\r\nok");
            stream.write_all(answer.as_bytes()).expect("it is there");
        }
        if !matches!(then, Then::Keep) {
            drop(stream);
            heard.send((number, line)).expect("somebody hears");
            return;
        }
        heard.send((number, line)).expect("somebody hears");
    }
}

fn client() -> Client {
    let limits = Limits {
        connect_timeout: Duration::from_secs(5),
        request_timeout: Duration::from_secs(5),
        max_in_flight: 4,
    };
    Client::new(limits, false).expect("a client without TLS")
}

async fn post(client: &Client, address: SocketAddr) -> Result<Vec<u8>, TransportFailure> {
    let mut request = Request::new(Bytes::from_static(b"text"));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = format!("http://{address}/texts?a=b")
        .parse()
        .expect("a URI");
    let answer = client.exchange(request, 16).await?;
    Ok(answer.body.expect("a whole body"))
}

/// What was heard of each request: the number of its connection.
fn connections_of(script: Vec<Then>) -> Vec<(usize, Result<Vec<u8>, TransportFailure>)> {
    let (address, hears) = provider(script.clone());
    let mut tasks = tokio::runtime::Builder::new_current_thread();
    let tasks = tasks.enable_all().build().expect("a runtime");
    tasks.block_on(async {
        let client = client();
        let mut seen = Vec::new();
        for _ in script {
            let answer = post(&client, address).await;
            // Said once the connection is closed, so that it is before the next request.
            let (number, line) = hears.recv().expect("it was heard");
            assert_eq!(line, "POST /texts?a=b HTTP/1.1");
            // What happens on sockets is told by the system's events: let them in.
            tokio::task::yield_now().await;
            seen.push((number, answer));
        }
        seen
    })
}

#[test]
fn a_connection_is_used_again() {
    let seen = connections_of(vec![Then::Keep; 20]);
    for (number, answer) in seen {
        assert_eq!((number, answer), (0, Ok(b"ok".to_vec())));
    }
}

#[test]
fn one_that_was_closed_while_idle_loses_nothing() {
    for then in [Then::Close, Then::SayAndClose] {
        let seen = connections_of(vec![Then::Keep, then, then, Then::Keep, Then::Keep]);
        for ((number, answer), expected) in seen.into_iter().zip([0, 0, 1, 2, 2]) {
            assert_eq!((number, answer), (expected, Ok(b"ok".to_vec())));
        }
    }
}

#[test]
fn one_that_is_cut_after_a_request_leaves_it_unknown_and_is_not_used_again() {
    let seen = connections_of(vec![Then::Keep, Then::Cut, Then::Cut, Then::Keep]);
    let [first, cut, again, last] = seen.try_into().expect("four");
    let lost = Err(TransportFailure::Unknown("connection_lost"));
    assert_eq!(first, (0, Ok(b"ok".to_vec())));
    assert_eq!(cut, (0, lost.clone()));
    assert_eq!(again, (1, lost));
    assert_eq!(last, (2, Ok(b"ok".to_vec())));
}
