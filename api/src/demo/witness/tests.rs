use std::borrow::Cow;

use proptest::prelude::*;
use sandbox::book::{CourseRecord, ReceiptRecord, ReceiptResult, Record, TextRecord};
use sandbox::core::{PlannedReceipt, Refusal, Status};
use sandbox::{AnswerFault, ReceiptFault};
use schemas::MessageStatus as S;

use super::{Circumstances, ExpectedTexts, MessageState, Oracle, Verdict, judge};

const ANN: &str = "+4915123456789";
const BO: &str = "+4915123456790";
const ASKED_AT: u64 = 1_000;

/// A text with the words `hi`, taken and delivered.
fn text(to: &str, sid: &str) -> TextRecord<'static> {
    TextRecord {
        account: "AC1".into(),
        sid: Some(Cow::Owned(sid.to_owned())),
        at: 10,
        to: Cow::Owned(to.to_owned()),
        from: "+12025550101".into(),
        body: "hi".into(),
        segments: 1,
        took: true,
        status: Some(201),
        code: None,
        answer_at: 11,
        refusal: None,
        fault: None,
        receipt_fault: None,
        course: Some(CourseRecord {
            outcome: Status::Delivered,
            code: None,
            sent_at: 20,
            final_at: 30,
        }),
        callback: None,
        receipts: Cow::Owned(Vec::new()),
    }
}

fn untaken(to: &str) -> TextRecord<'static> {
    TextRecord {
        sid: None,
        took: false,
        course: None,
        ..text(to, "")
    }
}

fn ending(to: &str, sid: &str, outcome: Status) -> TextRecord<'static> {
    let course = CourseRecord {
        outcome,
        code: None,
        sent_at: 20,
        final_at: 30,
    };
    TextRecord {
        course: Some(course),
        ..text(to, sid)
    }
}

fn receipt(sid: &str, status: Status, result: ReceiptResult, ended: u64) -> Record<'static> {
    Record::Receipt(ReceiptRecord {
        account: "AC1".into(),
        sid: Cow::Owned(sid.to_owned()),
        place: 0,
        status,
        code: None,
        due: 0,
        at: 0,
        ended,
        attempts: 1,
        result,
    })
}

const OK: ReceiptResult = ReceiptResult::Answered(200);

fn run(book: Vec<Record<'static>>, states: &[(&str, S)], kills: u32) -> Verdict {
    let mut expected = ExpectedTexts::default();
    expected.expect(ANN, Some("hi"));
    let states = states.iter().filter_map(|(to, status)| {
        let reason = (*status == S::Unknown).then_some("crash");
        MessageState::new(to, *status, reason)
    });
    let circumstances = Circumstances {
        states_asked_at: ASKED_AT,
        kills,
    };
    let judged = judge(expected, book.into_iter().map(Ok), states, circumstances);
    judged.unwrap_or_default()
}

fn record(text: TextRecord<'static>) -> Record<'static> {
    Record::Text(Box::new(text))
}

fn of_ann(book: Vec<Record<'static>>, state: S) -> Verdict {
    run(book, &[(ANN, state)], 0)
}

fn told(status: Status) -> Vec<Record<'static>> {
    vec![record(text(ANN, "SM1")), receipt("SM1", status, OK, 50)]
}

#[test]
fn a_delivered_text_is_clean() {
    let verdict = of_ann(told(Status::Delivered), S::Delivered);
    let oracle = Oracle {
        texts: 1,
        distinct: 1,
        ..Oracle::default()
    };
    assert_eq!(
        verdict,
        Verdict {
            oracle,
            messages: 1,
            ..Verdict::default()
        }
    );
    assert!(verdict.oracle.is_clean());
}

#[test]
fn texts_are_told_apart() {
    let other = TextRecord {
        body: "ho".into(),
        ..text(ANN, "SM3")
    };
    let book = vec![
        record(text(ANN, "SM1")),
        record(text(ANN, "SM2")),
        record(other),
        record(text(BO, "SM4")),
        record(untaken(ANN)),
        record(untaken(BO)),
    ];
    let verdict = of_ann(book, S::Delivered);
    let oracle = Oracle {
        texts: 4,
        distinct: 1,
        duplicates: 1,
        unexpected: 2,
        ..Oracle::default()
    };
    assert_eq!(verdict.oracle, oracle);
    assert!(!verdict.oracle.is_clean());
}

