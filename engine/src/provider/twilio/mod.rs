//! Twilio's Messages API, version 2010-04-01
//! (<https://www.twilio.com/docs/messaging/api/message-resource>).

mod codes;
mod inbound;
mod look_up;
mod receipt;
mod signature;

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Uri};
use reqwest::Url;
use schemas::provider::{DeliveryReceipt, SubmitOutcome};
use schemas::{ProviderId, Secret, UnixMicros};
use serde::Deserialize;

use super::connect::TlsProblem;
use super::http;
use super::transport::{Answer, Transport, TransportFailure};
use super::{
    Connect, FoundText, InboundRequest, InboundText, LookUpError, Provider, ProviderSettings,
    ProviderSettingsError, ReceiptError, SubmitRequest, TextSearch,
};
use codes::{is_message_sid, is_sid, outcome_of_refusal};
use signature::{Keys, PublicUrl};

/// The word for Twilio in the settings.
pub(super) const KIND: &str = "twilio";
/// The settings that only Twilio's accounts have.
const FIELDS: [&str; 4] = ["account_sid", "auth_token", "base_url", "webhook_keys"];
/// Where Twilio is.
const BASE_URL: &str = "https://api.twilio.com";
/// The largest answer about one text, in bytes. Twilio's are under 8 KiB even with a
/// body of 1,600 escaped characters.
const ANSWER_LIMIT: usize = 64 * 1024;
/// The seconds that `ValidityPeriod` may have.
const VALIDITY_SECONDS: std::ops::RangeInclusive<u32> = 1..=36_000;

/// One Twilio account.
struct Twilio {
    transport: Arc<dyn Transport>,
    /// `Basic` and the credentials, marked sensitive.
    authorization: HeaderValue,
    account_sid: String,
    /// The base URL without a slash at its end; look-ups follow paths under it only.
    base_url: String,
    /// Where texts are listed.
    messages_url: Url,
    /// The same, where texts are created.
    create_uri: Uri,
    /// What reaches us with receipts; `None` without a public URL.
    callbacks: Option<Callbacks>,
    keys: Keys,
}

/// Where receipts come in.
struct Callbacks {
    public_url: PublicUrl,
    /// `&StatusCallback=` and our URL up to the account's id, percent-encoded.
    encoded_prefix: String,
}

/// What is read of the answer that says a text was created.
#[derive(Deserialize)]
struct Created<'a> {
    #[serde(borrow)]
    sid: Cow<'a, str>,
}

/// What is read of an answer that refuses.
#[derive(Deserialize)]
struct Refusal {
    code: Code,
}

/// A code: a number, but some newer services write it as text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Code {
    Number(u32),
    Text(String),
}

impl Code {
    fn number(&self) -> Option<u32> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.parse().ok(),
        }
    }
}

/// Opens a Twilio account.
pub(super) fn open(
    settings: &ProviderSettings,
    public_url: Option<&str>,
    connect: Connect<'_>,
) -> Result<Arc<dyn Provider>, ProviderSettingsError> {
    Ok(Arc::new(twilio(settings, public_url, connect)?))
}

fn twilio(
    settings: &ProviderSettings,
    public_url: Option<&str>,
    connect: Connect<'_>,
) -> Result<Twilio, ProviderSettingsError> {
    settings.check_specifics(&FIELDS)?;
    let account_sid = settings.text("account_sid")?.unwrap_or("");
    if !is_sid(account_sid, "AC") {
        let problem = "must be `AC` and 32 hexadecimal digits, as the console shows it";
        return Err(settings.invalid("account_sid", problem));
    }
    let auth_token = settings.text("auth_token")?.unwrap_or("");
    if auth_token.is_empty() {
        return Err(settings.invalid("auth_token", "must be the account's auth token"));
    }
    let base_url = settings.text("base_url")?.unwrap_or(BASE_URL);
    let base_url = PublicUrl::parse(base_url)
        .map(|url| url.base())
        .ok_or_else(|| {
            settings.invalid(
                "base_url",
                "must be http:// or https:// and a host, without a query",
            )
        })?;
    let path = format!("{base_url}/2010-04-01/Accounts/{account_sid}/Messages.json");
    let messages_url =
        Url::parse(&path).map_err(|error| settings.invalid("base_url", error.to_string()))?;
    let create_uri = uri(&messages_url)
        .ok_or_else(|| settings.invalid("base_url", "must be a URL that can be requested"))?;
    let transport = connect(settings.limits(), messages_url.scheme() == "https")
        .map_err(|error| settings.invalid("base_url", client_problem(&error)))?;
    Ok(Twilio {
        transport,
        authorization: authorization(account_sid, auth_token)
            .ok_or_else(|| settings.invalid("auth_token", "must be letters and digits"))?,
        account_sid: account_sid.to_owned(),
        base_url,
        messages_url,
        create_uri,
        callbacks: callbacks(settings, public_url)?,
        keys: Keys {
            auth_token: Secret::new(auth_token),
            webhook_keys: settings.secrets("webhook_keys")?,
        },
    })
}

