//! What is kept of the topics of a log whose servers forget them: which ones they were.

use serde::{Deserialize, Serialize};

use crate::record::{Key, KeyPart, Record, Table, WriteOnce, tables};

/// The mark of a topic when it was first used. A topic that was deleted and created again has
/// another one, and positions that are kept mean nothing in it. Never changed: who wants to
/// begin anew takes topics of other names.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TopicMark {
    /// The topic, with the prefix of our topics.
    pub topic: String,
    /// Drawn when it was created.
    pub mark: i64,
}

impl TopicMark {
    /// The key of a topic's mark.
    pub fn key_of(topic: &str) -> Key {
        vec![KeyPart::Text(topic.to_owned())]
    }
}

impl Record for TopicMark {
    type Writing = WriteOnce;
    const TABLE: Table = tables::TOPIC_MARKS;

    fn key(&self) -> Key {
        Self::key_of(&self.topic)
    }
}
