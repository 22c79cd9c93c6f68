//! Twilio's answers as bytes: a message resource, and errors with Twilio's codes.

use crate::core::{AccountIndex, Answer, Refusal, Status, Submission, TextId, TextView};
use crate::dialect::HttpAnswer;
use std::borrow::Cow;
use std::io::Write;
use std::time::{Duration, UNIX_EPOCH};

/// Room for a message resource with a body of one segment.
pub(super) const TYPICAL_BYTES: usize = 1_024;

/// The id as Twilio writes it: `SM` and 32 hexadecimal digits.
pub(crate) fn text_name(id: TextId) -> String {
    format!("SM{:032x}", id.0)
}

/// Reads an id back; upper case is accepted as in Twilio's pattern.
pub(crate) fn text_id(name: &str) -> Option<TextId> {
    let digits = name.strip_prefix("SM")?;
    let plausible = digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    plausible.then(|| u128::from_str_radix(digits, 16).ok().map(TextId))?
}

/// The answer to a create request; nothing means that the line is cut.
pub(super) fn of(
    sid: &str,
    submission: &Submission<'_>,
    answer: &Answer<'_>,
) -> Option<HttpAnswer> {
    let (status, code) = status_and_code(answer);
    match answer {
        Answer::Created(text) => {
            let mut body = Vec::with_capacity(TYPICAL_BYTES);
            write_text(&mut body, sid, text);
            Some(json(201, body))
        }
        Answer::Refused(refusal) => Some(error_answer(
            400,
            code?,
            Some((refusal.to_owned(), submission)),
        )),
        Answer::Throttled { retry_after } => Some(HttpAnswer {
            retry_after: *retry_after,
            ..error_answer(429, code?, None)
        }),
        Answer::ServerError(_) => Some(error_answer(status?, code?, None)),
        Answer::Cut => None,
        Answer::Nonsense { status, variant } => Some(nonsense(*status, *variant)),
    }
}

/// HTTP status and Twilio's code of an answer.
pub(crate) fn status_and_code(answer: &Answer<'_>) -> (Option<u16>, Option<u32>) {
    match answer {
        Answer::Created(_) => (Some(201), None),
        Answer::Refused(refusal) => (Some(400), Some(refusal_code(*refusal))),
        Answer::Throttled { .. } => (Some(429), Some(20429)),
        Answer::ServerError(503) => (Some(503), Some(20503)),
        Answer::ServerError(status) => (Some(*status), Some(20500)),
        Answer::Cut => (None, None),
        Answer::Nonsense { status, .. } => (Some(*status), None),
    }
}

fn refusal_code(refusal: Refusal) -> u32 {
    match refusal {
        Refusal::RecipientMissing => 21604,
        Refusal::RecipientInvalid => 21211,
        Refusal::SenderMissing => 21603,
        Refusal::SenderNotOwned => 21606,
        Refusal::ServiceUnknown => 21703,
        Refusal::BodyMissing => 21602,
        Refusal::BodyTooLong => 21617,
        Refusal::CallbackInvalid => 21609,
        Refusal::OverLimit => 20429,
    }
}

