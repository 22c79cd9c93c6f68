//! What Twilio's codes, words and statuses mean in ours: one table for each.
//!
//! Codes and classes are those of Twilio's error dictionary
//! (<https://www.twilio.com/docs/api/errors>). Only codes are stable; message texts are
//! never looked at.

use hyper::StatusCode;
use schemas::provider::{RejectClass, SubmitOutcome};
use schemas::status::ReceiptStatus;

/// What a code means when it comes with a clear no (a status of 400 to 499), or in a
/// receipt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Meaning {
    /// Refused for good.
    Rejected(RejectClass),
    /// Not taken now; later it may be.
    Later,
    /// Twilio itself does not know what became of it.
    Ambiguous,
    /// Its validity ended.
    Expired,
}

use Meaning::{Ambiguous, Expired, Later, Rejected};
use RejectClass::{Account, Content, OptedOut, Recipient};

/// Every code that is known, ascending.
const CODES: [(u32, Meaning); 47] = [
    (14_107, Later),               // more than 30 replies in 30 s between two numbers
    (20_003, Rejected(Account)),   // authentication failed
    (20_005, Rejected(Account)),   // account not active
    (20_404, Rejected(Account)),   // account or resource not found
    (20_429, Later),               // too many concurrent requests, not processed
    (20_500, Ambiguous),           // server error; creating a message is not idempotent
    (20_503, Ambiguous),           // service unavailable; the same
    (21_211, Rejected(Recipient)), // invalid To
    (21_212, Rejected(Account)),   // invalid From
    (21_408, Rejected(Account)),   // region not enabled
    (21_602, Rejected(Content)),   // body missing
    (21_603, Rejected(Account)),   // From or service missing
    (21_606, Rejected(Account)),   // From not owned, or cannot text
    (21_608, Rejected(Account)),   // trial account, To not verified
    (21_609, Rejected(Account)),   // StatusCallback not a valid URL
    (21_610, Rejected(OptedOut)),  // recipient opted out of this sender
    (21_611, Later),               // the sender's queue is full
    (21_612, Rejected(Recipient)), // To cannot be reached from this From
    (21_614, Rejected(Recipient)), // To is not a mobile number
    (21_617, Rejected(Content)),   // body over 1600 characters
    (21_703, Rejected(Account)),   // messaging service without a sender
    (21_704, Rejected(Account)),   // messaging service without a usable sender
    (21_730, Later),               // maintenance
    (30_001, Later),               // queue overflow
    (30_002, Rejected(Account)),   // account suspended
    (30_003, Rejected(Recipient)), // handset unreachable
    (30_004, Rejected(Recipient)), // blocked by handset or carrier
    (30_005, Rejected(Recipient)), // unknown handset
    (30_006, Rejected(Recipient)), // landline or unreachable carrier
    (30_007, Rejected(Content)),   // filtered
    (30_008, Ambiguous),           // unknown error
    (30_010, Rejected(Account)),   // over MaxPrice
    (30_017, Later),               // carrier congestion
    (30_018, Rejected(Account)),   // sender not registered for the country
    (30_019, Rejected(Content)),   // too large for the carrier
    (30_022, Later),               // 10DLC rate exceeded
    (30_023, Later),               // 10DLC daily cap
    (30_027, Later),               // 10DLC daily cap of one carrier
    (30_032, Rejected(Account)),   // toll-free number not verified
    (30_033, Rejected(Account)),   // 10DLC campaign suspended
    (30_034, Rejected(Account)),   // number without a 10DLC campaign
    (30_035, Rejected(Account)),   // number still being configured
    (30_036, Expired),             // validity period ended
    (30_410, Ambiguous),           // a provider behind Twilio timed out
    (30_450, Rejected(Recipient)), // blocked against pumping fraud
    (63_017, Later),               // account's combined rate
    (63_038, Later),               // account's daily cap
];

