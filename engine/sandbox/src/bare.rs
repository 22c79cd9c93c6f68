//! The bare counter: the least a provider can cost, for benchmarks.
//!
//! It answers every POST with the same bytes that the sandbox answers a taken
//! text with (only the id differs), on plain sockets, with no book, no limit, no
//! receipts and no password; it only counts. What an engine reaches against it
//! is the engine's own speed.

use crate::twilio;
use crate::workers::Workers;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Bytes of the largest request, head and body; a larger one ends its connection.
const LARGEST_REQUEST: usize = 64 << 10;

/// A running counter. Dropping it stops it.
pub struct BareCounter {
    workers: Workers,
    count: Arc<AtomicU64>,
}

impl BareCounter {
    /// Listens on `address` (port 0 takes a free one) with that many serving threads.
    ///
    /// # Errors
    /// When the address is taken or a thread is refused.
    pub fn start(address: SocketAddr, threads: usize) -> io::Result<Self> {
        let count = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&count);
        let template = Arc::new(Template::new());
        let serve = move |stream| {
            let (counted, template) = (Arc::clone(&counted), Arc::clone(&template));
            async move {
                // A connection that breaks off has nobody to tell.
                let _ = serve(stream, &counted, &template).await;
            }
        };
        let workers = Workers::start("bare-counter", address, threads.max(1), serve, |_| ())?;
        Ok(Self { workers, count })
    }

    /// The bound address.
    pub fn address(&self) -> SocketAddr {
        self.workers.address()
    }

    /// How many POSTs have been read whole so far.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

/// A whole answer with the places where the id stands.
struct Template {
    bytes: Vec<u8>,
    ids: Vec<usize>,
}

/// Digits of an id behind its prefix.
const ID_DIGITS: usize = 32;

impl Template {
    fn new() -> Self {
        let (body, id) = twilio::sample_answer();
        let mut bytes = format!(
            "HTTP/1.1 201 Created\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
             date: Fri, 02 Jan 2026 15:30:00 GMT\r\n\r\n",
            body.len()
        )
        .into_bytes();
        bytes.extend_from_slice(&body);
        let digits = id.as_bytes().get(2..).unwrap_or_default();
        let windows = bytes.windows(ID_DIGITS).enumerate();
        let ids = windows
            .filter(|(_, window)| *window == digits)
            .map(|(place, _)| place);
        Self {
            ids: ids.collect(),
            bytes,
        }
    }

    /// Appends the answer that tells `number` as the text's id.
    fn write(&self, out: &mut Vec<u8>, number: u64) {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        for place in &self.ids {
            if let Some(mut digits) = out.get_mut(start + place..start + place + ID_DIGITS) {
                // The field is as wide as what is written, so it cannot fail.
                let _ = write!(digits, "{number:032x}");
            }
        }
    }
}

async fn serve(mut stream: TcpStream, count: &AtomicU64, template: &Template) -> io::Result<()> {
    let mut incoming = Vec::with_capacity(4 << 10);
    let mut outgoing = Vec::with_capacity(4 << 10);
    loop {
        if stream.read_buf(&mut incoming).await? == 0 || incoming.len() > LARGEST_REQUEST {
            return Ok(());
        }
        let mut used = 0;
        while let Some(request) = incoming.get(used..).and_then(whole_request) {
            used += request.bytes;
            if request.is_post {
                template.write(&mut outgoing, count.fetch_add(1, Ordering::Relaxed));
            } else {
                outgoing.extend_from_slice(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n");
            }
        }
        incoming.drain(..used);
        if !outgoing.is_empty() {
            stream.write_all(&outgoing).await?;
            outgoing.clear();
        }
    }
}

struct WholeRequest {
    bytes: usize,
    is_post: bool,
}

/// The request at the start of `bytes`, once its head and body are there.
fn whole_request(bytes: &[u8]) -> Option<WholeRequest> {
    let head_end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = bytes.get(..head_end)?;
    let length = head
        .split(|byte| *byte == b'\n')
        .find_map(content_length)
        .unwrap_or(0);
    let end = head_end.checked_add(length)?;
    (bytes.len() >= end).then(|| WholeRequest {
        bytes: end,
        is_post: head.starts_with(b"POST "),
    })
}

fn content_length(line: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"content-length:";
    let (name, value) = line.split_at_checked(NAME.len())?;
    if !name.eq_ignore_ascii_case(NAME) {
        return None;
    }
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::whole_request;

    #[test]
    fn a_request_is_whole_with_its_body() {
        let request = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nTo=1GET";
        for end in 0..request.len() - 3 {
            assert!(whole_request(&request[..end]).is_none(), "{end}");
        }
        let whole = whole_request(request);
        assert!(whole.is_some_and(|whole| whole.is_post && whole.bytes == request.len() - 3));
        let get = whole_request(b"GET / HTTP/1.1\r\n\r\n");
        assert!(get.is_some_and(|get| !get.is_post && get.bytes == 18));
    }
}