/// An error body. Only the code is stable at Twilio; the texts are our words for it.
pub(crate) fn error_answer(
    status: u16,
    code: u32,
    about: Option<(Refusal, &Submission<'_>)>,
) -> HttpAnswer {
    let message = match (code, about) {
        (20003, _) => "Authenticate".to_owned(),
        (20004, _) => "Method not allowed".to_owned(),
        (20404, _) => "The requested resource was not found".to_owned(),
        (20429, _) => "Too Many Requests".to_owned(),
        (20503, _) => "Service unavailable".to_owned(),
        (21211, Some((_, text))) => format!("Invalid 'To' Phone Number: {}", text.to),
        (21606, Some((_, text))) => format!(
            "The 'From' phone number {} is not a valid, message-capable Twilio phone number \
             for this account.",
            text.from
        ),
        (21602, _) => "Message body is required.".to_owned(),
        (21603, _) => "A 'From' phone number is required.".to_owned(),
        (21604, _) => "A 'To' phone number is required.".to_owned(),
        (21609, _) => "The 'StatusCallback' URL is not a valid URL.".to_owned(),
        (21617, _) => "The concatenated message body exceeds the 1600 character limit".to_owned(),
        (21703, _) => "The Messaging Service does not have a phone number available".to_owned(),
        (_, _) => "Internal Server Error".to_owned(),
    };
    let mut body = Vec::with_capacity(256);
    body.extend_from_slice(b"{\"code\":");
    write_number(&mut body, u64::from(code));
    body.extend_from_slice(b",\"message\":");
    write_string(&mut body, &message);
    body.extend_from_slice(b",\"more_info\":\"https://www.twilio.com/docs/errors/");
    write_number(&mut body, u64::from(code));
    body.extend_from_slice(b"\",\"status\":");
    write_number(&mut body, u64::from(status));
    body.push(b'}');
    json(status, body)
}

pub(super) fn json(status: u16, body: Vec<u8>) -> HttpAnswer {
    HttpAnswer {
        status,
        retry_after: None,
        content_type: "application/json",
        body,
    }
}

/// Success in the status line and nothing of use behind it.
fn nonsense(status: u16, variant: u64) -> HttpAnswer {
    let (content_type, body): (_, &[u8]) = match variant % 5 {
        0 => ("text/html", b"<html><body>OK</body></html>"),
        1 => ("application/json", b"{\"sid\":\"SM"),
        2 => ("application/json", b"{\"sid\":null,\"status\":\"queued\"}"),
        3 => ("application/json", b""),
        _ => ("application/json", b"\xff\xfe[]"),
    };
    HttpAnswer {
        status,
        retry_after: None,
        content_type,
        body: body.to_vec(),
    }
}

/// The answer to a taken text of one segment, and the id in it.
pub(crate) fn sample_answer() -> (Vec<u8>, String) {
    let id = TextId(0x0123_4567_89ab_cdef_fedc_ba98_7654_3210);
    let text = TextView {
        id,
        account: AccountIndex::default(),
        to: 15_005_550_006,
        from: "+15005550001".into(),
        body: Cow::Borrowed("Hello Ada, your order 4711 has left our store and is on its way."),
        segments: 1,
        at: 1_767_367_800_000_000,
        status: Status::Queued,
        status_at: 1_767_367_800_000_000,
        sent_at: None,
        code: None,
    };
    let mut body = Vec::new();
    write_text(&mut body, "AC00000000000000000000000000000001", &text);
    (body, text_name(id))
}

/// Appends the message resource of a text.
pub(super) fn write_text(out: &mut Vec<u8>, account_sid: &str, text: &TextView<'_>) {
    let sid = text_name(text.id);
    let mut raw = |piece: &str| out.extend_from_slice(piece.as_bytes());
    raw("{\"sid\":\"");
    raw(&sid);
    raw("\",\"account_sid\":\"");
    raw(account_sid);
    raw("\",\"api_version\":\"2010-04-01\",\"status\":\"");
    raw(text.status.word());
    raw("\",\"direction\":\"outbound-api\",\"from\":");
    write_string(out, &text.from);
    out.extend_from_slice(b",\"to\":\"+");
    write_number(out, text.to);
    out.extend_from_slice(b"\",\"messaging_service_sid\":null,\"body\":");
    write_string(out, &text.body);
    out.extend_from_slice(b",\"num_segments\":\"");
    write_number(out, u64::from(text.segments));
    out.extend_from_slice(
        b"\",\"num_media\":\"0\",\"price\":null,\"price_unit\":\"USD\",\"error_code\":",
    );
    match text.code {
        Some(code) => write_number(out, u64::from(code)),
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b",\"error_message\":null,\"date_created\":\"");
    write_date(out, text.at);
    out.extend_from_slice(b"\",\"date_updated\":\"");
    write_date(out, text.status_at);
    out.extend_from_slice(b"\",\"date_sent\":");
    match text.sent_at {
        Some(at) => {
            out.push(b'"');
            write_date(out, at);
            out.push(b'"');
        }
        None => out.extend_from_slice(b"null"),
    }
    let mut raw = |piece: &str| out.extend_from_slice(piece.as_bytes());
    raw(",\"uri\":\"/2010-04-01/Accounts/");
    raw(account_sid);
    raw("/Messages/");
    raw(&sid);
    raw(".json\",\"subresource_uris\":{}}");
}

// Writing into memory cannot fail, so the results below say nothing.

fn write_number(out: &mut Vec<u8>, number: u64) {
    let _ = write!(out, "{number}");
}

pub(super) fn write_string(out: &mut Vec<u8>, text: &str) {
    let _ = serde_json::to_writer(out, text);
}

/// An RFC 2822 date with Twilio's `+0000`.
fn write_date(out: &mut Vec<u8>, at: u64) {
    let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_micros(at));
    out.extend_from_slice(date.trim_end_matches("GMT").as_bytes());
    out.extend_from_slice(b"+0000");
}

#[cfg(test)]
mod tests {
    use super::{Status, TextId, TextView, text_id, text_name, write_text};
    use crate::core::AccountIndex;
    use std::borrow::Cow;
    use std::sync::Arc;

    /// The example of Twilio's OpenAPI description, field by field.
    #[test]
    fn a_message_resource_is_written_as_documented() {
        let text = TextView {
            id: TextId(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef),
            account: AccountIndex::default(),
            to: 15_005_550_006,
            from: Arc::from("+15005550001"),
            body: Cow::Borrowed("hi & \"bye\""),
            segments: 1,
            at: 1_767_367_800_000_000,
            status: Status::Queued,
            status_at: 1_767_367_800_999_999,
            sent_at: None,
            code: None,
        };
        let mut written = Vec::new();
        write_text(&mut written, "AC0123456789abcdef0123456789abcdef", &text);
        let expected = r#"{"sid":"SM0123456789abcdef0123456789abcdef","account_sid":"AC0123456789abcdef0123456789abcdef","api_version":"2010-04-01","status":"queued","direction":"outbound-api","from":"+15005550001","to":"+15005550006","messaging_service_sid":null,"body":"hi & \"bye\"","num_segments":"1","num_media":"0","price":null,"price_unit":"USD","error_code":null,"error_message":null,"date_created":"Fri, 02 Jan 2026 15:30:00 +0000","date_updated":"Fri, 02 Jan 2026 15:30:00 +0000","date_sent":null,"uri":"/2010-04-01/Accounts/AC0123456789abcdef0123456789abcdef/Messages/SM0123456789abcdef0123456789abcdef.json","subresource_uris":{}}"#;
        assert_eq!(String::from_utf8_lossy(&written), expected);
    }

    #[test]
    fn ids_read_back() {
        let id = TextId(7);
        assert_eq!(text_id(&text_name(id)), Some(id));
        assert_eq!(text_id("SM7"), None);
        assert_eq!(text_id("SM+000000000000000000000000000007"), None);
    }
}
