//! Each fault alone: what it does, and what the book says of it.

use crate::bench::{Bench, Outcome, START, always};
use sandbox::core::{Answer, ListFilter, Status};
use sandbox::{AnswerFault, FaultPlan, ReceiptFault};

/// Switches one fault on.
type Change = fn(&mut FaultPlan);

const ANSWER_FAULTS: [(Change, AnswerFault); 7] = [
    (|plan| plan.slow_answer = 1.0, AnswerFault::SlowAnswer),
    (
        |plan| plan.throttle_with_retry_after = 1.0,
        AnswerFault::ThrottleWithRetryAfter,
    ),
    (
        |plan| plan.throttle_without_retry_after = 1.0,
        AnswerFault::ThrottleWithoutRetryAfter,
    ),
    (|plan| plan.error_before = 1.0, AnswerFault::ErrorBefore),
    (|plan| plan.error_after = 1.0, AnswerFault::ErrorAfter),
    (|plan| plan.cut_after = 1.0, AnswerFault::CutAfter),
    (|plan| plan.nonsense = 1.0, AnswerFault::Nonsense),
];

#[test]
fn a_fault_says_what_it_does_and_the_book_knows() -> Outcome {
    for (change, fault) in ANSWER_FAULTS {
        let bench = Bench::new(always(change), None)?;
        let (answer, answer_at) = bench.submit(START, "+15005550006", "hello")?;
        let texts = bench.texts()?;
        let [text] = &texts[..] else {
            return Err("one text".into());
        };
        assert_eq!(text.fault, Some(fault));
        assert_eq!(text.took, fault.takes_the_text(), "{fault:?}");
        assert_eq!(text.sid.is_some(), text.took, "{fault:?}");
        let account = bench.core.account("AC1").ok_or("configured")?;
        let filter = ListFilter {
            to: Some(15_005_550_006),
            page_size: 9,
            ..Default::default()
        };
        let listed = bench.core.list(START, account, &filter).texts.len();
        assert_eq!(listed, usize::from(text.took), "{fault:?}");
        let fits = match fault {
            AnswerFault::SlowAnswer => {
                matches!(answer, Answer::Created(_)) && answer_at >= START + 1_000_000
            }
            AnswerFault::ThrottleWithRetryAfter => {
                matches!(
                    answer,
                    Answer::Throttled {
                        retry_after: Some(1..=3)
                    }
                )
            }
            AnswerFault::ThrottleWithoutRetryAfter => {
                matches!(answer, Answer::Throttled { retry_after: None })
            }
            AnswerFault::ErrorBefore | AnswerFault::ErrorAfter => {
                matches!(answer, Answer::ServerError(500..=504))
            }
            AnswerFault::CutAfter => matches!(answer, Answer::Cut) && answer_at == START,
            AnswerFault::Nonsense => matches!(
                answer,
                Answer::Nonsense {
                    status: 200 | 201,
                    ..
                }
            ),
            AnswerFault::NoAnswerTaken | AnswerFault::NoAnswerUntaken => false,
        };
        assert!(fits, "{fault:?}");
    }
    Ok(())
}

#[test]
fn silence_ends_at_the_bound_and_half_the_texts_are_taken() -> Outcome {
    let bench = Bench::new(always(|plan| plan.no_answer = 1.0), None)?;
    for number in 0..200 {
        let to = format!("+1500555{number:04}");
        let (answer, answer_at) = bench.submit(START, &to, "hello")?;
        assert!(matches!(answer, Answer::Cut));
        assert_eq!(answer_at, START + 120_000_000);
    }
    let taken = bench.texts()?.iter().filter(|text| text.took).count();
    assert!((60..140).contains(&taken), "{taken}");
    Ok(())
}

