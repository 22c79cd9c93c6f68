//! Twilio's wire forms: the form that is sent, the signature's published vectors, and
//! what a callback is read as.

use proptest::prelude::*;
use schemas::provider::AttemptRef;
use schemas::status::ReceiptStatus;
use schemas::{AccountId, Body, MessageId, Phone};

use super::super::connect::TlsProblem;
use super::super::http::Client;
use super::super::transport::Transport;
use super::super::{InboundRequest, ReceiptError, SubmitRequest};
use super::receipt::BODY_LIMIT;
use super::{ProviderId, ProviderSettings, Twilio, push_encoded};

const TOKEN: &str = "12345678901234567890123456789012";
const CALLBACK: &str = "AccountSid=AC0123456789abcdef0123456789abcdef&ApiVersion=2010-04-01\
    &From=%2B15005550001&MessageSid=SM0123456789abcdef0123456789abcdef\
    &MessageStatus=delivered&RawDlrDoneDate=2601021530\
    &SmsSid=SM0123456789abcdef0123456789abcdef&SmsStatus=delivered&To=%2B15005550006";
const HOOK: &str = "/hooks/twilio/status?tenant=42";
const T1: &str = "g5SwOgiVaiVP1wWL80THcKykSbc=";
const FORM: &str = "application/x-www-form-urlencoded";

fn settings() -> ProviderSettings {
    toml::from_str(&format!(
        r#"
        name = "first"
        kind = "twilio"
        rate = 1.0
        senders = ["+15005550001"]
        base_url = "http://127.0.0.1:1"
        account_sid = "AC0123456789abcdef0123456789abcdef"
        auth_token = "{TOKEN}"
        webhook_keys = {{ second = "{TOKEN}" }}
        "#
    ))
    .expect("settings")
}

fn provider() -> std::sync::Arc<dyn super::Provider> {
    open_at(Some("https://sms.example.com"))
}

fn open_at(public_url: Option<&str>) -> std::sync::Arc<dyn super::Provider> {
    let opened = crate::provider::open(&settings(), public_url);
    opened.expect("opens").provider
}

fn inbound(path: &str, signature: &str, body: impl Into<Vec<u8>>) -> InboundRequest {
    InboundRequest {
        method: "POST".to_owned(),
        path_and_query: path.to_owned(),
        headers: vec![
            ("content-type".to_owned(), FORM.to_owned()),
            ("x-twilio-signature".to_owned(), signature.to_owned()),
        ],
        body: body.into().into(),
    }
}

/// A request with this signature, whose key and hash are named by the beta header.
fn with_settings(mut request: InboundRequest, settings: &str) -> InboundRequest {
    let name = "X-Twilio-Webhooks-Signature-Settings".to_owned();
    request.headers.push((name, settings.to_owned()));
    request
}

fn refusal(request: &InboundRequest) -> ReceiptError {
    provider()
        .parse_receipts(request)
        .expect_err("must be refused")
}

fn attempt() -> AttemptRef {
    AttemptRef {
        account: AccountId::from_bytes([0xa1; 16]),
        message: MessageId::from_bytes([0xb2; 16]),
        attempt: 3,
    }
}

/// Signs as Twilio does, with code of its own: the parameters sorted by name.
fn sign(url: &str, form: &str) -> String {
    use base64::Engine as _;
    use hmac::{KeyInit, Mac};
    let mut pairs: Vec<(String, String)> = serde_urlencoded::from_str(form).expect("a form");
    pairs.sort();
    let text: String = pairs
        .iter()
        .map(|(name, value)| format!("{name}{value}"))
        .collect();
    let mut mac =
        hmac::Hmac::<sha1::Sha1>::new_from_slice(TOKEN.as_bytes()).expect("any key length");
    mac.update(format!("{url}{text}").as_bytes());
    base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes())
}

/// The vectors were computed with Twilio's own Python library.
#[test]
fn published_signatures_fit() {
    for signature in [T1, "dR4Ky0TS4crGz2DezFOR1k0njpE="] {
        let receipts = provider().parse_receipts(&inbound(HOOK, signature, CALLBACK));
        let receipts = receipts.expect("T1 and T1b fit");
        assert_eq!(receipts.len(), 1);
        assert_eq!(receipts[0].status, Some(ReceiptStatus::Delivered));
        assert_eq!(receipts[0].attempt, None);
    }
    let sha256 = inbound(
        HOOK,
        "Mk4XzS0T9AFI8L54hQJDn3JplNoiOxiTh6avEr30UMk=",
        CALLBACK,
    );
    let named = with_settings(sha256.clone(), "key=second,algorithm=HMAC_SHA256");
    assert!(provider().parse_receipts(&named).is_ok(), "T1c");
    // T1c under an unknown key or algorithm, or taken for the usual one, fits nothing.
    for settings in [
        "key=third,algorithm=HMAC_SHA256",
        "key=second",
        "algorithm=HMAC_SHA256",
        "",
    ] {
        let other = with_settings(sha256.clone(), settings);
        assert_eq!(refusal(&other), ReceiptError::WrongSignature, "{settings}");
    }
    assert_eq!(refusal(&sha256), ReceiptError::WrongSignature);
}

