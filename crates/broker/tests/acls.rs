//! What those may do who may not: every API, asked by somebody whom no rule allows anything; then rules, one after the other.

mod common;

use common::{Connection, Server, batch, fetch_request, produce_request, settings};
use millstream_broker::BrokerConfig;
use millstream_protocol::messages::create_acls::AclCreation;
use millstream_protocol::messages::create_topics::CreatableTopic;
use millstream_protocol::messages::delete_acls::DeleteAclsFilter;
use millstream_protocol::messages::*;
use millstream_protocol::sasl::{Secret, plain};
use millstream_protocol::{ApiKey, ErrorCode};

const TOPIC: i8 = 2;
const GROUP: i8 = 3;
const CLUSTER: i8 = 4;
const LITERAL: i8 = 3;
const PREFIXED: i8 = 4;
const MATCH: i8 = 2;
const DENY: i8 = 2;
const ALLOW: i8 = 3;
const ANY: i8 = 1;
const ALL: i8 = 2;
const READ: i8 = 3;
const WRITE: i8 = 4;
const CREATE: i8 = 5;
const DESCRIBE: i8 = 8;

fn secured(more: &[&str]) -> BrokerConfig {
    let own = [
        "listeners=SASL_PLAINTEXT://localhost:0",
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users=User:admin;User:root",
    ];
    settings(&[&own[..], more].concat())
}

async fn start(dir: &std::path::Path, more: &[&str]) -> Server {
    let server = Server::start_with(dir, secured(more)).await;
    for name in ["admin", "alice"] {
        server.broker.users().set_password(name, &Secret::new("secret"), 4096).await.expect("set");
    }
    server
}

async fn log_in(server: &Server, user: &str) -> Connection {
    let mut connection = server.connect().await;
    connection.call(1, SaslHandshakeRequest { mechanism: "PLAIN".to_owned() }).await;
    let token = plain(user, &Secret::new("secret")).into();
    let answer = connection.call(2, SaslAuthenticateRequest { auth_bytes: token }).await;
    assert_eq!(answer.error_code, ErrorCode::None);
    connection
}

fn allow(resource_type: i8, name: &str, operation: i8) -> AclCreation {
    AclCreation {
        resource_type,
        resource_name: name.to_owned(),
        resource_pattern_type: LITERAL,
        principal: "User:alice".to_owned(),
        host: "*".to_owned(),
        operation,
        permission_type: ALLOW,
    }
}

async fn add(admin: &mut Connection, acl: AclCreation) -> ErrorCode {
    admin.call(3, CreateAclsRequest { creations: vec![acl] }).await.results[0].error_code
}

fn any() -> DeleteAclsFilter {
    DeleteAclsFilter {
        resource_type_filter: ANY,
        pattern_type_filter: ANY,
        operation: ANY,
        permission_type: ANY,
        ..DeleteAclsFilter::default()
    }
}

