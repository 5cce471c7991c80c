//! Kafka's APIs, a file each. To add one: write its file, and name it in [`TABLE`], which ApiVersions reads too.

mod add_offsets_to_txn;
mod add_partitions_to_txn;
mod alter_configs;
mod alter_user_scram_credentials;
mod api_versions;
mod consumer_group_describe;
mod consumer_group_heartbeat;
mod create_partitions;
mod create_topics;
mod delete_groups;
mod delete_records;
mod delete_topics;
mod describe_cluster;
mod describe_configs;
mod describe_groups;
mod describe_log_dirs;
mod describe_producers;
mod describe_topic_partitions;
mod describe_transactions;
mod describe_user_scram_credentials;
mod end_txn;
mod fetch;
mod find_coordinator;
mod heartbeat;
mod incremental_alter_configs;
mod init_producer_id;
mod join_group;
mod leave_group;
mod list_config_resources;
mod list_groups;
mod list_offsets;
mod list_partition_reassignments;
mod list_transactions;
mod metadata;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
mod produce;
mod sasl_authenticate;
mod sasl_handshake;
mod sync_group;
mod txn_offset_commit;
mod update_features;
mod write_txn_markers;

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use millstream_protocol::codec::{DecodeError, Field, Frame, Reader, Wire};
use millstream_protocol::messages::{Message, Request};
use millstream_protocol::{ApiKey, ErrorCode, RequestHeader, encode_response};
use uuid::Uuid;

use crate::Broker;
use crate::configs::listener::Listener;
use crate::groups::exchange::GroupError;
use crate::security::session::Session;
use crate::topics::Topic;

/// Every API there is, in order of its key.
pub(crate) static TABLE: &[Entry] = &[
    entry::<produce::Produce>(),
    entry::<fetch::Fetch>(),
    entry::<list_offsets::ListOffsets>(),
    entry::<metadata::Metadata>(),
    entry::<offset_commit::OffsetCommit>(),
    entry::<offset_fetch::OffsetFetch>(),
    entry::<find_coordinator::FindCoordinator>(),
    entry::<join_group::JoinGroup>(),
    entry::<heartbeat::Heartbeat>(),
    entry::<leave_group::LeaveGroup>(),
    entry::<sync_group::SyncGroup>(),
    entry::<describe_groups::DescribeGroups>(),
    entry::<list_groups::ListGroups>(),
    entry::<sasl_handshake::SaslHandshake>(),
    entry::<api_versions::ApiVersions>(),
    entry::<create_topics::CreateTopics>(),
    entry::<delete_topics::DeleteTopics>(),
    entry::<delete_records::DeleteRecords>(),
    entry::<init_producer_id::InitProducerId>(),
    entry::<offset_for_leader_epoch::OffsetForLeaderEpoch>(),
    entry::<add_partitions_to_txn::AddPartitionsToTxn>(),
    entry::<add_offsets_to_txn::AddOffsetsToTxn>(),
    entry::<end_txn::EndTxn>(),
    entry::<write_txn_markers::WriteTxnMarkers>(),
    entry::<txn_offset_commit::TxnOffsetCommit>(),
    entry::<describe_configs::DescribeConfigs>(),
    entry::<alter_configs::AlterConfigs>(),
    entry::<describe_log_dirs::DescribeLogDirs>(),
    entry::<sasl_authenticate::SaslAuthenticate>(),
    entry::<create_partitions::CreatePartitions>(),
    entry::<delete_groups::DeleteGroups>(),
    entry::<incremental_alter_configs::IncrementalAlterConfigs>(),
    entry::<list_partition_reassignments::ListPartitionReassignments>(),
    entry::<offset_delete::OffsetDelete>(),
    entry::<describe_user_scram_credentials::DescribeUserScramCredentials>(),
    entry::<alter_user_scram_credentials::AlterUserScramCredentials>(),
    entry::<update_features::UpdateFeatures>(),
    entry::<describe_cluster::DescribeCluster>(),
    entry::<describe_producers::DescribeProducers>(),
    entry::<describe_transactions::DescribeTransactions>(),
    entry::<list_transactions::ListTransactions>(),
    entry::<consumer_group_heartbeat::ConsumerGroupHeartbeat>(),
    entry::<consumer_group_describe::ConsumerGroupDescribe>(),
    entry::<list_config_resources::ListConfigResources>(),
    entry::<describe_topic_partitions::DescribeTopicPartitions>(),
];

