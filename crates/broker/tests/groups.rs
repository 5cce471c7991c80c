//! Consumer groups over a socket, and over a restart. Their rules are tested without one, in `src/groups`.

mod common;

use bytes::Bytes;
use common::*;
use millstream_broker::BrokerConfig;
use millstream_protocol::ErrorCode;
use millstream_protocol::messages::consumer_group_heartbeat::RequestedTopicPartitions;
use millstream_protocol::messages::join_group::JoinGroupRequestProtocol;
use millstream_protocol::messages::leave_group::MemberIdentity;
use millstream_protocol::messages::offset_commit::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use millstream_protocol::messages::offset_delete::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use millstream_protocol::messages::offset_fetch::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use millstream_protocol::messages::sync_group::SyncGroupRequestAssignment;
use millstream_protocol::messages::*;

/// A consumer's subscription to topic `t`.
const SUBSCRIPTION: &[u8] = b"\x00\x01\x00\x00\x00\x01\x00\x01t\xff\xff\xff\xff";

async fn join(client: &mut Connection, member_id: &str) -> JoinGroupResponse {
    let request = JoinGroupRequest {
        group_id: "g".into(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        member_id: member_id.to_string(),
        protocol_type: "consumer".into(),
        protocols: vec![JoinGroupRequestProtocol { name: "range".into(), metadata: Bytes::from_static(SUBSCRIPTION) }],
        ..JoinGroupRequest::default()
    };
    client.call(9, request).await
}

/// A lone member with an assignment.
async fn member(client: &mut Connection) -> JoinGroupResponse {
    let first = join(client, "").await;
    assert_eq!(first.error_code, ErrorCode::MemberIdRequired);
    let joined = join(client, &first.member_id).await;
    assert_eq!((joined.error_code, joined.members.len()), (ErrorCode::None, 1));
    let request = SyncGroupRequest {
        protocol_type: Some("consumer".into()),
        protocol_name: Some("range".into()),
        group_id: "g".into(),
        generation_id: joined.generation_id,
        member_id: joined.member_id.clone(),
        assignments: vec![SyncGroupRequestAssignment {
            member_id: joined.member_id.clone(),
            assignment: Bytes::from_static(b"part"),
        }],
        ..SyncGroupRequest::default()
    };
    let synced = client.call(5, request).await;
    assert_eq!((synced.error_code, &synced.assignment[..]), (ErrorCode::None, &b"part"[..]));
    joined
}

async fn beat(client: &mut Connection, joined: &JoinGroupResponse) -> ErrorCode {
    let request = HeartbeatRequest {
        group_id: "g".into(),
        generation_id: joined.generation_id,
        member_id: joined.member_id.clone(),
        ..HeartbeatRequest::default()
    };
    client.call(4, request).await.error_code
}

async fn commit(client: &mut Connection, group: &str, joined: Option<&JoinGroupResponse>, offset: i64) -> ErrorCode {
    let partitions = vec![OffsetCommitRequestPartition {
        committed_offset: offset,
        committed_metadata: Some("note".into()),
        ..OffsetCommitRequestPartition::default()
    }];
    let request = OffsetCommitRequest {
        group_id: group.into(),
        generation_id_or_member_epoch: joined.map_or(-1, |joined| joined.generation_id),
        member_id: joined.map_or_else(String::new, |joined| joined.member_id.clone()),
        topics: vec![OffsetCommitRequestTopic { name: "t".into(), partitions, ..OffsetCommitRequestTopic::default() }],
        ..OffsetCommitRequest::default()
    };
    client.call(9, request).await.topics[0].partitions[0].error_code
}

async fn committed(client: &mut Connection, group: &str) -> (i64, Option<String>) {
    let topics = Some(vec![OffsetFetchRequestTopics {
        name: "t".into(),
        partition_indexes: vec![0],
        ..OffsetFetchRequestTopics::default()
    }]);
    let groups = vec![OffsetFetchRequestGroup { group_id: group.into(), topics, ..OffsetFetchRequestGroup::default() }];
    let answer = client.call(9, OffsetFetchRequest { groups, ..OffsetFetchRequest::default() }).await;
    let found = &answer.groups[0].topics[0].partitions[0];
    (found.committed_offset, found.metadata.clone())
}

async fn state(client: &mut Connection) -> String {
    let request = DescribeGroupsRequest { groups: vec!["g".into()], ..DescribeGroupsRequest::default() };
    client.call(5, request).await.groups[0].group_state.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_and_groups_are_there_after_a_restart() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path()).await;
    let mut client = server.connect().await;
    client.metadata(Some(&["t"])).await;
    let joined = member(&mut client).await;
    assert_eq!(commit(&mut client, "g", Some(&joined), 5).await, ErrorCode::None);
    assert_eq!(commit(&mut client, "g", Some(&joined), 7).await, ErrorCode::None);
    assert_eq!(commit(&mut client, "g", None, 9).await, ErrorCode::UnknownMemberId, "the group has members");
    assert_eq!(commit(&mut client, "simple", None, 3).await, ErrorCode::None);
    assert_eq!(committed(&mut client, "g").await, (7, Some("note".into())));
    assert_eq!(committed(&mut client, "other").await, (-1, Some(String::new())));
    server.stop().await;

    let server = Server::start(dir.path()).await;
    let mut client = server.connect().await;
    assert_eq!(state(&mut client).await, "Stable");
    assert_eq!(beat(&mut client, &joined).await, ErrorCode::None, "the member did not notice");
    assert_eq!(committed(&mut client, "g").await, (7, Some("note".into())));
    assert_eq!(committed(&mut client, "simple").await.0, 3);
    let members = vec![MemberIdentity { member_id: joined.member_id.clone(), ..MemberIdentity::default() }];
    let request = LeaveGroupRequest { group_id: "g".into(), members, ..LeaveGroupRequest::default() };
    assert_eq!(client.call(5, request).await.members[0].error_code, ErrorCode::None);
    assert_eq!(state(&mut client).await, "Empty");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_and_offsets_are_removed_for_good() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path()).await;
    let mut client = server.connect().await;
    client.metadata(Some(&["t"])).await;
    let joined = member(&mut client).await;
    commit(&mut client, "g", Some(&joined), 5).await;
    commit(&mut client, "simple", None, 5).await;
    commit(&mut client, "offsets", None, 5).await;
    let delete =
        |names: &[&str]| DeleteGroupsRequest { groups_names: names.iter().map(|name| name.to_string()).collect() };
    let answer = client.call(2, delete(&["g", "simple", "never"])).await;
    let codes: Vec<ErrorCode> = answer.results.iter().map(|one| one.error_code).collect();
    assert_eq!(codes, [ErrorCode::NonEmptyGroup, ErrorCode::None, ErrorCode::GroupIdNotFound]);
    let forget = |group: &str| OffsetDeleteRequest {
        group_id: group.into(),
        topics: vec![OffsetDeleteRequestTopic {
            name: "t".into(),
            partitions: vec![OffsetDeleteRequestPartition { partition_index: 0 }],
        }],
    };
    let answer = client.call(0, forget("g")).await;
    assert_eq!(answer.topics[0].partitions[0].error_code, ErrorCode::GroupSubscribedToTopic);
    let answer = client.call(0, forget("offsets")).await;
    assert_eq!(answer.topics[0].partitions[0].error_code, ErrorCode::None);
    server.stop().await;

    let server = Server::start(dir.path()).await;
    let mut client = server.connect().await;
    let listed = client.call(5, ListGroupsRequest::default()).await;
    let names: Vec<&str> = listed.groups.iter().map(|group| group.group_id.as_str()).collect();
    assert_eq!(names, ["g"]);
    let filter = ListGroupsRequest { states_filter: vec!["Empty".into()], ..ListGroupsRequest::default() };
    assert!(client.call(5, filter).await.groups.is_empty());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_topic_takes_its_offsets_with_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path()).await;
    let mut client = server.connect().await;
    client.metadata(Some(&["t"])).await;
    commit(&mut client, "g", None, 5).await;
    server.broker.remove_topic("t").await.expect("deleted");
    client.metadata(Some(&["t"])).await;
    assert_eq!(committed(&mut client, "g").await.0, -1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_hangs_up_is_removed_when_its_session_ends() {
    let dir = tempfile::tempdir().expect("a folder");
    let config = BrokerConfig { group_min_session_timeout_ms: 100, ..BrokerConfig::default() };
    let server = Server::start_with(dir.path(), config).await;
    let mut client = server.connect().await;
    let request = JoinGroupRequest {
        group_id: "g".into(),
        session_timeout_ms: 200,
        rebalance_timeout_ms: 200,
        protocol_type: "consumer".into(),
        protocols: vec![JoinGroupRequestProtocol { name: "range".into(), metadata: Bytes::new() }],
        ..JoinGroupRequest::default()
    };
    let joined = client.call(3, request).await;
    assert_eq!(joined.error_code, ErrorCode::None);
    drop(client);
    let mut client = server.connect().await;
    for _ in 0..50 {
        if state(&mut client).await == "Empty" {
            return server.stop().await;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the member is still there");
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_of_a_group_without_members_expire() {
    let dir = tempfile::tempdir().expect("a folder");
    let config = BrokerConfig { offsets_retention_ms: 300, retention_check_interval_ms: 50, ..BrokerConfig::default() };
    let server = Server::start_with(dir.path(), config).await;
    let mut client = server.connect().await;
    client.metadata(Some(&["t"])).await;
    commit(&mut client, "g", None, 5).await;
    assert_eq!(committed(&mut client, "g").await.0, 5);
    for _ in 0..60 {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        if client.call(5, ListGroupsRequest::default()).await.groups.is_empty() {
            assert_eq!(committed(&mut client, "g").await.0, -1);
            return server.stop().await;
        }
    }
    panic!("the group is still there");
}

#[tokio::test(flavor = "multi_thread")]
async fn internal_logs_stay_small_and_lose_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let config =
        || BrokerConfig { internal_log_bytes_max: 20_000, retention_check_interval_ms: 20, ..BrokerConfig::default() };
    let server = Server::start_with(dir.path(), config()).await;
    let mut client = server.connect().await;
    client.metadata(Some(&["t", "other"])).await;
    let joined = member(&mut client).await;
    for offset in 0..600 {
        assert_eq!(commit(&mut client, "g", Some(&joined), offset).await, ErrorCode::None);
        assert_eq!(commit(&mut client, "simple", None, offset).await, ErrorCode::None);
        let value = (1_000_000_000 + offset).to_string();
        server.broker.set_topic_configs("other", &[("segment.ms".into(), value)]).await.expect("set");
    }
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    for name in ["__consumer_offsets-0", "__metadata-0"] {
        let folder = dir.path().join("topics").join(name);
        let files = std::fs::read_dir(&folder).expect("the folder is there");
        let logs = files.filter_map(Result::ok).filter(|file| file.path().extension().is_some_and(|end| end == "log"));
        let bytes: u64 = logs.map(|file| file.metadata().map_or(0, |about| about.len())).sum();
        assert!(bytes < 60_000, "{name}: {bytes}");
    }
    server.stop().await;

    let server = Server::start_with(dir.path(), config()).await;
    let mut client = server.connect().await;
    assert_eq!(committed(&mut client, "g").await.0, 599);
    assert_eq!(committed(&mut client, "simple").await.0, 599);
    assert_eq!(beat(&mut client, &joined).await, ErrorCode::None);
    assert_eq!(client.metadata(None).await.topics.len(), 2);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_waits_does_not_hold_up_the_end_of_the_broker() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path()).await;
    let mut client = server.connect().await;
    member(&mut client).await;
    let mut second = server.connect().await;
    let first = join(&mut second, "").await;
    let waiting = tokio::spawn(async move { join(&mut second, &first.member_id).await });
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    let began = std::time::Instant::now();
    server.stop().await;
    assert!(began.elapsed().as_secs() < 2);
    assert_eq!(waiting.await.expect("answered").error_code, ErrorCode::CoordinatorNotAvailable);
}

/// A heartbeat of a member that joins or goes on, subscribed to topic `t`.
async fn show(client: &mut Connection, member: &str, epoch: i32, owned: &[i32]) -> ConsumerGroupHeartbeatResponse {
    let id = client.metadata(Some(&["t"])).await.topics[0].topic_id;
    let owned = (!owned.is_empty()).then(|| RequestedTopicPartitions { topic_id: id, partitions: owned.to_vec() });
    let request = ConsumerGroupHeartbeatRequest {
        group_id: "g".into(),
        member_id: member.into(),
        member_epoch: epoch,
        rebalance_timeout_ms: 60_000,
        subscribed_topic_names: Some(vec!["t".into()]),
        topic_partitions: Some(owned.into_iter().collect()),
        ..ConsumerGroupHeartbeatRequest::default()
    };
    client.call(1, request).await
}

fn assigned(answer: &ConsumerGroupHeartbeatResponse) -> Vec<i32> {
    let topics = answer.assignment.iter().flat_map(|all| &all.topic_partitions);
    topics.flat_map(|topic| topic.partitions.iter().copied()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_of_the_new_protocol_hands_partitions_over_and_survives_a_restart() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path()).await;
    let mut client = server.connect().await;
    client.create("t", 4, &[]).await;
    let first = show(&mut client, "a", 0, &[]).await;
    assert_eq!((first.error_code, assigned(&first)), (ErrorCode::None, vec![0, 1, 2, 3]));
    assert_eq!(first.heartbeat_interval_ms, 5000);
    let second = show(&mut client, "b", 0, &[]).await;
    assert_eq!((second.error_code, assigned(&second)), (ErrorCode::None, vec![]));
    let gives = show(&mut client, "a", first.member_epoch, &[0, 1, 2, 3]).await;
    let keeps = assigned(&gives);
    assert_eq!((keeps.len(), gives.member_epoch), (2, first.member_epoch));
    let commit = |member: &str, epoch| OffsetCommitRequest {
        group_id: "g".into(),
        member_id: member.into(),
        generation_id_or_member_epoch: epoch,
        topics: vec![OffsetCommitRequestTopic {
            name: "t".into(),
            partitions: vec![OffsetCommitRequestPartition { committed_offset: 5, ..Default::default() }],
            ..Default::default()
        }],
        ..OffsetCommitRequest::default()
    };
    for (member, epoch, code) in [
        ("a", gives.member_epoch, ErrorCode::None),
        ("a", gives.member_epoch + 1, ErrorCode::StaleMemberEpoch),
        ("c", gives.member_epoch, ErrorCode::UnknownMemberId),
        ("", -1, ErrorCode::UnknownMemberId),
    ] {
        let answer = client.call(9, commit(member, epoch)).await;
        assert_eq!(answer.topics[0].partitions[0].error_code, code, "{member} {epoch}");
    }
    server.stop().await;

    let server = Server::start(dir.path()).await;
    let mut client = server.connect().await;
    let gave = show(&mut client, "a", gives.member_epoch, &keeps).await;
    assert_eq!(gave.error_code, ErrorCode::None);
    let gets = show(&mut client, "b", second.member_epoch, &[]).await;
    let mut all = [keeps, assigned(&gets)].concat();
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2, 3]);
    let request = ConsumerGroupDescribeRequest { group_ids: vec!["g".into(), "h".into()], ..Default::default() };
    let groups = client.call(1, request).await.groups;
    assert_eq!((groups[0].group_state.as_str(), groups[0].members.len()), ("Stable", 2));
    assert_eq!(groups[1].error_code, ErrorCode::GroupIdNotFound);
    let list = |kind: &str| ListGroupsRequest { types_filter: vec![kind.into()], ..Default::default() };
    assert_eq!(client.call(5, list("consumer")).await.groups.len(), 1);
    assert_eq!(client.call(5, list("Classic")).await.groups.len(), 0);
    // The classic protocol has no place in it while there are members, and has it when they left.
    assert_eq!(join(&mut client, "").await.error_code, ErrorCode::InconsistentGroupProtocol);
    for leaves in ["a", "b"] {
        assert_eq!(show(&mut client, leaves, -1, &[]).await.error_code, ErrorCode::None);
    }
    member(&mut client).await;
    assert_eq!(show(&mut client, "a", 0, &[]).await.error_code, ErrorCode::GroupIdNotFound);
    server.stop().await;
    let server = Server::start(dir.path()).await;
    let listed = server.connect().await.call(5, ListGroupsRequest::default()).await.groups;
    assert_eq!((listed.len(), listed[0].group_type.as_str()), (1, "classic"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_rebalance_of_a_group_waits_as_it_is_told() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(dir.path(), settings(&["group.initial.rebalance.delay.ms=500"])).await;
    let (mut one, mut other) = (server.connect().await, server.connect().await);
    let begin = std::time::Instant::now();
    let (first, second) = (join(&mut one, "").await.member_id, join(&mut other, "").await.member_id);
    let (first, second) = tokio::join!(join(&mut one, &first), join(&mut other, &second));
    let elapsed = begin.elapsed();
    assert_eq!((first.error_code, second.error_code), (ErrorCode::None, ErrorCode::None));
    assert_eq!((first.generation_id, second.generation_id), (1, 1), "they share the first assignment");
    assert!(
        (950..3_000).contains(&elapsed.as_millis()),
        "once for the first and once more for the second: {elapsed:?}"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_can_be_deleted_the_moment_its_last_session_is_over() {
    let dir = tempfile::tempdir().expect("a folder");
    let config = BrokerConfig { group_min_session_timeout_ms: 500, ..BrokerConfig::default() };
    let server = Server::start_with(dir.path(), config).await;
    for round in 0..4 {
        let (group, mut client) = (format!("g{round}"), server.connect().await);
        let request = JoinGroupRequest {
            group_id: group.clone(),
            session_timeout_ms: 500,
            rebalance_timeout_ms: 10_000,
            protocol_type: "consumer".into(),
            protocols: vec![JoinGroupRequestProtocol { name: "range".into(), metadata: Bytes::new() }],
            group_instance_id: Some("static".into()),
            ..JoinGroupRequest::default()
        };
        let joined = client.call(5, request).await;
        let request = SyncGroupRequest {
            protocol_type: Some("consumer".into()),
            protocol_name: Some("range".into()),
            group_id: group.clone(),
            generation_id: joined.generation_id,
            member_id: joined.member_id,
            group_instance_id: Some("static".into()),
            assignments: Vec::new(),
        };
        assert_eq!(client.call(5, request).await.error_code, ErrorCode::None);
        tokio::time::sleep(std::time::Duration::from_millis(501)).await;
        let answer = client.call(2, DeleteGroupsRequest { groups_names: vec![group] }).await;
        assert_eq!(answer.results[0].error_code, ErrorCode::None, "round {round}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_with_members_refuses_the_other_protocol_and_an_empty_one_goes_over() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path()).await;
    let mut client = server.connect().await;
    client.create("t", 1, &[]).await;
    let joined = member(&mut client).await;
    for _ in 0..2 {
        assert_eq!(show(&mut client, "a", 0, &[]).await.error_code, ErrorCode::GroupIdNotFound);
    }
    assert_eq!(beat(&mut client, &joined).await, ErrorCode::None, "its members do not notice");
    server.broker.groups().leave("g", &joined.member_id, None).expect("it is there");
    assert_eq!(show(&mut client, "a", 0, &[]).await.error_code, ErrorCode::None);
    assert_eq!(join(&mut client, "").await.error_code, ErrorCode::InconsistentGroupProtocol);
    server.broker.groups().leave("g", "a", None).expect("it is there");
    member(&mut client).await;
    server.stop().await;
}