/// Every API that the broker advertises has a line here: a request about topic `t`, group `g` or the cluster, and the codes of its answer
/// to somebody who may nothing. No code: the answer is to be empty of `t` and `g`.
async fn refusal(c: &mut Connection, key: ApiKey) -> Option<Vec<ErrorCode>> {
    let name = || "t".to_string();
    let group = || "g".to_string();
    let topic = |all: Vec<ErrorCode>| Some(all);
    match key {
        ApiKey::ApiVersions | ApiKey::SaslHandshake | ApiKey::SaslAuthenticate => None,
        ApiKey::Produce => topic(vec![
            c.call(9, produce_request("t", -1, batch(&["x"]))).await.responses[0].partition_responses[0].error_code,
        ]),
        ApiKey::Fetch => topic(vec![c.call(11, fetch_request("t", 0, 0)).await.responses[0].partitions[0].error_code]),
        ApiKey::ListOffsets => {
            let partitions = vec![list_offsets::ListOffsetsPartition::default()];
            let topics = vec![list_offsets::ListOffsetsTopic { name: name(), partitions }];
            let answer = c.call(7, ListOffsetsRequest { topics, ..Default::default() }).await;
            topic(vec![answer.topics[0].partitions[0].error_code])
        }
        ApiKey::Metadata => {
            let listed = c.metadata(None).await;
            assert!(listed.topics.is_empty(), "{listed:?}");
            let named = c.metadata(Some(&["t", "not there"])).await;
            topic(named.topics.iter().map(|topic| topic.error_code).collect())
        }
        ApiKey::OffsetCommit => {
            let partitions = vec![offset_commit::OffsetCommitRequestPartition::default()];
            let topics =
                vec![offset_commit::OffsetCommitRequestTopic { name: name(), partitions, ..Default::default() }];
            let answer = c.call(9, OffsetCommitRequest { group_id: group(), topics, ..Default::default() }).await;
            topic(vec![answer.topics[0].partitions[0].error_code])
        }
        ApiKey::OffsetFetch => {
            let groups = vec![offset_fetch::OffsetFetchRequestGroup { group_id: group(), ..Default::default() }];
            let answer = c.call(8, OffsetFetchRequest { groups, ..Default::default() }).await;
            let old = c.call(7, OffsetFetchRequest { group_id: group(), ..Default::default() }).await;
            topic(vec![answer.groups[0].error_code, old.error_code])
        }
        ApiKey::FindCoordinator => {
            let request = |key_type| FindCoordinatorRequest { key: group(), key_type, coordinator_keys: vec![group()] };
            let mut codes = Vec::new();
            for key_type in [0, 1] {
                codes.push(c.call(4, request(key_type)).await.coordinators[0].error_code);
                codes.push(c.call(3, request(key_type)).await.error_code);
            }
            Some(codes)
        }
        ApiKey::JoinGroup => {
            Some(vec![c.call(9, JoinGroupRequest { group_id: group(), ..Default::default() }).await.error_code])
        }
        ApiKey::Heartbeat => {
            Some(vec![c.call(4, HeartbeatRequest { group_id: group(), ..Default::default() }).await.error_code])
        }
        ApiKey::LeaveGroup => {
            Some(vec![c.call(5, LeaveGroupRequest { group_id: group(), ..Default::default() }).await.error_code])
        }
        ApiKey::SyncGroup => {
            Some(vec![c.call(5, SyncGroupRequest { group_id: group(), ..Default::default() }).await.error_code])
        }
        ApiKey::DescribeGroups => {
            let request = DescribeGroupsRequest { groups: vec![group()], ..Default::default() };
            Some(vec![c.call(5, request).await.groups[0].error_code])
        }
        ApiKey::ConsumerGroupHeartbeat => {
            let request = ConsumerGroupHeartbeatRequest { group_id: group(), ..Default::default() };
            Some(vec![c.call(1, request).await.error_code])
        }
        ApiKey::ConsumerGroupDescribe => {
            let request = ConsumerGroupDescribeRequest { group_ids: vec![group()], ..Default::default() };
            Some(vec![c.call(1, request).await.groups[0].error_code])
        }
        ApiKey::AddPartitionsToTxn => {
            let topics = vec![add_partitions_to_txn::AddPartitionsToTxnTopic { name: name(), partitions: vec![0] }];
            let request = AddPartitionsToTxnRequest {
                v3_and_below_transactional_id: "x".to_owned(),
                v3_and_below_topics: topics,
                ..Default::default()
            };
            let answer = c.call(3, request).await;
            let code = answer.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code;
            let several = c.call(4, AddPartitionsToTxnRequest::default()).await.error_code;
            Some(vec![ErrorCode::from_code(code), several])
        }
        ApiKey::AddOffsetsToTxn => Some(vec![c.call(3, AddOffsetsToTxnRequest::default()).await.error_code]),
        ApiKey::EndTxn => Some(vec![c.call(3, EndTxnRequest::default()).await.error_code]),
        ApiKey::WriteTxnMarkers => {
            let topics = vec![write_txn_markers::WritableTxnMarkerTopic { name: name(), partition_indexes: vec![0] }];
            let markers = vec![write_txn_markers::WritableTxnMarker { topics, ..Default::default() }];
            let answer = c.call(1, WriteTxnMarkersRequest { markers }).await;
            Some(vec![answer.markers[0].topics[0].partitions[0].error_code])
        }
        ApiKey::TxnOffsetCommit => {
            let partitions = vec![txn_offset_commit::TxnOffsetCommitRequestPartition::default()];
            let topics = vec![txn_offset_commit::TxnOffsetCommitRequestTopic { name: name(), partitions }];
            let request = TxnOffsetCommitRequest { group_id: group(), topics, ..Default::default() };
            Some(vec![c.call(3, request).await.topics[0].partitions[0].error_code])
        }
        ApiKey::UpdateFeatures => Some(vec![c.call(1, UpdateFeaturesRequest::default()).await.error_code]),
        ApiKey::DescribeProducers => {
            let topics = vec![describe_producers::TopicRequest { name: name(), partition_indexes: vec![0] }];
            let answer = c.call(0, DescribeProducersRequest { topics }).await;
            Some(vec![answer.topics[0].partitions[0].error_code])
        }
        ApiKey::DescribeTransactions => {
            let request = DescribeTransactionsRequest { transactional_ids: vec!["x".to_owned()] };
            Some(vec![c.call(0, request).await.transaction_states[0].error_code])
        }
        ApiKey::ListTransactions => {
            assert!(c.call(0, ListTransactionsRequest::default()).await.transaction_states.is_empty());
            None
        }
        ApiKey::ListGroups => {
            assert!(c.call(4, ListGroupsRequest::default()).await.groups.is_empty());
            None
        }
        ApiKey::CreateTopics => {
            let topic = CreatableTopic {
                name: "new".to_owned(),
                num_partitions: 1,
                replication_factor: 1,
                ..Default::default()
            };
            let answer = c.call(7, CreateTopicsRequest { topics: vec![topic], ..Default::default() }).await;
            Some(vec![answer.topics[0].error_code])
        }
        ApiKey::DeleteTopics => {
            let answer = c.call(5, DeleteTopicsRequest { topic_names: vec![name()], ..Default::default() }).await;
            Some(vec![answer.responses[0].error_code])
        }
        ApiKey::DeleteRecords => {
            let partitions = vec![delete_records::DeleteRecordsPartition { partition_index: 0, offset: -1 }];
            let topics = vec![delete_records::DeleteRecordsTopic { name: name(), partitions }];
            let answer = c.call(2, DeleteRecordsRequest { topics, ..Default::default() }).await;
            Some(vec![answer.topics[0].partitions[0].error_code])
        }
        ApiKey::InitProducerId => {
            let with = InitProducerIdRequest { transactional_id: Some("x".to_owned()), ..Default::default() };
            let without = c.call(4, InitProducerIdRequest::default()).await.error_code;
            Some(vec![c.call(4, with).await.error_code, without])
        }
        ApiKey::OffsetForLeaderEpoch => {
            let partitions = vec![offset_for_leader_epoch::OffsetForLeaderPartition::default()];
            let topics = vec![offset_for_leader_epoch::OffsetForLeaderTopic { topic: name(), partitions }];
            let answer = c.call(4, OffsetForLeaderEpochRequest { topics, ..Default::default() }).await;
            Some(vec![answer.topics[0].partitions[0].error_code])
        }
        ApiKey::DescribeAcls => Some(vec![
            c.call(
                3,
                DescribeAclsRequest {
                    resource_type_filter: ANY,
                    pattern_type_filter: ANY,
                    operation: ANY,
                    permission_type: ANY,
                    ..Default::default()
                },
            )
            .await
            .error_code,
        ]),
        ApiKey::CreateAcls => Some(vec![add(c, allow(TOPIC, "t", ALL)).await]),
        ApiKey::DeleteAcls => {
            Some(vec![c.call(3, DeleteAclsRequest { filters: vec![any()] }).await.filter_results[0].error_code])
        }
        ApiKey::DescribeConfigs => {
            let resources = [(2, "t"), (4, "1"), (32, "g")].map(|(resource_type, name)| {
                describe_configs::DescribeConfigsResource {
                    resource_type,
                    resource_name: name.to_owned(),
                    ..Default::default()
                }
            });
            let request = DescribeConfigsRequest { resources: resources.into(), ..Default::default() };
            Some(c.call(4, request).await.results.iter().map(|one| one.error_code).collect())
        }
        ApiKey::AlterConfigs => {
            let resources =
                [(2, "t"), (4, "1"), (32, "g")].map(|(resource_type, name)| alter_configs::AlterConfigsResource {
                    resource_type,
                    resource_name: name.to_owned(),
                    ..Default::default()
                });
            let request = AlterConfigsRequest { resources: resources.into(), ..Default::default() };
            Some(c.call(2, request).await.responses.iter().map(|one| one.error_code).collect())
        }
        ApiKey::IncrementalAlterConfigs => {
            let resources = [(2, "t"), (4, "1"), (32, "g")].map(|(resource_type, name)| {
                incremental_alter_configs::AlterConfigsResource {
                    resource_type,
                    resource_name: name.to_owned(),
                    ..Default::default()
                }
            });
            let request = IncrementalAlterConfigsRequest { resources: resources.into(), ..Default::default() };
            Some(c.call(1, request).await.responses.iter().map(|one| one.error_code).collect())
        }
        ApiKey::DescribeLogDirs => {
            let answer = c.call(4, DescribeLogDirsRequest::default()).await;
            assert!(answer.results.is_empty());
            Some(vec![answer.error_code])
        }
        ApiKey::CreatePartitions => {
            let topics =
                vec![create_partitions::CreatePartitionsTopic { name: name(), count: 9, ..Default::default() }];
            let answer = c.call(3, CreatePartitionsRequest { topics, ..Default::default() }).await;
            Some(vec![answer.results[0].error_code])
        }
        ApiKey::DeleteGroups => {
            Some(vec![c.call(2, DeleteGroupsRequest { groups_names: vec![group()] }).await.results[0].error_code])
        }
        ApiKey::ElectLeaders => {
            let asked = elect_leaders::TopicPartitions { topic: name(), partitions: vec![0] };
            let request = ElectLeadersRequest { topic_partitions: Some(vec![asked]), ..Default::default() };
            let answer = c.call(2, request).await;
            Some(vec![answer.error_code, answer.replica_election_results[0].partition_result[0].error_code])
        }
        ApiKey::AlterPartitionReassignments => {
            let partitions = vec![alter_partition_reassignments::ReassignablePartition::default()];
            let topics = vec![alter_partition_reassignments::ReassignableTopic { name: name(), partitions }];
            let answer = c.call(1, AlterPartitionReassignmentsRequest { topics, ..Default::default() }).await;
            Some(vec![answer.error_code, answer.responses[0].partitions[0].error_code])
        }
        ApiKey::DescribeQuorum => Some(vec![c.call(2, DescribeQuorumRequest::default()).await.error_code]),
        ApiKey::ListPartitionReassignments => {
            Some(vec![c.call(0, ListPartitionReassignmentsRequest::default()).await.error_code])
        }
        ApiKey::OffsetDelete => {
            Some(vec![c.call(0, OffsetDeleteRequest { group_id: group(), ..Default::default() }).await.error_code])
        }
        ApiKey::DescribeClientQuotas => Some(vec![c.call(1, DescribeClientQuotasRequest::default()).await.error_code]),
        ApiKey::AlterClientQuotas => {
            let entity = vec![alter_client_quotas::EntityData { entity_type: "user".to_owned(), entity_name: None }];
            let entries = vec![alter_client_quotas::EntryData { entity, ops: vec![] }];
            let answer = c.call(1, AlterClientQuotasRequest { entries, validate_only: false }).await;
            Some(answer.entries.iter().map(|entry| entry.error_code).collect())
        }
        ApiKey::DescribeUserScramCredentials => {
            Some(vec![c.call(0, DescribeUserScramCredentialsRequest::default()).await.error_code])
        }
        ApiKey::AlterUserScramCredentials => {
            let deletions =
                vec![alter_user_scram_credentials::ScramCredentialDeletion { name: "admin".to_owned(), mechanism: 1 }];
            let answer = c.call(0, AlterUserScramCredentialsRequest { deletions, upsertions: vec![] }).await;
            Some(vec![answer.results[0].error_code])
        }
        ApiKey::DescribeCluster => {
            let request = DescribeClusterRequest { include_cluster_authorized_operations: true, ..Default::default() };
            assert_eq!(c.call(1, request).await.cluster_authorized_operations, 0);
            None
        }
        ApiKey::ListConfigResources => Some(vec![c.call(1, ListConfigResourcesRequest::default()).await.error_code]),
        ApiKey::DescribeTopicPartitions => {
            assert!(c.call(0, DescribeTopicPartitionsRequest::default()).await.topics.is_empty());
            let topics = vec![describe_topic_partitions::TopicRequest { name: name() }];
            let answer = c.call(0, DescribeTopicPartitionsRequest { topics, ..Default::default() }).await;
            Some(vec![answer.topics[0].error_code])
        }
        other => panic!("say here what {other} answers to somebody who may nothing"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_api_refuses_those_whom_no_rule_allows_anything() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = start(dir.path(), &[]).await;
    let mut admin = log_in(&server, "admin").await;
    assert_eq!(admin.create("t", 1, &[]).await, ErrorCode::None);
    let mut alice = log_in(&server, "alice").await;
    let advertised = alice.call(2, ApiVersionsRequest::default()).await.api_keys;
    assert!(advertised.len() > 30);
    for api in advertised {
        let key = ApiKey::from_code(api.api_key).expect("known");
        let Some(codes) = refusal(&mut alice, key).await else { continue };
        for code in codes {
            let is_refusal = matches!(
                code,
                ErrorCode::TopicAuthorizationFailed
                    | ErrorCode::GroupAuthorizationFailed
                    | ErrorCode::ClusterAuthorizationFailed
                    | ErrorCode::TransactionalIdAuthorizationFailed
            );
            assert!(is_refusal, "{key}: {code:?}");
        }
    }
    assert_eq!(admin.metadata(None).await.topics.len(), 1, "nothing was made or taken away");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_allow_deny_imply_and_outlive_a_restart() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = start(dir.path(), &[]).await;
    let mut admin = log_in(&server, "admin").await;
    for topic in ["rides", "rides-eu", "secret"] {
        assert_eq!(admin.create(topic, 1, &[]).await, ErrorCode::None);
    }
    let prefixed = |acl: AclCreation| AclCreation { resource_pattern_type: PREFIXED, ..acl };
    assert_eq!(add(&mut admin, prefixed(allow(TOPIC, "rides", WRITE))).await, ErrorCode::None);
    let mut alice = log_in(&server, "alice").await;
    let names = |answer: MetadataResponse| answer.topics.into_iter().filter_map(|topic| topic.name).collect::<Vec<_>>();
    assert_eq!(names(alice.metadata(None).await), ["rides", "rides-eu"], "writing implies describing");
    assert_eq!(alice.produce("rides-eu", -1, batch(&["a"])).await.error_code, ErrorCode::None);
    assert_eq!(alice.fetch("rides-eu", 0, 0).await, Err(ErrorCode::TopicAuthorizationFailed), "but not reading");
    let answer = alice.call(4, InitProducerIdRequest::default()).await;
    assert_eq!(answer.error_code, ErrorCode::None, "who writes anywhere may do so idempotently");
    // Everybody reads, but alice not the secret one, and nobody from elsewhere.
    let everybody = AclCreation { principal: "User:*".to_owned(), ..allow(TOPIC, "*", READ) };
    assert_eq!(add(&mut admin, everybody).await, ErrorCode::None);
    assert!(alice.fetch("secret", 0, 0).await.is_ok());
    let deny = AclCreation { permission_type: DENY, ..allow(TOPIC, "secret", READ) };
    assert_eq!(add(&mut admin, AclCreation { host: "10.9.8.7".to_owned(), ..deny.clone() }).await, ErrorCode::None);
    assert!(alice.fetch("secret", 0, 0).await.is_ok(), "denied from another address only");
    assert_eq!(add(&mut admin, deny).await, ErrorCode::None);
    let denials = || {
        let metrics = server.broker.metrics_text();
        let line = metrics.lines().find_map(|line| line.strip_prefix("millstream_acl_denials_total "));
        line.and_then(|count| count.parse::<u64>().ok()).expect("there is such a line")
    };
    let before = denials();
    alice.metadata(None).await;
    assert_eq!(denials(), before, "what is left out of a list is not denied");
    assert_eq!(alice.fetch("secret", 0, 0).await, Err(ErrorCode::TopicAuthorizationFailed));
    assert!(denials() > before);
    assert_eq!(names(alice.metadata(Some(&["secret"])).await), ["secret"], "describing is not denied");
    // What alice may do is told as bits.
    let topics = Some(vec![metadata::MetadataRequestTopic { name: Some("rides".to_owned()), ..Default::default() }]);
    let request = MetadataRequest { topics, include_topic_authorized_operations: true, ..Default::default() };
    let answer = alice.call(12, request).await;
    assert_eq!(answer.topics[0].topic_authorized_operations, 1 << READ | 1 << WRITE | 1 << DESCRIBE);
    // A topic is made by those who may create it, and only then.
    assert_eq!(alice.create("new", 1, &[]).await, ErrorCode::TopicAuthorizationFailed);
    let asked = alice.metadata(Some(&["auto"])).await;
    assert_eq!(asked.topics[0].error_code, ErrorCode::TopicAuthorizationFailed);
    assert_eq!(add(&mut admin, allow(TOPIC, "new", CREATE)).await, ErrorCode::None);
    assert_eq!(alice.create("new", 1, &[]).await, ErrorCode::None);
    assert_eq!(add(&mut admin, allow(CLUSTER, "kafka-cluster", CREATE)).await, ErrorCode::None);
    assert_eq!(alice.metadata(Some(&["auto"])).await.topics[0].error_code, ErrorCode::None);
    assert_eq!(add(&mut admin, allow(GROUP, "g", READ)).await, ErrorCode::None);
    let heartbeat = || HeartbeatRequest { group_id: "g".to_owned(), ..Default::default() };
    assert_eq!(alice.call(4, heartbeat()).await.error_code, ErrorCode::UnknownMemberId, "let through");
    for wrong in [allow(CLUSTER, "other", READ), allow(TOPIC, "", READ), allow(TOPIC, "t", 1), allow(1, "t", READ)] {
        assert_eq!(add(&mut admin, wrong).await, ErrorCode::InvalidRequest);
    }
    let unknown = AclCreation { principal: "alice".to_owned(), ..allow(TOPIC, "t", READ) };
    assert_eq!(add(&mut admin, unknown).await, ErrorCode::InvalidRequest);
    server.stop().await;

    let server = Server::start_with(dir.path(), secured(&[])).await;
    let mut alice = log_in(&server, "alice").await;
    assert_eq!(alice.fetch("secret", 0, 0).await, Err(ErrorCode::TopicAuthorizationFailed));
    let mut admin = log_in(&server, "admin").await;
    let covering = DescribeAclsRequest {
        resource_type_filter: TOPIC,
        resource_name_filter: Some("rides-eu".to_owned()),
        pattern_type_filter: MATCH,
        operation: ANY,
        permission_type: ANY,
        ..Default::default()
    };
    let found = admin.call(3, covering).await.resources;
    let found: Vec<_> = found.iter().map(|one| (one.resource_name.as_str(), one.pattern_type)).collect();
    assert_eq!(found, [("*", LITERAL), ("rides", PREFIXED)]);
    let filters = vec![DeleteAclsFilter { permission_type: DENY, ..any() }, any()];
    let gone = admin.call(3, DeleteAclsRequest { filters }).await.filter_results;
    assert_eq!(gone.iter().map(|one| one.matching_acls.len()).collect::<Vec<_>>(), [2, 7]);
    assert!(alice.metadata(None).await.topics.is_empty());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_authorizer_rules_are_refused_and_without_rules_all_may_be_open() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path()).await;
    let mut anybody = server.connect().await;
    assert_eq!(add(&mut anybody, allow(TOPIC, "t", READ)).await, ErrorCode::SecurityDisabled);
    server.stop().await;
    let dir = tempfile::tempdir().expect("a folder");
    let server = start(dir.path(), &["allow.everyone.if.no.acl.found=true"]).await;
    let (mut admin, mut alice) = (log_in(&server, "admin").await, log_in(&server, "alice").await);
    assert_eq!(alice.produce("t", -1, batch(&["a"])).await.error_code, ErrorCode::UnknownTopicOrPartition);
    assert_eq!(alice.create("t", 1, &[]).await, ErrorCode::None);
    let bob = AclCreation { principal: "User:bob".to_owned(), ..allow(TOPIC, "t", ALL) };
    assert_eq!(add(&mut admin, bob).await, ErrorCode::None);
    assert_eq!(alice.fetch("t", 0, 0).await, Err(ErrorCode::TopicAuthorizationFailed), "now there is a rule");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_step_of_a_transaction_asks_for_its_own_rule() {
    const TRANSACTIONAL_ID: i8 = 5;
    const ALTER: i8 = 7;
    let dir = tempfile::tempdir().expect("a folder");
    let server = start(dir.path(), &[]).await;
    let (mut admin, mut alice) = (log_in(&server, "admin").await, log_in(&server, "alice").await);
    for topic in ["t", "u"] {
        assert_eq!(admin.create(topic, 1, &[]).await, ErrorCode::None);
    }
    let init = || InitProducerIdRequest {
        transactional_id: Some("x".to_owned()),
        transaction_timeout_ms: 60_000,
        ..Default::default()
    };
    let denied = alice.call(4, init()).await.error_code;
    assert_eq!(denied, ErrorCode::TransactionalIdAuthorizationFailed);
    assert_eq!(add(&mut admin, allow(TRANSACTIONAL_ID, "x", WRITE)).await, ErrorCode::None);
    let producer = alice.call(4, init()).await;
    assert_eq!(producer.error_code, ErrorCode::None);
    let (producer_id, producer_epoch) = (producer.producer_id, producer.producer_epoch);
    let take_part = |topics: &[&str]| AddPartitionsToTxnRequest {
        v3_and_below_transactional_id: "x".to_owned(),
        v3_and_below_producer_id: producer_id,
        v3_and_below_producer_epoch: producer_epoch,
        v3_and_below_topics: topics
            .iter()
            .map(|name| add_partitions_to_txn::AddPartitionsToTxnTopic { name: name.to_string(), partitions: vec![0] })
            .collect(),
        ..Default::default()
    };
    let codes = |answer: AddPartitionsToTxnResponse| {
        let topics = answer.results_by_topic_v3_and_below.into_iter();
        topics.map(|topic| ErrorCode::from_code(topic.results_by_partition[0].partition_error_code)).collect::<Vec<_>>()
    };
    assert_eq!(add(&mut admin, allow(TOPIC, "t", WRITE)).await, ErrorCode::None);
    let refused = codes(alice.call(3, take_part(&["t", "u"])).await);
    assert_eq!(refused, [ErrorCode::OperationNotAttempted, ErrorCode::TopicAuthorizationFailed], "all or none");
    assert_eq!(codes(alice.call(3, take_part(&["t"])).await), [ErrorCode::None]);
    let offsets = || AddOffsetsToTxnRequest {
        transactional_id: "x".to_owned(),
        producer_id,
        producer_epoch,
        group_id: "g".to_owned(),
    };
    assert_eq!(alice.call(3, offsets()).await.error_code, ErrorCode::GroupAuthorizationFailed);
    assert_eq!(add(&mut admin, allow(GROUP, "g", READ)).await, ErrorCode::None);
    assert_eq!(alice.call(3, offsets()).await.error_code, ErrorCode::None);
    let end = EndTxnRequest { transactional_id: "x".to_owned(), producer_id, producer_epoch, committed: true };
    assert_eq!(alice.call(3, end).await.error_code, ErrorCode::None);
    // An administrator's abort asks for the cluster, and for no topic.
    let abort = || {
        let topics =
            vec![write_txn_markers::WritableTxnMarkerTopic { name: "u".to_owned(), partition_indexes: vec![0] }];
        let marker = write_txn_markers::WritableTxnMarker { producer_id, producer_epoch, topics, ..Default::default() };
        WriteTxnMarkersRequest { markers: vec![marker] }
    };
    let code = |answer: WriteTxnMarkersResponse| answer.markers[0].topics[0].partitions[0].error_code;
    assert_eq!(code(alice.call(1, abort()).await), ErrorCode::ClusterAuthorizationFailed);
    assert_eq!(add(&mut admin, allow(CLUSTER, "kafka-cluster", ALTER)).await, ErrorCode::None);
    assert_eq!(code(alice.call(1, abort()).await), ErrorCode::None);
    server.stop().await;
}