/// What a code means; `None` for one that is not in the table.
pub(super) fn meaning(code: u32) -> Option<Meaning> {
    let index = CODES.binary_search_by_key(&code, |(known, _)| *known);
    index.ok().map(|index| CODES[index].1)
}

/// What an answer that is not a 2xx says about a text. `code` is the code in its body,
/// if there was one, and `retry_after_ms` its header.
///
/// - 5xx is unknown whatever the body says: Twilio's creation of messages is not
///   idempotent, and an error on their side may come after the text was taken.
/// - 1xx and 3xx are unknown: a redirect is not followed, and 303 is said of work done.
/// - 4xx is a clear no. Its code decides; without a known one 429 is throttled, and
///   408, 409 and 425 are unknown, because they speak of a request that was cut off or
///   met another one. All other 4xx are final: 400 and 422 with a code that is not in
///   the table blame the text, the rest blame the account, because a door that answers
///   so to everybody (a wrong URL, a proxy's page) says nothing about the text.
pub(super) fn outcome_of_refusal(
    status: StatusCode,
    code: Option<u32>,
    retry_after_ms: Option<u64>,
) -> SubmitOutcome {
    let unknown = |cause: &str| SubmitOutcome::Unknown {
        cause: cause.to_owned(),
    };
    let word = code.map_or_else(
        || format!("http_{}", status.as_u16()),
        |code| code.to_string(),
    );
    if status.is_server_error() {
        return unknown("server_error");
    }
    if !status.is_client_error() {
        return unknown(if status.is_redirection() {
            "redirect"
        } else {
            "unexpected_status"
        });
    }
    match (code.and_then(meaning), status.as_u16()) {
        (Some(Rejected(class)), _) => SubmitOutcome::Rejected { class, code: word },
        (Some(Later), _) | (None, 429) => SubmitOutcome::Throttled {
            retry_after_ms,
            code: word,
        },
        (Some(Ambiguous | Expired), _) => unknown("ambiguous_code"),
        (None, 408 | 409 | 425) => unknown("ambiguous_status"),
        (None, 400 | 422) if code.is_some() => SubmitOutcome::Rejected {
            class: Content,
            code: word,
        },
        (None, _) => SubmitOutcome::Rejected {
            class: Account,
            code: word,
        },
    }
}

/// What a word of Twilio's says, with the code beside it; `None` for a word that is not
/// about a text of ours or that we do not understand, such as `partially_delivered`.
pub(super) fn receipt_status(word: &str, code: Option<u32>) -> Option<ReceiptStatus> {
    let expired = code.and_then(meaning) == Some(Expired);
    match word {
        "accepted" | "scheduled" | "queued" | "sending" => Some(ReceiptStatus::Accepted),
        "sent" => Some(ReceiptStatus::Sent),
        "delivered" | "read" => Some(ReceiptStatus::Delivered),
        "undelivered" | "failed" if expired => Some(ReceiptStatus::Expired),
        "undelivered" => Some(ReceiptStatus::Undelivered),
        "failed" => Some(ReceiptStatus::Failed),
        "canceled" => Some(ReceiptStatus::Canceled),
        _ => None,
    }
}

/// Whether `text` is an id of a message: `^(SM|MM)[0-9a-fA-F]{32}$`.
pub(super) fn is_message_sid(text: &str) -> bool {
    is_sid(text, "SM") || is_sid(text, "MM")
}