/// T2 and T3 are signed properly but are no status callbacks: they get past the check.
#[test]
fn published_signatures_of_other_requests_fit() {
    let hash = "6dfebd04ac4283739d53a3b7199a8d3522c5df376d3d08e35daac250373d6ec0";
    let path = format!("/hooks/twilio/json?bodySHA256={hash}");
    let json = r#"{"event":"delivered","id":"SM1"}"#;
    let mut request = inbound(&path, "nUr1DdMQfqOWJkUei04qpmWdUmk=", json);
    request.headers[0].1 = "application/json".to_owned();
    let past = ReceiptError::Malformed {
        field: "AccountSid",
    };
    assert_eq!(refusal(&request), past);
    request.body = json.replace("SM1", "SM2").into();
    assert_eq!(refusal(&request), ReceiptError::WrongSignature);

    let form = "Body=STOP+%C3%A9%26%3D&From=%2B15005550006&MessageSid=SM1&NumMedia=0\
        &To=%2B15005550001";
    let request = inbound("/in", "lbNiRREKfG1d3eoG3EjSahisLRc=", form);
    assert_eq!(refusal(&request), past);
}

#[test]
fn a_repeated_parameter_is_signed_once_for_each_value() {
    let url = "https://sms.example.com/in";
    let once = sign(url, "A=1&A=2");
    for form in ["A=2&A=1", "A=1&A=2&A=1"] {
        let error = refusal(&inbound("/in", &once, form));
        assert_eq!(
            error,
            ReceiptError::Malformed {
                field: "AccountSid"
            },
            "{form}"
        );
    }
    assert_eq!(
        refusal(&inbound("/in", &once, "A=1&A=3")),
        ReceiptError::WrongSignature
    );
}

#[test]
fn a_request_without_one_signature_is_refused() {
    let mut request = inbound(HOOK, T1, CALLBACK);
    request
        .headers
        .push(("X-Twilio-Signature".to_owned(), T1.to_owned()));
    assert_eq!(refusal(&request), ReceiptError::Unsigned);
    request.headers.clear();
    assert_eq!(refusal(&request), ReceiptError::Unsigned);
    let large = inbound(HOOK, T1, vec![b'a'; BODY_LIMIT + 1]);
    assert_eq!(
        refusal(&large),
        ReceiptError::TooLarge { limit: BODY_LIMIT }
    );
    let unexpected = open_at(None).parse_receipts(&request);
    assert_eq!(unexpected, Err(ReceiptError::NotExpected));
}

/// The body of a request that is no form must have its hash in the signed URL.
#[test]
fn an_unbound_body_is_refused() {
    let mut request = inbound("/in", &sign("https://sms.example.com/in", ""), CALLBACK);
    request.headers[0].1 = "text/plain".to_owned();
    assert_eq!(refusal(&request), ReceiptError::WrongSignature);
    request.headers[0].1 = FORM.to_owned();
    request.method = "GET".to_owned();
    assert_eq!(refusal(&request), ReceiptError::WrongSignature);
}

#[test]
fn a_callback_carries_its_attempt() {
    let provider_id = ProviderId::of_name("first");
    let AttemptRef {
        account,
        message,
        attempt: number,
    } = attempt();
    let path = format!(
        "/v1/webhooks/{provider_id}/status?account={account}&message={message}&attempt={number}"
    );
    let form = CALLBACK.replace("=delivered", "=undelivered") + "&ErrorCode=30036&New=1";
    let signature = sign(&format!("https://sms.example.com{path}"), &form);
    let receipts = provider().parse_receipts(&inbound(&path, &signature, form.clone()));
    let receipt = &receipts.expect("fits")[0];
    assert_eq!(receipt.attempt, Some(attempt()));
    assert_eq!(
        receipt.provider_message_id,
        "SM0123456789abcdef0123456789abcdef"
    );
    assert_eq!(receipt.status, Some(ReceiptStatus::Expired));
    assert_eq!(receipt.error_code.as_deref(), Some("30036"));
    assert_eq!(receipt.provider_status, "undelivered");

    // A prefix of the public URL counts whether or not a proxy took it off.
    let prefixed = open_at(Some("https://sms.example.com/volley/"));
    let signature = sign(&format!("https://sms.example.com/volley{path}"), &form);
    for seen in [path.clone(), format!("/volley{path}")] {
        let request = inbound(&seen, &signature, form.clone());
        assert!(prefixed.parse_receipts(&request).is_ok(), "{seen}");
    }
}

