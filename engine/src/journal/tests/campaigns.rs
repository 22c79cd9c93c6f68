//! Canceling a campaign counts off whoever was not touched, at once and once; what it
//! began before goes on to its end, and nothing more begins. What is due while it is
//! paused is put aside.

use schemas::change::{AfterAttempt, Change, Learnt};
use schemas::provider::SubmitOutcome;
use schemas::status::ReceiptStatus;
use schemas::{Envelope, MessageStatus as Status};

use super::super::Refusal;
use super::{
    Owner, Verdict, accepted, at, attempt, begun, campaign, ended, envelope, receipt, unknown,
};

const CANCELED: Verdict = Verdict::Refused(Refusal::Canceled);

fn throttled() -> SubmitOutcome {
    SubmitOutcome::Throttled {
        retry_after_ms: None,
        code: "429".to_owned(),
    }
}

fn frozen(chunk: u32, entries: u32, last: bool) -> Change {
    Change::AudienceFrozen {
        campaign: campaign(1),
        chunk,
        entries,
        last,
    }
}

fn cancel(now: i64) -> Change {
    Change::CampaignCanceled {
        campaign: campaign(1),
        at: at(now),
    }
}

fn withdrawn(message: &Envelope, now: i64) -> Change {
    Change::MessageCanceled {
        account: message.account,
        message: message.id,
        at: at(now),
    }
}

fn held(message: &Envelope, now: i64) -> Change {
    Change::MessageHeld {
        account: message.account,
        message: message.id,
        envelope: None,
        providers: Vec::new(),
        until: None,
        at: at(now),
    }
}

fn released(message: &Envelope, now: i64) -> Change {
    Change::MessageReleased {
        campaign: Some(campaign(1)),
        account: message.account,
        message: message.id,
        due: at(now),
        at: at(now),
    }
}

/// Ten people: one accepted, one in flight, one waiting for another attempt, one unknown.
fn running() -> (Owner, Vec<std::sync::Arc<Envelope>>) {
    let mut owner = Owner::new();
    let people: Vec<_> = (0..5)
        .map(|number| envelope(number, number, Some(campaign(1))))
        .collect();
    let look_up = AfterAttempt::LookUpAt(at(100));
    let changes = [
        frozen(0, 10, false),
        begun(&people[0], 1, at(0)),
        begun(&people[1], 1, at(0)),
        begun(&people[2], 1, at(0)),
        begun(&people[3], 1, at(0)),
        ended(attempt(&people[0], 1), accepted("SM0"), look_up, at(1)),
        ended(
            attempt(&people[2], 1),
            throttled(),
            AfterAttempt::RetryAt(at(50)),
            at(1),
        ),
        ended(attempt(&people[3], 1), unknown(), look_up, at(1)),
    ];
    for change in changes {
        assert_eq!(owner.commit(change), Verdict::Done);
    }
    (owner, people)
}

#[test]
fn cancel_counts_off_whoever_was_not_touched() {
    let (mut owner, people) = running();
    assert_eq!(owner.commit(cancel(2)), Verdict::Done);
    let told = owner.tally(campaign(1));
    assert_eq!(told.count(Status::Canceled), 6);
    assert_eq!((told.total_recipients, told.pending()), (10, 2));
    assert!(told.frozen && told.is_exact(), "{told:?}");
    assert_eq!(
        owner.commit(cancel(3)),
        Verdict::Refused(Refusal::AlreadyHandled)
    );
    // Nothing begins any more, and no chunk is counted.
    assert_eq!(owner.commit(begun(&people[4], 1, at(3))), CANCELED);
    assert_eq!(owner.commit(begun(&people[2], 2, at(3))), CANCELED);
    let late = owner.commit(frozen(1, 5, true));
    assert_eq!(late, Verdict::Refused(Refusal::OutOfOrder));
    let again = Change::Resend {
        attempt: attempt(&people[3], 1),
        due: at(4),
        at: at(4),
    };
    assert_eq!(owner.commit(again), CANCELED);
    assert!(owner.rebuilds());
}

