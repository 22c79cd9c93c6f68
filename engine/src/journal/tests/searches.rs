//! What a search at the provider's may settle.

use schemas::MessageStatus;
use schemas::UnixMicros;
use schemas::change::{Change, Learnt};
use schemas::status::ReceiptStatus as Told;

use super::super::Refusal;
use super::{
    Owner, Verdict, accepted, at, attempt, begun, ended, envelope, look_up, receipt, resent,
    unknown,
};

/// A search's answer about message `number`, whose only attempt is unknown.
fn found(owner: &mut Owner, number: u8, attempts: u32, text: &str, now: UnixMicros) -> Verdict {
    let message = envelope(number, 0, None);
    let about = Some(attempt(&message, attempts));
    owner.commit(receipt(
        &message,
        about,
        text,
        Some(Told::Sent),
        Learnt::Search,
        now,
    ))
}

#[test]
fn a_search_settles_nothing_with_a_text_of_another_attempt() {
    let (unsure, other) = (envelope(0, 0, None), envelope(1, 0, None));
    let mut owner = Owner::new();
    for change in [
        begun(&unsure, 1, at(0)),
        ended(attempt(&unsure, 1), unknown(), look_up(), at(1)),
        begun(&other, 1, at(2)),
    ] {
        assert_eq!(owner.commit(change), Verdict::Done);
    }
    let refused = Verdict::Refused(Refusal::AlreadyHandled);
    assert_eq!(
        found(&mut owner, 0, 1, "SM9", at(3)),
        refused,
        "it may be the open one's"
    );
    let bound = ended(attempt(&other, 1), accepted("SM9"), look_up(), at(4));
    assert_eq!(owner.commit(bound), Verdict::Done);
    assert_eq!(
        found(&mut owner, 0, 1, "SM9", at(5)),
        refused,
        "it is the other's"
    );
    assert_eq!(found(&mut owner, 0, 1, "SM8", at(6)), Verdict::Done);
    let row = owner.message(&unsure).expect("it has a row");
    assert_eq!(row.status, MessageStatus::Sent);
    assert_eq!(row.provider_message_id.as_deref(), Some("SM8"));
}

/// The same words to the same person, and nobody knows of either whether it was taken:
/// the one text that is found may be the one's as well as the other's.
#[test]
fn a_search_settles_none_of_two_unknown_twins() {
    let (one, other) = (envelope(0, 0, None), envelope(1, 0, None));
    let mut owner = Owner::new();
    for (number, message) in [&one, &other].into_iter().enumerate() {
        let now = number as i64;
        let end = ended(attempt(message, 1), unknown(), look_up(), at(now + 1));
        for change in [begun(message, 1, at(now)), end] {
            assert_eq!(owner.commit(change), Verdict::Done);
        }
    }
    let refused = Verdict::Refused(Refusal::AlreadyHandled);
    assert_eq!(found(&mut owner, 0, 1, "SM1", at(3)), refused);
    assert_eq!(found(&mut owner, 1, 1, "SM1", at(4)), refused);
    let named = Some(attempt(&other, 1));
    let told = receipt(
        &other,
        named,
        "SM1",
        Some(Told::Sent),
        Learnt::Webhook,
        at(5),
    );
    assert_eq!(owner.commit(told), Verdict::Done);
    assert_eq!(found(&mut owner, 0, 1, "SM2", at(6)), Verdict::Done);
    assert!(owner.rebuilds());
}

#[test]
fn an_unknown_twin_of_another_day_does_not_hinder_a_search() {
    let (early, late) = (envelope(0, 0, None), envelope(1, 0, None));
    let mut owner = Owner::new();
    for (message, from) in [(&early, 0), (&late, 180_000)] {
        let end = ended(attempt(message, 1), unknown(), look_up(), at(from + 1));
        for change in [begun(message, 1, at(from)), end] {
            assert_eq!(owner.commit(change), Verdict::Done);
        }
    }
    assert_eq!(found(&mut owner, 1, 1, "SM2", at(180_003)), Verdict::Done);
    assert_eq!(found(&mut owner, 0, 1, "SM1", at(180_004)), Verdict::Done);
}

