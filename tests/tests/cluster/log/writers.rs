//! Several nodes append to one partition.

use std::time::Duration;

use engine::log::Topic;
use futures::future::join_all;
use tests::backends;
use tokio::sync::watch;

use super::{PARTITION, Topics, WORK, numbers, records};

/// When the test gives up.
const TOLD_WITHIN: Duration = Duration::from_secs(30);

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

/// What one process appends, another is told of, by topic; and what is there was told before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_append_is_told() {
    let Some(kafka) = backends::kafka() else {
        return;
    };
    let mut topics = Topics::new(kafka, "followed", 1);
    let (here, there) = (topics.open().await, topics.open().await);
    let mut work = here.appended(WORK);
    let mut control = here.appended(Topic::Control);
    let following = here.follow().expect("it follows");
    // The first answer tells of all topics, whatever is in them.
    told(&mut work).await;
    told(&mut control).await;
    for _ in 0..3 {
        let appended = there.append(WORK, PARTITION, vec![vec![7]]).await;
        appended.expect("it is appended");
        told(&mut work).await;
    }
    assert!(
        !control.has_changed().expect("it can be told"),
        "nobody appended there"
    );
    drop(following);
}

async fn told(appended: &mut watch::Receiver<u64>) {
    let told = tokio::time::timeout(TOLD_WITHIN, appended.changed()).await;
    told.expect("it is told in the end")
        .expect("the log is open");
}
