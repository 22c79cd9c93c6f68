//! The sandbox over real sockets. Nothing here asserts on time.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sandbox::book::{Book, ReceiptResult, Record};
use sandbox::{AccountConfig, BareCounter, Clock, FaultPlan, Sandbox, SandboxConfig, SystemClock};
use serde_json::Value;
use std::collections::BTreeMap;
use std::error::Error;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

type Outcome = Result<(), Box<dyn Error>>;

const SID: &str = "AC0123456789abcdef0123456789abcdef";
const TOKEN: &str = "12345678901234567890123456789012";
const FROM: &str = "+15005550001";

/// A folder that is removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("sandbox-sockets-{name}-{}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A clock moved by hand.
#[derive(Default)]
struct Hand(AtomicU64);

impl Clock for Hand {
    fn now_us(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

fn start(folder: &Folder, faults: FaultPlan) -> Result<Sandbox, Box<dyn Error>> {
    start_with(folder, faults, Arc::new(SystemClock::start()))
}

fn start_with(
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
struct Message {
    first: String,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Message {
    fn status(&self) -> &str {
        self.first.split(' ').nth(1).unwrap_or_default()
    }

    fn json(&self) -> Result<Value, Box<dyn Error>> {
        Ok(serde_json::from_str(&self.body)?)
    }
}

fn read_message(stream: &TcpStream) -> Result<Message, Box<dyn Error>> {
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

fn request(
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

fn create(address: SocketAddr, form: &[(&str, &str)]) -> Result<Message, Box<dyn Error>> {
    request(
        address,
        &format!("POST /2010-04-01/Accounts/{SID}/Messages.json"),
        TOKEN,
        form,
    )
}

fn get(address: SocketAddr, path: &str) -> Result<Message, Box<dyn Error>> {
    request(address, &format!("GET {path}"), TOKEN, &[])
}

fn records(folder: &Path) -> Result<Vec<Record<'static>>, Box<dyn Error>> {
    Ok(Book::read(folder)?.collect::<Result<_, _>>()?)
}

#[test]
fn a_text_is_created_fetched_and_listed() -> Outcome {
    let folder = Folder::new("create");
    let sandbox = start(&folder, FaultPlan::none())?;
    let address = sandbox.address();
    let body = "hi & bye 😀";
    let created = create(
        address,
        &[("To", "+15005550006"), ("From", FROM), ("Body", body)],
    )?;
    assert_eq!(created.status(), "201");
    assert_eq!(
        created.headers.get("content-type").map(String::as_str),
        Some("application/json")
    );
    let text = created.json()?;
    assert_eq!(text["status"], "queued");
    assert_eq!(text["body"], body);
    assert_eq!(text["num_segments"], "1");
    let uri = text["uri"].as_str().ok_or("a uri")?;
    let fetched = get(address, uri)?.json()?;
    assert_eq!(fetched["sid"], text["sid"]);
    for number in 0..4 {
        let body = format!("text {number}");
        create(
            address,
            &[("To", "+15005550007"), ("From", FROM), ("Body", &body)],
        )?;
    }
    let list = format!("/2010-04-01/Accounts/{SID}/Messages.json?To=%2B15005550007&PageSize=3");
    let page = get(address, &list)?.json()?;
    let bodies = |page: &Value| -> Vec<String> {
        let texts = page["messages"].as_array().cloned().unwrap_or_default();
        texts
            .iter()
            .filter_map(|text| text["body"].as_str().map(str::to_owned))
            .collect()
    };
    assert_eq!(bodies(&page), ["text 3", "text 2", "text 1"]);
    let next = get(
        address,
        page["next_page_uri"].as_str().ok_or("a next page")?,
    )?
    .json()?;
    assert_eq!(bodies(&next), ["text 0"]);
    assert_eq!(next["next_page_uri"], Value::Null);
    sandbox.shutdown()?;
    Ok(())
}

#[test]
fn what_is_wrong_is_told_with_twilios_codes() -> Outcome {
    let folder = Folder::new("errors");
    let sandbox = start(&folder, FaultPlan::none())?;
    let address = sandbox.address();
    let long = "A".repeat(1_601);
    let (to, from, body) = (("To", "+15005550006"), ("From", FROM), ("Body", "hi"));
    let cases: [(&[(&str, &str)], u64); 8] = [
        (&[("To", "hello"), from, body], 21211),
        (&[from, body], 21604),
        (&[to, body], 21603),
        (&[to, ("From", "+15005550002"), body], 21606),
        (&[to, ("MessagingServiceSid", "MG1"), body], 21703),
        (&[to, from], 21602),
        (&[to, from, ("Body", &long)], 21617),
        (
            &[to, from, body, ("StatusCallback", "https://example.com/")],
            21609,
        ),
    ];
    for (form, code) in cases {
        let answer = create(address, form)?;
        assert_eq!(
            (answer.status(), &answer.json()?["code"]),
            ("400", &Value::from(code))
        );
    }
    let path = format!("POST /2010-04-01/Accounts/{SID}/Messages.json");
    let wrong = request(address, &path, "wrong", &[to, from, body])?;
    assert_eq!(
        (wrong.status(), &wrong.json()?["code"]),
        ("401", &Value::from(20003))
    );
    let unknown = get(
        address,
        &format!("/2010-04-01/Accounts/{SID}/Messages/SM0.json"),
    )?;
    assert_eq!(
        (unknown.status(), &unknown.json()?["code"]),
        ("404", &Value::from(20404))
    );
    let statistics = get(address, "/sandbox/statistics")?.json()?;
    assert_eq!(statistics["accounts"][0]["refused"], 8);
    assert_eq!(statistics["accounts"][0]["texts_taken"], 0);
    assert_eq!(statistics["unauthenticated"], 1);
    sandbox.shutdown()?;
    Ok(())
}

/// Accepts one receipt, answers `status`, and returns it.
fn receive(listener: &TcpListener, status: &str) -> Result<Message, Box<dyn Error>> {
    let (mut stream, _) = listener.accept()?;
    let receipt = read_message(&stream)?;
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )?;
    Ok(receipt)
}

/// Twilio's rule, once more and on its own: URL, then names and values in order.
fn signature(url: &str, body: &str) -> Result<String, Box<dyn Error>> {
    let form: BTreeMap<String, String> = serde_urlencoded::from_str(body)?;
    let mut mac = Hmac::<sha1::Sha1>::new_from_slice(TOKEN.as_bytes())?;
    mac.update(url.as_bytes());
    for (name, value) in form {
        mac.update(name.as_bytes());
        mac.update(value.as_bytes());
    }
    Ok(STANDARD.encode(mac.finalize().into_bytes()))
}

#[test]
fn receipts_come_signed_and_are_written_down() -> Outcome {
    let folder = Folder::new("receipts");
    let sandbox = start(&folder, FaultPlan::none())?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}/hook?tenant=42", listener.local_addr()?);
    let form = [
        ("To", "+15005550006"),
        ("From", FROM),
        ("Body", "hi"),
        ("StatusCallback", &*url),
    ];
    let sid = create(sandbox.address(), &form)?.json()?["sid"].clone();
    let mut statuses = Vec::new();
    let mut tokens = Vec::new();
    for _ in 0..2 {
        let receipt = receive(&listener, "200 OK")?;
        assert!(receipt.first.starts_with("POST /hook?tenant=42 "));
        let signed = signature(&url, &receipt.body)?;
        assert_eq!(receipt.headers.get("x-twilio-signature"), Some(&signed));
        tokens.extend(receipt.headers.get("i-twilio-idempotency-token").cloned());
        let form: BTreeMap<String, String> = serde_urlencoded::from_str(&receipt.body)?;
        assert_eq!(form.get("MessageSid").map(String::as_str), sid.as_str());
        assert_eq!(form.get("To").map(String::as_str), Some("+15005550006"));
        statuses.extend(form.get("MessageStatus").cloned());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, ["delivered", "sent"]);
    tokens.dedup();
    assert_eq!(tokens.len(), 2);
    sandbox.shutdown()?;
    let received = records(&folder.0)?
        .into_iter()
        .filter(|record| match record {
            Record::Receipt(receipt) => receipt.result == ReceiptResult::Answered(200),
            Record::Start(_) | Record::Text(_) | Record::Stall(_) | Record::Stop(_) => false,
        });
    assert_eq!(received.count(), 2);
    Ok(())
}

#[test]
fn a_receipt_to_a_dead_receiver_is_noted_and_not_sent_again() -> Outcome {
    let folder = Folder::new("dead");
    let sandbox = start(&folder, FaultPlan::none())?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}/hook", listener.local_addr()?);
    drop(listener);
    let form = [
        ("To", "+15005550006"),
        ("From", FROM),
        ("Body", "hi"),
        ("StatusCallback", &*url),
    ];
    assert_eq!(create(sandbox.address(), &form)?.status(), "201");
    let failed = || {
        sandbox
            .statistics()
            .accounts
            .first()
            .map(|one| one.counts.receipts_failed)
    };
    while failed() != Some(2) {
        std::thread::yield_now();
    }
    assert_eq!(sandbox.statistics().receipts_waiting, 0);
    sandbox.shutdown()?;
    let mut noted = 0;
    for record in records(&folder.0)? {
        if let Record::Receipt(receipt) = record {
            assert_eq!(
                (receipt.attempts, receipt.result),
                (2, ReceiptResult::NotConnected)
            );
            noted += 1;
        }
    }
    assert_eq!(noted, 2);
    Ok(())
}

#[test]
fn a_cut_line_is_a_reset_and_the_text_is_taken() -> Outcome {
    let folder = Folder::new("cut");
    let sandbox = start(
        &folder,
        FaultPlan {
            cut_after: 1.0,
            ..FaultPlan::none()
        },
    )?;
    let form = [("To", "+15005550006"), ("From", FROM), ("Body", "hi")];
    let error = create(sandbox.address(), &form)
        .err()
        .ok_or("no answer may come")?;
    let kind = error
        .downcast_ref::<std::io::Error>()
        .map(std::io::Error::kind);
    assert_eq!(kind, Some(ErrorKind::ConnectionReset));
    let list = format!("/2010-04-01/Accounts/{SID}/Messages.json?To=%2B15005550006");
    let listed = get(sandbox.address(), &list)?.json()?;
    assert_eq!(listed["messages"].as_array().map(Vec::len), Some(1));
    sandbox.shutdown()?;
    Ok(())
}

#[test]
fn a_restart_reads_the_book_and_sends_what_is_left() -> Outcome {
    let folder = Folder::new("restart");
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}/hook", listener.local_addr()?);
    let an_hour = 3_600_000;
    let late = FaultPlan {
        receipt_late: 1.0,
        late_receipt_ms: (an_hour, an_hour),
        ..FaultPlan::none()
    };
    let clock = Arc::new(Hand::default());
    let sandbox = start_with(&folder, late.clone(), Arc::<Hand>::clone(&clock))?;
    let form = [
        ("To", "+15005550006"),
        ("From", FROM),
        ("Body", "hi"),
        ("StatusCallback", &*url),
    ];
    let uri = create(sandbox.address(), &form)?.json()?["uri"].clone();
    let told = |receipt: &Message| receipt.body.contains("MessageStatus=sent");
    clock.0.store(1_000_000, Ordering::SeqCst);
    assert!(told(&receive(&listener, "204 No Content")?));
    sandbox.shutdown()?;
    let again = start_with(&folder, late, Arc::<Hand>::clone(&clock))?;
    clock.0.store(an_hour * 1_000 + 1_000_000, Ordering::SeqCst);
    let receipt = receive(&listener, "204 No Content")?;
    assert!(receipt.body.contains("MessageStatus=delivered"));
    let fetched = get(again.address(), uri.as_str().ok_or("a uri")?)?.json()?;
    assert_eq!(fetched["status"], "delivered");
    let silent = [("To", "+15005550006"), ("From", FROM), ("Body", "hi")];
    let second = create(again.address(), &silent)?.json()?;
    assert_ne!(second["uri"], uri);
    again.shutdown()?;
    let starts = records(&folder.0)?
        .into_iter()
        .filter_map(|record| match record {
            Record::Start(start) => Some(start.run),
            Record::Text(_) | Record::Receipt(_) | Record::Stall(_) | Record::Stop(_) => None,
        });
    assert_eq!(starts.collect::<Vec<_>>(), [0, 1]);
    Ok(())
}

#[test]
fn a_second_sandbox_on_the_same_book_or_port_is_refused() -> Outcome {
    let folder = Folder::new("twice");
    let sandbox = start(&folder, FaultPlan::none())?;
    assert!(start(&folder, FaultPlan::none()).is_err());
    let elsewhere = Folder::new("twice-elsewhere");
    let taken = Sandbox::start(SandboxConfig {
        listen: sandbox.address(),
        accounts: vec![AccountConfig::new(SID, TOKEN, &[FROM])],
        book_folder: elsewhere.0.clone(),
        seed: 0,
        faults: FaultPlan::none(),
        threads: 1,
    });
    let message = taken
        .err()
        .map(|error| error.to_string())
        .unwrap_or_default();
    assert!(
        message.contains(&sandbox.address().to_string()),
        "{message}"
    );
    sandbox.shutdown()?;
    Ok(())
}

#[test]
fn the_bare_counter_counts_and_answers_like_a_taken_text() -> Outcome {
    let counter = BareCounter::start(SocketAddr::from(([127, 0, 0, 1], 0)), 1)?;
    let form = [("To", "+15005550006"), ("From", FROM), ("Body", "hi")];
    let first = create(counter.address(), &form)?;
    let second = create(counter.address(), &form)?;
    assert_eq!(first.status(), "201");
    assert_eq!(first.json()?["status"], "queued");
    assert_ne!(first.json()?["sid"], second.json()?["sid"]);
    assert_eq!(counter.count(), 2);
    Ok(())
}

#[test]
fn a_config_file_is_read_strictly() -> Outcome {
    let config: SandboxConfig = toml::from_str(
        r#"
        book_folder = "book"
        faults = "realistic"
        [[accounts]]
        account_sid = "AC1"
        auth_token = "secret"
        senders = ["+15005550001"]
        segments_per_second = 1000
        faults = { undelivered = 0.5 }
        "#,
    )?;
    config.check()?;
    assert_eq!(config.faults, FaultPlan::realistic());
    let plan = config
        .accounts
        .first()
        .and_then(|account| account.faults.clone());
    assert_eq!(
        plan,
        Some(FaultPlan {
            undelivered: 0.5,
            ..FaultPlan::none()
        })
    );
    assert!(!format!("{config:?}").contains("secret"));
    assert!(toml::from_str::<SandboxConfig>("book_folder = \"b\"\naccounts = []\nx = 1").is_err());
    assert!(
        toml::from_str::<SandboxConfig>("book_folder = \"b\"\naccounts = []")?
            .check()
            .is_err()
    );
    Ok(())
}
