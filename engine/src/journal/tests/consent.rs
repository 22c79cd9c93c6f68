//! STOP holds from its commit on, for whatever waits; START takes it back; a text that the
//! provider brings again says nothing new.

use std::sync::Arc;

use schemas::Envelope;
use schemas::change::{AfterAttempt, Change};

use super::super::Refusal;
use super::{Owner, Verdict, at, attempt, begun, ended, envelope, provider, unknown};

const OPTED_OUT: Verdict = Verdict::Refused(Refusal::OptedOut);
const AGAIN: Verdict = Verdict::Refused(Refusal::AlreadyHandled);

fn says(person: &Envelope, sender: &str, stops: bool, text: &str, now: i64) -> Change {
    Change::ConsentChanged {
        phone: person.to.clone(),
        senders: vec![sender.to_owned()],
        stops,
        provider: provider(),
        provider_message_id: text.to_owned(),
        at: at(now),
    }
}

fn from(envelope: &Envelope, sender: &str) -> Arc<Envelope> {
    Arc::new(Envelope {
        from: Some(sender.to_owned()),
        ..envelope.clone()
    })
}

#[test]
fn nothing_begins_after_stop_until_start() {
    let mut owner = Owner::new();
    let person = envelope(1, 1, None);
    assert_eq!(
        owner.commit(says(&person, "A", true, "SM1", 1)),
        Verdict::Done
    );
    assert_eq!(owner.commit(begun(&person, 1, at(2))), OPTED_OUT);
    let other = envelope(2, 2, None);
    assert_eq!(owner.commit(begun(&other, 1, at(2))), Verdict::Done);
    assert_eq!(
        owner.commit(says(&person, "A", false, "SM2", 3)),
        Verdict::Done
    );
    // The provider brings the first text again.
    assert_eq!(owner.commit(says(&person, "A", true, "SM1", 4)), AGAIN);
    assert_eq!(owner.commit(begun(&person, 1, at(5))), Verdict::Done);
    assert!(owner.rebuilds());
}

#[test]
fn stop_is_for_the_sender_that_was_told_and_for_texts_of_any_sender() {
    let mut owner = Owner::new();
    let person = envelope(1, 1, None);
    assert_eq!(
        owner.commit(says(&person, "A", true, "SM1", 1)),
        Verdict::Done
    );
    assert_eq!(
        owner.commit(begun(&from(&person, "A"), 1, at(2))),
        OPTED_OUT
    );
    assert_eq!(
        owner.commit(begun(&from(&person, "B"), 1, at(2))),
        Verdict::Done
    );
}

#[test]
fn what_is_unknown_is_not_sent_again_after_stop() {
    let mut owner = Owner::new();
    let person = envelope(1, 1, None);
    let look_up = AfterAttempt::LookUpAt(at(100));
    let changes = [
        begun(&person, 1, at(0)),
        ended(attempt(&person, 1), unknown(), look_up, at(1)),
        says(&person, "A", true, "SM1", 2),
    ];
    for change in changes {
        assert_eq!(owner.commit(change), Verdict::Done);
    }
    let again = Change::Resend {
        attempt: attempt(&person, 1),
        due: at(3),
        at: at(3),
    };
    assert_eq!(owner.commit(again), OPTED_OUT);
    assert!(owner.rebuilds());
}
