//! Twilio's Messages API of 2010-04-01: create, fetch and list, with Basic auth.
//!
//! Facts from Twilio's OpenAPI description of 2026-04 and its documentation. A
//! request for an account it does not know, or with a wrong password, gets 401
//! and code 20003, as there. Not simulated: API keys, messaging services, media,
//! schedules, cancelling, redacting, inbound messages.

mod answer;
mod inbound;
mod list;
mod receipt;

pub(crate) use answer::{sample_answer, status_and_code, text_id, text_name};
pub(crate) use inbound::inbound;
pub(crate) use receipt::receipt;

use crate::config::AccountConfig;
use crate::core::{AccountIndex, Core, Refusal, Submission};
use crate::dialect::{HttpAnswer, HttpReply, HttpRequest, Method};
use crate::outage::OutageKind;
use answer::error_answer;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::borrow::Cow;
use std::str;
use subtle::ConstantTimeEq;

/// Characters in a body (code 21617 above it).
const LONGEST_BODY: usize = 1_600;

/// The part of all paths before the account's id.
const ACCOUNTS: &str = "/2010-04-01/Accounts/";

/// Answers one request.
pub(crate) fn respond(core: &Core, now: u64, request: &HttpRequest<'_>) -> HttpReply {
    let at_once = |answer| HttpReply {
        at: now,
        answer: Some(answer),
        wake: false,
    };
    let Some((sid, resource)) = request.path.strip_prefix(ACCOUNTS).and_then(split_path) else {
        return at_once(error_answer(404, 20404, None));
    };
    let Some((account, settings)) = authenticate(core, sid, request.authorization) else {
        core.count_unauthenticated();
        return at_once(error_answer(401, 20003, None));
    };
    // A text that comes meanwhile is for the book to tell.
    if request.method != Method::Post
        && let Some((kind, until)) = core.outage_at(now, account)
    {
        return out_of_order(kind, now, until);
    }
    match (request.method, resource) {
        (Method::Post, "Messages.json") => create(core, now, account, settings, request.body),
        (Method::Get, "Messages.json") => {
            at_once(list::list(core, now, account, settings, request.query))
        }
        (Method::Get, resource) => at_once(fetch(core, now, account, settings, resource)),
        (Method::Other, "Messages.json") => at_once(error_answer(405, 20004, None)),
        (Method::Post | Method::Other, _) => at_once(error_answer(404, 20404, None)),
    }
}

fn out_of_order(kind: OutageKind, now: u64, until: u64) -> HttpReply {
    let (at, answer) = match kind {
        OutageKind::Refuses => (now, Some(error_answer(503, 20503, None))),
        OutageKind::Hangs => (until, None),
    };
    HttpReply {
        at,
        answer,
        wake: false,
    }
}

/// `{sid}/{resource}` of a path.
fn split_path(rest: &str) -> Option<(&str, &str)> {
    rest.split_once('/')
}

fn authenticate<'a>(
    core: &'a Core,
    sid: &str,
    authorization: Option<&[u8]>,
) -> Option<(AccountIndex, &'a AccountConfig)> {
    let account = core.account(sid)?;
    let settings = core.settings(account)?;
    let (scheme, credentials) = str::from_utf8(authorization?).ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = STANDARD.decode(credentials.trim()).ok()?;
    let (user, password) = decoded.split_at_checked(settings.account_sid.len())?;
    let password = password.strip_prefix(b":")?;
    let right = user.ct_eq(sid.as_bytes()) & password.ct_eq(settings.auth_token.as_bytes());
    bool::from(right).then_some((account, settings))
}

/// The parameters of a create request that mean something here.
#[derive(Default)]
struct Form<'a> {
    to: Cow<'a, str>,
    from: Cow<'a, str>,
    service: Cow<'a, str>,
    body: Cow<'a, str>,
    callback: Cow<'a, str>,
}

