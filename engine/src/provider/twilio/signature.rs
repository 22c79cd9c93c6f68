//! Twilio's signature over requests to our webhooks.
//!
//! `X-Twilio-Signature` is base64 of an HMAC-SHA1 under the account's auth token over
//! the public URL and, for a form, each parameter's name and value in byte order of the
//! names (<https://www.twilio.com/docs/usage/security>). A header
//! `X-Twilio-Webhooks-Signature-Settings: key=…,algorithm=HMAC_SHA256` (public beta)
//! chooses HMAC-SHA256 under a key of its own. A body that is not a form is bound by
//! `bodySHA256` in the URL's query.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::Url;
use schemas::Secret;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::provider::{InboundRequest, ReceiptError};

/// The header with the signature.
const SIGNATURE: &str = "X-Twilio-Signature";
/// The header that names another key and algorithm.
const SIGNATURE_SETTINGS: &str = "X-Twilio-Webhooks-Signature-Settings";
/// The query parameter with the hash of a body that is not a form.
const BODY_HASH: &str = "bodySHA256";
/// The most parameters a form may have. Twilio's have about 20.
const MOST_PARAMETERS: usize = 256;

/// The keys with which Twilio signs.
pub(super) struct Keys {
    /// The account's auth token, for HMAC-SHA1.
    pub(super) auth_token: Secret,
    /// Other keys by their ids, for HMAC-SHA256.
    pub(super) webhook_keys: BTreeMap<String, Secret>,
}

/// The public URL in the parts that a signed URL is put together from.
pub(super) struct PublicUrl {
    /// Scheme and host, such as `https://sms.example.com`.
    origin: String,
    /// The port, the scheme's own if none is written.
    port: u16,
    /// Whether the port was written.
    port_is_written: bool,
    /// The path before ours, without a slash at its end; mostly empty.
    path: String,
}

/// The parameters of a form, decoded.
pub(super) type Form<'a> = Vec<(std::borrow::Cow<'a, str>, std::borrow::Cow<'a, str>)>;

impl PublicUrl {
    /// Takes a URL apart; `None` unless it is `http` or `https` with a host and without
    /// credentials, query and fragment.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let url = Url::parse(text).ok()?;
        let plain = matches!(url.scheme(), "http" | "https")
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        let host = url.host_str().filter(|_| plain)?;
        Some(Self {
            origin: format!("{}://{host}", url.scheme()),
            port: url.port_or_known_default()?,
            port_is_written: url.port().is_some(),
            path: url.path().trim_end_matches('/').to_owned(),
        })
    }

    /// The URL itself, without a slash at its end.
    pub(super) fn base(&self) -> String {
        let Self {
            origin, port, path, ..
        } = self;
        if self.port_is_written {
            format!("{origin}:{port}{path}")
        } else {
            format!("{origin}{path}")
        }
    }

    /// The URLs that Twilio may have signed for a request of this path and query: with
    /// and without the port. A proxy before us may have taken our path prefix off.
    fn signed(&self, path_and_query: &str) -> [String; 2] {
        let Self {
            origin, port, path, ..
        } = self;
        let prefix = if path_and_query.starts_with(&format!("{path}/")) {
            ""
        } else {
            path
        };
        [
            format!("{origin}{prefix}{path_and_query}"),
            format!("{origin}:{port}{prefix}{path_and_query}"),
        ]
    }
}

/// Checks the signature and gives the parameters of the form it covers: those of the
/// body, or none when the body is not a form.
///
/// # Errors
/// [`ReceiptError::Unsigned`] without a signature, [`ReceiptError::WrongSignature`]
/// when it does not fit.
pub(super) fn check<'a>(
    request: &'a InboundRequest,
    public_url: &PublicUrl,
    keys: &Keys,
) -> Result<Form<'a>, ReceiptError> {
    let signature = request.header(SIGNATURE).ok_or(ReceiptError::Unsigned)?;
    let signature = STANDARD
        .decode(signature)
        .map_err(|_| ReceiptError::WrongSignature)?;
    let form = form_of(request)?;
    let parameters = parameters_text(&form);
    let fits = public_url
        .signed(&request.path_and_query)
        .iter()
        .any(|url| mac_fits(request, keys, &[url, &parameters], &signature));
    if fits && body_is_bound(request) {
        Ok(form)
    } else {
        Err(ReceiptError::WrongSignature)
    }
}

/// Whether the body is a form.
fn is_form(request: &InboundRequest) -> bool {
    let kind = request.header("Content-Type").unwrap_or("");
    let kind = kind.split(';').next().unwrap_or("").trim();
    kind.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

fn form_of(request: &InboundRequest) -> Result<Form<'_>, ReceiptError> {
    if !is_form(request) || request.method == "GET" {
        return Ok(Vec::new());
    }
    let form: Form<'_> =
        serde_urlencoded::from_bytes(&request.body).map_err(|_| ReceiptError::WrongSignature)?;
    if form.len() > MOST_PARAMETERS {
        return Err(ReceiptError::Malformed { field: "form" });
    }
    Ok(form)
}

/// Names and values in byte order of the names; a repeated name has its distinct
/// values in order, each behind the name.
fn parameters_text(form: &Form<'_>) -> String {
    let mut sorted: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, value) in form {
        sorted.entry(name).or_default().insert(value);
    }
    let mut text = String::new();
    for (name, values) in sorted {
        for value in values {
            text.push_str(name);
            text.push_str(value);
        }
    }
    text
}

/// Whether `signature` is the code of `parts` under the key that the request names.
fn mac_fits(request: &InboundRequest, keys: &Keys, parts: &[&str], signature: &[u8]) -> bool {
    let settings = request
        .headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case(SIGNATURE_SETTINGS));
    if !settings {
        return verify::<Hmac<Sha1>>(&keys.auth_token, parts, signature);
    }
    let setting = |wanted: &str| {
        let settings = request.header(SIGNATURE_SETTINGS)?;
        let mut pairs = settings
            .split(',')
            .filter_map(|pair| pair.trim().split_once('='));
        pairs.find_map(|(name, value)| (name == wanted).then_some(value))
    };
    if setting("algorithm") != Some("HMAC_SHA256") {
        return false;
    }
    let key = setting("key").and_then(|id| keys.webhook_keys.get(id));
    key.is_some_and(|key| verify::<Hmac<Sha256>>(key, parts, signature))
}

/// Compares in constant time.
fn verify<M: Mac + KeyInit>(key: &Secret, parts: &[&str], signature: &[u8]) -> bool {
    let Ok(mut mac) = <M as KeyInit>::new_from_slice(key.expose().as_bytes()) else {
        return false;
    };
    for part in parts {
        mac.update(part.as_bytes());
    }
    mac.verify_slice(signature).is_ok()
}

/// Whether the signature covers the body: it does for a form; any other body must have
/// its hash in the signed URL.
fn body_is_bound(request: &InboundRequest) -> bool {
    if is_form(request) && request.method != "GET" {
        return true;
    }
    let mut query = request
        .query()
        .split('&')
        .filter_map(|pair| pair.split_once('='));
    match query.find(|(name, _)| *name == BODY_HASH) {
        None => request.body.is_empty(),
        Some((_, expected)) => {
            let hash = Sha256::digest(&request.body);
            let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
            hash.as_bytes().ct_eq(expected.as_bytes()).into()
        }
    }
}
