//! The provider core, driven as a plain state machine in virtual time.

use proptest::prelude::*;
use sandbox::book::{BookSink, MemoryBook, ReceiptResult, Record, TextRecord};
use sandbox::core::{Answer, Core, DueReceipt, ListFilter, Refusal, Restore, Status, Submission};
use sandbox::{AccountConfig, AnswerFault, FaultPlan, ReceiptFault};
use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;

type Outcome = Result<(), Box<dyn Error>>;

/// A start of virtual time, Unix microseconds.
const START: u64 = 1_767_367_800_000_000;

const CALLBACK: &str = "http://127.0.0.1:9/hook?message=1";

struct Bench {
    core: Core,
    book: Arc<MemoryBook>,
}

impl Bench {
    fn new(plan: FaultPlan, limit: Option<f64>) -> Result<Self, Box<dyn Error>> {
        let book = Arc::new(MemoryBook::default());
        let sink: Arc<dyn BookSink> = Arc::<MemoryBook>::clone(&book);
        let mut account = AccountConfig::new("AC1", "token", &["+15005550001"]);
        account.segments_per_second = limit;
        let core = Core::new(7, &[account], &plan, sink)?;
        core.begin(START);
        Ok(Self { core, book })
    }

    /// Submits one text and returns its answer and when that leaves.
    fn submit<'a>(
        &self,
        now: u64,
        to: &'a str,
        body: &'a str,
    ) -> Result<(Answer<'a>, u64), Box<dyn Error>> {
        let account = self
            .core
            .account("AC1")
            .ok_or("the account is configured")?;
        let callback = Some(CALLBACK);
        let from = "+15005550001";
        let submission = Submission {
            account,
            to,
            from,
            body,
            callback,
            refusal: None,
        };
        let decision = self.core.submit(now, &submission);
        Ok((decision.answer, decision.answer_at))
    }

    fn texts(&self) -> Result<Vec<TextRecord<'static>>, Box<dyn Error>> {
        let records = self.book.records()?.into_iter();
        Ok(records
            .filter_map(|record| match record {
                Record::Text(text) => Some(*text),
                Record::Start(_) | Record::Receipt(_) | Record::Stall(_) | Record::Stop(_) => None,
            })
            .collect())
    }

    /// Takes all receipts due until `end`, with the time each became due.
    fn receipts(&self, end: u64) -> Vec<DueReceipt> {
        let mut all = Vec::new();
        for (receiver, _) in self.core.receipt_authorities() {
            all.extend(self.core.due(end, &receiver, usize::MAX));
        }
        all
    }
}

/// A plan that does nothing but one thing, to every text.
fn always(change: impl Fn(&mut FaultPlan)) -> FaultPlan {
    let mut plan = FaultPlan::none();
    change(&mut plan);
    plan
}

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
            ReceiptFault::Reordered => assert_eq!(told, [Status::Delivered, Status::Sent]),
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
fn undelivered_and_failed_have_codes_and_belong_to_the_number() -> Outcome {
    let plan = FaultPlan {
        undelivered: 0.4,
        failed: 0.4,
        ..FaultPlan::none()
    };
    let bench = Bench::new(plan.clone(), None)?;
    for number in 0..200 {
        let to = format!("+1500555{:04}", number % 100);
        bench.submit(START, &to, &format!("text {}", number / 100))?;
    }
    let mut by_number = BTreeMap::new();
    for text in bench.texts()? {
        let course = text.course.ok_or("taken")?;
        match course.outcome {
            Status::Undelivered => {
                assert!(plan.undelivered_codes.contains(&course.code.unwrap_or(0)))
            }
            Status::Failed => assert!(plan.failed_codes.contains(&course.code.unwrap_or(0))),
            Status::Queued | Status::Sent | Status::Delivered => assert_eq!(course.code, None),
        }
        let told = (course.outcome, course.code);
        assert_eq!(*by_number.entry(text.to.into_owned()).or_insert(told), told);
    }
    let failed = by_number
        .values()
        .filter(|(outcome, _)| *outcome == Status::Failed)
        .count();
    assert!((20..60).contains(&failed), "{failed}");
    Ok(())
}

#[test]
fn the_order_of_texts_changes_no_fate() -> Outcome {
    let fates = |order: &[u32]| -> Result<BTreeMap<String, _>, Box<dyn Error>> {
        let bench = Bench::new(FaultPlan::harsh(), None)?;
        for (step, number) in (0..).zip(order) {
            bench.submit(
                START + step * 1_000,
                &format!("+1500555{number:04}"),
                "hello",
            )?;
        }
        let fate = |text: TextRecord<'static>| {
            (
                text.to.into_owned(),
                (text.fault, text.receipt_fault, text.status, text.took),
            )
        };
        Ok(bench.texts()?.into_iter().map(fate).collect())
    };
    let forward: Vec<u32> = (0..500).collect();
    let backward: Vec<u32> = (0..500).rev().collect();
    assert_eq!(fates(&forward)?, fates(&backward)?);
    Ok(())
}

