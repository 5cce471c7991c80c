//! What an administrator asks about the node, and what is said before anything else.

use millstream_protocol::messages::alter_partition_reassignments::{ReassignablePartition, ReassignableTopic};
use millstream_protocol::messages::describe_log_dirs::DescribableLogDirTopic;
use millstream_protocol::messages::describe_quorum::{DescribeQuorumPartition, DescribeQuorumTopic};
use millstream_protocol::messages::elect_leaders::TopicPartitions;
use millstream_protocol::messages::list_partition_reassignments::ListPartitionReassignmentsTopics;
use millstream_protocol::messages::update_features::FeatureUpdateKey;
use millstream_protocol::messages::{
    APIS, AlterPartitionReassignmentsRequest, ApiVersionsRequest, ApiVersionsResponse, DescribeClusterRequest,
    DescribeLogDirsRequest, DescribeQuorumRequest, ElectLeadersRequest, FindCoordinatorRequest,
    ListPartitionReassignmentsRequest, SaslAuthenticateRequest, SaslHandshakeRequest, UpdateFeaturesRequest,
};

use super::{THREE, batch, produce_request, topic};
use crate::side::Side;

pub async fn run(side: &mut Side) {
    handshakes(side).await;
    unknown_versions(side).await;
    cluster(side).await;
    coordinators(side).await;
    log_dirs(side).await;
    elections(side).await;
    reassignments(side).await;
    features(side).await;
}

async fn handshakes(side: &mut Side) {
    // The list of APIs is compared as a whole.
    let show = |answer: &ApiVersionsResponse| ApiVersionsResponse { api_keys: Vec::new(), ..answer.clone() };
    for version in side.versions::<ApiVersionsRequest>() {
        for (step, name, number) in
            [("named", "differential", "1.0"), ("without a name", "", ""), ("a bad name", "two words", "1;0")]
        {
            let request = ApiVersionsRequest {
                client_software_name: if version >= 3 { name.to_owned() } else { String::new() },
                client_software_version: if version >= 3 { number.to_owned() } else { String::new() },
            };
            side.call_as(step, version, &request, show).await;
        }
    }
    side.raw("a version to come", 18, 99, true, b"\x02a\x021\0").await;
    side.disconnect();
    side.each("without SASL", |_| Some(SaslHandshakeRequest { mechanism: "PLAIN".to_owned() })).await;
    side.disconnect();
    side.each("without SASL", |_| Some(SaslAuthenticateRequest::default())).await;
}

/// What is not advertised ends the connection; so does what is no request.
async fn unknown_versions(side: &mut Side) {
    for api in APIS.iter().filter(|api| api.key.code() != 18) {
        let Some((first, last)) = side.common.get(&api.key.code()).copied() else { continue };
        for (step, version) in [("the version after the last", last + 1), ("version -1", -1)] {
            side.raw(step, api.key.code(), version, last >= api.flexible_since, &[]).await;
        }
        if first > 0 {
            side.raw("the version before the first", api.key.code(), first - 1, false, &[]).await;
        }
        side.raw("no body", api.key.code(), last, last >= api.flexible_since, &[]).await;
    }
    for key in [-1, 4, 7, 1000] {
        side.raw("an API of nobody's", key, 0, false, &[]).await;
    }
}

async fn cluster(side: &mut Side) {
    for (step, operations, endpoint_type, fenced) in [
        ("plain", false, 1, false),
        ("with operations", true, 1, false),
        ("of controllers", false, 2, false),
        ("with fenced ones", false, 1, true),
        ("of type 7", false, 7, false),
    ] {
        side.each(step, |version| {
            let is_plain = endpoint_type == 1 || version >= 1;
            (is_plain && (!fenced || version >= 2)).then_some(DescribeClusterRequest {
                include_cluster_authorized_operations: operations,
                endpoint_type,
                include_fenced_brokers: fenced,
            })
        })
        .await;
    }
    for (step, topic, partition) in [
        ("its own", "__cluster_metadata", 0),
        ("another partition", "__cluster_metadata", 1),
        ("another topic", "nowhere", 0),
    ] {
        side.each(step, |_| {
            let partitions = vec![DescribeQuorumPartition { partition_index: partition }];
            Some(DescribeQuorumRequest {
                topics: vec![DescribeQuorumTopic { topic_name: topic.to_owned(), partitions }],
            })
        })
        .await;
    }
    side.each("none", |_| Some(DescribeQuorumRequest::default())).await;
}

async fn coordinators(side: &mut Side) {
    side.settle_coordinators().await;
    for (step, key, key_type) in [
        ("of a group", "g", 0),
        ("of a transaction", "t", 1),
        ("of a share", "g:AAAAAAAAAAAAAAAAAAAAAQ:0", 2),
        ("of type 7", "g", 7),
        ("of type -1", "g", -1),
        ("of nobody", "", 0),
    ] {
        side.each(step, |version| {
            (version >= 1 || key_type == 0).then(|| FindCoordinatorRequest {
                key: key.to_owned(),
                key_type,
                coordinator_keys: if version >= 4 { vec![key.to_owned()] } else { Vec::new() },
            })
        })
        .await;
    }
    side.each("of several", |version| {
        (version >= 4).then(|| FindCoordinatorRequest {
            coordinator_keys: vec!["g".to_owned(), "h".to_owned(), "g".to_owned()],
            ..Default::default()
        })
    })
    .await;
    side.each("of none", |version| (version >= 4).then(FindCoordinatorRequest::default)).await;
}

