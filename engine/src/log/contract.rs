//! What every log backend must do, one function for each rule. Each backend's tests
//! run all of them.

use futures::future::{BoxFuture, join_all};
use schemas::{MessageClass, Partition};

use super::{Log, LogError, Offset, Topic};

/// A backend under test.
pub trait LogSubject: Send {
    /// Its log.
    fn log(&self) -> Log;
    /// Ends it as a power cut does, and opens what is left. Logs that were handed out must
    /// have been dropped.
    fn crash(&mut self) -> BoxFuture<'_, ()>;
}

/// Hands every case of this contract to a macro.
#[macro_export]
macro_rules! each_log_case {
    ($run:ident) => {
        $run! {
            offsets_are_dense_from_zero,
            concurrent_appends_stay_together,
            who_reads_meanwhile_sees_whole_appends,
            topics_and_partitions_are_apart,
            reading_outside_is_a_typed_error,
            trimmed_records_stay_gone,
            who_waits_is_told_after_an_append,
            appended_records_survive_a_crash,
        }
    };
}

const WORK: Topic = Topic::Work(MessageClass::Marketing);
const PARTITION: Partition = Partition(3);

fn payloads(numbers: std::ops::Range<u64>) -> Vec<Vec<u8>> {
    numbers
        .map(|number| number.to_string().into_bytes())
        .collect()
}

async fn numbers(log: &Log, from: Offset, limit: usize) -> Vec<(Offset, u64)> {
    let records = log.read(WORK, PARTITION, from, limit).await.expect("read");
    let number = |payload: Vec<u8>| String::from_utf8(payload).ok()?.parse().ok();
    records
        .into_iter()
        .map(|(offset, payload)| (offset, number(payload).expect("a number")))
        .collect()
}

/// The first record has offset 0, each next one the next, in the order appended.
pub async fn offsets_are_dense_from_zero(subject: &mut dyn LogSubject) {
    let log = subject.log();
    assert_eq!(log.end(WORK, PARTITION).await.expect("end"), 0);
    assert!(numbers(&log, 0, 10).await.is_empty());
    for (range, first) in [(0..1, 0), (1..6, 1), (6..8, 6)] {
        let appended = log.append(WORK, PARTITION, payloads(range)).await;
        assert_eq!(appended.expect("append"), first);
    }
    assert_eq!(log.end(WORK, PARTITION).await.expect("end"), 8);
    let all: Vec<_> = (0..8).map(|number| (number, number)).collect();
    assert_eq!(numbers(&log, 0, 100).await, all);
    assert_eq!(numbers(&log, 2, 3).await, all[2..5]);
    assert!(numbers(&log, 8, 1).await.is_empty());
}

/// 32 appends at once: no offset is given twice, and one append's records lie together.
pub async fn concurrent_appends_stay_together(subject: &mut dyn LogSubject) {
    let log = subject.log();
    let append = |number: u64| log.append(WORK, PARTITION, payloads(number * 3..number * 3 + 3));
    let firsts = join_all((0..32).map(append)).await;
    let found = numbers(&log, 0, 100).await;
    assert_eq!(found.len(), 96);
    for (number, first) in (0..32).zip(firsts) {
        let first = first.expect("append");
        for place in 0..3 {
            let at = usize::try_from(first + place).expect("small");
            assert_eq!(found[at], (first + place, number * 3 + place));
        }
    }
}

/// Who reads while others append sees all records of an append or none of them: an end
/// without its records would look like damage.
pub async fn who_reads_meanwhile_sees_whole_appends(subject: &mut dyn LogSubject) {
    let log = subject.log();
    let append = async {
        for number in 0..100 {
            let records = payloads(number * 50..number * 50 + 50);
            let appended = log.append(WORK, PARTITION, records).await;
            assert_eq!(appended.expect("append"), number * 50);
        }
    };
    let read = async {
        let mut from = 0;
        while from < 5_000 {
            let found = numbers(&log, from, 10_000).await;
            assert_eq!(found.len() % 50, 0, "a part of an append");
            from += found.len() as u64;
        }
    };
    futures::future::join(append, read).await;
}

