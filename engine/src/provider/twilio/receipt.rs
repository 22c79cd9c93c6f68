//! Status callbacks: a form that tells what became of a text.

use std::str::FromStr;

use schemas::Phone;
use schemas::provider::{AttemptRef, DeliveryReceipt};

use super::codes::{is_message_sid, receipt_status};
use super::signature::{self, Form, Keys, PublicUrl};
use crate::provider::{InboundRequest, ReceiptError};

/// The largest body, in bytes. Twilio's callbacks are under 1 KiB; new fields come
/// without notice.
pub(super) const BODY_LIMIT: usize = 64 * 1024;

/// Checks and reads one status callback. The attempt it speaks of comes from the query
/// of the URL, which is our own callback URL and which the signature covers.
pub(super) fn parse(
    request: &InboundRequest,
    public_url: &PublicUrl,
    keys: &Keys,
    account_sid: &str,
) -> Result<Vec<DeliveryReceipt>, ReceiptError> {
    let form = form_of(request, public_url, keys, account_sid)?;
    let malformed = |field| ReceiptError::Malformed { field };
    let sid = field(&form, "MessageSid").filter(|sid| is_message_sid(sid));
    let sid = sid.ok_or(malformed("MessageSid"))?;
    let word = field(&form, "MessageStatus").ok_or(malformed("MessageStatus"))?;
    let code = field(&form, "ErrorCode").filter(|code| !code.is_empty() && *code != "0");
    Ok(vec![DeliveryReceipt {
        attempt: attempt_of(request.query()),
        provider_message_id: sid.to_owned(),
        status: receipt_status(word, code.and_then(|code| code.parse().ok())),
        error_code: code.map(str::to_owned),
        provider_status: word.to_owned(),
        // What is no number, such as another channel's address, is none of our texts'.
        to: field(&form, "To").and_then(|to| Phone::from_e164(to).ok()),
    }])
}

/// The form of a request that the account itself has signed.
pub(super) fn form_of<'a>(
    request: &'a InboundRequest,
    public_url: &PublicUrl,
    keys: &Keys,
    account_sid: &str,
) -> Result<Form<'a>, ReceiptError> {
    if request.body.len() > BODY_LIMIT {
        return Err(ReceiptError::TooLarge { limit: BODY_LIMIT });
    }
    let form = signature::check(request, public_url, keys)?;
    if field(&form, "AccountSid") == Some(account_sid) {
        Ok(form)
    } else {
        Err(ReceiptError::Malformed {
            field: "AccountSid",
        })
    }
}

/// The value of the parameter `name`, if it comes exactly once.
pub(super) fn field<'a>(form: &'a Form<'_>, name: &str) -> Option<&'a str> {
    let mut values = form.iter().filter(|(known, _)| known == name);
    let (_, value) = values.next()?;
    values.next().is_none().then_some(value.as_ref())
}

/// The attempt that our callback URL carries; `None` unless all of it is there.
fn attempt_of(query: &str) -> Option<AttemptRef> {
    Some(AttemptRef {
        account: parameter(query, "account")?,
        message: parameter(query, "message")?,
        attempt: parameter(query, "attempt")?,
    })
}

fn parameter<T: FromStr>(query: &str, name: &str) -> Option<T> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(known, _)| *known == name)?;
    value.parse().ok()
}
