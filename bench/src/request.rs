//! The bytes that every client posts: one request, exactly as the engine's adapter
//! writes it. It is taken from a real socket, so no copy of the dialect can drift.

use std::net::SocketAddr;

use engine::provider::SubmitRequest;
use schemas::provider::AttemptRef;
use schemas::{AccountId, Body, MessageId, Phone};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::failure::{BenchError, machine, refused};
use crate::provider::Reach;

/// One request.
#[derive(Clone, Debug)]
pub struct CapturedRequest {
    /// The path in its first line.
    pub path: String,
    /// Its headers but `Host` and `Content-Length`, in order.
    pub headers: Vec<(String, String)>,
    /// The form.
    pub body: String,
}

/// The body that most recipients of the benchmark get.
const BODY: &str = "Hi Abebe, your code is 482913";

/// Has the engine's adapter send one text to a socket of our own.
///
/// # Errors
/// When nothing can be listened on or nothing proper arrives.
pub async fn capture(callbacks: bool) -> Result<CapturedRequest, BenchError> {
    let failed = machine("the request to compare with cannot be taken");
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(&failed)?;
    let address = listener.local_addr().map_err(&failed)?;
    let account = Reach {
        address,
        connections: 1,
        rate: 1.0,
        callbacks,
    }
    .open()?;
    let request = SubmitRequest {
        attempt: AttemptRef {
            account: AccountId::from_bytes([1; 16]),
            message: MessageId::from_bytes([2; 16]),
            attempt: 1,
        },
        to: Phone::from_e164("+12025550123").map_err(refused("the number to compare with"))?,
        sender: account.default_sender.clone(),
        body: Body::new(BODY),
        validity_seconds: Some(14_399),
    };
    let receive = async {
        let (mut stream, _) = listener.accept().await?;
        let mut bytes = Vec::new();
        while whole(&bytes).is_none() {
            if stream.read_buf(&mut bytes).await? == 0 {
                break;
            }
        }
        stream
            .write_all(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n")
            .await?;
        Ok(bytes)
    };
    let (bytes, _) = tokio::join!(receive, account.provider.submit(&request));
    let bytes = bytes.map_err(&failed)?;
    whole(&bytes).ok_or_else(|| BenchError::Invalid("no whole request was captured".to_owned()))
}

/// The request in these bytes, once its head and body are there.
fn whole(bytes: &[u8]) -> Option<CapturedRequest> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.split("\r\n");
    let path = lines
        .next()?
        .strip_prefix("POST ")?
        .strip_suffix(" HTTP/1.1")?;
    let (mut headers, mut length) = (Vec::new(), 0);
    for line in lines {
        let (name, value) = line.split_once(": ")?;
        match name.to_ascii_lowercase().as_str() {
            "host" => {}
            "content-length" => length = value.parse().ok()?,
            name => headers.push((name.to_owned(), value.to_owned())),
        }
    }
    let (path, body) = (path.to_owned(), body.to_owned());
    (body.len() == length).then_some(CapturedRequest {
        path,
        headers,
        body,
    })
}

impl CapturedRequest {
    /// The whole request as bytes, to `address`.
    pub fn bytes_for(&self, address: SocketAddr) -> Vec<u8> {
        let mut text = format!("POST {} HTTP/1.1\r\n", self.path);
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        let length = self.body.len();
        text.push_str(&format!(
            "host: {address}\r\ncontent-length: {length}\r\n\r\n{}",
            self.body
        ));
        text.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::{BODY, capture, whole};

    #[tokio::test]
    async fn what_is_captured_is_posted_again_unchanged() {
        let captured = capture(true).await.expect("a request");
        assert!(captured.body.contains("To=%2B12025550123"), "{captured:?}");
        assert!(
            captured
                .body
                .contains(&BODY.replace(' ', "+").replace(',', "%2C"))
        );
        assert!(captured.body.contains("StatusCallback="));
        let bytes = captured.bytes_for(([127, 0, 0, 1], 80).into());
        let again = whole(&bytes).expect("a whole request");
        assert_eq!((again.path, again.body), (captured.path, captured.body));
        assert_eq!(again.headers, captured.headers);
        assert!(whole(&bytes[..bytes.len() - 1]).is_none());
    }
}
