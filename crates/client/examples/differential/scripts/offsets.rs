//! Offsets of groups without members: committed, fetched, deleted; groups listed, described, deleted.

use millstream_protocol::messages::offset_commit::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use millstream_protocol::messages::offset_delete::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use millstream_protocol::messages::offset_fetch::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use millstream_protocol::messages::{
    ConsumerGroupDescribeRequest, DeleteGroupsRequest, DescribeGroupsRequest, ListGroupsRequest, OffsetCommitRequest,
    OffsetDeleteRequest, OffsetFetchRequest,
};

use super::{TestTopic, nowhere, topic};
use crate::side::Side;

pub async fn run(side: &mut Side) {
    side.settle_coordinators().await;
    commit(side).await;
    fetch(side).await;
    delete(side).await;
    describe(side).await;
}

/// A commit by nobody in particular, as tools do it.
pub fn commit_request(group: &str, topic: &TestTopic, partition: i32, offset: i64) -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition {
        partition_index: partition,
        committed_offset: offset,
        committed_metadata: Some("said so".to_owned()),
        ..Default::default()
    };
    let topic = OffsetCommitRequestTopic { name: topic.name.clone(), topic_id: topic.id, partitions: vec![partition] };
    OffsetCommitRequest { group_id: group.to_owned(), topics: vec![topic], ..Default::default() }
}

async fn commit(side: &mut Side) {
    let topic = topic(side, "committed", 0, 2, &[]).await;
    let unknown = nowhere(side);
    for version in side.versions::<OffsetCommitRequest>() {
        let group = side.name("group", version);
        let to = |partition, offset| commit_request(&group, &topic, partition, offset);
        let with = |change: &dyn Fn(&mut OffsetCommitRequestPartition)| {
            let mut request = to(0, 5);
            change(&mut request.topics[0].partitions[0]);
            request
        };
        let steps = [
            ("5", to(0, 5)),
            ("back to 3", to(0, 3)),
            ("0", to(1, 0)),
            ("-1", to(0, -1)),
            ("-5", to(0, -5)),
            ("partition 7", to(7, 5)),
            ("partition -1", to(-1, 5)),
            ("unknown topic", commit_request(&group, &unknown, 0, 5)),
            ("no words", with(&|one| one.committed_metadata = None)),
            ("empty words", with(&|one| one.committed_metadata = Some(String::new()))),
            ("many words", with(&|one| one.committed_metadata = Some("w".repeat(5000)))),
            ("by an unknown member", OffsetCommitRequest { member_id: "stranger".to_owned(), ..to(0, 5) }),
            ("in a generation", OffsetCommitRequest { generation_id_or_member_epoch: 3, ..to(0, 5) }),
            (
                "by an unknown member of a generation",
                OffsetCommitRequest { generation_id_or_member_epoch: 3, member_id: "stranger".to_owned(), ..to(0, 5) },
            ),
            ("of no group", commit_request("", &topic, 0, 5)),
            ("no topics", OffsetCommitRequest { topics: Vec::new(), ..to(0, 5) }),
        ];
        for (step, request) in &steps {
            side.call(step, version, request).await;
        }
        if version >= 6 {
            side.call("with an epoch", version, &with(&|one| one.committed_leader_epoch = 4)).await;
            side.newest("after it", &fetch_request(&group, &[&topic], &[0, 1, 7])).await;
        }
        if version >= 7 {
            let instance = OffsetCommitRequest { group_instance_id: Some("i".to_owned()), ..to(0, 5) };
            side.call("by an instance", version, &instance).await;
        }
        let strange = side.name("group-of-a-stranger", version);
        let by_stranger = OffsetCommitRequest {
            generation_id_or_member_epoch: 3,
            member_id: "stranger".to_owned(),
            ..commit_request(&strange, &topic, 0, 5)
        };
        side.call("a group that is not there, in a generation", version, &by_stranger).await;
        side.newest("a group's offsets", &fetch_request(&group, &[&topic], &[0, 1, 7])).await;
    }
}

/// In every version's own words.
fn fetch_request(group: &str, topics: &[&TestTopic], partitions: &[i32]) -> OffsetFetchRequest {
    let early = topics
        .iter()
        .map(|topic| OffsetFetchRequestTopic { name: topic.name.clone(), partition_indexes: partitions.to_vec() });
    let late = topics.iter().map(|topic| OffsetFetchRequestTopics {
        name: topic.name.clone(),
        topic_id: topic.id,
        partition_indexes: partitions.to_vec(),
    });
    OffsetFetchRequest {
        group_id: group.to_owned(),
        topics: Some(early.collect()),
        groups: vec![OffsetFetchRequestGroup {
            group_id: group.to_owned(),
            topics: Some(late.collect()),
            ..Default::default()
        }],
        require_stable: false,
    }
}

