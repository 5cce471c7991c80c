//! Groups of the classic protocol: joined, led, left.

use bytes::Bytes;
use millstream_protocol::messages::join_group::JoinGroupRequestProtocol;
use millstream_protocol::messages::leave_group::MemberIdentity;
use millstream_protocol::messages::sync_group::SyncGroupRequestAssignment;
use millstream_protocol::messages::{
    DeleteGroupsRequest, DescribeGroupsRequest, HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest,
    ListGroupsRequest, SyncGroupRequest,
};

use super::offsets::commit_request;
use super::topic;
use crate::side::Side;

pub async fn run(side: &mut Side) {
    side.settle_coordinators().await;
    join(side).await;
    alone(side).await;
    instances(side).await;
}

fn join_request(group: &str, member_id: &str) -> JoinGroupRequest {
    let protocol = |name: &str| JoinGroupRequestProtocol {
        name: name.to_owned(),
        metadata: Bytes::from_static(b"\0\x01\0\0\0\0\0\0\0\0\xff\xff\xff\xff"),
    };
    JoinGroupRequest {
        group_id: group.to_owned(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        member_id: member_id.to_owned(),
        protocol_type: "consumer".to_owned(),
        protocols: vec![protocol("range"), protocol("roundrobin")],
        ..Default::default()
    }
}

async fn join(side: &mut Side) {
    for version in side.versions::<JoinGroupRequest>() {
        let group = side.name("refused", version);
        let join = |member: &str| JoinGroupRequest {
            rebalance_timeout_ms: if version >= 1 { 10_000 } else { -1 },
            ..join_request(&group, member)
        };
        let steps = [
            ("by an unknown member", join("stranger")),
            ("of no group", JoinGroupRequest { group_id: String::new(), ..join("") }),
            ("a session of no time", JoinGroupRequest { session_timeout_ms: 0, ..join("") }),
            ("a short session", JoinGroupRequest { session_timeout_ms: 5999, ..join("") }),
            ("a long session", JoinGroupRequest { session_timeout_ms: 1_800_001, ..join("") }),
            ("a negative session", JoinGroupRequest { session_timeout_ms: -1, ..join("") }),
            ("no protocols", JoinGroupRequest { protocols: Vec::new(), ..join("") }),
            ("no type", JoinGroupRequest { protocol_type: String::new(), ..join("") }),
        ];
        for (step, request) in &steps {
            side.call(step, version, request).await;
            side.newest("after it", &describe_request(&group)).await;
        }
    }
}

fn describe_request(group: &str) -> DescribeGroupsRequest {
    DescribeGroupsRequest { groups: vec![group.to_owned()], include_authorized_operations: false }
}

/// Joins in the newest version and gives member id and generation.
async fn joined(side: &mut Side, group: &str) -> (String, i32) {
    let Some(first) = side.newest("joins", &join_request(group, "")).await else { return Default::default() };
    side.label(&first.member_id, "member");
    let Some(again) = side.newest("joins with its id", &join_request(group, &first.member_id)).await else {
        return Default::default();
    };
    (first.member_id, again.generation_id)
}

/// A group with one member, by every version of each API.
async fn alone(side: &mut Side) {
    let topic = topic(side, "shared", 0, 2, &[]).await;
    for version in side.versions::<JoinGroupRequest>() {
        let group = side.name("alone", version);
        let mut request = join_request(&group, "");
        if version < 1 {
            request.rebalance_timeout_ms = -1;
        }
        let Some(answer) = side.call("joins", version, &request).await else { continue };
        side.label(&answer.member_id, "member");
        request.member_id = answer.member_id.clone();
        if version >= 4 {
            side.newest("before it is in", &describe_request(&group)).await;
            side.call("joins with its id", version, &request).await;
        }
        side.newest("before it has synced", &describe_request(&group)).await;
        let other = JoinGroupRequest {
            protocols: vec![JoinGroupRequestProtocol { name: "another".to_owned(), ..Default::default() }],
            member_id: String::new(),
            ..request.clone()
        };
        side.call("another with other protocols", version, &other).await;
        let other =
            JoinGroupRequest { protocol_type: "connect".to_owned(), member_id: String::new(), ..request.clone() };
        side.call("another of another type", version, &other).await;
    }
    for version in side.versions::<SyncGroupRequest>() {
        let group = side.name("synced", version);
        let (member, generation_id) = joined(side, &group).await;
        let sync = SyncGroupRequest {
            group_id: group.clone(),
            generation_id,
            member_id: member.clone(),
            protocol_type: (version >= 5).then(|| "consumer".to_owned()),
            protocol_name: (version >= 5).then(|| "range".to_owned()),
            assignments: vec![SyncGroupRequestAssignment {
                member_id: member.clone(),
                assignment: Bytes::from_static(b"yours"),
            }],
            ..Default::default()
        };
        let mut steps = vec![
            ("an unknown member", SyncGroupRequest { member_id: "stranger".to_owned(), ..sync.clone() }),
            ("another generation", SyncGroupRequest { generation_id: generation_id + 5, ..sync.clone() }),
            ("a negative generation", SyncGroupRequest { generation_id: -1, ..sync.clone() }),
            ("of no group", SyncGroupRequest { group_id: String::new(), ..sync.clone() }),
            ("of a group that is not there", SyncGroupRequest { group_id: "no-such-group".to_owned(), ..sync.clone() }),
        ];
        if version >= 5 {
            steps
                .push(("another type", SyncGroupRequest { protocol_type: Some("connect".to_owned()), ..sync.clone() }));
            steps.push((
                "another protocol",
                SyncGroupRequest { protocol_name: Some("other".to_owned()), ..sync.clone() },
            ));
            steps.push(("no protocol", SyncGroupRequest { protocol_name: None, ..sync.clone() }));
        }
        steps.push(("as it is due", sync.clone()));
        steps.push(("again", sync.clone()));
        for (step, request) in &steps {
            side.call(step, version, request).await;
        }
        side.each("a stable group", |_| Some(describe_request(&group))).await;
        side.newest("of a group with members", &DeleteGroupsRequest { groups_names: vec![group.clone()] }).await;
    }
    let group = side.name("beating", 0);
    let (member, generation) = joined(side, &group).await;
    let beat = |group: &str, member: &str, generation_id| HeartbeatRequest {
        group_id: group.to_owned(),
        generation_id,
        member_id: member.to_owned(),
        ..Default::default()
    };
    let beats = [
        ("as it is due", beat(&group, &member, generation)),
        ("another generation", beat(&group, &member, generation + 5)),
        ("a negative generation", beat(&group, &member, -1)),
        ("an unknown member", beat(&group, "stranger", generation)),
        ("no member", beat(&group, "", generation)),
        ("of no group", beat("", &member, generation)),
        ("of a group that is not there", beat("no-such-group", &member, generation)),
    ];
    for (step, request) in &beats {
        side.each(&format!("{step}, before the sync"), |_| Some(request.clone())).await;
    }
    let sync = SyncGroupRequest {
        group_id: group.clone(),
        generation_id: generation,
        member_id: member.clone(),
        protocol_type: Some("consumer".to_owned()),
        protocol_name: Some("range".to_owned()),
        ..Default::default()
    };
    side.newest("without assignments", &sync).await;
    for (step, request) in &beats {
        side.each(step, |_| Some(request.clone())).await;
    }
    for (step, change) in [
        ("by its member", (member.as_str(), generation)),
        ("by its member in another generation", (member.as_str(), generation + 5)),
        ("by a stranger", ("stranger", generation)),
        ("by nobody", ("", -1)),
        ("by nobody in a generation", ("", generation)),
    ] {
        let mut request = commit_request(&group, &topic, 0, 5);
        (request.member_id, request.generation_id_or_member_epoch) = (change.0.to_owned(), change.1);
        side.each(&format!("into a group with members {step}"), |_| Some(request.clone())).await;
    }
    for version in side.versions::<LeaveGroupRequest>() {
        let group = side.name("left", version);
        let (member, _) = joined(side, &group).await;
        let leave = |group: &str, members: &[&str]| LeaveGroupRequest {
            group_id: group.to_owned(),
            member_id: if version < 3 { members[0].to_owned() } else { String::new() },
            members: match version {
                3.. => members
                    .iter()
                    .map(|member| MemberIdentity { member_id: (*member).to_owned(), ..Default::default() })
                    .collect(),
                _ => Vec::new(),
            },
        };
        side.call("a stranger", version, &leave(&group, &["stranger"])).await;
        side.call("nobody", version, &leave(&group, &[""])).await;
        side.call("of no group", version, &leave("", &[&member])).await;
        side.call("of a group that is not there", version, &leave("no-such-group", &[&member])).await;
        if version >= 3 {
            side.call("no members", version, &leave(&group, &[])).await;
            side.call("a stranger and a member", version, &leave(&group, &["stranger", &member])).await;
        } else {
            side.call("a member", version, &leave(&group, &[&member])).await;
        }
        side.call("again", version, &leave(&group, &[&member])).await;
        side.each("that its members left", |_| Some(describe_request(&group))).await;
        side.newest("that its members left", &DeleteGroupsRequest { groups_names: vec![group.clone()] }).await;
        side.newest("that is deleted", &describe_request(&group)).await;
    }
    side.each("with members", |_| Some(ListGroupsRequest::default())).await;
}

/// Members with a name of their own.
async fn instances(side: &mut Side) {
    for version in side.versions::<JoinGroupRequest>().into_iter().filter(|version| *version >= 5) {
        let group = side.name("static", version);
        let first = JoinGroupRequest { group_instance_id: Some("one".to_owned()), ..join_request(&group, "") };
        let Some(answer) = side.call("an instance", version, &first).await else { continue };
        let member = answer.member_id.clone();
        side.label(&member, "first member");
        let sync = SyncGroupRequest {
            group_id: group.clone(),
            generation_id: answer.generation_id,
            member_id: member.clone(),
            group_instance_id: Some("one".to_owned()),
            protocol_type: Some("consumer".to_owned()),
            protocol_name: Some("range".to_owned()),
            assignments: vec![SyncGroupRequestAssignment {
                member_id: member.clone(),
                assignment: Bytes::from_static(b"yours"),
            }],
        };
        side.newest("an instance", &sync).await;
        side.newest("an instance", &describe_request(&group)).await;
        let Some(again) = side.call("an instance comes back", version, &first).await else { continue };
        side.label(&again.member_id, "second member");
        let by = |member: &str, instance: Option<&str>, generation_id| HeartbeatRequest {
            group_id: group.clone(),
            generation_id,
            member_id: member.to_owned(),
            group_instance_id: instance.map(str::to_owned),
        };
        let generation = again.generation_id;
        side.newest("of the instance before", &by(&member, Some("one"), generation)).await;
        side.newest("of the member before", &by(&member, None, generation)).await;
        side.newest("of another instance", &by(&again.member_id, Some("two"), generation)).await;
        side.newest("of the instance", &by(&again.member_id, Some("one"), generation)).await;
        let wrong = JoinGroupRequest { member_id: member.clone(), ..first.clone() };
        side.call("the member before", version, &wrong).await;
        side.newest("an instance that came back", &describe_request(&group)).await;
        let leave = |member: &str, instance: &str| LeaveGroupRequest {
            group_id: group.clone(),
            members: vec![MemberIdentity {
                member_id: member.to_owned(),
                group_instance_id: Some(instance.to_owned()),
                reason: None,
            }],
            ..Default::default()
        };
        side.newest("the instance before", &leave(&member, "one")).await;
        side.newest("an unknown instance", &leave("", "two")).await;
        side.newest("an instance by its name", &leave("", "one")).await;
        side.newest("without its instance", &describe_request(&group)).await;
    }
}
