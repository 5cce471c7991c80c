//! The name of a partition.

use std::fmt;
use std::sync::Arc;

use crate::LogError;

/// Longest topic name, as in Kafka.
const TOPIC_NAME_LENGTH_MAX: usize = 249;

/// A topic's partition. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's number, from 0.
    pub partition: i32,
}

impl TopicPartition {
    /// Names a partition; nothing is checked before it is created.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> TopicPartition {
        TopicPartition { topic: topic.into(), partition }
    }

    /// Refuses what Kafka refuses as a topic's name, which is also all that could lead out of the data folder.
    pub(crate) fn check(&self) -> Result<(), LogError> {
        let legal = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-');
        let name = &*self.topic;
        let reason = if name.is_empty() {
            "it is empty"
        } else if name == "." || name == ".." {
            "'.' and '..' are not names"
        } else if name.len() > TOPIC_NAME_LENGTH_MAX {
            "it is longer than 249 characters"
        } else if !name.bytes().all(legal) {
            "only ASCII letters, digits, '.', '_' and '-' may stand in it"
        } else if self.partition < 0 {
            "its partition is negative"
        } else {
            return Ok(());
        };
        Err(LogError::InvalidName { partition: self.clone(), reason })
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}