#[test]
fn without_faults_sent_then_delivered_once_each() -> Outcome {
    let bench = Bench::new(FaultPlan::none(), None)?;
    let (answer, answer_at) = bench.submit(START, "+15005550006", "hello")?;
    assert_eq!(answer_at, START);
    let Answer::Created(view) = answer else {
        return Err("taken".into());
    };
    assert_eq!(view.status, Status::Queued);
    assert!(bench.receipts(START).is_empty());
    let receipts = bench.receipts(START + 60_000_000);
    let told: Vec<_> = receipts
        .iter()
        .map(|receipt| receipt.planned.status)
        .collect();
    assert_eq!(told, [Status::Sent, Status::Delivered]);
    for receipt in &receipts {
        let seen = bench.core.fetch(receipt.planned.at, view.account, view.id);
        assert_eq!(seen.map(|text| text.status), Some(receipt.planned.status));
    }
    Ok(())
}

#[test]
fn receipt_faults_change_what_is_told_and_not_what_is_true() -> Outcome {
    let faults: [(Change, ReceiptFault); 5] = [
        (|plan| plan.receipt_early = 1.0, ReceiptFault::Early),
        (|plan| plan.receipt_late = 1.0, ReceiptFault::Late),
        (
            |plan| plan.receipt_duplicated = 1.0,
            ReceiptFault::Duplicated,
        ),
        (
            |plan| plan.receipts_reordered = 1.0,
            ReceiptFault::Reordered,
        ),
        (|plan| plan.receipts_missing = 1.0, ReceiptFault::Missing),
    ];
    for (change, fault) in faults {
        let bench = Bench::new(always(change), None)?;
        let (answer, answer_at) = bench.submit(START, "+15005550006", "hello")?;
        let Answer::Created(view) = answer else {
            return Err("taken".into());
        };
        let texts = bench.texts()?;
        let [text] = &texts[..] else {
            return Err("one text".into());
        };
        assert_eq!(text.receipt_fault, Some(fault));
        let receipts = bench.receipts(START + 60_000_000);
        let told: Vec<_> = receipts
            .iter()
            .map(|receipt| receipt.planned.status)
            .collect();
        let end = text.course.ok_or("taken")?.final_at;
        match fault {
            ReceiptFault::Early => {
                assert!(
                    receipts
                        .iter()
                        .all(|receipt| receipt.planned.at < answer_at)
                );
                assert_eq!(told, [Status::Sent, Status::Delivered]);
            }
            ReceiptFault::Late => {
                assert_eq!(told, [Status::Sent, Status::Delivered]);
                assert!(
                    receipts
                        .iter()
                        .any(|receipt| receipt.planned.at >= end + 3_000_000)
                );
            }
            ReceiptFault::Duplicated => {
                let finals = receipts.iter().filter(|receipt| receipt.planned.event == 1);
                assert!((2..=3).contains(&finals.count()));
            }
            ReceiptFault::Reordered => {
                let place = |status| told.iter().position(|one| *one == status);
                let after_the_end = place(Status::Delivered) < place(Status::Sent);
                let after_sent = place(Status::Sent) < place(Status::Queued);
                assert!(after_the_end || after_sent, "{told:?}");
            }
            ReceiptFault::Missing => {
                assert!(!told.contains(&Status::Delivered));
                assert!(text.receipts.iter().any(|receipt| receipt.withheld));
            }
        }
        let truth = bench
            .core
            .fetch(end, view.account, view.id)
            .map(|text| text.status);
        assert_eq!(truth, Some(Status::Delivered), "{fault:?}");
    }
    Ok(())
}

#[test]
fn a_late_text_may_be_late_from_the_first_word() -> Outcome {
    let first_told = |late_from_the_first| -> Result<u64, Box<dyn std::error::Error>> {
        let plan = always(|plan| plan.receipt_late = 1.0);
        let plan = FaultPlan {
            late_from_the_first,
            ..plan
        };
        let bench = Bench::new(plan, None)?;
        bench.submit(START, "+15005550006", "hello")?;
        let receipts = bench.receipts(START + 60_000_000);
        let first = receipts.first().ok_or("two were planned")?;
        assert_eq!(first.planned.status, Status::Sent);
        Ok(first.planned.at)
    };
    // Late ones are so by three seconds or more.
    assert!(first_told(true)? >= first_told(false)? + 3_000_000);
    Ok(())
}