#[test]
fn what_we_claim_and_nobody_took_is_missing() {
    for state in S::ALL {
        let claims = matches!(state, S::Accepted | S::Sent | S::Delivered | S::Undelivered);
        let missing = of_ann(vec![record(untaken(ANN))], state).oracle.missing;
        assert_eq!(missing, u64::from(claims), "{state:?}");
        assert_eq!(
            of_ann(told(Status::Sent), state).oracle.missing,
            0,
            "{state:?}"
        );
    }
}

#[test]
fn a_state_must_not_lie_behind_what_was_told() {
    use Status::{Delivered, Sent};
    // Told nothing, told that it was sent, told that it was delivered.
    for (word, contradicted) in [
        (
            None,
            vec![
                S::Undelivered,
                S::Failed,
                S::Expired,
                S::Canceled,
                S::Skipped,
            ],
        ),
        (
            Some(Sent),
            vec![
                S::Accepted,
                S::Undelivered,
                S::Failed,
                S::Expired,
                S::Canceled,
                S::Skipped,
                S::Unknown,
            ],
        ),
        (
            Some(Delivered),
            vec![
                S::Accepted,
                S::Sent,
                S::Undelivered,
                S::Failed,
                S::Expired,
                S::Canceled,
                S::Skipped,
                S::Unknown,
            ],
        ),
    ] {
        let book = || match word {
            Some(status) => told(status),
            None => vec![record(text(ANN, "SM1"))],
        };
        for state in S::ALL {
            let found = of_ann(book(), state).oracle.contradicted;
            assert_eq!(
                found,
                u64::from(contradicted.contains(&state)),
                "{word:?} {state:?}"
            );
        }
    }
}

#[test]
fn receipts_that_did_not_reach_us_in_time_are_no_words() {
    for (result, ended) in [
        (ReceiptResult::NotConnected, 50),
        (ReceiptResult::Broken, 50),
        (ReceiptResult::TimedOut, 50),
        (ReceiptResult::Answered(503), 50),
        (OK, ASKED_AT),
    ] {
        let book = vec![
            record(text(ANN, "SM1")),
            receipt("SM1", Status::Delivered, result, ended),
        ];
        assert_eq!(
            of_ann(book, S::Accepted).oracle.contradicted,
            0,
            "{result:?}"
        );
    }
    // Of another account's text with the same id.
    let stranger = TextRecord {
        account: "AC2".into(),
        ..text(ANN, "SM1")
    };
    let book = vec![record(stranger), receipt("SM1", Status::Delivered, OK, 50)];
    assert_eq!(of_ann(book, S::Accepted).oracle.contradicted, 0);
}

#[test]
fn a_failure_needs_a_cause() {
    let fault = |fault| TextRecord {
        fault: Some(fault),
        ..untaken(ANN)
    };
    let explained = vec![record(fault(AnswerFault::ErrorBefore))];
    let by_course = vec![record(ending(ANN, "SM1", Status::Failed))];
    let over = TextRecord {
        refusal: Some(Refusal::OverLimit),
        ..untaken(ANN)
    };
    let refused = TextRecord {
        refusal: Some(Refusal::BodyTooLong),
        ..untaken(ANN)
    };
    assert_eq!(of_ann(explained, S::Failed).oracle.unexplained, 0);
    assert_eq!(of_ann(by_course, S::Failed).oracle.unexplained, 0);
    assert_eq!(of_ann(vec![record(over)], S::Failed).oracle.unexplained, 1);
    assert_eq!(
        of_ann(vec![record(refused)], S::Failed).oracle.unexplained,
        1
    );
    assert_eq!(of_ann(Vec::new(), S::Failed).oracle.unexplained, 1);
}

