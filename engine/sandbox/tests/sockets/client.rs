//! A sandbox on a free port, and a small HTTP client written for these tests.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sandbox::book::{Book, Record};
use sandbox::{AccountConfig, Clock, FaultPlan, Sandbox, SandboxConfig, SystemClock};
use serde_json::Value;
use std::collections::BTreeMap;
use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub type Outcome = Result<(), Box<dyn Error>>;

pub const SID: &str = "AC0123456789abcdef0123456789abcdef";
pub const TOKEN: &str = "12345678901234567890123456789012";
pub const FROM: &str = "+15005550001";

/// A folder that is removed at the end.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let name = format!("sandbox-sockets-{name}-{}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub fn start(folder: &Folder, faults: FaultPlan) -> Result<Sandbox, Box<dyn Error>> {
    start_with(folder, faults, Arc::new(SystemClock::start()))
}

pub fn start_with(
    folder: &Folder,
    faults: FaultPlan,
    clock: Arc<dyn Clock>,
) -> Result<Sandbox, Box<dyn Error>> {
    let mut account = AccountConfig::new(SID, TOKEN, &[FROM]);
    account.sent_after_ms = (0, 1);
    account.final_after_ms = (1, 2);
    let config = SandboxConfig {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        accounts: vec![account],
        book_folder: folder.0.clone(),
        seed: 3,
        faults,
        threads: 2,
    };
    Ok(Sandbox::start_with_clock(config, clock)?)
}

/// One HTTP message: its first line, its headers by lower-case name, its body.
pub struct Message {
    pub first: String,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl Message {
    pub fn status(&self) -> &str {
        self.first.split(' ').nth(1).unwrap_or_default()
    }

    pub fn json(&self) -> Result<Value, Box<dyn Error>> {
        Ok(serde_json::from_str(&self.body)?)
    }
}

pub fn read_message(stream: &TcpStream) -> Result<Message, Box<dyn Error>> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    if reader.read_line(&mut first)? == 0 {
        return Err("the connection ended".into());
    }
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length = headers
        .get("content-length")
        .map_or(Ok(0), |length| length.parse())?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Message {
        first,
        headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}

pub fn request(
    address: SocketAddr,
    line: &str,
    token: &str,
    form: &[(&str, &str)],
) -> Result<Message, Box<dyn Error>> {
    let mut stream = TcpStream::connect(address)?;
    let body = serde_urlencoded::to_string(form)?;
    let password = STANDARD.encode(format!("{SID}:{token}"));
    write!(
        stream,
        "{line} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Basic {password}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    read_message(&stream)
}

pub fn create(address: SocketAddr, form: &[(&str, &str)]) -> Result<Message, Box<dyn Error>> {
    request(
        address,
        &format!("POST /2010-04-01/Accounts/{SID}/Messages.json"),
        TOKEN,
        form,
    )
}

pub fn get(address: SocketAddr, path: &str) -> Result<Message, Box<dyn Error>> {
    request(address, &format!("GET {path}"), TOKEN, &[])
}

pub fn records(folder: &Path) -> Result<Vec<Record<'static>>, Box<dyn Error>> {
    Ok(Book::read(folder)?.collect::<Result<_, _>>()?)
}
