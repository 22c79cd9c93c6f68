//! The marks of topics in the store: beside the positions that mean nothing without them.

use schemas::PartitionCount;
use schemas::topic::TopicMark;

use super::KafkaLogSettings;
use super::topics::{self, TopicMarks, recreated};
use crate::log::{Log, LogError};
use crate::runtime::Runtime;
use crate::store::{PutOnce, Store};

/// Opens the logs of a Kafka cluster for positions that are kept in `store`: as
/// [`Log::on_kafka`], with what the store remembers of the topics, and what it has to remember
/// from now on.
///
/// # Errors
/// As [`Log::on_kafka`], and when the store cannot be read or written.
pub async fn open_log(
    store: &Store,
    settings: &KafkaLogSettings,
    partitions: PartitionCount,
    runtime: &Runtime,
) -> Result<Log, LogError> {
    let remembered = read(store, &topics::names(settings)).await?;
    let (log, marks) = Log::on_kafka(settings, partitions, &remembered, runtime).await?;
    keep(store, &marks).await?;
    Ok(log)
}

/// The mark of the file whose import into these servers was begun, if one was. It is kept like
/// the mark of a topic: written once.
///
/// # Errors
/// When the store cannot be read.
pub(crate) async fn begun_import(
    store: &Store,
    settings: &KafkaLogSettings,
) -> Result<Option<i64>, LogError> {
    let key = TopicMark::key_of(&topics::import_name(settings));
    let row = store.get::<TopicMark>(&key).await?;
    Ok(row.map(|row| row.mark))
}

/// The import of a file begins.
///
/// # Errors
/// [`LogError::OtherTopic`] when that of another file began at the same time, and when the store
/// cannot be written.
pub(crate) async fn begin_import(
    store: &Store,
    settings: &KafkaLogSettings,
    mark: i64,
) -> Result<(), LogError> {
    let topic = topics::import_name(settings);
    let row = TopicMark { topic, mark };
    match store.put_once(&row).await? {
        PutOnce::Exists(there) if there.mark != mark => Err(LogError::OtherTopic {
            topic: row.topic,
            detail: "somebody else imports another file".to_owned(),
        }),
        PutOnce::Stored | PutOnce::Exists(_) => Ok(()),
    }
}

/// What the store remembers of these topics.
///
/// # Errors
/// When it cannot be read.
pub(crate) async fn read(store: &Store, names: &[String]) -> Result<TopicMarks, LogError> {
    let mut marks = TopicMarks::default();
    for name in names {
        if let Some(row) = store.get::<TopicMark>(&TopicMark::key_of(name)).await? {
            marks.0.insert(row.topic, row.mark);
        }
    }
    Ok(marks)
}

/// Lets the store remember the topics that it did not know.
///
/// # Errors
/// [`LogError::OtherTopic`] when it has another mark of one: another node has found another
/// topic of that name. And when it cannot be written.
pub(crate) async fn keep(store: &Store, marks: &TopicMarks) -> Result<(), LogError> {
    for (topic, mark) in &marks.0 {
        let row = TopicMark {
            topic: topic.clone(),
            mark: *mark,
        };
        if let PutOnce::Exists(there) = store.put_once(&row).await?
            && there.mark != row.mark
        {
            return Err(recreated(topic));
        }
    }
    Ok(())
}
