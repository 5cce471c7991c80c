//! The messages of Kafka's APIs, a file each. To add one: write its file in the language of [`schema`] after
//! `common/message/*.json` inside the kafka-clients jar, and name it in the table below.

pub mod add_offsets_to_txn;
pub mod add_partitions_to_txn;
pub mod alter_client_quotas;
pub mod alter_configs;
pub mod alter_partition_reassignments;
pub mod alter_user_scram_credentials;
pub mod api_versions;
pub mod consumer_group_describe;
pub mod consumer_group_heartbeat;
pub mod create_acls;
pub mod create_partitions;
pub mod create_topics;
pub mod delete_acls;
pub mod delete_groups;
pub mod delete_records;
pub mod delete_topics;
pub mod describe_acls;
pub mod describe_client_quotas;
pub mod describe_cluster;
pub mod describe_configs;
pub mod describe_groups;
pub mod describe_log_dirs;
pub mod describe_producers;
pub mod describe_quorum;
pub mod describe_topic_partitions;
pub mod describe_transactions;
pub mod describe_user_scram_credentials;
pub mod elect_leaders;
pub mod end_txn;
pub mod fetch;
pub mod find_coordinator;
pub mod heartbeat;
pub mod incremental_alter_configs;
pub mod init_producer_id;
pub mod join_group;
pub mod leave_group;
pub mod list_config_resources;
pub mod list_groups;
pub mod list_offsets;
pub mod list_partition_reassignments;
pub mod list_transactions;
pub mod metadata;
pub mod offset_commit;
pub mod offset_delete;
pub mod offset_fetch;
pub mod offset_for_leader_epoch;
pub mod produce;
pub mod sasl_authenticate;
pub mod sasl_handshake;
mod schema;
pub mod sync_group;
pub mod txn_offset_commit;
pub mod update_features;
pub mod write_txn_markers;

pub use schema::{Message, Request};

use std::ops::RangeInclusive;

use crate::ApiKey;

/// What is known of an API without its types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApiInfo {
    /// Which API.
    pub key: ApiKey,
    /// First version here.
    pub version_min: i16,
    /// Last version here.
    pub version_max: i16,
    /// First version with compact lengths and tagged fields; `i16::MAX` = none.
    pub flexible_since: i16,
}

impl ApiInfo {
    /// Versions that can be read and written.
    pub fn versions(&self) -> RangeInclusive<i16> {
        self.version_min..=self.version_max
    }
}

macro_rules! table {
    ($($module:ident::$request:ident, $response:ident;)*) => {
        $(pub use $module::{$request, $response};)*

        /// Every API with a schema, in order of its key.
        pub const APIS: &[ApiInfo] = &[$(ApiInfo {
            key: $request::KEY,
            version_min: *$request::VERSIONS.start(),
            version_max: *$request::VERSIONS.end(),
            flexible_since: $request::FLEXIBLE_SINCE,
        },)*];

        /// Calls `$body!(Request, Response);` for every API: for tests and tables over all of them.
        #[macro_export]
        macro_rules! for_each_api {
            ($body:ident) => { $($body!($crate::messages::$request, $crate::messages::$response);)* };
        }
    };
}

table! {
    produce::ProduceRequest, ProduceResponse;
    fetch::FetchRequest, FetchResponse;
    list_offsets::ListOffsetsRequest, ListOffsetsResponse;
    metadata::MetadataRequest, MetadataResponse;
    offset_commit::OffsetCommitRequest, OffsetCommitResponse;
    offset_fetch::OffsetFetchRequest, OffsetFetchResponse;
    find_coordinator::FindCoordinatorRequest, FindCoordinatorResponse;
    join_group::JoinGroupRequest, JoinGroupResponse;
    heartbeat::HeartbeatRequest, HeartbeatResponse;
    leave_group::LeaveGroupRequest, LeaveGroupResponse;
    sync_group::SyncGroupRequest, SyncGroupResponse;
    describe_groups::DescribeGroupsRequest, DescribeGroupsResponse;
    list_groups::ListGroupsRequest, ListGroupsResponse;
    sasl_handshake::SaslHandshakeRequest, SaslHandshakeResponse;
    api_versions::ApiVersionsRequest, ApiVersionsResponse;
    create_topics::CreateTopicsRequest, CreateTopicsResponse;
    delete_topics::DeleteTopicsRequest, DeleteTopicsResponse;
    delete_records::DeleteRecordsRequest, DeleteRecordsResponse;
    init_producer_id::InitProducerIdRequest, InitProducerIdResponse;
    offset_for_leader_epoch::OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse;
    add_partitions_to_txn::AddPartitionsToTxnRequest, AddPartitionsToTxnResponse;
    add_offsets_to_txn::AddOffsetsToTxnRequest, AddOffsetsToTxnResponse;
    end_txn::EndTxnRequest, EndTxnResponse;
    write_txn_markers::WriteTxnMarkersRequest, WriteTxnMarkersResponse;
    txn_offset_commit::TxnOffsetCommitRequest, TxnOffsetCommitResponse;
    describe_acls::DescribeAclsRequest, DescribeAclsResponse;
    create_acls::CreateAclsRequest, CreateAclsResponse;
    delete_acls::DeleteAclsRequest, DeleteAclsResponse;
    describe_configs::DescribeConfigsRequest, DescribeConfigsResponse;
    alter_configs::AlterConfigsRequest, AlterConfigsResponse;
    describe_log_dirs::DescribeLogDirsRequest, DescribeLogDirsResponse;
    sasl_authenticate::SaslAuthenticateRequest, SaslAuthenticateResponse;
    create_partitions::CreatePartitionsRequest, CreatePartitionsResponse;
    delete_groups::DeleteGroupsRequest, DeleteGroupsResponse;
    elect_leaders::ElectLeadersRequest, ElectLeadersResponse;
    incremental_alter_configs::IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse;
    alter_partition_reassignments::AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse;
    list_partition_reassignments::ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse;
    offset_delete::OffsetDeleteRequest, OffsetDeleteResponse;
    describe_client_quotas::DescribeClientQuotasRequest, DescribeClientQuotasResponse;
    alter_client_quotas::AlterClientQuotasRequest, AlterClientQuotasResponse;
    describe_user_scram_credentials::DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse;
    alter_user_scram_credentials::AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse;
    describe_quorum::DescribeQuorumRequest, DescribeQuorumResponse;
    update_features::UpdateFeaturesRequest, UpdateFeaturesResponse;
    describe_cluster::DescribeClusterRequest, DescribeClusterResponse;
    describe_producers::DescribeProducersRequest, DescribeProducersResponse;
    describe_transactions::DescribeTransactionsRequest, DescribeTransactionsResponse;
    list_transactions::ListTransactionsRequest, ListTransactionsResponse;
    consumer_group_heartbeat::ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse;
    consumer_group_describe::ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse;
    list_config_resources::ListConfigResourcesRequest, ListConfigResourcesResponse;
    describe_topic_partitions::DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse;
}

/// What is known of the API with this key, if it has a schema here.
pub fn api_info(key: ApiKey) -> Option<&'static ApiInfo> {
    APIS.iter().find(|api| api.key == key)
}

#[cfg(test)]
mod tests;