async fn log_dirs(side: &mut Side) {
    let topic = topic(side, "stored", 0, 2, &[]).await;
    side.newest("three records", &produce_request(&topic, 0, Some(batch(THREE)))).await;
    let of = |topic: &str, partitions: &[i32]| {
        Some(DescribeLogDirsRequest {
            topics: Some(vec![DescribableLogDirTopic { topic: topic.to_owned(), partitions: partitions.to_vec() }]),
        })
    };
    let name = topic.name.as_str();
    side.each("of two partitions", |_| of(name, &[0, 1])).await;
    side.each("of an unknown partition", |_| of(name, &[0, 7])).await;
    side.each("of an unknown topic", |_| of("nowhere", &[0])).await;
    side.each("of no partitions", |_| of(name, &[])).await;
    side.each("of no topics", |_| Some(DescribeLogDirsRequest { topics: Some(Vec::new()) })).await;
}

async fn elections(side: &mut Side) {
    let topic = topic(side, "elected", 0, 1, &[]).await;
    let of =
        |name: &str, partition| Some(vec![TopicPartitions { topic: name.to_owned(), partitions: vec![partition] }]);
    for (step, election_type, topic_partitions) in [
        ("preferred", 0, of(&topic.name, 0)),
        ("unclean", 1, of(&topic.name, 0)),
        ("of type 7", 7, of(&topic.name, 0)),
        ("unknown partition", 0, of(&topic.name, 7)),
        ("unknown topic", 0, of("nowhere", 0)),
        ("none", 0, Some(Vec::new())),
    ] {
        side.each(step, |version| {
            (version >= 1 || election_type == 0).then(|| ElectLeadersRequest {
                election_type,
                topic_partitions: topic_partitions.clone(),
                timeout_ms: 5000,
            })
        })
        .await;
    }
}

async fn reassignments(side: &mut Side) {
    let topic = topic(side, "moved", 0, 1, &[]).await;
    let to = |name: &str, partition_index, replicas: Option<&[i32]>| AlterPartitionReassignmentsRequest {
        timeout_ms: 5000,
        allow_replication_factor_change: true,
        topics: vec![ReassignableTopic {
            name: name.to_owned(),
            partitions: vec![ReassignablePartition { partition_index, replicas: replicas.map(<[i32]>::to_vec) }],
        }],
    };
    let name = topic.name.as_str();
    for (step, request) in [
        ("to where it is", to(name, 0, Some(&[1]))),
        ("to a stranger", to(name, 0, Some(&[77]))),
        ("to nobody", to(name, 0, Some(&[]))),
        ("to one twice", to(name, 0, Some(&[1, 1]))),
        ("to -1", to(name, 0, Some(&[-1]))),
        ("cancelled", to(name, 0, None)),
        ("unknown partition", to(name, 7, Some(&[1]))),
        ("unknown topic", to("nowhere", 0, Some(&[1]))),
        ("cancelled for an unknown topic", to("nowhere", 0, None)),
        ("none", AlterPartitionReassignmentsRequest::default()),
    ] {
        side.each(step, |_| Some(request.clone())).await;
    }
    let of = |topics: &[(&str, i32)]| {
        let topics = topics.iter().map(|(name, partition)| ListPartitionReassignmentsTopics {
            name: (*name).to_owned(),
            partition_indexes: vec![*partition],
        });
        ListPartitionReassignmentsRequest { timeout_ms: 5000, topics: Some(topics.collect()) }
    };
    side.newest("of one", &of(&[(name, 0)])).await;
    side.newest("of an unknown partition", &of(&[(name, 7)])).await;
    side.newest("of an unknown topic", &of(&[("nowhere", 0)])).await;
    side.newest("of all", &ListPartitionReassignmentsRequest { timeout_ms: 5000, topics: None }).await;
}

async fn features(side: &mut Side) {
    let update = |feature: &str, max_version_level, upgrade_type| FeatureUpdateKey {
        feature: feature.to_owned(),
        max_version_level,
        upgrade_type,
        ..Default::default()
    };
    for (step, updates) in [
        ("unknown", vec![update("no.such.feature", 1, 1)]),
        ("empty name", vec![update("", 1, 1)]),
        ("too high", vec![update("transaction.version", 99, 1)]),
        ("as it is", vec![update("transaction.version", 2, 1)]),
        ("down, said to be up", vec![update("transaction.version", 1, 1)]),
        ("negative", vec![update("transaction.version", -1, 1)]),
        ("of type 9", vec![update("transaction.version", 2, 9)]),
        ("twice", vec![update("transaction.version", 2, 1), update("transaction.version", 2, 1)]),
        ("none", vec![]),
    ] {
        side.each(step, |version| {
            (version >= 1).then(|| UpdateFeaturesRequest {
                timeout_ms: 5000,
                feature_updates: updates.clone(),
                validate_only: true,
            })
        })
        .await;
    }
    side.each("unknown, not only validated", |_| {
        let updates = vec![FeatureUpdateKey { upgrade_type: 1, ..update("no.such.feature", 1, 1) }];
        Some(UpdateFeaturesRequest { timeout_ms: 5000, feature_updates: updates, validate_only: false })
    })
    .await;
}