#[test]
fn the_unknown_needs_a_cause() {
    let withheld = PlannedReceipt {
        status: Status::Delivered,
        code: None,
        at: 30,
        event: 1,
        withheld: true,
    };
    let missing = TextRecord {
        receipt_fault: Some(ReceiptFault::Missing),
        receipts: Cow::Owned(vec![withheld]),
        ..text(ANN, "SM1")
    };
    assert_eq!(
        of_ann(vec![record(missing)], S::Unknown).oracle.unexplained,
        0
    );
    let broken = vec![
        record(text(ANN, "SM1")),
        receipt("SM1", Status::Delivered, ReceiptResult::Broken, 50),
    ];
    assert_eq!(of_ann(broken, S::Unknown).oracle.unexplained, 0);
    let plain = || vec![record(text(ANN, "SM1"))];
    assert_eq!(of_ann(plain(), S::Unknown).oracle.unexplained, 1);
    let after_kill = run(plain(), &[(ANN, S::Unknown)], 1);
    assert_eq!(
        (after_kill.oracle.unexplained, after_kill.unknown_untaken),
        (0, 0)
    );
    let never_left = run(Vec::new(), &[(ANN, S::Unknown)], 1);
    assert_eq!(
        (never_left.oracle.unexplained, never_left.unknown_untaken),
        (0, 1)
    );
}

#[test]
fn messages_of_nobody_and_two_of_one_are_contradicted() {
    let nobody = run(
        told(Status::Delivered),
        &[(ANN, S::Delivered), (BO, S::Delivered)],
        0,
    );
    assert_eq!((nobody.oracle.contradicted, nobody.messages), (1, 2));
    let twice = run(
        told(Status::Delivered),
        &[(ANN, S::Delivered), (ANN, S::Delivered)],
        0,
    );
    assert_eq!(twice.oracle.contradicted, 1);
    let none = run(told(Status::Delivered), &[], 0);
    assert_eq!(
        (none.oracle.contradicted, none.differing, none.messages),
        (1, 1, 0)
    );
}

#[test]
fn a_recipient_without_a_text_is_skipped_and_nothing_else() {
    for state in S::ALL {
        let mut expected = ExpectedTexts::default();
        expected.expect(ANN, None);
        let states = MessageState::new(ANN, state, None);
        let circumstances = Circumstances {
            states_asked_at: ASKED_AT,
            kills: 0,
        };
        let verdict = judge(expected, Vec::new(), states, circumstances).unwrap_or_default();
        assert_eq!(
            verdict.oracle.contradicted,
            u64::from(state != S::Skipped),
            "{state:?}"
        );
        assert_eq!(
            verdict.differing,
            u64::from(state != S::Skipped),
            "{state:?}"
        );
    }
}

#[test]
fn only_the_end_in_the_book_is_the_same_state() {
    for (outcome, same) in [
        (Status::Delivered, S::Delivered),
        (Status::Undelivered, S::Undelivered),
        (Status::Failed, S::Failed),
    ] {
        for state in S::ALL {
            let verdict = of_ann(vec![record(ending(ANN, "SM1", outcome))], state);
            assert_eq!(
                verdict.differing,
                u64::from(state != same),
                "{outcome:?} {state:?}"
            );
        }
    }
}

proptest! {
    /// Every taken text is counted once, whatever the order and whoever it was for.
    #[test]
    fn every_text_has_one_name(texts in prop::collection::vec((0_u8..3, any::<bool>(), any::<bool>()), 0..40)) {
        let book: Vec<_> = texts.iter().enumerate().map(|(index, (to, right, took))| {
            let to = [ANN, BO, "nobody"][usize::from(*to)];
            let body = if *right { "hi" } else { "ho" };
            let sid = format!("SM{index}");
            record(TextRecord { body: body.into(), took: *took, ..text(to, &sid) })
        }).collect();
        let oracle = of_ann(book, S::Delivered).oracle;
        let taken = texts.iter().filter(|(_, _, took)| *took).count() as u64;
        let right = texts.iter().filter(|(to, right, took)| *to == 0 && *right && *took).count() as u64;
        prop_assert_eq!(oracle.texts, taken);
        prop_assert_eq!(oracle.texts, oracle.distinct + oracle.duplicates + oracle.unexpected);
        prop_assert_eq!(oracle.distinct + oracle.duplicates, right);
        prop_assert_eq!(oracle.distinct, right.min(1));
    }
}
