//! The contract of every provider adapter, over real sockets.
//!
//! A [`Dialect`] tells how its provider answers; each case lets a [`ScriptedServer`]
//! answer so, or break off, and checks what the adapter makes of it. Cases panic when
//! the contract is broken. `provider_contract!` makes a test of each.

mod script;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use schemas::provider::{DeliveryReceipt, RejectClass, SubmitOutcome};

pub use script::{ScriptedServer, Step, answer};

use super::{LookUpError, Provider, SubmitRequest};

/// Long enough for any answer over the loopback of a busy machine.
const PATIENT: Duration = Duration::from_secs(30);
/// For servers that never answer: the case ends when it has passed.
const IMPATIENT: Duration = Duration::from_millis(300);
/// More than any adapter may read of one answer, or the kernel may hold on the way.
const MOST_BYTES_READ: u64 = 16 * 1024 * 1024;

/// What the contract has to know of a provider.
pub trait Dialect {
    /// An adapter that speaks to `base_url` and waits so long for an answer.
    fn open(&self, base_url: &str, request_timeout: Duration) -> Arc<dyn Provider>;
    /// A text to submit.
    fn request(&self) -> SubmitRequest;
    /// The id that the provider gives the text.
    fn provider_message_id(&self) -> String;
    /// The status and body of the answer that takes the text.
    fn accepted(&self) -> (u16, String);
    /// The status and body of an answer that refuses the recipient, and its code.
    fn refused(&self) -> (u16, String, &'static str);
    /// The status and body of an answer that throttles, and its code.
    fn throttled(&self) -> (u16, String, &'static str);
    /// The body of an answer to [`Provider::fetch`], and what it says.
    fn fetched(&self) -> (String, DeliveryReceipt);
    /// What no `Debug` print and no error may show: secrets, numbers, bodies.
    fn canaries(&self) -> Vec<String>;
}

/// One submission against a server that goes through `steps`.
async fn submit(
    dialect: &dyn Dialect,
    steps: Vec<Step>,
    patience: Duration,
) -> (SubmitOutcome, ScriptedServer) {
    let server = ScriptedServer::start(steps).await;
    let provider = dialect.open(&server.base_url(), patience);
    let outcome = provider.submit(&dialect.request()).await;
    hides(dialect, &outcome);
    (outcome, server)
}

async fn is_unknown(dialect: &dyn Dialect, step: Step, patience: Duration) {
    let told = format!("{step:?}");
    let (outcome, server) = submit(dialect, vec![step], patience).await;
    let unknown = matches!(outcome, SubmitOutcome::Unknown { .. });
    assert!(unknown, "{outcome:?} after {told}");
    assert!(server.requests() <= 1, "repeated after {told}");
}

/// Nothing that must stay hidden is printed.
fn hides(dialect: &dyn Dialect, shown: &dyn Debug) {
    let shown = format!("{shown:?}");
    for canary in dialect.canaries() {
        assert!(!shown.contains(&canary), "shows what it must hide: {shown}");
    }
}

fn whole(answer_of: (u16, String)) -> Vec<u8> {
    answer(answer_of.0, &[], &answer_of.1)
}

/// A text that is taken is accepted under the provider's id, sent once and whole.
pub async fn accepted(dialect: &dyn Dialect) {
    let steps = vec![Step::Answer(whole(dialect.accepted()))];
    let (outcome, server) = submit(dialect, steps, PATIENT).await;
    let provider_message_id = dialect.provider_message_id();
    assert_eq!(
        outcome,
        SubmitOutcome::Accepted {
            provider_message_id
        }
    );
    assert_eq!(server.requests(), 1);
    hides(dialect, &dialect.request());
}

/// One connection carries one text after the other.
pub async fn connections_are_kept(dialect: &dyn Dialect) {
    let accepted = Step::Answer(whole(dialect.accepted()));
    let server = ScriptedServer::start(vec![accepted.clone(), accepted]).await;
    let provider = dialect.open(&server.base_url(), PATIENT);
    for _ in 0..2 {
        let outcome = provider.submit(&dialect.request()).await;
        assert!(
            matches!(outcome, SubmitOutcome::Accepted { .. }),
            "{outcome:?}"
        );
    }
    assert_eq!((server.requests(), server.connections()), (2, 1));
}

/// A kept connection that the provider closes: whatever the race, a text that arrived
/// is never called not sent, and none is sent twice.
pub async fn a_kept_connection_closes(dialect: &dyn Dialect) {
    let accepted = whole(dialect.accepted());
    let steps = vec![
        Step::AnswerAndClose(accepted.clone()),
        Step::Answer(accepted),
    ];
    let server = ScriptedServer::start(steps).await;
    let provider = dialect.open(&server.base_url(), PATIENT);
    let first = provider.submit(&dialect.request()).await;
    assert!(matches!(first, SubmitOutcome::Accepted { .. }), "{first:?}");
    match provider.submit(&dialect.request()).await {
        SubmitOutcome::Accepted { .. } => assert_eq!(server.requests(), 2),
        SubmitOutcome::NotSent { .. } => assert_eq!(server.requests(), 1),
        SubmitOutcome::Unknown { .. } => assert!(server.requests() <= 2),
        other @ (SubmitOutcome::Rejected { .. } | SubmitOutcome::Throttled { .. }) => {
            panic!("{other:?}")
        }
    }
}

/// Nobody listens: certainly not sent.
pub async fn connect_refused(dialect: &dyn Dialect) {
    let server = ScriptedServer::start(Vec::new()).await;
    let base_url = server.base_url();
    server.stop().await;
    let provider = dialect.open(&base_url, PATIENT);
    let outcome = provider.submit(&dialect.request()).await;
    let cause = "connect_refused".to_owned();
    assert_eq!(outcome, SubmitOutcome::NotSent { cause });
}

/// A host without an address: certainly not sent. (`.invalid`: RFC 6761.)
pub async fn host_unknown(dialect: &dyn Dialect) {
    let provider = dialect.open("http://volley.invalid:9", PATIENT);
    match provider.submit(&dialect.request()).await {
        // The second where name servers do not even say no.
        SubmitOutcome::NotSent { cause } => {
            assert!(
                ["dns", "connect_timeout"].contains(&cause.as_str()),
                "{cause}"
            );
        }
        other @ (SubmitOutcome::Accepted { .. }
        | SubmitOutcome::Rejected { .. }
        | SubmitOutcome::Throttled { .. }
        | SubmitOutcome::Unknown { .. }) => panic!("{other:?}"),
    }
}

/// No TLS where TLS is spoken: certainly not sent, and not a byte of the text arrived.
pub async fn tls_handshake_fails(dialect: &dyn Dialect) {
    let step = Step::Garbage(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n".to_vec());
    let server = ScriptedServer::start(vec![step]).await;
    let base_url = server.base_url().replace("http://", "https://");
    let outcome = dialect
        .open(&base_url, PATIENT)
        .submit(&dialect.request())
        .await;
    let cause = "tls_handshake".to_owned();
    assert_eq!(outcome, SubmitOutcome::NotSent { cause });
    assert_eq!(server.requests(), 0);
}

/// The line is cut when the request has arrived, whole or in part.
pub async fn cut_before_the_answer(dialect: &dyn Dialect) {
    is_unknown(dialect, Step::CutInRequest, PATIENT).await;
    is_unknown(dialect, Step::CutAfter(Vec::new()), PATIENT).await;
}

/// The line is cut in the middle of the answer that takes the text, at every place.
pub async fn cut_in_the_answer(dialect: &dyn Dialect) {
    let accepted = whole(dialect.accepted());
    let step = (accepted.len() / 12).max(1);
    for bytes in (1..accepted.len()).step_by(step) {
        is_unknown(dialect, Step::CutAfter(accepted[..bytes].to_vec()), PATIENT).await;
    }
}

/// No answer, or the rest of it, ever comes.
pub async fn no_answer(dialect: &dyn Dialect) {
    is_unknown(dialect, Step::HangAfter(Vec::new()), IMPATIENT).await;
    let accepted = whole(dialect.accepted());
    let half = accepted[..accepted.len() - 5].to_vec();
    is_unknown(dialect, Step::HangAfter(half), IMPATIENT).await;
}

/// Errors on the provider's side say nothing about the text, whatever else they say.
pub async fn server_errors(dialect: &dyn Dialect) {
    for status in [500, 502, 503, 504, 599] {
        for body in [
            String::new(),
            "<html>".to_owned(),
            dialect.refused().1,
            dialect.accepted().1,
        ] {
            is_unknown(dialect, Step::Answer(answer(status, &[], &body)), PATIENT).await;
        }
    }
}

/// A yes that makes no sense is no yes.
pub async fn nonsense(dialect: &dyn Dialect) {
    let (status, accepted) = dialect.accepted();
    let id = dialect.provider_message_id();
    let bodies = [
        String::new(),
        "null".to_owned(),
        "{}".to_owned(),
        "<html>ok</html>".to_owned(),
        accepted.replace(&id, ""),
        accepted.replace(&id, "../../nonsense"),
        accepted[..accepted.len() - 1].to_owned(),
        format!("{}{}", "[".repeat(5_000), "]".repeat(5_000)),
        dialect.refused().1,
    ];
    for body in bodies {
        is_unknown(dialect, Step::Answer(answer(status, &[], &body)), PATIENT).await;
    }
    is_unknown(dialect, Step::Answer(answer(204, &[], "")), PATIENT).await;
    is_unknown(
        dialect,
        Step::Answer(b"\x00\xff not HTTP\r\n\r\n".to_vec()),
        PATIENT,
    )
    .await;
}

/// An answer without end is read up to a bound.
pub async fn endless_answer(dialect: &dyn Dialect) {
    let (outcome, server) =
        submit(dialect, vec![Step::Endless(dialect.accepted().0)], PATIENT).await;
    let cause = "answer_too_large".to_owned();
    assert_eq!(outcome, SubmitOutcome::Unknown { cause });
    // The bound, not the timeout, ended it: the line is closed.
    let written = server.stop().await;
    assert!(written < MOST_BYTES_READ, "{written} bytes were taken");
}

/// A redirect is not followed: not even to the provider itself.
pub async fn redirects(dialect: &dyn Dialect) {
    for status in [301, 302, 303, 307, 308] {
        let there = answer(status, &[("Location", "/elsewhere")], "");
        let steps = vec![Step::Answer(there), Step::Answer(whole(dialect.accepted()))];
        let (outcome, server) = submit(dialect, steps, PATIENT).await;
        let unknown = matches!(outcome, SubmitOutcome::Unknown { .. });
        assert!(unknown, "{outcome:?} after {status}");
        assert_eq!(server.requests(), 1, "{status}");
    }
}

/// Too fast: throttled, with the wait asked for, if one can be read.
pub async fn throttled(dialect: &dyn Dialect) {
    let (status, body, code) = dialect.throttled();
    let date = "Fri, 02 Jan 2026 15:30:00 GMT";
    let later = "Fri, 02 Jan 2026 15:30:04 GMT";
    let cases = [
        (vec![], None),
        (vec![("Retry-After", "3")], Some(3_000)),
        (vec![("Retry-After", later), ("Date", date)], Some(4_000)),
        (vec![("Retry-After", "soon")], None),
    ];
    for (headers, retry_after_ms) in cases {
        let steps = vec![Step::Answer(answer(status, &headers, &body))];
        let (outcome, server) = submit(dialect, steps, PATIENT).await;
        let code = code.to_owned();
        assert_eq!(
            outcome,
            SubmitOutcome::Throttled {
                retry_after_ms,
                code
            }
        );
        assert_eq!(server.requests(), 1, "nothing is repeated");
    }
}

/// A clear no, with whose fault it is and the provider's code.
pub async fn refused(dialect: &dyn Dialect) {
    let (status, body, code) = dialect.refused();
    let steps = vec![Step::Answer(answer(status, &[], &body))];
    let (outcome, server) = submit(dialect, steps, PATIENT).await;
    let (class, code) = (RejectClass::Recipient, code.to_owned());
    assert_eq!(outcome, SubmitOutcome::Rejected { class, code });
    assert_eq!(server.requests(), 1, "nothing is repeated");
}

/// A look-up has a clear answer or an error; never a state that was not told.
pub async fn look_ups(dialect: &dyn Dialect) {
    let id = dialect.provider_message_id();
    let (body, receipt) = dialect.fetched();
    let cases = [
        (Step::Answer(answer(200, &[], &body)), Ok(Some(receipt))),
        (Step::Answer(answer(404, &[], "{}")), Ok(None)),
        (
            Step::Answer(answer(500, &[], &body)),
            Err(LookUpError::Refused { status: 500 }),
        ),
        (
            Step::Answer(answer(200, &[], "{}")),
            Err(LookUpError::NotUnderstood),
        ),
        (
            Step::Answer(answer(429, &[("Retry-After", "2")], &body)),
            Err(LookUpError::Throttled {
                retry_after_ms: Some(2_000),
            }),
        ),
        (
            Step::CutAfter(answer(200, &[], &body)[..60].to_vec()),
            Err(LookUpError::NoAnswer {
                cause: "connection_lost",
            }),
        ),
        (
            Step::Endless(200),
            Err(LookUpError::NoAnswer {
                cause: "answer_too_large",
            }),
        ),
    ];
    for (step, expected) in cases {
        let server = ScriptedServer::start(vec![step]).await;
        let provider = dialect.open(&server.base_url(), PATIENT);
        let found = provider.fetch(&id).await;
        hides(dialect, &found);
        assert_eq!(found, expected);
    }
    let provider = dialect.open("http://127.0.0.1:9", PATIENT);
    assert_eq!(
        provider.fetch("../Balance").await,
        Err(LookUpError::NotAnId)
    );
}

/// Makes a test of each case for the dialect that the expression gives.
#[macro_export]
macro_rules! provider_contract {
    ($dialect:expr) => {
        $crate::provider_contract!(@ $dialect;
            accepted connections_are_kept a_kept_connection_closes connect_refused
            host_unknown tls_handshake_fails cut_before_the_answer cut_in_the_answer
            no_answer server_errors nonsense endless_answer redirects throttled refused
            look_ups);
    };
    (@ $dialect:expr; $($case:ident)*) => {
        $(
            #[tokio::test]
            async fn $case() {
                $crate::provider::contract::$case(&$dialect).await;
            }
        )*
    };
}
