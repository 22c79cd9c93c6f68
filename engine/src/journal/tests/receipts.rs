//! Receipts around an attempt, in every order; and what a search may settle.

use schemas::change::{AfterAttempt, Change, Learnt};
use schemas::due::DueLookUps;
use schemas::provider::SubmitOutcome;
use schemas::status::ReceiptStatus as Told;
use schemas::{MessageStatus, ProviderId};

use super::super::Refusal;
use super::{
    Owner, Verdict, accepted, at, attempt, begun, ended, envelope, look_up, provider, receipt,
    resend, resent, unknown,
};

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

/// Who is to be sent to again turns out to have the text. Nothing was planned any more by which
/// the text's end is asked for; and it is not with the account that was to send it again.
#[test]
fn what_left_after_all_is_asked_about_where_it_is() {
    let message = envelope(0, 0, None);
    let other = ProviderId::from_bytes([3; 16]);
    let mut second = begun(&message, 2, at(3));
    if let Change::AttemptBegun { provider, .. } = &mut second {
        *provider = other;
    }
    let returned = SubmitOutcome::NotSent {
        cause: "returned".to_owned(),
    };
    let mut owner = Owner::new();
    for change in [
        begun(&message, 1, at(0)),
        ended(attempt(&message, 1), unknown(), look_up(), at(1)),
        resend(&message, at(2)),
        second,
        ended(
            attempt(&message, 2),
            returned,
            AfterAttempt::Return(at(5)),
            at(4),
        ),
    ] {
        assert_eq!(owner.commit(change), Verdict::Done);
    }
    let planned = owner.rows::<DueLookUps>(&[]).len();
    let named = Some(attempt(&message, 1));
    let sent = Some(Told::Sent);
    let told = receipt(&message, named, "SM1", sent, Learnt::Webhook, at(6));
    assert_eq!(owner.commit(told), Verdict::Done);
    let row = owner.message(&message).expect("it has a row");
    assert_eq!(row.status, MessageStatus::Sent);
    assert_eq!(row.provider, Some(provider()));
    assert_eq!(owner.rows::<DueLookUps>(&[]).len(), planned + 1);
    assert!(owner.rebuilds());
}

/// Nobody searches for an unknown text any more after some time, and then it is told of after all.
#[test]
fn what_is_told_of_when_searches_are_over_is_asked_about_again() {
    for (now, more) in [(60, 0), (100_000, 1)] {
        let message = envelope(0, 0, None);
        let mut owner = Owner::new();
        let unknown = ended(attempt(&message, 1), unknown(), look_up(), at(1));
        for change in [begun(&message, 1, at(0)), unknown] {
            assert_eq!(owner.commit(change), Verdict::Done);
        }
        let planned = owner.rows::<DueLookUps>(&[]).len();
        let (named, sent) = (Some(attempt(&message, 1)), Some(Told::Sent));
        let told = receipt(&message, named, "SM1", sent, Learnt::Webhook, at(now));
        assert_eq!(owner.commit(told), Verdict::Done);
        assert_eq!(owner.rows::<DueLookUps>(&[]).len(), planned + more);
        assert!(owner.rebuilds());
    }
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

/// A receipt that names an earlier attempt says whose text it was that is said to be
/// delivered: the person has it, whatever it says itself.
#[test]
fn what_was_parked_is_joined_when_an_earlier_attempt_is_named() {
    let message = envelope(0, 0, None);
    let told = |named, status, now| receipt(&message, named, "SM1", status, Learnt::Webhook, now);
    let mut owner = Owner::new();
    for (change, verdict) in [
        (told(None, Some(Told::Delivered), at(0)), Verdict::Parked),
        (begun(&message, 1, at(1)), Verdict::Done),
        (
            ended(attempt(&message, 1), unknown(), look_up(), at(2)),
            Verdict::Done,
        ),
        (
            Change::Resend {
                attempt: attempt(&message, 1),
                due: at(3),
                at: at(3),
            },
            Verdict::Done,
        ),
        (begun(&message, 2, at(4)), Verdict::Done),
        (
            ended(attempt(&message, 2), accepted("SM2"), look_up(), at(5)),
            Verdict::Done,
        ),
        (told(Some(attempt(&message, 1)), None, at(6)), Verdict::Done),
    ] {
        assert_eq!(owner.commit(change), verdict);
    }
    let row = owner.message(&message).expect("it has a row");
    assert_eq!(row.status, MessageStatus::Delivered);
    assert!(owner.rebuilds());
}

/// What is told of an earlier attempt was told before already, while that was open, and
/// yet binds its text now: a row is written, so the change is one of the journal's.
#[test]
fn a_receipt_told_before_that_binds_a_text_is_not_refused() {
    let message = envelope(0, 0, None);
    let again = |now| {
        let named = Some(attempt(&message, 1));
        receipt(&message, named, "SM1", None, Learnt::Webhook, now)
    };
    let throttled = SubmitOutcome::Throttled {
        retry_after_ms: None,
        code: "20429".to_owned(),
    };
    let mut owner = Owner::new();
    for change in [
        begun(&message, 1, at(0)),
        again(at(1)),
        ended(
            attempt(&message, 1),
            throttled,
            AfterAttempt::RetryAt(at(3)),
            at(2),
        ),
        begun(&message, 2, at(3)),
        ended(attempt(&message, 2), accepted("SM2"), look_up(), at(4)),
        again(at(5)),
    ] {
        assert_eq!(owner.commit(change), Verdict::Done);
    }
    assert!(owner.rebuilds());
}
