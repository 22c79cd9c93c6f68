//! The provider core, driven as a plain state machine in virtual time.

mod bench;
mod faults;
mod outage;

use bench::{Bench, Outcome, START, always};
use proptest::prelude::*;
use sandbox::FaultPlan;
use sandbox::book::{ReceiptResult, TextRecord};
use sandbox::core::{Answer, DueReceipt, ListFilter, Refusal, Restore, Status};
use std::collections::BTreeMap;
use std::error::Error;

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

#[test]
fn slow_limits_tolerate_jitter_and_no_more() -> Outcome {
    // Segments a second, microseconds between texts, whether all of them are taken.
    let cases = [
        (1.0, 955_000, true),
        (1.0, 945_000, false),
        (0.5, 1_910_000, true),
        (0.5, 1_890_000, false),
        (1.5, 666_667, true),
    ];
    for (limit, step, all) in cases {
        let bench = Bench::new(FaultPlan::none(), Some(limit))?;
        for number in 0..20 {
            bench.submit(START + number * step, "+15005550006", "hello")?;
        }
        assert_eq!(
            bench.texts()?.iter().all(|text| text.took),
            all,
            "{limit} {step}"
        );
    }
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
        // Five per cent in segments, or in time where that is less than a segment.
        let (allowed, length) = if limit >= 20 {
            (u64::from(limit * 105 / 100), 1_000_000)
        } else {
            (u64::from(limit), 952_380)
        };
        let mut now = START;
        for (step, segments) in steps {
            now += step;
            let body = "A".repeat(if segments == 1 { 1 } else { segments * 153 });
            prop_assert!(bench.submit(now, "+15005550006", &body).is_ok());
        }
        let texts = bench.texts().unwrap_or_default();
        let within = |end: u64, length: u64| texts.iter()
            .filter(|text| text.took && text.at <= end && text.at + length > end)
            .map(|text| u64::from(text.segments))
            .sum::<u64>();
        let in_window = |end: u64| within(end, length);
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
        let most = texts.iter().map(|text| within(text.at, 1_000_000)).max().unwrap_or(0);
        let counted = bench.core.statistics().first().map(|one| one.most_taken_in_any_second);
        prop_assert_eq!(counted, Some(most));
    }
}

#[test]
fn what_was_taken_may_be_listed_late() -> Outcome {
    let plan = FaultPlan {
        listed_after_ms: 5_000,
        ..FaultPlan::none()
    };
    let bench = Bench::new(plan, None)?;
    bench.submit(START, "+15005550001", "text")?;
    let account = bench.core.account("AC1").ok_or("configured")?;
    let filter = ListFilter {
        page_size: 7,
        ..ListFilter::default()
    };
    let listed = |now| bench.core.list(now, account, &filter).texts.len();
    assert_eq!(listed(START + 4_999_999), 0);
    assert_eq!(listed(START + 5_000_000), 1);
    Ok(())
}
