//! Topics, configurations and administration over a socket, and over a restart.

mod common;

use common::*;
use millstream_broker::Part;
use millstream_protocol::ErrorCode;
use millstream_protocol::messages::create_partitions::CreatePartitionsTopic;
use millstream_protocol::messages::create_topics::{CreatableReplicaAssignment, CreatableTopic};
use millstream_protocol::messages::delete_records::{DeleteRecordsPartition, DeleteRecordsTopic};
use millstream_protocol::messages::delete_topics::DeleteTopicState;
use millstream_protocol::messages::describe_configs::{DescribeConfigsResource, DescribeConfigsResult};
use millstream_protocol::messages::describe_topic_partitions::{RequestedCursor, TopicRequest};
use millstream_protocol::messages::incremental_alter_configs::{AlterConfigsResource, AlterableConfig};
use millstream_protocol::messages::*;

async fn describe(client: &mut Connection, resource_type: i8, name: &str) -> DescribeConfigsResult {
    let resources =
        vec![DescribeConfigsResource { resource_type, resource_name: name.to_string(), configuration_keys: None }];
    let request = DescribeConfigsRequest { resources, include_synonyms: true, include_documentation: true };
    client.call(4, request).await.results.remove(0)
}

fn value(result: &DescribeConfigsResult, name: &str) -> (Option<String>, i8) {
    let config = result.configs.iter().find(|config| config.name == name).expect("the configuration is listed");
    assert!(config.documentation.as_ref().is_some_and(|text| !text.is_empty()));
    (config.value.clone(), config.config_source)
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_are_made_by_asking_unless_that_is_off() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path()).await;
    let mut client = server.connect().await;
    let answer = client.metadata(Some(&["t", "a b", "__millstream.mine"])).await;
    let codes: Vec<ErrorCode> = answer.topics.iter().map(|topic| topic.error_code).collect();
    assert_eq!(codes, [ErrorCode::None, ErrorCode::InvalidTopic, ErrorCode::UnknownTopicOrPartition]);
    assert_eq!(answer.topics[0].partitions[0].leader_epoch, 0);
    assert_eq!(
        (answer.brokers[0].host.as_str(), answer.brokers[0].port),
        ("localhost", i32::from(server.address.port()))
    );
    let request = MetadataRequest {
        topics: Some(vec![metadata::MetadataRequestTopic { name: Some("u".into()), ..Default::default() }]),
        allow_auto_topic_creation: false,
        ..MetadataRequest::default()
    };
    assert_eq!(client.call(12, request).await.topics[0].error_code, ErrorCode::UnknownTopicOrPartition);
    assert_eq!(client.metadata(None).await.topics.len(), 1, "internal topics are hidden");
    assert_eq!(client.metadata(Some(&[])).await.topics.len(), 0);
    server.stop().await;

    let dir = tempfile::tempdir().expect("a folder");
    let config = settings(&["auto.create.topics.enable=false", "advertised.listeners=PLAINTEXT://kafka.example:7"]);
    let server = Server::start_with(dir.path(), config).await;
    let mut client = server.connect().await;
    let answer = client.metadata(Some(&["t"])).await;
    assert_eq!(answer.topics[0].error_code, ErrorCode::UnknownTopicOrPartition);
    assert_eq!((answer.brokers[0].host.as_str(), answer.brokers[0].port), ("kafka.example", 7));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_cannot_be_is_refused_with_its_reason() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path()).await;
    let mut client = server.connect().await;
    assert_eq!(client.create("t", 2, &[]).await, ErrorCode::None);
    for (name, partitions, configs, code) in [
        ("t", 1, &[][..], ErrorCode::TopicAlreadyExists),
        ("__millstream.t", 1, &[], ErrorCode::InvalidTopic),
        ("a/b", 1, &[], ErrorCode::InvalidTopic),
        ("u", 0, &[], ErrorCode::InvalidPartitions),
        ("u", 1, &[("no.such", "1")], ErrorCode::InvalidConfig),
        ("u", 1, &[("retention.ms", "soon")], ErrorCode::InvalidConfig),
    ] {
        assert_eq!(client.create(name, partitions, configs).await, code, "{name} {configs:?}");
    }
    let topic = |name: &str| CreatableTopic {
        name: name.to_string(),
        num_partitions: -1,
        replication_factor: -1,
        ..CreatableTopic::default()
    };
    let assigned = |broker_ids| vec![CreatableReplicaAssignment { partition_index: 0, broker_ids }];
    let request = CreateTopicsRequest {
        topics: vec![
            CreatableTopic { replication_factor: 3, num_partitions: 1, ..topic("three") },
            CreatableTopic { assignments: assigned(vec![1, 2]), ..topic("two") },
            CreatableTopic { assignments: assigned(vec![1]), ..topic("one") },
            topic("twice"),
            topic("twice"),
            topic("default"),
        ],
        validate_only: true,
        ..CreateTopicsRequest::default()
    };
    let answer = client.call(7, request).await;
    let codes: Vec<ErrorCode> = answer.topics.iter().map(|topic| topic.error_code).collect();
    assert_eq!(
        codes,
        [
            ErrorCode::InvalidReplicationFactor,
            ErrorCode::InvalidReplicaAssignment,
            ErrorCode::None,
            ErrorCode::InvalidRequest,
            ErrorCode::None,
        ]
    );
    assert_eq!(client.metadata(None).await.topics.len(), 1, "validate_only makes nothing");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_stands_twice_in_a_request_is_refused_and_has_one_answer() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path()).await;
    let mut client = server.connect().await;
    client.create("one", 1, &[]).await;
    let state = || DeleteTopicState { name: Some("one".into()), ..DeleteTopicState::default() };
    let request = DeleteTopicsRequest { topics: vec![state(), state()], ..DeleteTopicsRequest::default() };
    let deleted = client.call(6, request).await.responses;
    let nothing = DeleteTopicsRequest { topics: vec![DeleteTopicState::default()], ..DeleteTopicsRequest::default() };
    let unnamed = client.call(6, nothing).await.responses;
    let grow = |count| CreatePartitionsTopic { name: "one".into(), count, assignments: None };
    let request = CreatePartitionsRequest { topics: vec![grow(2), grow(3)], ..CreatePartitionsRequest::default() };
    let grown = client.call(3, request).await.results;
    let codes = [deleted[0].error_code, unnamed[0].error_code, grown[0].error_code];
    assert_eq!((codes, deleted.len(), grown.len()), ([ErrorCode::InvalidRequest; 3], 1, 1));
    let described = client.metadata(Some(&["one", "one"])).await.topics;
    assert_eq!((described.len(), described[0].partitions.len()), (1, 1));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_configurations_and_records_are_there_after_a_restart() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path()).await;
    let mut client = server.connect().await;
    client.create("kept", 2, &[("retention.ms", "9000000000000")]).await;
    client.create("gone", 1, &[]).await;
    client.create("again", 1, &[]).await;
    client.produce("kept", -1, batch(&["a", "b"])).await;
    client.produce("again", -1, batch(&["old"])).await;
    let id = client.metadata(Some(&["kept"])).await.topics[0].topic_id;
    let cluster_id = server.broker.cluster_id().to_string();
    let set =
        |name: &str, value: &str| AlterableConfig { name: name.into(), config_operation: 0, value: Some(value.into()) };
    let of = |resource_type, name: &str, change| AlterConfigsResource {
        resource_type,
        resource_name: name.into(),
        configs: vec![change],
    };
    let good = vec![of(2, "kept", set("segment.ms", "60000")), of(4, "1", set("x", "1"))];
    for (resources, expected) in [
        (good, &[ErrorCode::None, ErrorCode::InvalidRequest][..]),
        (vec![of(2, "kept", set("retention.ms", "x"))], &[ErrorCode::InvalidConfig][..]),
    ] {
        let answer = client.call(1, IncrementalAlterConfigsRequest { resources, validate_only: false }).await;
        let codes: Vec<ErrorCode> = answer.responses.iter().map(|one| one.error_code).collect();
        assert_eq!(codes, expected);
    }
    let grow = |count| CreatePartitionsRequest {
        topics: vec![CreatePartitionsTopic { name: "kept".into(), count, assignments: None }],
        ..CreatePartitionsRequest::default()
    };
    assert_eq!(client.call(3, grow(3)).await.results[0].error_code, ErrorCode::None);
    assert_eq!(client.call(3, grow(2)).await.results[0].error_code, ErrorCode::InvalidPartitions);
    let request = DeleteTopicsRequest {
        topics: ["gone", "again", "never"]
            .map(|name| DeleteTopicState { name: Some(name.into()), ..DeleteTopicState::default() })
            .into(),
        ..DeleteTopicsRequest::default()
    };
    let codes: Vec<ErrorCode> = client.call(6, request).await.responses.iter().map(|one| one.error_code).collect();
    assert_eq!(codes, [ErrorCode::None, ErrorCode::None, ErrorCode::UnknownTopicOrPartition]);
    assert_eq!(client.create("again", 1, &[]).await, ErrorCode::None);
    assert_eq!(client.fetch("again", 0, 0).await, Ok(vec![]), "a new topic under an old name is empty");
    server.stop().await;

    let server = Server::start(dir.path()).await;
    let mut client = server.connect().await;
    assert_eq!(server.broker.cluster_id(), cluster_id);
    let answer = client.metadata(None).await;
    let names: Vec<&str> = answer.topics.iter().filter_map(|topic| topic.name.as_deref()).collect();
    assert_eq!(names, ["again", "kept"]);
    assert_eq!((answer.topics[1].topic_id, answer.topics[1].partitions.len()), (id, 3));
    assert_eq!(client.fetch("kept", 0, 0).await.expect("records").len(), 2);
    let described = describe(&mut client, 2, "kept").await;
    assert_eq!(value(&described, "retention.ms"), (Some("9000000000000".into()), 1));
    assert_eq!(value(&described, "segment.ms"), (Some("60000".into()), 1));
    assert_eq!(value(&described, "segment.bytes"), (Some("1073741824".into()), 5));
    let producers: Vec<i64> = [
        client.call(4, InitProducerIdRequest::default()).await.producer_id,
        client.call(4, InitProducerIdRequest::default()).await.producer_id,
    ]
    .into();
    assert_eq!(producers[1], producers[0] + 1);
    server.stop().await;

    let server = Server::start(dir.path()).await;
    let mut client = server.connect().await;
    assert!(client.call(4, InitProducerIdRequest::default()).await.producer_id > producers[1]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_broker_describes_itself() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path()).await;
    let mut client = server.connect().await;
    client.create("a", 3, &[]).await;
    client.create("b", 3, &[]).await;
    let described = describe(&mut client, 4, "1").await;
    assert_eq!(value(&described, "num.partitions"), (Some("1".into()), 5));
    assert_eq!(describe(&mut client, 4, "2").await.error_code, ErrorCode::InvalidRequest);
    assert_eq!(describe(&mut client, 2, "nowhere").await.error_code, ErrorCode::UnknownTopicOrPartition);
    let cluster = client.call(2, DescribeClusterRequest::default()).await;
    assert_eq!((cluster.brokers.len(), cluster.controller_id), (1, 1));
    assert_eq!(cluster.cluster_id, server.broker.cluster_id());
    // Pages of four partitions: three of a and one of b, then two of b.
    let page = |cursor| DescribeTopicPartitionsRequest {
        topics: vec![TopicRequest { name: "a".into() }, TopicRequest { name: "b".into() }],
        response_partition_limit: 4,
        cursor,
    };
    let first = client.call(0, page(None)).await;
    let cursor = first.next_cursor.expect("there is more");
    assert_eq!((cursor.topic_name.as_str(), cursor.partition_index), ("b", 1));
    let cursor = RequestedCursor { topic_name: cursor.topic_name, partition_index: cursor.partition_index };
    let second = client.call(0, page(Some(cursor))).await;
    assert!(second.next_cursor.is_none());
    let indexes: Vec<i32> = second.topics[0].partitions.iter().map(|partition| partition.partition_index).collect();
    assert_eq!(indexes, [1, 2]);
    let dirs = client.call(4, DescribeLogDirsRequest { topics: None }).await;
    assert_eq!(dirs.results[0].topics.len(), 2);
    for (key_type, code) in [(0, ErrorCode::None), (1, ErrorCode::None), (2, ErrorCode::InvalidRequest)] {
        let request = FindCoordinatorRequest {
            key_type,
            coordinator_keys: vec!["g".into()],
            ..FindCoordinatorRequest::default()
        };
        assert_eq!(client.call(6, request).await.coordinators[0].error_code, code);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_process_itself_sees_the_same_topics() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path()).await;
    let broker = server.broker.clone();
    let mut client = server.connect().await;
    let info = broker
        .ensure_topic("__millstream.table.rides", 1, &[("segment.bytes".into(), "1048576".into())])
        .await
        .expect("made");
    assert_eq!(info.partitions, 1);
    assert_eq!(broker.ensure_topic("__millstream.table.rides", 7, &[]).await.expect("there").partitions, 1);
    broker.ensure_topic("out", 2, &[]).await.expect("made");
    let mut mark = broker.watch("out", 1).expect("it is there");
    let part = |topic: &str, partition, batches| Part { topic: topic.into(), partition, batches };
    let both = [batch(&["b"]), batch(&["c", "d"])].concat();
    let firsts = broker
        .append(vec![part("__millstream.table.rides", 0, batch(&["a"])), part("out", 1, both.into())])
        .await
        .expect("appended");
    assert_eq!(firsts, [0, 0]);
    mark.changed().await.expect("it moved");
    assert_eq!(broker.offsets("out", 1).expect("there").high_watermark, 3);
    assert_eq!(
        values(&broker.read("__millstream.table.rides", 0, 0, 1 << 20).await.expect("read")),
        [(0, "a".to_string())]
    );
    assert!(client.metadata(None).await.topics.iter().all(|topic| topic.name.as_deref() == Some("out")));
    broker.delete_records("out", 1, 2).await.expect("forgotten");
    assert_eq!(broker.offsets("out", 1).expect("there").log_start, 2);
    let request = DeleteRecordsRequest {
        topics: vec![DeleteRecordsTopic {
            name: "out".into(),
            partitions: vec![DeleteRecordsPartition { partition_index: 1, offset: -1 }],
        }],
        timeout_ms: 1000,
    };
    assert_eq!(client.call(2, request).await.topics[0].partitions[0].low_watermark, 3);
    assert!(broker.append(vec![part("nowhere", 0, batch(&["a"]))]).await.is_err());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_say_what_went_through() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path()).await;
    let mut client = server.connect().await;
    client.metadata(Some(&["t"])).await;
    client.produce("t", -1, batch(&["a", "b"])).await;
    let text = server.broker.metrics_text();
    for line in [
        "millstream_requests_total{api=\"Produce\"} 1",
        "millstream_connections 1",
        "millstream_topics_refusing 0",
        "millstream_topic_records_in_total{topic=\"t\"} 2",
        "millstream_topic_records{topic=\"t\"} 2",
    ] {
        assert!(text.lines().any(|there| there == line), "{line} is not in {text}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leaders_and_replicas_are_where_they_can_be() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path()).await;
    let mut client = server.connect().await;
    client.create("t", 1, &[]).await;
    let topic = |name: &str| elect_leaders::TopicPartitions { topic: name.into(), partitions: vec![0] };
    let request = ElectLeadersRequest { topic_partitions: Some(vec![topic("t"), topic("u")]), ..Default::default() };
    let results = client.call(2, request).await.replica_election_results;
    let codes: Vec<ErrorCode> = results.iter().map(|topic| topic.partition_result[0].error_code).collect();
    assert_eq!(codes, [ErrorCode::ElectionNotNeeded, ErrorCode::UnknownTopicOrPartition]);
    for (replicas, code) in [
        (Some(vec![1]), ErrorCode::None),
        (Some(vec![1, 2]), ErrorCode::InvalidReplicaAssignment),
        (None, ErrorCode::NoReassignmentInProgress),
    ] {
        let partition = alter_partition_reassignments::ReassignablePartition { partition_index: 0, replicas };
        let topic = alter_partition_reassignments::ReassignableTopic { name: "t".into(), partitions: vec![partition] };
        let request = AlterPartitionReassignmentsRequest { topics: vec![topic], ..Default::default() };
        assert_eq!(client.call(1, request).await.responses[0].partitions[0].error_code, code);
    }
    let asked = |topic: &str| {
        let partitions = vec![describe_quorum::DescribeQuorumPartition { partition_index: 0 }];
        DescribeQuorumRequest {
            topics: vec![describe_quorum::DescribeQuorumTopic { topic_name: topic.into(), partitions }],
        }
    };
    let quorum = client.call(2, asked("__cluster_metadata")).await;
    let log = &quorum.topics[0].partitions[0];
    assert_eq!((log.leader_id, log.current_voters[0].replica_id, quorum.nodes[0].node_id), (1, 1, 1));
    assert!(log.high_watermark > 0 && log.current_voters[0].log_end_offset == log.high_watermark);
    assert_eq!(client.call(2, asked("t")).await.error_code, ErrorCode::InvalidRequest);
    server.stop().await;
}