/// HTTP's Basic scheme (RFC 7617).
fn authorization(user: &str, password: &str) -> Option<HeaderValue> {
    let credentials = STANDARD.encode(format!("{user}:{password}"));
    let mut value = HeaderValue::from_str(&format!("Basic {credentials}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// A URL as requests have it.
fn uri(url: &Url) -> Option<Uri> {
    url.as_str().parse().ok()
}

fn client_problem(error: &TlsProblem) -> String {
    format!("needs TLS, which cannot start; are the system's certificates installed? ({error})")
}

fn callbacks(
    settings: &ProviderSettings,
    public_url: Option<&str>,
) -> Result<Option<Callbacks>, ProviderSettingsError> {
    let Some(public_url) = public_url else {
        return Ok(None);
    };
    let public_url = PublicUrl::parse(public_url).ok_or_else(|| {
        settings.invalid(
            "public_url",
            "must be http:// or https:// and a host, without a query",
        )
    })?;
    let id = ProviderId::of_name(&settings.name);
    let url = format!("{}/v1/webhooks/{id}/status?account=", public_url.base());
    let mut encoded_prefix = String::from("&StatusCallback=");
    push_encoded(&mut encoded_prefix, &url);
    Ok(Some(Callbacks {
        public_url,
        encoded_prefix,
    }))
}

impl Twilio {
    /// The form that creates a text, written by hand: one allocation.
    fn form_of(&self, request: &SubmitRequest) -> String {
        let callback_bytes = self.callbacks.as_ref().map_or(0, |callbacks| {
            // Behind the prefix: two ids of 36 bytes and 45 bytes of names and number.
            callbacks.encoded_prefix.len() + 120
        });
        let text = request.body.as_str();
        let mut form = String::with_capacity(128 + 3 * text.len() + callback_bytes);
        form.push_str("To=");
        push_encoded(&mut form, request.to.as_str());
        form.push_str(if is_sid(&request.sender, "MG") {
            "&MessagingServiceSid="
        } else {
            "&From="
        });
        push_encoded(&mut form, &request.sender);
        form.push_str("&Body=");
        push_encoded(&mut form, text);
        if let Some(callbacks) = &self.callbacks {
            let attempt = &request.attempt;
            form.push_str(&callbacks.encoded_prefix);
            // Writing into a String cannot fail. `%26` and `%3D` are `&` and `=`.
            let _ = write!(
                form,
                "{}%26message%3D{}%26attempt%3D{}",
                attempt.account, attempt.message, attempt.attempt
            );
        }
        if let Some(seconds) = request.validity_seconds {
            let seconds = seconds.clamp(*VALIDITY_SECONDS.start(), *VALIDITY_SECONDS.end());
            let _ = write!(form, "&ValidityPeriod={seconds}");
        }
        form
    }

    async fn submit_once(&self, request: &SubmitRequest) -> SubmitOutcome {
        let form = self.form_of(request).into();
        let mut http_request = self.request(Method::POST, self.create_uri.clone(), form);
        http_request.headers_mut().insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded"),
        );
        match self.transport.exchange(http_request, ANSWER_LIMIT).await {
            Ok(answer) => outcome_of(&answer),
            Err(TransportFailure::NotSent(cause)) => SubmitOutcome::NotSent {
                cause: cause.to_owned(),
            },
            Err(TransportFailure::Unknown(cause)) => SubmitOutcome::Unknown {
                cause: cause.to_owned(),
            },
        }
    }

    fn request(&self, method: Method, uri: Uri, body: Bytes) -> Request<Bytes> {
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        headers.insert(AUTHORIZATION, self.authorization.clone());
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        request
    }
}

impl Provider for Twilio {
    fn submit<'a>(&'a self, request: &'a SubmitRequest) -> BoxFuture<'a, SubmitOutcome> {
        self.submit_once(request).boxed()
    }

    fn fetch<'a>(
        &'a self,
        provider_message_id: &'a str,
    ) -> BoxFuture<'a, Result<Option<DeliveryReceipt>, LookUpError>> {
        look_up::fetch(self, provider_message_id).boxed()
    }

    fn search<'a>(
        &'a self,
        search: &'a TextSearch,
    ) -> BoxFuture<'a, Result<Vec<FoundText>, LookUpError>> {
        look_up::search(self, search).boxed()
    }

    fn check(&self) -> BoxFuture<'_, Result<Option<UnixMicros>, LookUpError>> {
        look_up::check(self).boxed()
    }

    fn parse_receipts(
        &self,
        request: &InboundRequest,
    ) -> Result<Vec<DeliveryReceipt>, ReceiptError> {
        let callbacks = self.callbacks.as_ref().ok_or(ReceiptError::NotExpected)?;
        receipt::parse(
            request,
            &callbacks.public_url,
            &self.keys,
            &self.account_sid,
        )
    }

    fn parse_inbound(&self, request: &InboundRequest) -> Result<InboundText, ReceiptError> {
        let callbacks = self.callbacks.as_ref().ok_or(ReceiptError::NotExpected)?;
        inbound::parse(
            request,
            &callbacks.public_url,
            &self.keys,
            &self.account_sid,
        )
    }

    fn no_answer(&self) -> (&'static str, &'static str) {
        inbound::NO_ANSWER
    }
}