async fn fetch(side: &mut Side) {
    let topic = topic(side, "fetched", 0, 2, &[]).await;
    let unknown = nowhere(side);
    let group = side.name("fetching", 0);
    side.newest("5", &commit_request(&group, &topic, 0, 5)).await;
    side.each("of both partitions", |_| Some(fetch_request(&group, &[&topic], &[0, 1]))).await;
    side.each("of an unknown partition", |_| Some(fetch_request(&group, &[&topic], &[7, -1]))).await;
    side.each("of an unknown topic", |_| Some(fetch_request(&group, &[&topic, &unknown], &[0]))).await;
    side.each("of no partition", |_| Some(fetch_request(&group, &[&topic], &[]))).await;
    side.each("of no topic", |_| Some(fetch_request(&group, &[], &[]))).await;
    side.each("of all", |version| {
        let mut request = fetch_request(&group, &[], &[]);
        request.topics = None;
        request.groups[0].topics = None;
        (version >= 2).then_some(request)
    })
    .await;
    side.each("of all of a group that is not there", |version| {
        let mut request = fetch_request("no-such-group", &[], &[]);
        request.topics = None;
        request.groups[0].topics = None;
        (version >= 2).then_some(request)
    })
    .await;
    side.each("of a group that is not there", |_| Some(fetch_request("no-such-group", &[&topic], &[0]))).await;
    side.each("of no group", |_| Some(fetch_request("", &[&topic], &[0]))).await;
    side.each("stable", |version| {
        (version >= 7).then(|| OffsetFetchRequest { require_stable: true, ..fetch_request(&group, &[&topic], &[0, 1]) })
    })
    .await;
    side.each("of two groups", |version| {
        let mut request = fetch_request(&group, &[&topic], &[0]);
        request.groups.extend(fetch_request("no-such-group", &[&topic], &[0]).groups);
        (version >= 8).then_some(request)
    })
    .await;
    side.each("of a group twice", |version| {
        let mut request = fetch_request(&group, &[&topic], &[0]);
        request.groups.extend(fetch_request(&group, &[&topic], &[1]).groups);
        (version >= 8).then_some(request)
    })
    .await;
    side.each("of nobody", |version| (version >= 8).then(OffsetFetchRequest::default)).await;
    side.each("by a member", |version| {
        let mut request = fetch_request(&group, &[&topic], &[0]);
        (request.groups[0].member_id, request.groups[0].member_epoch) = (Some("stranger".to_owned()), 4);
        (version >= 9).then_some(request)
    })
    .await;
}

async fn delete(side: &mut Side) {
    let topic = topic(side, "deleted", 0, 2, &[]).await;
    let group = side.name("deleting", 0);
    side.newest("5", &commit_request(&group, &topic, 0, 5)).await;
    let of = |group: &str, topic: &str, partition_index| OffsetDeleteRequest {
        group_id: group.to_owned(),
        topics: vec![OffsetDeleteRequestTopic {
            name: topic.to_owned(),
            partitions: vec![OffsetDeleteRequestPartition { partition_index }],
        }],
    };
    let name = topic.name.as_str();
    for (step, request) in [
        ("one that was committed", of(&group, name, 0)),
        ("again", of(&group, name, 0)),
        ("one that was not", of(&group, name, 1)),
        ("unknown partition", of(&group, name, 7)),
        ("unknown topic", of(&group, "nowhere", 0)),
        ("of a group that is not there", of("no-such-group", name, 0)),
        ("of no group", of("", name, 0)),
        ("none", OffsetDeleteRequest { group_id: group.clone(), topics: Vec::new() }),
    ] {
        side.newest(step, &request).await;
    }
    for version in side.versions::<DeleteGroupsRequest>() {
        let group = side.name("leaving", version);
        side.newest("5", &commit_request(&group, &topic, 0, 5)).await;
        let of = |groups: &[&str]| DeleteGroupsRequest {
            groups_names: groups.iter().map(|group| (*group).to_owned()).collect(),
        };
        side.call("one and one that is not there", version, &of(&[&group, "no-such-group"])).await;
        side.call("again", version, &of(&[&group])).await;
        side.call("no name", version, &of(&[""])).await;
        side.call("twice", version, &of(&["no-such-group", "no-such-group"])).await;
        side.call("none", version, &of(&[])).await;
    }
}

async fn describe(side: &mut Side) {
    let topic = topic(side, "described", 0, 2, &[]).await;
    let group = side.name("described-group", 0);
    side.newest("5", &commit_request(&group, &topic, 0, 5)).await;
    let of = |groups: &[&str], operations| DescribeGroupsRequest {
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        include_authorized_operations: operations,
    };
    side.each("of offsets only", |_| Some(of(&[&group], false))).await;
    side.each("not there", |_| Some(of(&["no-such-group"], false))).await;
    side.each("without a name", |_| Some(of(&[""], false))).await;
    side.each("twice", |_| Some(of(&[&group, &group], false))).await;
    side.each("none", |_| Some(of(&[], false))).await;
    side.each("with operations", |version| (version >= 3).then(|| of(&[&group, "no-such-group"], true))).await;
    for (step, groups) in [
        ("of offsets only", vec![group.clone()]),
        ("not there", vec!["no-such-group".to_owned()]),
        ("without a name", vec![String::new()]),
        ("none", vec![]),
    ] {
        side.each(step, |_| {
            Some(ConsumerGroupDescribeRequest { group_ids: groups.clone(), include_authorized_operations: true })
        })
        .await;
    }
    let filters: [(&str, &[&str], &[&str]); 9] = [
        ("all", &[], &[]),
        ("empty ones", &["Empty"], &[]),
        ("empty ones, in small letters", &["empty"], &[]),
        ("stable ones", &["Stable"], &[]),
        ("of no such state", &["Sleeping"], &[]),
        ("classic ones", &[], &["classic"]),
        ("classic ones in large letters", &[], &["CLASSIC"]),
        ("consumers", &[], &["consumer"]),
        ("of no such type", &[], &["odd"]),
    ];
    for (step, states, types) in filters {
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        side.each(step, |version| {
            let is_said = (states.is_empty() || version >= 4) && (types.is_empty() || version >= 5);
            is_said.then(|| ListGroupsRequest { states_filter: own(states), types_filter: own(types) })
        })
        .await;
    }
}
