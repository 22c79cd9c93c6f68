//! Topics that are not what they must be.

use engine::log::{LogError, TopicMarks};
use engine::runtime::Runtime;
use schemas::PartitionCount;
use schemas::topic::TopicMark;
use tests::backends;
use tests::backends::ground::Ground;
use tests::backends::kafka::{Kafka, TOPICS};

use super::{PARTITION, Topics, WORK, records};

/// What an error says of another topic, or why it is another error.
fn other_topic(error: &LogError) -> String {
    assert!(matches!(error, LogError::OtherTopic { .. }), "{error}");
    error.to_string()
}

/// Another number of partitions or of replicas is refused, with the cure.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_of_another_shape_is_refused() {
    let Some(kafka) = backends::kafka() else {
        return;
    };
    let mut topics = Topics::new(kafka, "shape", 1);
    topics.open().await;
    topics.partitions = PartitionCount::new(16).expect("a power of two");
    let refused = other_topic(&topics.try_open().await.expect_err("16 are not 8"));
    assert!(refused.contains("shape.work.transactional"), "{refused}");
    assert!(
        refused.contains("has 8 partitions and 16 are wanted"),
        "{refused}"
    );
    assert!(refused.contains("set node.partitions"), "{refused}");
    topics.partitions = PartitionCount::EMBEDDED;
    topics.settings.replication = Some(3);
    let refused = other_topic(&topics.try_open().await.expect_err("1 is not 3"));
    assert!(
        refused.contains("lie on 1 brokers and 3 are wanted"),
        "{refused}"
    );
}

/// A topic is deleted and created again while a node runs: it stops, and so does one that
/// is started later and remembers. One that remembers nothing takes it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_was_created_again_is_noticed() {
    let Some(kafka) = backends::kafka() else {
        return;
    };
    let mut topics = Topics::new(kafka, "again", 1);
    let log = topics.open().await;
    log.append(WORK, PARTITION, records(0..5))
        .await
        .expect("append");
    create_again(kafka, &topics.work());
    // What was read so far lies beyond the end now.
    let read = when_led(async || log.read(WORK, PARTITION, 5, 10).await).await;
    let stopped = other_topic(&read.expect_err("another topic"));
    assert!(stopped.contains("again.work.marketing"), "{stopped}");
    assert!(stopped.contains("deleted and created again"), "{stopped}");
    let appended = log.append(WORK, PARTITION, records(5..6)).await;
    other_topic(&appended.expect_err("another topic"));
    let refused = other_topic(&topics.try_open().await.expect_err("another topic"));
    assert!(refused.contains("deleted and created again"), "{refused}");
    topics.marks = TopicMarks::default();
    topics.open().await;
}

/// A topic that is gone is not created again in silence.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_is_gone_is_not_replaced() {
    let Some(kafka) = backends::kafka() else {
        return;
    };
    let mut topics = Topics::new(kafka, "gone", 1);
    topics.open().await;
    kafka.tool(TOPICS, &["--delete", "--topic", &topics.work()], "");
    let refused = other_topic(&topics.try_open().await.expect_err("it is gone"));
    assert!(refused.contains("it was deleted"), "{refused}");
}

/// The answer once the topic has leaders: just after it was created it has none.
async fn when_led<T>(ask: impl AsyncFn() -> Result<T, LogError>) -> Result<T, LogError> {
    loop {
        match ask().await {
            Err(LogError::Unavailable { .. }) => {}
            answer => return answer,
        }
    }
}

/// As an operator would, without knowing of any mark.
fn create_again(kafka: &Kafka, topic: &str) {
    kafka.tool(TOPICS, &["--delete", "--topic", topic], "");
    let create = ["--create", "--topic", topic, "--partitions", "8"];
    kafka.tool(TOPICS, &create, "");
}

/// The store remembers the topics, so that every later start notices another one, also one on
/// another machine.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_remembers_which_topics_they_were() {
    let both = || Some((backends::cassandra()?, backends::kafka()?));
    let Some((cassandra, kafka)) = tokio::task::block_in_place(both) else {
        return;
    };
    let runtime = Runtime::of_machine(tokio::runtime::Handle::current());
    let ground = Ground::make(cassandra, kafka, "marks", &runtime).await;
    let store = ground.store(&runtime).await;
    let open = || ground.log(&store, PartitionCount::EMBEDDED, &runtime);
    let both = futures::join!(open(), open());
    let (log, _) = (both.0.expect("it opens"), both.1.expect("it opens"));
    log.append(WORK, PARTITION, records(0..5))
        .await
        .expect("append");
    drop(log);
    let key = TopicMark::key_of("marks.work.marketing");
    let mark = store.get::<TopicMark>(&key).await.expect("get");
    assert!(mark.is_some_and(|mark| mark.mark > 0));
    open().await.expect("it is the same");
    create_again(kafka, "marks.work.marketing");
    let opened = when_led(async || open().await).await;
    let refused = other_topic(&opened.expect_err("another topic"));
    assert!(refused.contains("set another kafka.prefix"), "{refused}");
}
