//! Why the broker refused or failed.

use millstream_log::LogError;
use millstream_protocol::ErrorCode;

/// An error of the broker, with the words and the code a client is told.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BrokerError {
    /// No such topic.
    #[error("topic {0} does not exist: create it, or produce to it")]
    UnknownTopic(String),
    /// No such partition.
    #[error("topic {topic} has no partition {partition}: it has {partitions}")]
    UnknownPartition {
        /// Topic.
        topic: String,
        /// Asked for.
        partition: i32,
        /// Partitions there are.
        partitions: usize,
    },
    /// The topic is there already.
    #[error("topic {0} exists already")]
    TopicExists(String),
    /// Not a legal name.
    #[error("{name:?} is not a legal topic name: {reason}")]
    InvalidTopic {
        /// The name.
        name: String,
        /// Which rule it breaks.
        reason: &'static str,
    },
    /// A number of partitions that cannot be.
    #[error("{0}")]
    InvalidPartitions(String),
    /// A single node keeps one copy.
    #[error("replication factor {0}: a single node has one replica; ask for 1, or -1 for the default")]
    InvalidReplicationFactor(i16),
    /// An assignment of replicas to other nodes.
    #[error("{0}")]
    InvalidReplicaAssignment(String),
    /// A configuration that is not there or a value that it does not take.
    #[error("{0}")]
    InvalidConfig(String),
    /// A request that makes no sense.
    #[error("{0}")]
    InvalidRequest(String),
    /// Who asks may not do this to the topic.
    #[error("not authorized for topic {0}: a rule (ACL) has to allow it")]
    TopicDenied(String),
    /// Who asks may not do this to the group.
    #[error("not authorized for group {0}: a rule (ACL) has to allow it")]
    GroupDenied(String),
    /// Who asks may not do this to the cluster.
    #[error("not authorized for the cluster: a rule (ACL) has to allow it")]
    ClusterDenied,
    /// More than a quota has room for now.
    #[error("more than the quota {quota} allows: try again in {wait_ms} ms")]
    QuotaExceeded {
        /// Kafka's name for it.
        quota: &'static str,
        /// When there is room again, in milliseconds.
        wait_ms: u64,
    },
    /// The log refused or failed.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl BrokerError {
    /// Why a client does not get at a topic.
    pub(crate) fn no_topic(code: ErrorCode, name: &str) -> Self {
        match code {
            ErrorCode::TopicAuthorizationFailed => BrokerError::TopicDenied(name.to_string()),
            _ => BrokerError::UnknownTopic(name.to_string()),
        }
    }

    /// What a client is told.
    pub fn code(&self) -> ErrorCode {
        match self {
            BrokerError::UnknownTopic(_) | BrokerError::UnknownPartition { .. } => ErrorCode::UnknownTopicOrPartition,
            BrokerError::TopicExists(_) => ErrorCode::TopicAlreadyExists,
            BrokerError::InvalidTopic { .. } => ErrorCode::InvalidTopic,
            BrokerError::InvalidPartitions(_) => ErrorCode::InvalidPartitions,
            BrokerError::InvalidReplicationFactor(_) => ErrorCode::InvalidReplicationFactor,
            BrokerError::InvalidReplicaAssignment(_) => ErrorCode::InvalidReplicaAssignment,
            BrokerError::InvalidConfig(_) => ErrorCode::InvalidConfig,
            BrokerError::InvalidRequest(_) => ErrorCode::InvalidRequest,
            BrokerError::TopicDenied(_) => ErrorCode::TopicAuthorizationFailed,
            BrokerError::GroupDenied(_) => ErrorCode::GroupAuthorizationFailed,
            BrokerError::ClusterDenied => ErrorCode::ClusterAuthorizationFailed,
            BrokerError::QuotaExceeded { .. } => ErrorCode::ThrottlingQuotaExceeded,
            BrokerError::Log(error) => log_code(error),
        }
    }
}

/// What a client is told about an error of the log.
pub(crate) fn log_code(error: &LogError) -> ErrorCode {
    match error {
        LogError::UnknownPartition(_) => ErrorCode::UnknownTopicOrPartition,
        LogError::PartitionExists(_) => ErrorCode::TopicAlreadyExists,
        LogError::InvalidName { .. } => ErrorCode::InvalidTopic,
        LogError::InvalidConfig { .. } => ErrorCode::InvalidConfig,
        LogError::InvalidBatches { .. } => ErrorCode::CorruptMessage,
        LogError::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        LogError::OutOfOrderSequence { .. } => ErrorCode::OutOfOrderSequenceNumber,
        LogError::InvalidProducerEpoch { .. } => ErrorCode::InvalidProducerEpoch,
        LogError::TransactionOpen { .. } => ErrorCode::InvalidTxnState,
        LogError::Closed => ErrorCode::NotLeaderOrFollower,
        LogError::DiskFull { .. } | LogError::Io { .. } | LogError::Corrupt { .. } => ErrorCode::KafkaStorageError,
        _ => ErrorCode::KafkaStorageError,
    }
}
