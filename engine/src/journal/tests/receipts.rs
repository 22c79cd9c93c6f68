//! Receipts around an attempt, in every order; and what a search may settle.

use schemas::change::{AfterAttempt, Change, Learnt};
use schemas::provider::SubmitOutcome;
use schemas::status::ReceiptStatus as Told;
use schemas::{MessageStatus, UnixMicros};

use super::super::Refusal;
use super::{Owner, Verdict, accepted, at, attempt, begun, ended, envelope, receipt, unknown};

/// Every order of `items`.
fn permutations<T: Clone>(items: &[T]) -> Vec<Vec<T>> {
    if items.len() < 2 {
        return vec![items.to_vec()];
    }
    let mut all = Vec::new();
    for index in 0..items.len() {
        let mut rest = items.to_vec();
        let first = rest.remove(index);
        for mut order in permutations(&rest) {
            order.insert(0, first.clone());
            all.push(order);
        }
    }
    all
}

/// Where a message ends when the attempt's outcome and these receipts come in every
/// order; they all must agree.
fn ends(outcome: &SubmitOutcome, then: AfterAttempt, told: &[Told], named: bool) -> MessageStatus {
    let message = envelope(0, 0, None);
    let events: Vec<Option<Told>> = told.iter().copied().map(Some).chain([None]).collect();
    let mut ends = std::collections::BTreeSet::new();
    for order in permutations(&events) {
        let mut owner = Owner::new();
        assert_eq!(owner.commit(begun(&message, 1, at(0))), Verdict::Done);
        for (index, event) in order.into_iter().enumerate() {
            let now = at(1 + index as i64);
            let change = match event {
                None => ended(attempt(&message, 1), outcome.clone(), then, now),
                told => {
                    let named = named.then(|| attempt(&message, 1));
                    receipt(&message, named, "SM1", told, Learnt::Webhook, now)
                }
            };
            let _ = owner.commit(change);
        }
        assert!(owner.rebuilds());
        ends.insert(owner.message(&message).expect("it has a row").status);
    }
    assert_eq!(ends.len(), 1, "{outcome:?} and {told:?}: {ends:?}");
    ends.pop_first().expect("one")
}

fn look_up() -> AfterAttempt {
    AfterAttempt::LookUpAt(at(100))
}

#[test]
fn the_order_of_receipts_does_not_matter() {
    let taken = accepted("SM1");
    for (last, status) in [
        (Told::Delivered, MessageStatus::Delivered),
        (Told::Undelivered, MessageStatus::Undelivered),
        (Told::Failed, MessageStatus::Failed),
        (Told::Expired, MessageStatus::Expired),
    ] {
        let told = [Told::Accepted, Told::Sent, last, Told::Sent, last];
        for named in [true, false] {
            assert_eq!(ends(&taken, look_up(), &told, named), status);
        }
        assert_eq!(ends(&unknown(), look_up(), &told, true), status);
    }
}

#[test]
fn without_a_last_word_the_highest_rank_stands() {
    let told = [Told::Accepted, Told::Sent, Told::Accepted, Told::Sent];
    for named in [true, false] {
        assert_eq!(
            ends(&accepted("SM1"), look_up(), &told, named),
            MessageStatus::Sent
        );
    }
    assert_eq!(
        ends(&unknown(), look_up(), &told, true),
        MessageStatus::Sent
    );
}

#[test]
fn receipts_raise_an_attempt_that_was_thought_not_to_have_left() {
    let throttled = SubmitOutcome::Throttled {
        retry_after_ms: None,
        code: "429".to_owned(),
    };
    let told = [Told::Sent, Told::Delivered, Told::Sent];
    let retry = AfterAttempt::RetryAt(at(100));
    assert_eq!(
        ends(&throttled, retry, &told, true),
        MessageStatus::Delivered
    );
    assert_eq!(
        ends(&throttled, AfterAttempt::GiveUp, &told, true),
        MessageStatus::Failed
    );
}

/// An owner whose first message was sent twice: the first attempt became unknown, the
/// second is open.
fn resent() -> (Owner, std::sync::Arc<schemas::Envelope>) {
    let message = envelope(0, 0, None);
    let mut owner = Owner::new();
    let resend = Change::Resend {
        attempt: attempt(&message, 1),
        due: at(2),
        at: at(2),
    };
    let first = ended(attempt(&message, 1), unknown(), look_up(), at(1));
    for change in [
        begun(&message, 1, at(0)),
        first,
        resend,
        begun(&message, 2, at(3)),
    ] {
        assert_eq!(owner.commit(change), Verdict::Done);
    }
    (owner, message)
}