/// The entry of an API and version, if it is one that is served.
pub(crate) fn find(api_key: i16, version: i16) -> Option<&'static Entry> {
    TABLE.iter().find(|entry| entry.key.code() == api_key && (entry.min..=entry.max).contains(&version))
}

/// An API: what it takes, and how it is answered.
pub(crate) trait Api {
    /// The request.
    type Request: Request;

    /// Versions served. All that there is a schema for, unless an API says otherwise.
    const VERSIONS: RangeInclusive<i16> = <Self::Request as Message>::VERSIONS;
    /// First version that ApiVersions lists.
    const ADVERTISED_SINCE: i16 = *Self::VERSIONS.start();
    /// The next request of the connection may begin before this one is answered. What has to happen in the order of requests must then
    /// happen in [`Api::handle`] itself, before the future it returns is polled.
    const PIPELINED: bool = false;

    /// Served also to those who have yet to log in.
    const BEFORE_LOGIN: bool = false;

    /// Whether the client waits for an answer.
    fn is_answered(_request: &Self::Request) -> bool {
        true
    }

    /// Does what is asked.
    fn handle(
        context: Context,
        request: Self::Request,
    ) -> impl Future<Output = <Self::Request as Request>::Response> + Send + 'static;
}

type Call = fn(Context, &RequestHeader, &mut Reader<'_>) -> Result<BoxFuture<'static, Option<Frame>>, DecodeError>;

/// A row of the table.
pub(crate) struct Entry {
    pub key: ApiKey,
    pub min: i16,
    pub max: i16,
    pub advertised_since: i16,
    pub pipelined: bool,
    pub before_login: bool,
    pub call: Call,
}

const fn entry<A: Api>() -> Entry {
    Entry {
        key: A::Request::KEY,
        min: *A::VERSIONS.start(),
        max: *A::VERSIONS.end(),
        advertised_since: A::ADVERTISED_SINCE,
        pipelined: A::PIPELINED,
        before_login: A::BEFORE_LOGIN,
        call: call::<A>,
    }
}

fn call<A: Api>(
    context: Context,
    header: &RequestHeader,
    reader: &mut Reader<'_>,
) -> Result<BoxFuture<'static, Option<Frame>>, DecodeError> {
    let (version, correlation_id) = (header.api_version, header.correlation_id);
    // Bytes behind the last field are passed over, as Kafka does: librdkafka leaves three behind a Metadata request for all topics.
    let field = Field { version, flexible: version >= <A::Request as Message>::FLEXIBLE_SINCE, nullable: false };
    let request = <A::Request as Wire>::decode(reader, field)?;
    let is_answered = A::is_answered(&request);
    let answer = A::handle(context, request);
    Ok(Box::pin(async move {
        let response = answer.await;
        is_answered.then(|| encode_response(&response, version, correlation_id))
    }))
}

/// What a handler knows besides the request.
#[derive(Clone)]
pub(crate) struct Context {
    pub broker: Arc<Broker>,
    pub version: i16,
    pub client_id: Arc<str>,
    pub peer: SocketAddr,
    pub local: SocketAddr,
    pub listener: Arc<Listener>,
    pub session: Arc<Session>,
}

impl Context {
    /// Host and port at which this client finds the broker.
    pub fn address(&self) -> (String, u16) {
        Broker::address_for(&self.listener, self.local)
    }

    /// The topic that a client names: by its id where the version has ids, otherwise by its name. Internal topics are not there for clients.
    pub fn topic(&self, name: &str, id: Uuid, by_id: bool) -> Result<Arc<Topic>, ErrorCode> {
        let topics = &self.broker.topics;
        let (found, error) = if by_id {
            (topics.get_by_id(id), ErrorCode::UnknownTopicId)
        } else {
            (topics.get(name), ErrorCode::UnknownTopicOrPartition)
        };
        found.filter(|topic| !topic.is_internal()).ok_or(error)
    }
}

pub(crate) use api_versions::response as unsupported_api_versions;

/// Leader epoch of every partition: one node, one leader, for ever.
pub(crate) const LEADER_EPOCH: i32 = 0;

