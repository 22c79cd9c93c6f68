//! A small HTTP server that answers, or fails to, as it is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What happens to one request. Steps are used up in the order of the requests.
#[derive(Clone)]
pub enum Step {
    /// Reads the request, writes these bytes and keeps the connection.
    Answer(Vec<u8>),
    /// Reads the request, writes these bytes and closes, without having said so.
    AnswerAndClose(Vec<u8>),
    /// Reads the request, writes these bytes, the part of an answer, and closes.
    CutAfter(Vec<u8>),
    /// Reads one byte of the request and closes.
    CutInRequest,
    /// Reads the request, writes these bytes and then nothing, for ever.
    HangAfter(Vec<u8>),
    /// Reads the request and writes an answer of this status without end.
    Endless(u16),
    /// Writes these bytes to whatever comes first and closes.
    Garbage(Vec<u8>),
}

impl std::fmt::Debug for Step {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (name, bytes) = match self {
            Self::Answer(bytes) => ("Answer", bytes.as_slice()),
            Self::AnswerAndClose(bytes) => ("AnswerAndClose", bytes.as_slice()),
            Self::CutAfter(bytes) => ("CutAfter", bytes.as_slice()),
            Self::CutInRequest => ("CutInRequest", [].as_slice()),
            Self::HangAfter(bytes) => ("HangAfter", bytes.as_slice()),
            Self::Endless(_) => ("Endless", [].as_slice()),
            Self::Garbage(bytes) => ("Garbage", bytes.as_slice()),
        };
        write!(formatter, "{name} {:?}", String::from_utf8_lossy(bytes))
    }
}

/// The bytes of an answer with this status, headers and JSON body.
pub fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let headers: String = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let length = body.len();
    format!(
        "HTTP/1.1 {status} Status\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n{headers}\r\n{body}"
    )
    .into_bytes()
}

/// What the server has seen.
#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    requests: AtomicUsize,
    written: AtomicU64,
    heads: std::sync::Mutex<Vec<String>>,
}

/// A server on a free port of the loopback that goes through its steps.
pub struct ScriptedServer {
    port: u16,
    seen: Arc<Seen>,
    task: JoinHandle<()>,
}

impl ScriptedServer {
    /// Starts it. Requests beyond the last step are read and never answered.
    pub async fn start(steps: Vec<Step>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let seen = Arc::new(Seen::default());
        let task = serve(listener, steps.into_iter(), seen.clone());
        #[allow(clippy::disallowed_methods)] // a witness of tests, outside of any simulation
        let task = tokio::spawn(task);
        Self { port, seen, task }
    }

    /// Where it listens.
    pub fn base_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// How many requests came, whole or cut by [`Step::CutInRequest`].
    pub fn requests(&self) -> usize {
        self.seen.requests.load(Ordering::SeqCst)
    }

    /// The request lines, in order.
    pub fn request_lines(&self) -> Vec<String> {
        let heads = self.seen.heads.lock().expect("no panic while held");
        heads.clone()
    }

    /// How many connections came.
    pub fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// Closes its port and its connections, and tells how many bytes it wrote.
    pub async fn stop(mut self) -> u64 {
        self.task.abort();
        let _ = (&mut self.task).await;
        self.seen.written.load(Ordering::SeqCst)
    }
}

impl Drop for ScriptedServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One connection after the other: adapters under test have one request open.
async fn serve(listener: TcpListener, mut steps: std::vec::IntoIter<Step>, seen: Arc<Seen>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        seen.connections.fetch_add(1, Ordering::SeqCst);
        while let Some(true) = step(&mut stream, &mut steps, &seen).await {}
    }
}

/// Goes one step; `None` when the connection broke, else whether it goes on.
async fn step(
    stream: &mut TcpStream,
    steps: &mut std::vec::IntoIter<Step>,
    seen: &Seen,
) -> Option<bool> {
    let mut first = [0; 1];
    stream.read_exact(&mut first).await.ok()?;
    let step = steps.next().unwrap_or(Step::HangAfter(Vec::new()));
    if let Step::Garbage(bytes) = step {
        write(stream, seen, &bytes).await?;
        return Some(false);
    }
    seen.requests.fetch_add(1, Ordering::SeqCst);
    if matches!(step, Step::CutInRequest) {
        return Some(false);
    }
    let line = read_request(stream, first[0]).await?;
    seen.heads.lock().expect("no panic while held").push(line);
    match step {
        Step::Answer(bytes) => {
            write(stream, seen, &bytes).await?;
            Some(true)
        }
        Step::AnswerAndClose(bytes) | Step::CutAfter(bytes) => {
            write(stream, seen, &bytes).await?;
            Some(false)
        }
        Step::HangAfter(bytes) => {
            write(stream, seen, &bytes).await?;
            std::future::pending().await
        }
        Step::Endless(status) => {
            let head = format!("HTTP/1.1 {status} Status\r\nTransfer-Encoding: chunked\r\n\r\n");
            write(stream, seen, head.as_bytes()).await?;
            let chunk = [b"1000\r\n".as_slice(), &[b' '; 4_096], b"\r\n"].concat();
            loop {
                write(stream, seen, &chunk).await?;
            }
        }
        Step::CutInRequest | Step::Garbage(_) => Some(false),
    }
}

async fn write(stream: &mut TcpStream, seen: &Seen, bytes: &[u8]) -> Option<()> {
    stream.write_all(bytes).await.ok()?;
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    seen.written.fetch_add(length, Ordering::SeqCst);
    Some(())
}

/// Reads a request to its end by its `Content-Length` and gives its first line.
async fn read_request(stream: &mut TcpStream, first: u8) -> Option<String> {
    let mut bytes = vec![first];
    let head_end = loop {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        match end {
            Some(end) => break end + 4,
            None => {
                stream
                    .read_buf(&mut bytes)
                    .await
                    .ok()
                    .filter(|read| *read > 0)?;
            }
        }
    };
    let head = String::from_utf8_lossy(&bytes[..head_end]).into_owned();
    let length = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse::<usize>().ok())
        .unwrap_or(0);
    while bytes.len() < head_end + length {
        stream
            .read_buf(&mut bytes)
            .await
            .ok()
            .filter(|read| *read > 0)?;
    }
    head.lines().next().map(str::to_owned)
}