impl fmt::Debug for Twilio {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Twilio")
    }
}

/// What an answer to a creation means. Only 200 and 201 with a proper id are a yes.
fn outcome_of(answer: &Answer) -> SubmitOutcome {
    if !answer.status.is_success() {
        let retry_after_ms = http::retry_after_ms(&answer.headers);
        return outcome_of_refusal(answer.status, code_of(answer), retry_after_ms);
    }
    let unknown = |cause: &str| SubmitOutcome::Unknown {
        cause: cause.to_owned(),
    };
    let body = match &answer.body {
        Ok(body) => body,
        Err(cause) => return unknown(cause),
    };
    match serde_json::from_slice::<Created<'_>>(body) {
        Ok(created)
            if matches!(answer.status.as_u16(), 200 | 201) && is_message_sid(&created.sid) =>
        {
            SubmitOutcome::Accepted {
                provider_message_id: created.sid.into_owned(),
            }
        }
        Ok(_) | Err(_) => unknown("answer_not_understood"),
    }
}

/// The code in the body of an answer that refuses, if there is one.
fn code_of(answer: &Answer) -> Option<u32> {
    let body = answer.body.as_ref().ok()?;
    let refusal: Refusal = serde_json::from_slice(body).ok()?;
    refusal.code.number()
}

/// Appends `text` in the encoding of forms
/// (<https://url.spec.whatwg.org/#application/x-www-form-urlencoded>).
fn push_encoded(form: &mut String, text: &str) {
    const HEXADECIMAL: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F',
    ];
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => {
                form.push(char::from(byte));
            }
            b' ' => form.push('+'),
            _ => {
                form.push('%');
                form.push(HEXADECIMAL[usize::from(byte >> 4)]);
                form.push(HEXADECIMAL[usize::from(byte & 15)]);
            }
        }
    }
}

#[cfg(test)]
mod tests;