/// What may be done, as bits, where a client asks for it: everything, since there is no authorizer.
pub(crate) mod operations {
    /// Topic: read, write, create, delete, alter, describe, describe and alter configurations.
    pub const TOPIC: i32 = 0b1101_1111_1000;
    /// Cluster: create, alter, describe, cluster action, describe and alter configurations, idempotent write.
    pub const CLUSTER: i32 = 0b1_1111_1010_0000;
    /// Group: read, delete, describe, describe and alter configurations.
    pub const GROUP: i32 = 0b1101_0100_1000;
    /// Nobody asked.
    pub const UNASKED: i32 = i32::MIN;
}

/// Holds a client's idea of the leader epoch against ours.
pub(crate) fn check_leader_epoch(current: i32) -> Result<(), ErrorCode> {
    if current > LEADER_EPOCH { Err(ErrorCode::UnknownLeaderEpoch) } else { Ok(()) }
}

/// An error's words for a client, of a length that every version can carry.
pub(crate) fn words(error: &dyn std::fmt::Display) -> Option<String> {
    let mut text = error.to_string();
    if let Some((end, _)) = text.char_indices().nth(1000) {
        text.truncate(end);
    }
    Some(text)
}

/// Bytes of a request that outlive it: without a copy they would keep its whole frame.
pub(crate) fn own(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

/// What a client is told about a group's refusal.
pub(crate) fn group_code(error: GroupError) -> ErrorCode {
    match error {
        GroupError::CoordinatorNotAvailable => ErrorCode::CoordinatorNotAvailable,
        GroupError::NotCoordinator => ErrorCode::NotCoordinator,
        GroupError::UnknownMemberId => ErrorCode::UnknownMemberId,
        GroupError::IllegalGeneration => ErrorCode::IllegalGeneration,
        GroupError::RebalanceInProgress => ErrorCode::RebalanceInProgress,
        GroupError::InconsistentProtocol => ErrorCode::InconsistentGroupProtocol,
        GroupError::FencedInstanceId => ErrorCode::FencedInstanceId,
        GroupError::MemberIdRequired => ErrorCode::MemberIdRequired,
        GroupError::GroupIdNotFound => ErrorCode::GroupIdNotFound,
        GroupError::NonEmptyGroup => ErrorCode::NonEmptyGroup,
        GroupError::SubscribedToTopic => ErrorCode::GroupSubscribedToTopic,
        GroupError::InvalidGroupId => ErrorCode::InvalidGroupId,
        GroupError::InvalidSessionTimeout => ErrorCode::InvalidSessionTimeout,
        GroupError::MaxSizeReached => ErrorCode::GroupMaxSizeReached,
        GroupError::FencedMemberEpoch => ErrorCode::FencedMemberEpoch,
        GroupError::StaleMemberEpoch => ErrorCode::StaleMemberEpoch,
        GroupError::UnreleasedInstanceId => ErrorCode::UnreleasedInstanceId,
        GroupError::UnsupportedAssignor => ErrorCode::UnsupportedAssignor,
        GroupError::InvalidRegularExpression => ErrorCode::InvalidRegularExpression,
        GroupError::InvalidRequest => ErrorCode::InvalidRequest,
    }
}

/// What a producer is told that another has replaced: newer ones know a word of its own for it.
pub(crate) fn fenced(code: ErrorCode, is_understood: bool) -> ErrorCode {
    match code {
        ErrorCode::ProducerFenced if !is_understood => ErrorCode::InvalidProducerEpoch,
        code => code,
    }
}

/// What a client is told when a commit or a removal did not happen.
pub(crate) fn commit_code(error: &crate::groups::coordinator::CommitError) -> ErrorCode {
    use crate::groups::coordinator::CommitError;
    match error {
        CommitError::Group(error) => group_code(*error),
        // Clients repeat a request to a coordinator that is not there; a full disk may have space by then.
        CommitError::Log(_) => ErrorCode::CoordinatorNotAvailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_every_schema_version_is_served() {
        assert!(TABLE.windows(2).all(|pair| pair[0].key.code() < pair[1].key.code()));
        for entry in TABLE {
            assert!(entry.advertised_since <= entry.min && entry.min <= entry.max, "{}", entry.key.name());
        }
    }

    #[test]
    fn operations_are_kafkas_bits() {
        let bits = |all: &[u32]| all.iter().fold(0, |sum, bit| sum | 1 << bit);
        assert_eq!(operations::TOPIC, bits(&[3, 4, 5, 6, 7, 8, 10, 11]));
        assert_eq!(operations::CLUSTER, bits(&[5, 7, 8, 9, 10, 11, 12]));
        assert_eq!(operations::GROUP, bits(&[3, 6, 8, 10, 11]));
    }
}
