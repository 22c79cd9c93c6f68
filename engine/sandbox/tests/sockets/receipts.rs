//! Receipts: signed, sent once, written down, and carried over a restart.

use crate::client::{FROM, Folder, Message, Outcome, TOKEN, create, get, read_message, records};
use crate::client::{start, start_with};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sandbox::book::{ReceiptResult, Record};
use sandbox::{Clock, FaultPlan};
use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A clock moved by hand.
#[derive(Default)]
struct Hand(AtomicU64);

impl Clock for Hand {
    fn now_us(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
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
