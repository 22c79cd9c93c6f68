//! Twilio's adapter against the contract of providers, and its search over pages.

use std::sync::Arc;
use std::time::Duration;

use engine::provider::contract::{Dialect, ScriptedServer, Step, answer};
use engine::provider::{LookUpError, Provider, ProviderSettings, SubmitRequest, TextSearch, open};
use schemas::provider::{AttemptRef, DeliveryReceipt};
use schemas::status::ReceiptStatus;
use schemas::{AccountId, Body, MessageId, Phone, UnixMicros};

const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
const SID: &str = "SM0123456789abcdef0123456789abcdef";
const TOKEN: &str = "token-canary";
const TO: &str = "+15005550006";
const FROM: &str = "+15005550001";
const BODY: &str = "body canary & more";

struct Twilio;

engine::provider_contract!(Twilio);

impl Dialect for Twilio {
    fn open(&self, base_url: &str, request_timeout: Duration) -> Arc<dyn Provider> {
        let milliseconds = request_timeout.as_millis();
        let settings: ProviderSettings = toml::from_str(&format!(
            r#"
            name = "first"
            kind = "twilio"
            rate = 1.0
            senders = ["{FROM}"]
            account_sid = "{ACCOUNT}"
            auth_token = "{TOKEN}"
            base_url = "{base_url}"
            connect_timeout_ms = {}
            request_timeout_ms = {milliseconds}
            "#,
            milliseconds / 2
        ))
        .expect("settings");
        let shown = format!("{settings:?}");
        assert!(!shown.contains(TOKEN), "{shown}");
        let account = open(&settings, Some("https://sms.example.com")).expect("opens");
        let shown = format!("{account:?}");
        assert!(!shown.contains(TOKEN), "{shown}");
        account.provider
    }

    fn request(&self) -> SubmitRequest {
        SubmitRequest {
            attempt: AttemptRef {
                account: AccountId::from_bytes([1; 16]),
                message: MessageId::from_bytes([2; 16]),
                attempt: 1,
            },
            to: Phone::from_e164(TO).expect("a number"),
            sender: FROM.to_owned(),
            body: Body::new(BODY),
            validity_seconds: Some(600),
        }
    }

    fn provider_message_id(&self) -> String {
        SID.to_owned()
    }

    fn accepted(&self) -> (u16, String) {
        (
            201,
            text(
                SID,
                "queued",
                "null",
                BODY,
                "Fri, 02 Jan 2026 15:30:00 +0000",
            ),
        )
    }

    fn refused(&self) -> (u16, String, &'static str) {
        (400, refusal(400, 21_211), "21211")
    }

    fn throttled(&self) -> (u16, String, &'static str) {
        (429, refusal(429, 20_429), "20429")
    }

    fn fetched(&self) -> (String, DeliveryReceipt) {
        let body = text(
            SID,
            "undelivered",
            "30003",
            BODY,
            "Fri, 02 Jan 2026 15:30:00 +0000",
        );
        let receipt = DeliveryReceipt {
            attempt: None,
            provider_message_id: SID.to_owned(),
            status: Some(ReceiptStatus::Undelivered),
            error_code: Some("30003".to_owned()),
            provider_status: "undelivered".to_owned(),
            to: Phone::from_e164(TO).ok(),
        };
        (body, receipt)
    }

    fn canaries(&self) -> Vec<String> {
        vec![
            TOKEN.to_owned(),
            TO.to_owned(),
            TO[1..].to_owned(),
            BODY.to_owned(),
        ]
    }
}

fn text(sid: &str, status: &str, error_code: &str, body: &str, created: &str) -> String {
    format!(
        r#"{{"sid":"{sid}","account_sid":"{ACCOUNT}","api_version":"2010-04-01","status":"{status}",
        "direction":"outbound-api","from":"{FROM}","to":"{TO}","messaging_service_sid":null,
        "body":"{body}","num_segments":"1","num_media":"0","price":null,"price_unit":"USD",
        "error_code":{error_code},"error_message":null,"date_created":"{created}",
        "date_updated":"{created}","date_sent":null,"subresource_uris":{{}}}}"#
    )
}

