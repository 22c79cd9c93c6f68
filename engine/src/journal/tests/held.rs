//! What waits for a provider account that works: it lies in one list, is due again when its
//! validity ends, and whatever becomes of it takes it out of there.

use std::sync::Arc;

use schemas::change::{AfterAttempt, Change};
use schemas::due::{DueEntry, DueKind, FallsDue};
use schemas::held::{HeldCount, HeldMessage};
use schemas::record::Record;
use schemas::{Envelope, MessageStatus, ProviderId, UnixMicros};

use super::super::Refusal;
use super::{Owner, PARTITION, Request, Verdict, accepted, at, attempt, begun, ended, envelope};

const AGAIN: Verdict = Verdict::Refused(Refusal::AlreadyHandled);

/// When the validity of what waits ends here, in seconds.
const ENDS: i64 = 600;

fn dead() -> Vec<ProviderId> {
    vec![
        ProviderId::from_bytes([4; 16]),
        ProviderId::from_bytes([5; 16]),
    ]
}

fn held(message: &Arc<Envelope>, now: i64) -> Change {
    Change::MessageHeld {
        account: message.account,
        message: message.id,
        envelope: Some(Arc::clone(message)),
        providers: dead(),
        until: Some(at(ENDS)),
        at: at(now),
    }
}

fn released(message: &Envelope, now: i64) -> Change {
    Change::MessageReleased {
        campaign: None,
        account: message.account,
        message: message.id,
        due: at(now),
        at: at(now),
    }
}

/// How many lie in the list, as its count has it and as there are.
fn waiting(owner: &Owner) -> (u64, usize) {
    let counts = owner.rows::<HeldCount>(&HeldCount::partition_key(PARTITION));
    let lists = counts.iter().map(|count| {
        let prefix = HeldMessage::partition_key(&count.list(), PARTITION);
        owner.rows::<HeldMessage>(&prefix).len()
    });
    (counts.iter().map(|count| count.messages).sum(), lists.sum())
}

/// When a message is due.
fn due(owner: &Owner, minutes: std::ops::Range<i64>) -> Vec<UnixMicros> {
    let minutes = minutes.map(|minute| at(minute * 60).minute());
    let bucket = |minute| DueEntry::bucket_key(PARTITION, minute);
    let entries = minutes.flat_map(|minute| owner.rows::<DueEntry>(&bucket(minute)));
    entries.map(|entry| entry.due).collect()
}

#[test]
fn a_message_without_a_row_is_put_aside_and_due_when_its_validity_ends() {
    let (mut owner, message) = (Owner::new(), envelope(1, 1, None));
    assert_eq!(owner.commit(held(&message, 5)), Verdict::Done);
    assert_eq!(
        owner.commit(held(&message, 6)),
        AGAIN,
        "read again after a crash"
    );
    let row = owner.message(&message).expect("a row");
    assert_eq!(row.status, MessageStatus::Queued);
    assert_eq!(row.next_attempt_at, Some(at(ENDS)));
    let told: Vec<_> = row
        .timeline
        .iter()
        .map(|entry| entry.detail.as_deref())
        .collect();
    assert_eq!(told.last(), Some(&Some("no_provider")));
    assert_eq!(waiting(&owner), (1, 1));
    assert_eq!(due(&owner, 0..20), [at(ENDS)]);
    owner.crash();
    let envelope = Arc::clone(&message);
    let ended = Change::ValidityEnded {
        envelope,
        at: at(ENDS),
    };
    assert_eq!(owner.commit(ended), Verdict::Done);
    assert_eq!(waiting(&owner), (0, 0));
    assert_eq!(owner.commit(released(&message, ENDS + 1)), AGAIN);
    assert!(owner.rebuilds());
}

