//! Brokers that are away, stand still, or come back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use engine::log::{Log, LogError};
use tests::backends::kafka::Kafka;

use super::{PARTITION, Topics, WORK, numbers, records};

/// Appends numbers one by one until told to end; which of them were acknowledged.
async fn append_until(log: &Log, is_over: &AtomicBool) -> (Vec<u64>, u64) {
    let (mut acknowledged, mut number) = (Vec::new(), 0);
    while !is_over.load(Ordering::Relaxed) {
        let appended = log
            .append(WORK, PARTITION, records(number..number + 1))
            .await;
        if appended.is_ok() {
            acknowledged.push(number);
        }
        number += 1;
    }
    (acknowledged, number)
}

/// Every acknowledged number lies there once, the others at most once, in order.
fn check(found: &[u64], acknowledged: &[u64]) {
    assert!(
        found.is_sorted_by(|before, after| before < after),
        "twice, or out of order"
    );
    let lost: Vec<_> = acknowledged
        .iter()
        .filter(|number| found.binary_search(number).is_err())
        .collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
}

/// The broker is killed under appends and started again: they go on by themselves, and what
/// was acknowledged is there once, for this client and for a new one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_broker_loses_and_doubles_nothing() {
    let Some(kafka) = Kafka::start(1) else {
        return;
    };
    let kafka = Arc::new(kafka);
    let mut topics = Topics::new(&kafka, "killed", 1);
    let log = topics.open().await;
    let is_over = AtomicBool::new(false);
    let kills = async {
        for _ in 0..2 {
            wait_for_appends(&log).await;
            let restart = topics.beside(&kafka, |kafka| {
                kafka.kill(0);
                kafka.restart(0);
            });
            restart.await;
            wait_for_appends(&log).await;
        }
        is_over.store(true, Ordering::Relaxed);
    };
    let ((acknowledged, _), ()) = futures::join!(append_until(&log, &is_over), kills);
    assert!(acknowledged.len() >= 200, "{}", acknowledged.len());
    check(&numbers(&log).await, &acknowledged);
    drop(log);
    check(&numbers(&topics.open().await).await, &acknowledged);
}

impl Topics {
    /// Does something slow to the servers while the test goes on.
    async fn beside(&self, kafka: &Arc<Kafka>, work: impl FnOnce(&Kafka) + Send + 'static) {
        let kafka = Arc::clone(kafka);
        self.runtime
            .blocking(move || work(&kafka))
            .await
            .expect("it is done");
    }
}

/// Waits until another fifty appends are durable.
async fn wait_for_appends(log: &Log) {
    let mut appended = log.appended(WORK);
    let until = *appended.borrow() + 50;
    let enough = appended.wait_for(|appends| *appends >= until).await;
    enough.expect("the log is open");
}

/// While the broker stands still or is away, every call ends in time and says what is
/// away. When it is back, the same log works.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_away_is_told_in_time() {
    let Some(kafka) = Kafka::start(1) else {
        return;
    };
    let mut topics = Topics::new(&kafka, "away", 1);
    let log = topics.open().await;
    log.append(WORK, PARTITION, records(0..2))
        .await
        .expect("append");
    kafka.freeze(0);
    all_calls_say(&log, &topics, &kafka.bootstrap()).await;
    kafka.thaw(0);
    log.append(WORK, PARTITION, records(2..3))
        .await
        .expect("append");
    kafka.kill(0);
    all_calls_say(&log, &topics, &kafka.bootstrap()).await;
    kafka.restart(0);
    log.append(WORK, PARTITION, records(3..5))
        .await
        .expect("append");
    log.trim(WORK, PARTITION, 1).await.expect("trim");
    let end = log.end(WORK, PARTITION).await.expect("end");
    // What was appended in vain may be there.
    assert!(end >= 5, "{end}");
}

async fn all_calls_say(log: &Log, topics: &Topics, bootstrap: &str) {
    // Without a bound on each, the test would hang here.
    let (one, several, read, end, opened) = futures::join!(
        log.append(WORK, PARTITION, records(100..101)),
        log.append(WORK, PARTITION, records(100..110)),
        log.read(WORK, PARTITION, 0, 10),
        log.end(WORK, PARTITION),
        topics.try_open(),
    );
    let errors = [
        one.err(),
        several.err(),
        read.err(),
        end.err(),
        opened.err(),
    ];
    for error in errors {
        let error = error.expect("Kafka is away");
        assert!(matches!(error, LogError::Unavailable { .. }), "{error}");
        assert!(error.to_string().contains(bootstrap), "{error}");
    }
}