#[test]
fn a_search_that_ends_after_a_resend_began_settles_nothing() {
    let (mut owner, message) = resent();
    let verdict = found(&mut owner, 0, 1, "SM1", at(4));
    assert!(matches!(verdict, Verdict::Refused(_)), "{verdict:?}");
    let second = ended(attempt(&message, 2), unknown(), look_up(), at(5));
    assert_eq!(owner.commit(second), Verdict::Done);
    let row = owner.message(&message).expect("it has a row");
    assert_eq!(row.status, MessageStatus::Unknown);
}

#[test]
fn a_search_does_not_settle_a_resent_message_with_the_text_of_its_first_attempt() {
    let (mut owner, message) = resent();
    let second = ended(attempt(&message, 2), unknown(), look_up(), at(4));
    assert_eq!(owner.commit(second), Verdict::Done);
    // The first text is learnt of late, and bound.
    let about_first = Some(attempt(&message, 1));
    let sent = receipt(
        &message,
        about_first,
        "SM1",
        Some(Told::Sent),
        Learnt::Webhook,
        at(5),
    );
    let _ = owner.commit(sent);
    assert_eq!(found(&mut owner, 0, 2, "SM2", at(6)), Verdict::Done);
    let row = owner.message(&message).expect("it has a row");
    assert_eq!(row.provider_message_id.as_deref(), Some("SM2"));
}

/// Receipts that nobody could place while the attempt was unknown are the message's as
/// soon as a search has found its text.
#[test]
fn what_was_parked_is_joined_when_a_search_finds_the_text() {
    let message = envelope(0, 0, None);
    let told = |status, now| {
        let status = Some(status);
        receipt(&message, None, "SM1", status, Learnt::Webhook, now)
    };
    let mut owner = Owner::new();
    for (change, verdict) in [
        (begun(&message, 1, at(0)), Verdict::Done),
        (told(Told::Sent, at(1)), Verdict::Parked),
        (
            ended(attempt(&message, 1), unknown(), look_up(), at(2)),
            Verdict::Done,
        ),
        (told(Told::Delivered, at(3)), Verdict::Parked),
    ] {
        assert_eq!(owner.commit(change), verdict);
    }
    assert_eq!(found(&mut owner, 0, 1, "SM1", at(4)), Verdict::Done);
    let row = owner.message(&message).expect("it has a row");
    assert_eq!(row.status, MessageStatus::Delivered);
    let receipts = row.timeline.iter().filter(|entry| entry.attempt == Some(1));
    let learnt = receipts.filter(|entry| entry.event == "receipt").count();
    assert_eq!(learnt, 2, "{:?}", row.timeline);
    assert!(owner.rebuilds());
}

/// An attempt may be searched for twice at once; what follows for it does not follow for
/// the next.
#[test]
fn a_search_for_an_earlier_attempt_sends_nothing_again() {
    let (mut owner, message) = resent();
    let second = ended(attempt(&message, 2), unknown(), look_up(), at(4));
    assert_eq!(owner.commit(second), Verdict::Done);
    let resend = |number| Change::Resend {
        attempt: attempt(&message, number),
        due: at(5),
        at: at(5),
    };
    let looked_up = Change::LookedUp {
        attempt: attempt(&message, 1),
        made: 3,
        next: Some(at(9)),
        at: at(5),
    };
    let handled = Verdict::Refused(Refusal::AlreadyHandled);
    assert_eq!(owner.commit(looked_up), handled);
    assert_eq!(owner.commit(resend(1)), handled);
    assert_eq!(owner.commit(resend(2)), Verdict::Done);
    assert!(owner.rebuilds());
}