#[test]
fn it_is_due_once_when_it_is_released() {
    let (mut owner, message) = (Owner::new(), envelope(1, 1, None));
    assert_eq!(owner.commit(held(&message, 5)), Verdict::Done);
    assert_eq!(owner.commit(released(&message, 60)), Verdict::Done);
    assert_eq!(owner.commit(released(&message, 61)), AGAIN);
    assert_eq!(waiting(&owner), (0, 0));
    assert_eq!(
        due(&owner, 0..20),
        [at(60)],
        "and not when its validity ends"
    );
    assert_eq!(
        owner.commit(held(&message, 62)),
        Verdict::Done,
        "it is dead again"
    );
    assert_eq!(waiting(&owner), (1, 1));
    assert!(owner.rebuilds());
}

/// Somebody has started a node without its provider settings.
#[test]
fn what_no_account_in_the_settings_may_carry_waits_in_a_list_of_its_own() {
    let (mut owner, message) = (Owner::new(), envelope(1, 1, None));
    let mut of_nobody = held(&message, 5);
    if let Change::MessageHeld { providers, .. } = &mut of_nobody {
        providers.clear();
    }
    assert_eq!(owner.commit(of_nobody), Verdict::Done);
    assert_eq!(owner.commit(held(&envelope(2, 2, None), 5)), Verdict::Done);
    let row = owner.message(&message).expect("a row");
    assert_eq!(row.status, MessageStatus::Queued);
    let told = row.timeline.last().and_then(|entry| entry.detail.clone());
    assert_eq!(told.as_deref(), Some("no_provider"));
    assert_eq!(waiting(&owner), (2, 2));
    owner.crash();
    assert_eq!(owner.commit(released(&message, 60)), Verdict::Done);
    assert_eq!(waiting(&owner), (1, 1));
    assert_eq!(due(&owner, 0..20), [at(60), at(ENDS)]);
    assert!(owner.rebuilds());
}

#[test]
fn nothing_is_put_aside_until_an_instant_that_was_read() {
    let (mut owner, message) = (Owner::new(), envelope(1, 1, None));
    owner.write(Request::RaiseDueMark {
        partition: PARTITION,
        kind: DueKind::Send,
        to: at(ENDS + 30),
    });
    assert_eq!(owner.commit(held(&message, ENDS + 30)), Verdict::Done);
    assert_eq!(due(&owner, 0..20), [at(ENDS + 30).plus_micros(1)]);
    assert!(owner.rebuilds());
}

/// Its place in the work log may be read again after a crash, while the account works.
#[test]
fn what_begins_although_it_was_put_aside_lies_in_no_list_any_more() {
    let (mut owner, message) = (Owner::new(), envelope(1, 1, None));
    let refused = Verdict::Refused(Refusal::AttemptOpen);
    assert_eq!(owner.commit(held(&message, 5)), Verdict::Done);
    assert_eq!(owner.commit(begun(&message, 1, at(6))), Verdict::Done);
    assert_eq!(owner.commit(held(&message, 7)), refused);
    let taken = ended(
        attempt(&message, 1),
        accepted("SM1"),
        AfterAttempt::Settle,
        at(8),
    );
    assert_eq!(owner.commit(taken), Verdict::Done);
    assert_eq!(waiting(&owner), (0, 0));
    assert_eq!(due(&owner, 0..20), []);
    assert_eq!(owner.message(&message).expect("a row").held, None);
    assert!(owner.rebuilds());
}

#[test]
fn lists_of_other_accounts_have_other_names() {
    let (mut owner, message) = (Owner::new(), envelope(1, 1, None));
    assert_eq!(owner.commit(held(&message, 5)), Verdict::Done);
    let other = envelope(2, 2, None);
    let mut alone = held(&other, 5);
    if let Change::MessageHeld { providers, .. } = &mut alone {
        providers.pop();
    }
    assert_eq!(owner.commit(alone), Verdict::Done);
    let counts = owner.rows::<HeldCount>(&HeldCount::partition_key(PARTITION));
    let keys: std::collections::BTreeSet<_> = counts.iter().map(Record::key).collect();
    assert_eq!((counts.len(), keys.len()), (2, 2));
    assert_eq!(waiting(&owner), (2, 2));
    assert!(owner.rebuilds());
}
