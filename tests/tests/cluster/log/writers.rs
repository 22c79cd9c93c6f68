//! Several nodes append to one partition.

use futures::future::join_all;
use tests::backends;

use super::{PARTITION, Topics, WORK, numbers, records};

/// Appends of each writer, and records of each append.
const APPENDS: u64 = 40;
const RECORDS: u64 = 25;

/// Two writers and a reader at once: every append's records lie together, where the answer
/// said, and the reader never sees a part of one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_of_two_nodes_stay_whole() {
    let Some(kafka) = backends::kafka() else {
        return;
    };
    let mut topics = Topics::new(kafka, "two_nodes", 1);
    let logs = [topics.open().await, topics.open().await];
    let write = |writer: u64| {
        let log = &logs[writer as usize];
        async move {
            let mut firsts = Vec::new();
            for append in 0..APPENDS {
                let number = (writer * APPENDS + append) * RECORDS;
                let appended = log.append(WORK, PARTITION, records(number..number + RECORDS));
                firsts.push((appended.await.expect("append"), number));
            }
            firsts
        }
    };
    let reader = topics.open().await;
    let read = async {
        let mut from = 0;
        while from < 2 * APPENDS * RECORDS {
            let found = reader
                .read(WORK, PARTITION, from, 10_000)
                .await
                .expect("read");
            assert_eq!(found.len() as u64 % RECORDS, 0, "a part of an append");
            from += found.len() as u64;
        }
    };
    let (firsts, ()) = futures::join!(join_all([write(0), write(1)]), read);
    let found = numbers(&reader).await;
    for (first, number) in firsts.into_iter().flatten() {
        let at = usize::try_from(first).expect("small");
        let expected: Vec<u64> = (number..number + RECORDS).collect();
        assert_eq!(found[at..at + expected.len()], expected);
    }
}

/// The largest append that the port allows is one batch.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_largest_append_goes_through() {
    let Some(kafka) = backends::kafka() else {
        return;
    };
    let mut topics = Topics::new(kafka, "largest", 1);
    let log = topics.open().await;
    let large = vec![vec![7; engine::log::BYTES_LIMIT / 10_000]; 10_000];
    let first = log.append(WORK, PARTITION, large.clone()).await;
    assert_eq!(first.expect("append"), 0);
    let found = log.read(WORK, PARTITION, 0, 10_000).await.expect("read");
    let found: Vec<_> = found.into_iter().map(|(_, payload)| payload).collect();
    assert!(found == large);
    let more = vec![vec![7; engine::log::BYTES_LIMIT / 2 + 1]; 2];
    let refused = log.append(WORK, PARTITION, more).await;
    assert!(matches!(refused, Err(engine::log::LogError::TooLarge)));
}
