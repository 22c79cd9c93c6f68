//! Texts that people send: the form of Twilio's webhook.

use super::receipt::signature;
use crate::config::AccountConfig;
use crate::dialect::{PersonText, ReceiptRequest};

/// The request that brings a person's text.
pub(crate) fn inbound(account: &AccountConfig, text: &PersonText<'_>) -> Option<ReceiptRequest> {
    let form = [
        ("AccountSid", account.account_sid.as_str()),
        ("ApiVersion", "2010-04-01"),
        ("Body", text.body),
        ("From", text.from),
        ("MessageSid", text.id),
        ("NumMedia", "0"),
        ("NumSegments", "1"),
        ("SmsMessageSid", text.id),
        ("SmsSid", text.id),
        ("To", text.to),
    ];
    Some(ReceiptRequest {
        url: text.url.to_owned(),
        headers: vec![
            (
                "content-type",
                "application/x-www-form-urlencoded; charset=UTF-8".to_owned(),
            ),
            (
                "x-twilio-signature",
                signature(&account.auth_token, text.url, &form),
            ),
        ],
        body: serde_urlencoded::to_string(form).ok()?.into_bytes(),
    })
}
