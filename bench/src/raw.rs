//! The least a client can cost: a plain socket that writes ready bytes and reads the
//! answer, keep-alive, one request in flight per connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
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
    let request: Arc<[u8]> = request.bytes_for(address).into();
    let taken = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..connections {
        let (request, taken) = (Arc::clone(&request), Arc::clone(&taken));
        tasks.spawn(async move {
            let mut connection = Connection::open(address).await?;
            while taken.fetch_add(1, Ordering::Relaxed) < texts {
                connection.exchange(&request).await?;
            }
            Ok(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        let ended = ended.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        ended.map_err(machine("the raw client"))?;
    }
    Ok(())
}

struct Connection {
    stream: TcpStream,
    incoming: Vec<u8>,
    /// Bytes of an answer; the counter's are all of one length.
    answer_bytes: Option<usize>,
}

impl Connection {
    async fn open(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            incoming: Vec::with_capacity(4 << 10),
            answer_bytes: None,
        })
    }

    async fn exchange(&mut self, request: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(request).await?;
        self.incoming.clear();
        while self
            .answer_bytes
            .is_none_or(|bytes| self.incoming.len() < bytes)
        {
            if self.stream.read_buf(&mut self.incoming).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            self.answer_bytes = self.answer_bytes.or_else(|| answer_bytes(&self.incoming));
        }
        if self.incoming.starts_with(b"HTTP/1.1 201 ") {
            Ok(())
        } else {
            Err(std::io::Error::other("an answer is not 201"))
        }
    }
}

/// How long the answer is whose head is in these bytes.
fn answer_bytes(incoming: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(incoming).ok()?;
    let (head, _) = text.split_once("\r\n\r\n")?;
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))?;
    Some(head.len() + 4 + length.trim().parse::<usize>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::answer_bytes;

    #[test]
    fn an_answer_is_head_and_body() {
        let answer = b"HTTP/1.1 201 Created\r\ncontent-length: 5\r\n\r\nhello";
        assert_eq!(answer_bytes(answer), Some(answer.len()));
        assert_eq!(answer_bytes(&answer[..30]), None);
    }
}