impl<'a> Form<'a> {
    /// Reads the form; unknown parameters are passed over, as Twilio does.
    fn read(body: &'a [u8]) -> Self {
        let mut form = Self::default();
        for pair in body.split(|byte| *byte == b'&') {
            let (name, value) = match pair.iter().position(|byte| *byte == b'=') {
                Some(place) => (pair.get(..place), pair.get(place + 1..)),
                None => (Some(pair), None),
            };
            let field = match name.unwrap_or_default() {
                b"To" => &mut form.to,
                b"From" => &mut form.from,
                b"MessagingServiceSid" => &mut form.service,
                b"Body" => &mut form.body,
                b"StatusCallback" => &mut form.callback,
                _ => continue,
            };
            *field = decode(value.unwrap_or_default());
        }
        form
    }

    fn refusal(&self) -> Option<Refusal> {
        if self.to.is_empty() {
            Some(Refusal::RecipientMissing)
        } else if self.from.is_empty() && !self.service.is_empty() {
            Some(Refusal::ServiceUnknown)
        } else if self.from.is_empty() {
            Some(Refusal::SenderMissing)
        } else if self.body.is_empty() {
            Some(Refusal::BodyMissing)
        } else if self.body.chars().count() > LONGEST_BODY {
            Some(Refusal::BodyTooLong)
        } else if !self.callback.is_empty() && !is_plain_http(&self.callback) {
            Some(Refusal::CallbackInvalid)
        } else {
            None
        }
    }
}

/// Undoes form encoding: `+` is a space, `%XX` a byte; what is no UTF-8 becomes U+FFFD.
fn decode(value: &[u8]) -> Cow<'_, str> {
    if !value.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return String::from_utf8_lossy(value);
    }
    let digit = |place: usize| char::from(*value.get(place)?).to_digit(16);
    let mut bytes = Vec::with_capacity(value.len());
    let mut place = 0;
    while let Some(byte) = value.get(place) {
        let pair = digit(place + 1).zip(digit(place + 2));
        let escaped = pair.and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
        match (byte, escaped) {
            (b'%', Some(escaped)) => {
                bytes.push(escaped);
                place += 2;
            }
            (b'+', _) => bytes.push(b' '),
            (byte, _) => bytes.push(*byte),
        }
        place += 1;
    }
    Cow::Owned(match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    })
}

/// An absolute `http://` URL of printable ASCII with a host.
fn is_plain_http(url: &str) -> bool {
    let host = url
        .strip_prefix("http://")
        .and_then(|rest| rest.split(['/', '?', '#']).next());
    let has_host = host.is_some_and(|host| !host.is_empty() && !host.contains('@'));
    has_host && url.bytes().all(|byte| byte.is_ascii_graphic())
}

fn create(
    core: &Core,
    now: u64,
    account: AccountIndex,
    settings: &AccountConfig,
    body: &[u8],
) -> HttpReply {
    let form = Form::read(body);
    let submission = Submission {
        account,
        to: &form.to,
        from: &form.from,
        body: &form.body,
        callback: Some(&*form.callback).filter(|callback| !callback.is_empty()),
        refusal: form.refusal(),
    };
    let decision = core.submit(now, &submission);
    HttpReply {
        at: decision.answer_at,
        answer: answer::of(&settings.account_sid, &submission, &decision.answer),
        wake: decision.wake,
    }
}

fn fetch(
    core: &Core,
    now: u64,
    account: AccountIndex,
    settings: &AccountConfig,
    resource: &str,
) -> HttpAnswer {
    let name = resource
        .strip_prefix("Messages/")
        .and_then(|rest| rest.strip_suffix(".json"));
    let text = name
        .and_then(text_id)
        .and_then(|id| core.fetch(now, account, id));
    let Some(text) = text else {
        return error_answer(404, 20404, None);
    };
    let mut body = Vec::with_capacity(answer::TYPICAL_BYTES);
    answer::write_text(&mut body, &settings.account_sid, &text);
    answer::json(200, body)
}