#[test]
fn what_an_earlier_attempt_failed_at_is_not_the_end_of_a_later_one() {
    for told in [Told::Undelivered, Told::Failed, Told::Sent] {
        let (mut owner, message) = resent();
        let second = ended(attempt(&message, 2), unknown(), look_up(), at(4));
        assert_eq!(owner.commit(second), Verdict::Done);
        let about_first = Some(attempt(&message, 1));
        let old = receipt(
            &message,
            about_first,
            "SM1",
            Some(told),
            Learnt::Webhook,
            at(5),
        );
        let _ = owner.commit(old);
        let row = owner.message(&message).expect("it has a row");
        assert_eq!(
            row.status,
            MessageStatus::Unknown,
            "{told:?} of the first text"
        );
        let about_second = Some(attempt(&message, 2));
        let last = Some(Told::Delivered);
        let _ = owner.commit(receipt(
            &message,
            about_second,
            "SM2",
            last,
            Learnt::Webhook,
            at(6),
        ));
        let row = owner.message(&message).expect("it has a row");
        assert_eq!(row.status, MessageStatus::Delivered);
        assert_eq!(row.provider_message_id.as_deref(), Some("SM2"));
    }
}

#[test]
fn an_early_receipt_found_by_the_providers_id_survives_a_crash() {
    // The first attempt is known by its id; the second is open when a receipt about
    // the first comes that names no attempt.
    let message = envelope(0, 0, None);
    let mut owner = Owner::new();
    let account = message.account;
    let resend = Change::Resend {
        attempt: attempt(&message, 1),
        due: at(3),
        at: at(3),
    };
    let no_receipt = Change::NoReceipt {
        account,
        message: message.id,
        at: at(2),
    };
    let first = ended(attempt(&message, 1), accepted("SM1"), look_up(), at(1));
    let second = begun(&message, 2, at(4));
    for change in [begun(&message, 1, at(0)), first, no_receipt, resend, second] {
        assert_eq!(owner.commit(change), Verdict::Done);
    }
    let unnamed = receipt(
        &message,
        None,
        "SM1",
        Some(Told::Delivered),
        Learnt::Webhook,
        at(5),
    );
    assert_eq!(owner.commit(unnamed), Verdict::Done);
    let open = owner.open_attempts();
    assert_eq!(open[0].early.len(), 1);
    owner.crash();
    assert_eq!(owner.open_attempts(), open);
    let second = ended(attempt(&message, 2), unknown(), look_up(), at(6));
    assert_eq!(owner.commit(second), Verdict::Done);
    let row = owner.message(&message).expect("it has a row");
    assert_eq!(row.status, MessageStatus::Delivered, "it was acknowledged");
    assert!(owner.rebuilds());
}

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

/// A receipt that fits nothing is parked once, and forgotten once; one that is tried
/// again when its message has come finds it.
#[test]
fn a_parked_receipt_is_dropped_once_and_can_be_tried_again() {
    let message = envelope(0, 0, None);
    let early = receipt(
        &message,
        None,
        "SM1",
        Some(Told::Delivered),
        Learnt::Webhook,
        at(0),
    );
    let Change::Receipt { receipt: said, .. } = &early else {
        panic!("it is a receipt")
    };
    let dropped = Change::ParkedDropped {
        provider: super::provider(),
        provider_message_id: "SM1".to_owned(),
        provider_status: said.provider_status.clone(),
    };
    let mut owner = Owner::new();
    assert_eq!(owner.commit(early.clone()), Verdict::Parked);
    assert_eq!(
        owner.commit(early),
        Verdict::Refused(Refusal::AlreadyHandled)
    );
    owner.crash();
    assert_eq!(owner.commit(begun(&message, 1, at(1))), Verdict::Done);
    let outcome = ended(attempt(&message, 1), unknown(), look_up(), at(2));
    assert_eq!(owner.commit(outcome), Verdict::Done);
    let again = receipt(
        &message,
        Some(attempt(&message, 1)),
        "SM1",
        Some(Told::Delivered),
        Learnt::Webhook,
        at(3),
    );
    let verdicts = owner.commit_all(vec![dropped.clone(), again, dropped]);
    assert_eq!(
        verdicts,
        [
            Verdict::Done,
            Verdict::Done,
            Verdict::Refused(Refusal::AlreadyHandled)
        ]
    );
    let status = owner.message(&message).expect("it has a row").status;
    assert_eq!(status, MessageStatus::Delivered);
    assert!(owner.rebuilds());
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
