//! Twilio's status callbacks: the form, the signature and the idempotency token.

use crate::core::{Core, DueReceipt, Status};
use crate::dialect::ReceiptRequest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use sha1::Sha1;

/// The request that carries one receipt.
pub(crate) fn receipt(core: &Core, receipt: &DueReceipt) -> Option<ReceiptRequest> {
    let settings = core.settings(receipt.account)?;
    let sid = super::text_name(receipt.text);
    let status = receipt.planned.status.word();
    let code = receipt.planned.code.map(|code| code.to_string());
    let done = done_date(receipt.planned.status, receipt.planned.at);
    let mut form: Vec<(&str, &str)> = vec![
        ("AccountSid", &settings.account_sid),
        ("ApiVersion", "2010-04-01"),
        ("From", &receipt.from),
        ("MessageSid", &sid),
        ("MessageStatus", status),
        ("SmsSid", &sid),
        ("SmsStatus", status),
        ("To", &receipt.to),
    ];
    form.extend(code.as_deref().map(|code| ("ErrorCode", code)));
    form.extend(done.as_deref().map(|done| ("RawDlrDoneDate", done)));
    // The fragment holds settings for Twilio and is neither sent nor signed.
    let url = receipt.callback.split('#').next().unwrap_or_default();
    Some(ReceiptRequest {
        url: url.to_owned(),
        headers: vec![
            (
                "content-type",
                "application/x-www-form-urlencoded; charset=UTF-8".to_owned(),
            ),
            (
                "x-twilio-signature",
                signature(&settings.auth_token, url, &form),
            ),
            (
                "i-twilio-idempotency-token",
                format!("{sid}-{}", receipt.planned.event),
            ),
        ],
        body: serde_urlencoded::to_string(&form).ok()?.into_bytes(),
    })
}

/// `YYMMDDhhmm` in UTC, on the statuses that Twilio puts it on.
fn done_date(status: Status, at: u64) -> Option<String> {
    match status {
        Status::Delivered | Status::Undelivered => {
            let time = Timestamp::from_microsecond(i64::try_from(at).ok()?).ok()?;
            Some(time.strftime("%y%m%d%H%M").to_string())
        }
        Status::Queued | Status::Sent | Status::Failed => None,
    }
}

/// Base64 of HMAC-SHA1, keyed with the account's token, over the URL and every
/// parameter in byte order, name then value; of repeated names the distinct
/// values in order.
pub(super) fn signature(token: &str, url: &str, form: &[(&str, &str)]) -> String {
    let mut sorted = form.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let mut signed = url.to_owned();
    for (name, value) in sorted {
        signed.push_str(name);
        signed.push_str(value);
    }
    match Hmac::<Sha1>::new_from_slice(token.as_bytes()) {
        Ok(mac) => STANDARD.encode(mac.chain_update(signed).finalize().into_bytes()),
        // HMAC takes keys of every length; an empty signature would be refused loudly.
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Status, done_date, signature};

    const TOKEN: &str = "12345678901234567890123456789012";
    const SID: &str = "SM0123456789abcdef0123456789abcdef";

    fn status_form() -> Vec<(&'static str, &'static str)> {
        vec![
            ("To", "+15005550006"),
            ("MessageStatus", "delivered"),
            ("SmsStatus", "delivered"),
            ("MessageSid", SID),
            ("SmsSid", SID),
            ("AccountSid", "AC0123456789abcdef0123456789abcdef"),
            ("From", "+15005550001"),
            ("ApiVersion", "2010-04-01"),
            ("RawDlrDoneDate", "2601021530"),
        ]
    }

    /// Computed with twilio-python 9.13.0; the first is equal in twilio-node 6.2.0.
    #[test]
    fn signatures_equal_those_of_the_official_libraries() {
        let url = "https://sms.example.com/hooks/twilio/status?tenant=42";
        assert_eq!(
            signature(TOKEN, url, &status_form()),
            "g5SwOgiVaiVP1wWL80THcKykSbc="
        );
        let with_port = "https://sms.example.com:443/hooks/twilio/status?tenant=42";
        assert_eq!(
            signature(TOKEN, with_port, &status_form()),
            "dR4Ky0TS4crGz2DezFOR1k0njpE="
        );
        let inbound = [
            ("Body", "STOP é&="),
            ("From", "+15005550006"),
            ("MessageSid", "SM1"),
            ("NumMedia", "0"),
            ("To", "+15005550001"),
        ];
        let signed = signature(TOKEN, "https://sms.example.com/in", &inbound);
        assert_eq!(signed, "lbNiRREKfG1d3eoG3EjSahisLRc=");
    }

    #[test]
    fn the_done_date_has_no_seconds() {
        let at = 1_767_367_859_000_000;
        assert_eq!(
            done_date(Status::Delivered, at).as_deref(),
            Some("2601021530")
        );
        assert_eq!(done_date(Status::Sent, at), None);
    }
}