#[test]
fn what_a_canceled_campaign_began_goes_on_to_its_end() {
    let (mut owner, people) = running();
    assert_eq!(owner.commit(cancel(2)), Verdict::Done);
    let look_up = AfterAttempt::LookUpAt(at(100));
    let taken = ended(attempt(&people[1], 1), accepted("SM1"), look_up, at(3));
    assert_eq!(owner.commit(taken), Verdict::Done);
    assert_eq!(owner.commit(withdrawn(&people[2], 50)), Verdict::Done);
    let told = owner.tally(campaign(1));
    assert_eq!(told.pending(), 0, "{told:?}");
    assert_eq!(told.count(Status::Accepted), 2);
    assert_eq!(told.count(Status::Canceled), 7);
    assert!(told.is_exact());
    let row = owner.message(&people[2]).expect("it has a row");
    assert_eq!(row.reason.as_deref(), Some("campaign_canceled"));
    // What is unknown may have arrived: it is not called withdrawn.
    let refused = owner.commit(withdrawn(&people[3], 51));
    assert_eq!(refused, Verdict::Refused(Refusal::AlreadyHandled));
    assert!(owner.rebuilds());
}

#[test]
fn a_message_of_a_running_campaign_is_not_withdrawn() {
    let (mut owner, people) = running();
    let refused = owner.commit(withdrawn(&people[2], 2));
    assert_eq!(refused, Verdict::Refused(Refusal::OutOfOrder));
}

#[test]
fn what_is_held_is_due_again_once() {
    let (mut owner, people) = running();
    assert_eq!(owner.commit(held(&people[2], 50)), Verdict::Done);
    let again = Verdict::Refused(Refusal::AlreadyHandled);
    assert_eq!(owner.commit(held(&people[2], 51)), again);
    assert_eq!(owner.commit(held(&people[0], 50)), again);
    assert_eq!(owner.tally(campaign(1)).held, 1);
    let waiting = owner.message(&people[2]).expect("it has a row");
    assert_eq!(waiting.next_attempt_at, None);
    assert_eq!(owner.commit(released(&people[2], 60)), Verdict::Done);
    assert_eq!(owner.commit(released(&people[2], 61)), again);
    assert_eq!(owner.tally(campaign(1)).held, 0);
    let waiting = owner.message(&people[2]).expect("it has a row");
    assert_eq!(waiting.next_attempt_at, Some(at(60)));
    assert_eq!(owner.commit(begun(&people[2], 2, at(62))), Verdict::Done);
    let told = owner.message(&people[2]).expect("it has a row").timeline;
    let told: Vec<_> = told.iter().map(|entry| entry.event.as_str()).collect();
    assert!(told.ends_with(&["held", "released"]), "{told:?}");
    assert!(owner.rebuilds());
}

#[test]
fn what_is_held_is_withdrawn_with_its_campaign() {
    let (mut owner, people) = running();
    for change in [held(&people[2], 50), cancel(51), withdrawn(&people[2], 52)] {
        assert_eq!(owner.commit(change), Verdict::Done);
    }
    let told = owner.tally(campaign(1));
    assert_eq!((told.held, told.count(Status::Canceled)), (0, 7));
    let late = owner.commit(released(&people[2], 53));
    assert_eq!(late, Verdict::Refused(Refusal::AlreadyHandled));
    assert!(owner.rebuilds());
}

/// An attempt that was unknown and sent again can turn out to have been delivered.
#[test]
fn a_late_receipt_of_what_is_held_leaves_nothing_behind() {
    let (mut owner, people) = running();
    let resend = Change::Resend {
        attempt: attempt(&people[3], 1),
        due: at(40),
        at: at(40),
    };
    let delivered = receipt(
        &people[3],
        Some(attempt(&people[3], 1)),
        "SM3",
        Some(ReceiptStatus::Delivered),
        Learnt::Webhook,
        at(55),
    );
    for change in [resend, held(&people[3], 50), delivered, cancel(60)] {
        assert_eq!(owner.commit(change), Verdict::Done);
    }
    assert_eq!(owner.tally(campaign(1)).held, 0);
    let late = owner.commit(withdrawn(&people[3], 61));
    assert_eq!(late, Verdict::Refused(Refusal::AlreadyHandled));
    let told = owner.tally(campaign(1));
    assert_eq!((told.held, told.count(Status::Delivered)), (0, 1));
    assert!(told.is_exact() && owner.rebuilds());
}