#[test]
fn what_is_signed_but_makes_no_sense_is_refused() {
    for (from, to, field) in [
        ("AccountSid=AC0", "AccountSid=AC1", "AccountSid"),
        ("MessageSid=SM0", "MessageSid=XX0", "MessageSid"),
        ("&MessageStatus=delivered", "", "MessageStatus"),
        (
            "&MessageStatus=",
            "&MessageStatus=sent&MessageStatus=",
            "MessageStatus",
        ),
    ] {
        let form = CALLBACK.replace(from, to);
        let signature = sign("https://sms.example.com/in", &form);
        let error = refusal(&inbound("/in", &signature, form));
        assert_eq!(error, ReceiptError::Malformed { field });
    }
    let form = CALLBACK.replace(
        "MessageStatus=delivered",
        "MessageStatus=partially_delivered",
    );
    let signature = sign("https://sms.example.com/in", &form);
    let receipts = provider().parse_receipts(&inbound("/in", &signature, form));
    assert_eq!(receipts.expect("fits")[0].status, None);
}

fn submit_request(body: &str, sender: &str) -> SubmitRequest {
    SubmitRequest {
        attempt: attempt(),
        to: Phone::from_e164("+15005550006").expect("a number"),
        sender: sender.to_owned(),
        body: Body::new(body),
        validity_seconds: Some(600),
    }
}

fn twilio(public_url: Option<&str>) -> Twilio {
    let settings = settings();
    let connect = |limits, tls| -> Result<std::sync::Arc<dyn Transport>, TlsProblem> {
        Ok(std::sync::Arc::new(Client::new(limits, tls)?))
    };
    super::twilio(&settings, public_url, &connect).expect("opens")
}

#[test]
fn the_form_is_what_twilio_describes() {
    let with =
        twilio(Some("https://sms.example.com")).form_of(&submit_request("hi & bye", "+1500"));
    let AttemptRef {
        account,
        message,
        attempt,
    } = attempt();
    let id = ProviderId::of_name("first");
    assert_eq!(
        with,
        format!(
            "To=%2B15005550006&From=%2B1500&Body=hi+%26+bye&StatusCallback=https%3A%2F%2F\
             sms.example.com%2Fv1%2Fwebhooks%2F{id}%2Fstatus%3Faccount%3D{account}\
             %26message%3D{message}%26attempt%3D{attempt}&ValidityPeriod=600"
        )
    );
    let service = "MG0123456789abcdef0123456789abcdef";
    let mut request = submit_request("hi", service);
    request.validity_seconds = Some(90_000);
    let form = twilio(None).form_of(&request);
    let tail = format!("&MessagingServiceSid={service}&Body=hi&ValidityPeriod=36000");
    assert_eq!(form, format!("To=%2B15005550006{tail}"));
}

proptest! {
    #[test]
    fn what_is_encoded_decodes_to_itself(text in "\\PC*") {
        let mut form = String::from("Body=");
        push_encoded(&mut form, &text);
        let pairs: Vec<(String, String)> = serde_urlencoded::from_str(&form).expect("a form");
        prop_assert_eq!(pairs, vec![("Body".to_owned(), text)]);
    }

    /// One flipped bit anywhere in path, body or signature: refused, unless the form
    /// still says the same in other bytes (`%2b` for `%2B`).
    #[test]
    fn a_flipped_bit_is_refused(place in any::<prop::sample::Index>(), bit in 0_u32..8) {
        let mut bytes = [HOOK.as_bytes(), T1.as_bytes(), CALLBACK.as_bytes()].concat();
        bytes[place.index(HOOK.len() + T1.len() + CALLBACK.len())] ^= 1 << bit;
        let (path, rest) = bytes.split_at(HOOK.len());
        let (signature, body) = rest.split_at(T1.len());
        // What is not text never gets here from a request line or header.
        let (Ok(path), Ok(signature)) = (std::str::from_utf8(path), std::str::from_utf8(signature))
        else {
            return Ok(());
        };
        let pairs = |form: &[u8]| {
            serde_urlencoded::from_bytes::<Vec<(String, String)>>(form).map(|mut pairs| {
                pairs.sort();
                pairs
            })
        };
        let intact = path == HOOK && signature == T1
            && pairs(body).ok() == pairs(CALLBACK.as_bytes()).ok();
        let answer = provider().parse_receipts(&inbound(path, signature, body));
        prop_assert_eq!(answer.is_ok(), intact);
    }
}
