//! Members of groups of the consumer protocol (KIP-848): how they join, and how they are refused. Assignments come at another beat in each
//! broker, and are tested by real clients.

use millstream_protocol::messages::ConsumerGroupHeartbeatRequest;
use millstream_protocol::messages::consumer_group_heartbeat::RequestedTopicPartitions;

use super::{TestTopic, topic};
use crate::side::Side;

pub async fn run(side: &mut Side) {
    side.settle_coordinators().await;
    refused(side).await;
}

/// What a member says first.
fn joining(group: &str, member: &str, topics: &[&TestTopic]) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest {
        group_id: group.to_owned(),
        member_id: member.to_owned(),
        member_epoch: 0,
        rebalance_timeout_ms: 10_000,
        subscribed_topic_names: Some(topics.iter().map(|topic| topic.name.clone()).collect()),
        topic_partitions: Some(Vec::new()),
        ..Default::default()
    }
}

type Change = fn(&mut ConsumerGroupHeartbeatRequest);

async fn refused(side: &mut Side) {
    let topic = topic(side, "wanted", 0, 2, &[]).await;
    let changes: &[(&str, Change)] = &[
        ("no group", |one| one.group_id = String::new()),
        ("no member id", |one| one.member_id = String::new()),
        ("no time to rebalance", |one| one.rebalance_timeout_ms = -1),
        ("zero time to rebalance", |one| one.rebalance_timeout_ms = 0),
        ("no list of partitions", |one| one.topic_partitions = None),
        ("a list with partitions", |one| {
            one.topic_partitions =
                Some(vec![RequestedTopicPartitions { topic_id: uuid::Uuid::from_u128(7), partitions: vec![0] }]);
        }),
        ("no topics", |one| one.subscribed_topic_names = None),
        ("an empty instance", |one| one.instance_id = Some(String::new())),
        ("an empty rack", |one| one.rack_id = Some(String::new())),
        ("an unknown assignor", |one| one.server_assignor = Some("magic".to_owned())),
        ("an empty assignor", |one| one.server_assignor = Some(String::new())),
        ("an epoch that it cannot have", |one| one.member_epoch = 5),
        ("epoch -3", |one| one.member_epoch = -3),
        ("leaving", |one| one.member_epoch = -1),
        ("leaving for a while, without an instance", |one| one.member_epoch = -2),
    ];
    for version in side.versions::<ConsumerGroupHeartbeatRequest>() {
        for (number, (step, change)) in changes.iter().enumerate() {
            let group = side.name(&format!("joined-{number}"), version);
            let mut request = joining(&group, "the-first-member", &[&topic]);
            change(&mut request);
            side.call(step, version, &request).await;
        }
        for (step, member, epoch) in [("a stranger", "stranger", 1), ("a stranger that leaves", "stranger", -1)] {
            let group = side.name("joined-0", version);
            for (kind, group) in [("", group.as_str()), (" of a group that is not there", "no-such-group")] {
                let beat = ConsumerGroupHeartbeatRequest {
                    group_id: group.to_owned(),
                    member_id: member.to_owned(),
                    member_epoch: epoch,
                    ..Default::default()
                };
                side.call(&format!("{step}{kind}"), version, &beat).await;
            }
        }
        if version >= 1 {
            let group = side.name("refused-pattern", version);
            for (step, pattern) in
                [("a bad pattern", "a["), ("an empty pattern", ""), ("a pattern for nothing", "zz.*")]
            {
                let request = ConsumerGroupHeartbeatRequest {
                    subscribed_topic_names: None,
                    subscribed_topic_regex: Some(pattern.to_owned()),
                    ..joining(&group, "the-first-member", &[])
                };
                side.call(step, version, &request).await;
            }
        }
    }
}