fn refusal(status: u16, code: u32) -> String {
    format!(r#"{{"code":{code},"message":"no: {TO}","more_info":"x","status":{status}}}"#)
}

/// The id of the text with this number.
fn sid(number: u32) -> String {
    format!("SM{number:032x}")
}

fn page(texts: &[String], next: Option<&str>) -> Step {
    let next = next.map_or("null".to_owned(), |next| format!("\"{next}\""));
    let texts = texts.join(",");
    Step::Answer(answer(
        200,
        &[],
        &format!(r#"{{"messages":[{texts}],"next_page_uri":{next}}}"#),
    ))
}

fn search() -> TextSearch {
    TextSearch {
        to: Phone::from_e164(TO).expect("a number"),
        sender: FROM.to_owned(),
        body: Body::new(BODY),
        not_before: UnixMicros::from_rfc3339("2026-01-02T15:30:00.900000Z").expect("a time"),
        not_after: UnixMicros::from_rfc3339("2026-01-02T15:31:00Z").expect("a time"),
    }
}

fn at(number: u32, created: &str) -> String {
    text(&sid(number), "sent", "null", BODY, created)
}

fn next_page() -> String {
    format!("/2010-04-01/Accounts/{ACCOUNT}/Messages.json?Page=1&PageToken=PA1")
}

#[tokio::test]
async fn a_search_reads_all_pages_and_compares_everything() {
    let other_body = text(
        &sid(3),
        "sent",
        "null",
        "another",
        "Fri, 02 Jan 2026 15:30:30 +0000",
    );
    let other_sender = at(4, "Fri, 02 Jan 2026 15:30:30 +0000").replace(FROM, "+15005550002");
    let other_number = at(5, "Fri, 02 Jan 2026 15:30:30 +0000").replace(TO, "+15005550007");
    let first = [
        at(1, "Fri, 02 Jan 2026 15:30:00 +0000"),
        at(2, "Fri, 02 Jan 2026 15:29:59 +0000"),
        other_body,
    ];
    let second = [
        other_sender,
        other_number,
        at(6, "Fri, 02 Jan 2026 15:31:01 +0000"),
    ];
    let waiting = [
        at(1, "Fri, 02 Jan 2026 15:30:00 +0000"),
        text(
            &sid(7),
            "queued",
            "null",
            BODY,
            "Fri, 02 Jan 2026 15:31:00 +0000",
        ),
    ];
    let server = ScriptedServer::start(vec![
        page(&first, Some(&next_page())),
        page(&second, None),
        page(&waiting, None),
    ])
    .await;
    let provider = Twilio.open(&server.base_url(), Duration::from_secs(30));
    let found = provider.search(&search()).await.expect("an answer");
    let found: Vec<_> = found
        .iter()
        .map(|text| {
            (
                text.receipt.provider_message_id.clone(),
                text.receipt.status,
            )
        })
        .collect();
    let expected = vec![
        (sid(1), Some(ReceiptStatus::Sent)),
        (sid(7), Some(ReceiptStatus::Accepted)),
    ];
    assert_eq!(found, expected);
    let list = format!("GET /2010-04-01/Accounts/{ACCOUNT}/Messages.json?");
    let parties = "To=%2B15005550006&From=%2B15005550001";
    let lines = [
        format!("{list}{parties}&DateSent%3E=2026-01-02&PageSize=50 HTTP/1.1"),
        format!("GET {} HTTP/1.1", next_page()),
        format!("{list}{parties}&PageSize=50 HTTP/1.1"),
    ];
    assert_eq!(server.request_lines(), lines);
}

#[tokio::test]
async fn a_search_that_cannot_be_finished_finds_nothing() {
    let matching = [at(1, "Fri, 02 Jan 2026 15:30:30 +0000")];
    let cases = [
        // More pages than are read.
        (
            vec![page(&matching, Some(&next_page())); 20],
            LookUpError::TooLong { pages: 20 },
        ),
        // A next page that is not this account's list.
        (
            vec![page(&matching, Some("http://127.0.0.1:9/x"))],
            LookUpError::NotUnderstood,
        ),
        (
            vec![page(&matching, Some("@127.0.0.1:9/x"))],
            LookUpError::NotUnderstood,
        ),
        // A text that agrees, of a time nobody can read.
        (
            vec![page(&[at(1, "yesterday")], None)],
            LookUpError::NotUnderstood,
        ),
        // The second list fails.
        (
            vec![page(&matching, None), Step::Answer(answer(503, &[], ""))],
            LookUpError::Refused { status: 503 },
        ),
    ];
    for (steps, expected) in cases {
        let server = ScriptedServer::start(steps).await;
        let provider = Twilio.open(&server.base_url(), Duration::from_secs(30));
        assert_eq!(provider.search(&search()).await, Err(expected));
    }
}
