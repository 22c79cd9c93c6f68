//! Poison: a message whose attempts bring down whoever makes them is attempted three times.

use schemas::change::{AfterAttempt, Change};
use schemas::provider::SubmitOutcome;
use schemas::{Envelope, MessageStatus};

use super::super::{POISON, Refusal};
use super::{Owner, Verdict, at, attempt, begun, ended, envelope};

fn unknown_by(cause: &str) -> SubmitOutcome {
    SubmitOutcome::Unknown {
        cause: cause.to_owned(),
    }
}

fn resend(message: &Envelope, number: u32) -> Change {
    Change::Resend {
        attempt: attempt(message, number),
        due: at(100),
        at: at(100),
    }
}

/// Attempts that end with these causes, each sent again; tells what became of the last wish to.
fn after(causes: &[&str]) -> (Owner, std::sync::Arc<Envelope>, Verdict) {
    let (mut owner, message) = (Owner::new(), envelope(1, 1, None));
    let mut last = Verdict::Done;
    for (number, cause) in (1..).zip(causes) {
        assert_eq!(last, Verdict::Done, "attempt {number}");
        assert_eq!(owner.commit(begun(&message, number, at(1))), Verdict::Done);
        let settle = AfterAttempt::Settle;
        let end = ended(attempt(&message, number), unknown_by(cause), settle, at(2));
        assert_eq!(owner.commit(end), Verdict::Done);
        last = owner.commit(resend(&message, number));
    }
    (owner, message, last)
}

#[test]
fn the_third_attempt_that_panics_is_the_last() {
    let (owner, message, last) = after(&["panicked", "sender_lost", "crash"]);
    assert_eq!(last, Verdict::Refused(Refusal::Poison));
    let row = owner.message(&message).expect("a row");
    assert_eq!(row.status, MessageStatus::Unknown);
    assert_eq!(row.reason.as_deref(), Some(POISON));
    assert!(owner.rebuilds());
}

#[test]
fn what_is_unknown_for_other_reasons_is_no_poison() {
    let (_, _, last) = after(&["timeout", "panicked", "connection_lost", "panicked", "5xx"]);
    assert_eq!(last, Verdict::Done);
}
