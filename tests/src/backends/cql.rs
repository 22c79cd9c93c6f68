//! As much of the CQL protocol, version 4, as it takes to ask a server something without
//! any driver of ours: a witness, and how the tests see whether a server is there.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// How long a server may take to answer.
const ANSWER: Duration = Duration::from_secs(10);

/// Opcodes of frames.
const STARTUP: u8 = 1;
const READY: u8 = 2;
const AUTHENTICATE: u8 = 3;
const QUERY: u8 = 7;
const RESULT: u8 = 8;
const AUTH_RESPONSE: u8 = 15;
const AUTH_SUCCESS: u8 = 16;

/// The kind of a result that holds rows.
const ROWS: u32 = 2;

/// Bits of the flags of a list of columns.
const GLOBAL_TABLE: u32 = 1;
const MORE_PAGES: u32 = 2;

/// Rows of columns, as bytes; `None` is null.
pub type Rows = Vec<Vec<Option<Vec<u8>>>>;

/// A connection to one node.
pub struct CqlConnection {
    stream: Box<dyn Stream>,
}

/// What leads into a node that is not open to everybody.
#[derive(Clone, Copy, Debug)]
pub struct Hello<'a> {
    /// The certificate of the authority that signed the node's.
    pub authority: &'a Path,
    /// Who says it.
    pub user: &'a str,
    /// With this password.
    pub password: &'a str,
}

trait Stream: Read + Write + Send {}

impl<S: Read + Write + Send> Stream for S {}

impl std::fmt::Debug for CqlConnection {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("CqlConnection")
    }
}

impl CqlConnection {
    /// Connects and says hello, without a password.
    ///
    /// # Errors
    /// When nobody listens or it does not answer as a CQL server.
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        let mut connection = Self {
            stream: Box::new(connect(address)?),
        };
        match connection.start()? {
            READY => Ok(connection),
            opcode => Err(io::Error::other(format!("not ready: opcode {opcode}"))),
        }
    }

    /// Connects over TLS and says hello with a password.
    ///
    /// # Errors
    /// As [`CqlConnection::open`], and when the node or the user is refused.
    pub fn open_locked(address: SocketAddr, hello: &Hello<'_>) -> io::Result<Self> {
        let mut connection = Self {
            stream: Box::new(over_tls(connect(address)?, hello.authority)?),
        };
        match connection.start()? {
            AUTHENTICATE => {}
            opcode => return Err(io::Error::other(format!("no question: opcode {opcode}"))),
        }
        let token = format!("\0{}\0{}", hello.user, hello.password);
        let mut body = (token.len() as u32).to_be_bytes().to_vec();
        body.extend_from_slice(token.as_bytes());
        match connection.ask(AUTH_RESPONSE, &body)? {
            (AUTH_SUCCESS, _) => Ok(connection),
            (_, problem) => Err(io::Error::other(String::from_utf8_lossy(&problem))),
        }
    }

    /// Says hello; gives back what kind of answer came.
    fn start(&mut self) -> io::Result<u8> {
        let mut hello = vec![0, 1];
        for word in ["CQL_VERSION", "3.0.0"] {
            hello.extend_from_slice(&(word.len() as u16).to_be_bytes());
            hello.extend_from_slice(word.as_bytes());
        }
        let (opcode, _) = self.ask(STARTUP, &hello)?;
        Ok(opcode)
    }

    /// Runs one statement at consistency ONE. Columns may be of simple types only.
    ///
    /// # Errors
    /// When the connection is lost, or with what the server says.
    pub fn query(&mut self, statement: &str) -> io::Result<Rows> {
        let mut body = (statement.len() as u32).to_be_bytes().to_vec();
        body.extend_from_slice(statement.as_bytes());
        // Consistency ONE, no flags.
        body.extend_from_slice(&[0, 1, 0]);
        match self.ask(QUERY, &body)? {
            (RESULT, answer) => rows(&answer).ok_or_else(|| io::Error::other("half an answer")),
            (_, problem) => Err(io::Error::other(String::from_utf8_lossy(&problem))),
        }
    }

    fn ask(&mut self, opcode: u8, body: &[u8]) -> io::Result<(u8, Vec<u8>)> {
        let mut frame = vec![4, 0, 0, 0, opcode];
        frame.extend_from_slice(&(body.len() as u32).to_be_bytes());
        frame.extend_from_slice(body);
        self.stream.write_all(&frame)?;
        let mut header = [0; 9];
        self.stream.read_exact(&mut header)?;
        let [_, _, _, _, answered, length @ ..] = header;
        let mut answer = vec![0; u32::from_be_bytes(length) as usize];
        self.stream.read_exact(&mut answer)?;
        Ok((answered, answer))
    }
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(ANSWER))?;
    Ok(stream)
}

/// TLS to a node that this authority vouches for.
fn over_tls(
    stream: TcpStream,
    authority: &Path,
) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let address = stream.peer_addr()?.ip();
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_file(authority).map_err(io::Error::other)?;
    roots.add(authority).map_err(io::Error::other)?;
    let config = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::IpAddress(address.into());
    let client = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    Ok(StreamOwned::new(client, stream))
}

/// The rows of a result, none of any other kind. `None` for bytes that are no result.
fn rows(answer: &[u8]) -> Option<Rows> {
    let mut rest = answer;
    if int(&mut rest)? != ROWS {
        return Some(Rows::new());
    }
    let flags = int(&mut rest)?;
    let columns = int(&mut rest)?;
    if flags & MORE_PAGES != 0 {
        bytes(&mut rest)?;
    }
    if flags & GLOBAL_TABLE != 0 {
        text(&mut rest)?;
        text(&mut rest)?;
    }
    for _ in 0..columns {
        if flags & GLOBAL_TABLE == 0 {
            text(&mut rest)?;
            text(&mut rest)?;
        }
        text(&mut rest)?;
        // A simple type is its number.
        rest = rest.get(2..)?;
    }
    let count = int(&mut rest)?;
    let mut row = || (0..columns).map(|_| bytes(&mut rest)).collect();
    (0..count).map(|_| row()).collect()
}

fn int(rest: &mut &[u8]) -> Option<u32> {
    let (int, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(u32::from_be_bytes(*int))
}

fn text(rest: &mut &[u8]) -> Option<()> {
    let (length, behind) = rest.split_first_chunk()?;
    *rest = behind.get(usize::from(u16::from_be_bytes(*length))..)?;
    Some(())
}

/// Bytes with their length before them, which is negative for null.
fn bytes(rest: &mut &[u8]) -> Option<Option<Vec<u8>>> {
    let length = i32::from_be_bytes(int(rest)?.to_be_bytes());
    let Ok(length) = usize::try_from(length) else {
        return Some(None);
    };
    let (bytes, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    Some(Some(bytes.to_vec()))
}