/// An append to one partition of one topic is seen in no other.
pub async fn topics_and_partitions_are_apart(subject: &mut dyn LogSubject) {
    let log = subject.log();
    let elsewhere = [
        (WORK, Partition(2)),
        (WORK, Partition(4)),
        (Topic::Work(MessageClass::Transactional), PARTITION),
        (Topic::Control, Partition(0)),
        (Topic::Callbacks, Partition(0)),
    ];
    log.append(WORK, PARTITION, payloads(0..5))
        .await
        .expect("append");
    for (topic, partition) in elsewhere {
        assert_eq!(log.end(topic, partition).await.expect("end"), 0);
        assert!(
            log.read(topic, partition, 0, 10)
                .await
                .expect("read")
                .is_empty()
        );
        let first = log.append(topic, partition, payloads(7..8)).await;
        assert_eq!(first.expect("append"), 0);
    }
    assert_eq!(numbers(&log, 0, 10).await.len(), 5);
}

/// Beyond the end, an unknown partition, a limit out of bounds: typed errors.
pub async fn reading_outside_is_a_typed_error(subject: &mut dyn LogSubject) {
    let log = subject.log();
    log.append(WORK, PARTITION, payloads(0..3))
        .await
        .expect("append");
    for from in [4, u64::MAX] {
        let read = log.read(WORK, PARTITION, from, 1).await;
        assert!(matches!(read, Err(LogError::OffsetOutOfRange { end: 3 })));
    }
    let trimmed = log.trim(WORK, PARTITION, 4).await;
    assert!(matches!(
        trimmed,
        Err(LogError::OffsetOutOfRange { end: 3 })
    ));
    for limit in [0, 10_001] {
        let read = log.read(WORK, PARTITION, 0, limit).await;
        assert!(matches!(read, Err(LogError::InvalidLimit)));
        let appended = log.append(WORK, PARTITION, vec![Vec::new(); limit]).await;
        assert!(matches!(appended, Err(LogError::InvalidLimit)));
    }
    let nowhere = Partition(1);
    let read = log.read(Topic::Control, nowhere, 0, 1).await;
    assert!(matches!(read, Err(LogError::UnknownPartition)));
    let appended = log.append(Topic::Control, nowhere, payloads(0..1)).await;
    assert!(matches!(appended, Err(LogError::UnknownPartition)));
    assert_eq!(log.end(WORK, PARTITION).await.expect("end"), 3);
}

/// Trimmed offsets are never given again, also when nothing is left and after a crash.
pub async fn trimmed_records_stay_gone(subject: &mut dyn LogSubject) {
    let log = subject.log();
    log.append(WORK, PARTITION, payloads(0..2_500))
        .await
        .expect("append");
    log.trim(WORK, PARTITION, 2_100).await.expect("trim");
    log.trim(WORK, PARTITION, 7).await.expect("an earlier trim");
    let read = log.read(WORK, PARTITION, 2_099, 1).await;
    assert!(matches!(read, Err(LogError::Trimmed { first: 2_100 })));
    assert_eq!(numbers(&log, 2_100, 1).await, [(2_100, 2_100)]);
    log.trim(WORK, PARTITION, 2_500).await.expect("trim");
    assert!(numbers(&log, 2_500, 1).await.is_empty());
    drop(log);
    subject.crash().await;
    let log = subject.log();
    let read = log.read(WORK, PARTITION, 0, 1).await;
    assert!(matches!(read, Err(LogError::Trimmed { first: 2_500 })));
    let next = log.append(WORK, PARTITION, payloads(0..1)).await;
    assert_eq!(next.expect("append"), 2_500);
}

/// Who waits for a topic hears of each append to it, and the records are there then.
pub async fn who_waits_is_told_after_an_append(subject: &mut dyn LogSubject) {
    let log = subject.log();
    let mut appended = log.appended(WORK);
    let control = log.appended(Topic::Control);
    for number in 0..5 {
        let append = log.append(WORK, PARTITION, payloads(number..number + 1));
        let wait = async {
            appended.changed().await.expect("the log is open");
            numbers(&log, number, 1).await
        };
        let (_, seen) = futures::join!(append, wait);
        assert_eq!(seen, [(number, number)]);
    }
    assert!(!control.has_changed().expect("the log is open"));
}

/// Records that were acknowledged are there after a crash, and offsets go on.
pub async fn appended_records_survive_a_crash(subject: &mut dyn LogSubject) {
    for round in 0..3 {
        let log = subject.log();
        assert_eq!(log.end(WORK, PARTITION).await.expect("end"), round * 10);
        let expected: Vec<_> = (0..round * 10).map(|number| (number, number)).collect();
        assert_eq!(numbers(&log, 0, 100).await, expected);
        let range = round * 10..round * 10 + 10;
        let first = log.append(WORK, PARTITION, payloads(range)).await;
        assert_eq!(first.expect("append"), round * 10);
        drop(log);
        subject.crash().await;
    }
}