#[test]
fn a_text_that_met_a_fault_can_get_through_later() -> Outcome {
    let bench = Bench::new(always(|plan| plan.error_before = 0.5), None)?;
    for number in 0..50 {
        let to = format!("+1500555{number:04}");
        let mut tries = 0;
        while !matches!(bench.submit(START, &to, "hello")?.0, Answer::Created(_)) {
            tries += 1;
            // One in 2^40 texts would need more.
            assert!(tries < 40, "{to}");
        }
    }
    Ok(())
}

#[test]
fn a_restored_core_goes_on_where_the_book_ends() -> Outcome {
    let bench = Bench::new(FaultPlan::harsh(), None)?;
    let mut taken = Vec::new();
    for number in 0..300 {
        let to = format!("+1500555{number:04}");
        if let (Answer::Created(view), _) = bench.submit(START + number, &to, "hello")? {
            taken.push(view.id);
        }
    }
    let first_half = bench.receipts(START + 500_000);
    for receipt in &first_half {
        let at = receipt.planned.at;
        bench
            .core
            .receipt_tried(receipt, at, at, 1, ReceiptResult::Answered(200));
    }
    let again = Bench::new(FaultPlan::harsh(), None)?;
    let mut restore = Restore::of(again.core);
    for record in bench.book.records()? {
        restore.apply(&record);
    }
    let core = restore.finish();
    let account = core.account("AC1").ok_or("configured")?;
    let end = START + 60_000_000;
    for id in taken {
        let (old, new) = (
            bench.core.fetch(end, account, id),
            core.fetch(end, account, id),
        );
        let told = |view: sandbox::core::TextView<'_>| (view.to, view.status, view.status_at);
        assert_eq!(old.map(told), new.map(told));
    }
    assert_eq!(core.statistics(), bench.core.statistics());
    let key = |receipt: &DueReceipt| (receipt.text, receipt.place, receipt.planned.at);
    let mut old: Vec<_> = bench.receipts(u64::MAX).iter().map(key).collect();
    let mut new: Vec<_> = Vec::new();
    for (receiver, _) in core.receipt_authorities() {
        new.extend(core.due(u64::MAX, &receiver, usize::MAX).iter().map(key));
    }
    old.sort_unstable();
    new.sort_unstable();
    assert!(!old.is_empty() && !first_half.is_empty());
    assert_eq!(old, new);
    Ok(())
}

#[test]
fn lists_page_through_everything_newest_first() -> Outcome {
    let bench = Bench::new(FaultPlan::none(), None)?;
    for number in 0..250_u64 {
        let to = format!("+1500555000{}", number % 3);
        bench.submit(START + number, &to, &format!("text {number}"))?;
    }
    let account = bench.core.account("AC1").ok_or("configured")?;
    for (to, total) in [(None, 250), (Some(15_005_550_001), 83)] {
        let mut filter = ListFilter {
            to,
            page_size: 7,
            ..ListFilter::default()
        };
        let mut seen = Vec::new();
        loop {
            let page = bench.core.list(START, account, &filter);
            seen.extend(page.texts.iter().map(|text| text.at));
            filter.below = page.next_below;
            if filter.below.is_none() {
                break;
            }
        }
        assert_eq!(seen.len(), total);
        assert!(seen.is_sorted_by(|newer, older| newer > older));
    }
    // Nothing has left yet, so a bound on the time of leaving finds nothing; later it does.
    let filter = ListFilter {
        sent_from: Some(START),
        page_size: 9,
        ..ListFilter::default()
    };
    assert!(bench.core.list(START, account, &filter).texts.is_empty());
    assert_eq!(
        bench
            .core
            .list(START + 5_000_000, account, &filter)
            .texts
            .len(),
        9
    );
    Ok(())
}

proptest! {
    #[test]
    fn no_sliding_second_takes_more_than_the_limit_and_its_tolerance(
        steps in proptest::collection::vec((0_u64..60_000, 1_usize..4), 1..300),
        limit in 5_u32..60,
    ) {
        let bench = Bench::new(FaultPlan::none(), Some(f64::from(limit)));
        prop_assert!(bench.is_ok());
        let Ok(bench) = bench else { return Ok(()) };
        let allowed = u64::from(limit * 105 / 100);
        let mut now = START;
        for (step, segments) in steps {
            now += step;
            let body = "A".repeat(if segments == 1 { 1 } else { segments * 153 });
            prop_assert!(bench.submit(now, "+15005550006", &body).is_ok());
        }
        let texts = bench.texts().unwrap_or_default();
        let in_window = |end: u64| texts.iter()
            .filter(|text| text.took && text.at <= end && text.at + 1_000_000 > end)
            .map(|text| u64::from(text.segments))
            .sum::<u64>();
        for text in &texts {
            if text.took {
                prop_assert!(in_window(text.at) <= allowed);
            } else {
                // It was refused only because it would not have fitted.
                prop_assert_eq!(text.refusal, Some(Refusal::OverLimit));
                prop_assert_eq!((text.status, text.code), (Some(429), Some(20429)));
                prop_assert!(in_window(text.at) + u64::from(text.segments) > allowed);
            }
        }
        let most = texts.iter().map(|text| in_window(text.at)).max().unwrap_or(0);
        let counted = bench.core.statistics().first().map(|one| one.most_taken_in_any_second);
        prop_assert_eq!(counted, Some(most));
    }
}