/// Whether `text` is `prefix` and 32 hexadecimal digits, as all of Twilio's ids are.
pub(super) fn is_sid(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix).is_some_and(|digits| {
        digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

#[cfg(test)]
mod tests {
    use hyper::StatusCode;
    use proptest::prelude::*;
    use schemas::provider::{RejectClass, SubmitOutcome};
    use schemas::status::ReceiptStatus;

    use super::{CODES, is_message_sid, meaning, outcome_of_refusal, receipt_status};

    fn outcome(status: u16, code: Option<u32>) -> SubmitOutcome {
        outcome_of_refusal(
            StatusCode::from_u16(status).expect("a status"),
            code,
            Some(3_000),
        )
    }

    fn rejected(class: RejectClass, code: &str) -> SubmitOutcome {
        let code = code.to_owned();
        SubmitOutcome::Rejected { class, code }
    }

    #[test]
    fn the_table_is_sorted() {
        assert!(CODES.is_sorted_by(|(one, _), (next, _)| one < next));
        assert_eq!(meaning(1), None);
    }

    #[test]
    fn a_clear_no_has_its_class() {
        assert_eq!(
            outcome(400, Some(21_211)),
            rejected(RejectClass::Recipient, "21211")
        );
        assert_eq!(
            outcome(400, Some(21_610)),
            rejected(RejectClass::OptedOut, "21610")
        );
        assert_eq!(
            outcome(400, Some(21_617)),
            rejected(RejectClass::Content, "21617")
        );
        assert_eq!(
            outcome(401, Some(20_003)),
            rejected(RejectClass::Account, "20003")
        );
        assert_eq!(
            outcome(400, Some(99_999)),
            rejected(RejectClass::Content, "99999")
        );
        assert_eq!(
            outcome(400, None),
            rejected(RejectClass::Account, "http_400")
        );
        assert_eq!(
            outcome(403, Some(99_999)),
            rejected(RejectClass::Account, "99999")
        );
    }

    #[test]
    fn too_fast_is_not_a_no() {
        for (status, code, word) in [
            (429, Some(20_429), "20429"),
            (429, None, "http_429"),
            (429, Some(99_999), "99999"),
            (400, Some(21_611), "21611"),
            (429, Some(63_038), "63038"),
        ] {
            let throttled = SubmitOutcome::Throttled {
                retry_after_ms: Some(3_000),
                code: word.to_owned(),
            };
            assert_eq!(outcome(status, code), throttled);
        }
    }

    #[test]
    fn words_of_receipts() {
        assert_eq!(
            receipt_status("sending", None),
            Some(ReceiptStatus::Accepted)
        );
        assert_eq!(receipt_status("read", None), Some(ReceiptStatus::Delivered));
        assert_eq!(
            receipt_status("failed", Some(30_036)),
            Some(ReceiptStatus::Expired)
        );
        assert_eq!(
            receipt_status("undelivered", Some(30_036)),
            Some(ReceiptStatus::Expired)
        );
        assert_eq!(
            receipt_status("undelivered", Some(30_003)),
            Some(ReceiptStatus::Undelivered)
        );
        assert_eq!(receipt_status("failed", None), Some(ReceiptStatus::Failed));
        assert_eq!(
            receipt_status("canceled", None),
            Some(ReceiptStatus::Canceled)
        );
        for word in ["partially_delivered", "received", "Delivered", ""] {
            assert_eq!(receipt_status(word, None), None, "{word}");
        }
    }

    #[test]
    fn ids_of_messages() {
        assert!(is_message_sid("SM0123456789abcdef0123456789ABCDEF"));
        assert!(is_message_sid("MM0123456789abcdef0123456789abcdef"));
        for wrong in ["", "SM", "AC0123456789abcdef0123456789abcdef", "SM../../x"] {
            assert!(!is_message_sid(wrong), "{wrong}");
        }
    }

    proptest! {
        /// Whatever the body claims, an answer that is no 4xx never settles a text.
        #[test]
        fn only_4xx_settles(status in 100_u16..1_000, code in proptest::option::of(0_u32..70_000)) {
            let unknown = matches!(outcome(status, code), SubmitOutcome::Unknown { .. });
            prop_assert!(unknown || (400..500).contains(&status));
            let accepted = matches!(outcome(status, code), SubmitOutcome::Accepted { .. });
            prop_assert!(!accepted);
        }
    }
}
