//! Topics: made, described, enlarged, emptied, deleted.

use millstream_protocol::messages::create_partitions::{CreatePartitionsAssignment, CreatePartitionsTopic};
use millstream_protocol::messages::create_topics::{CreatableReplicaAssignment, CreatableTopic};
use millstream_protocol::messages::delete_records::{DeleteRecordsPartition, DeleteRecordsTopic};
use millstream_protocol::messages::delete_topics::DeleteTopicState;
use millstream_protocol::messages::describe_topic_partitions::{RequestedCursor, TopicRequest};
use millstream_protocol::messages::metadata::MetadataRequestTopic;
use millstream_protocol::messages::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteRecordsRequest, DeleteTopicsRequest,
    DescribeTopicPartitionsRequest, MetadataRequest,
};
use uuid::Uuid;

use super::{THREE, batch, config, nowhere, produce_request, topic};
use crate::side::Side;

pub async fn run(side: &mut Side) {
    create(side).await;
    metadata(side).await;
    describe(side).await;
    create_partitions(side).await;
    delete_records(side).await;
    delete(side).await;
}

/// What to make of a topic named so: its step, and what differs from one plain partition.
type Make = (&'static str, fn(&mut CreatableTopic));

const MAKES: &[Make] = &[
    ("plain", |_| ()),
    ("defaults", |topic| (topic.num_partitions, topic.replication_factor) = (-1, -1)),
    ("no partitions", |topic| topic.num_partitions = 0),
    ("partitions -2", |topic| topic.num_partitions = -2),
    ("two replicas", |topic| topic.replication_factor = 2),
    ("no replicas", |topic| topic.replication_factor = 0),
    ("replicas -2", |topic| topic.replication_factor = -2),
    ("empty name", |topic| topic.name = String::new()),
    ("dot", |topic| topic.name = ".".to_owned()),
    ("dots", |topic| topic.name = "..".to_owned()),
    ("spaces", |topic| topic.name = "with spaces".to_owned()),
    ("long name", |topic| topic.name = "n".repeat(250)),
    ("two underscores", |topic| topic.name = format!("__{}", topic.name)),
    ("retention", |topic| topic.configs = vec![config("retention.ms", Some("1000"))]),
    ("unknown config", |topic| topic.configs = vec![config("no.such.setting", Some("1"))]),
    ("config without value", |topic| topic.configs = vec![config("retention.ms", None)]),
    ("config no number", |topic| topic.configs = vec![config("retention.ms", Some("soon"))]),
    ("config too small", |topic| topic.configs = vec![config("max.message.bytes", Some("-1"))]),
    ("bad cleanup policy", |topic| topic.configs = vec![config("cleanup.policy", Some("burn"))]),
    ("min above max lag", |topic| {
        topic.configs = vec![config("min.compaction.lag.ms", Some("10")), config("max.compaction.lag.ms", Some("5"))];
    }),
    ("config twice", |topic| {
        topic.configs = vec![config("retention.ms", Some("1")), config("retention.ms", Some("2"))];
    }),
    ("assigned", |topic| {
        (topic.num_partitions, topic.replication_factor) = (-1, -1);
        topic.assignments = assigned(&[(0, &[1]), (1, &[1])]);
    }),
    ("assigned and counted", |topic| topic.assignments = assigned(&[(0, &[1])])),
    ("assigned with a gap", |topic| {
        (topic.num_partitions, topic.replication_factor) = (-1, -1);
        topic.assignments = assigned(&[(0, &[1]), (2, &[1])]);
    }),
    ("assigned to a stranger", |topic| {
        (topic.num_partitions, topic.replication_factor) = (-1, -1);
        topic.assignments = assigned(&[(0, &[77])]);
    }),
    ("assigned twice to one", |topic| {
        (topic.num_partitions, topic.replication_factor) = (-1, -1);
        topic.assignments = assigned(&[(0, &[1, 1])]);
    }),
    ("assigned to nobody", |topic| {
        (topic.num_partitions, topic.replication_factor) = (-1, -1);
        topic.assignments = assigned(&[(0, &[])]);
    }),
];

fn assigned(partitions: &[(i32, &[i32])]) -> Vec<CreatableReplicaAssignment> {
    let each = partitions.iter().map(|(partition_index, brokers)| CreatableReplicaAssignment {
        partition_index: *partition_index,
        broker_ids: brokers.to_vec(),
    });
    each.collect()
}

async fn create(side: &mut Side) {
    for version in side.versions::<CreateTopicsRequest>() {
        for (number, (step, make)) in MAKES.iter().enumerate() {
            for validate_only in [true, false] {
                let name = side.name(&format!("made-{number}"), version);
                let mut topic = CreatableTopic { name, num_partitions: 1, replication_factor: 1, ..Default::default() };
                make(&mut topic);
                let request = CreateTopicsRequest { topics: vec![topic], validate_only, ..Default::default() };
                let step = if validate_only { format!("{step}, only validated") } else { (*step).to_owned() };
                create_one(side, &step, version, &request).await;
            }
        }
        let plain = |name: &str| CreatableTopic {
            name: name.to_owned(),
            num_partitions: 1,
            replication_factor: 1,
            ..Default::default()
        };
        let made = side.name("made-0", version);
        let other = side.name("other", version);
        let one = |topics| CreateTopicsRequest { topics, ..Default::default() };
        create_one(side, "again", version, &one(vec![plain(&made)])).await;
        create_one(side, "twice in a request", version, &one(vec![plain(&other), plain(&other)])).await;
        create_one(side, "one good, one bad", version, &one(vec![plain(&made), plain(&other)])).await;
        create_one(side, "none", version, &one(Vec::new())).await;
        let impatient = CreateTopicsRequest { timeout_ms: -1, ..one(vec![plain(&side.name("late", version))]) };
        create_one(side, "no time", version, &impatient).await;
    }
}

/// Ids are made by chance: shown is whether there is one.
async fn create_one(side: &mut Side, step: &str, version: i16, request: &CreateTopicsRequest) {
    let given = Uuid::from_u128(1);
    side.label_id(given, "an id");
    let show = |answer: &millstream_protocol::messages::CreateTopicsResponse| {
        let mut answer = answer.clone();
        for topic in answer.topics.iter_mut().filter(|topic| !topic.topic_id.is_nil()) {
            topic.topic_id = given;
        }
        answer
    };
    side.call_as(step, version, request, show).await;
}

async fn metadata(side: &mut Side) {
    let known = topic(side, "known", 0, 2, &[]).await;
    let other = topic(side, "other", 1, 1, &[]).await;
    let nowhere = nowhere(side);
    let named = |name: &str| MetadataRequestTopic { name: Some(name.to_owned()), ..Default::default() };
    let asking = |topics: Vec<MetadataRequestTopic>| MetadataRequest {
        topics: Some(topics),
        allow_auto_topic_creation: false,
        ..Default::default()
    };
    side.each("one", |_| Some(asking(vec![named(&known.name)]))).await;
    side.each("two and none", |v| {
        // Before version 4 asking makes topics.
        (v >= 4).then(|| asking(vec![named(&known.name), named(&nowhere.name), named(&other.name)]))
    })
    .await;
    side.each("one twice", |_| Some(asking(vec![named(&known.name), named(&known.name)]))).await;
    side.each("no topics", |v| (v >= 1).then(|| asking(Vec::new()))).await;
    for name in ["", ".", "with spaces", "__no_such_internal"] {
        side.each(&format!("named '{name}'"), |_| Some(asking(vec![named(name)]))).await;
    }
    side.each("with operations", |v| {
        (v >= 8).then(|| MetadataRequest {
            include_cluster_authorized_operations: v <= 10,
            include_topic_authorized_operations: true,
            ..asking(vec![named(&known.name)])
        })
    })
    .await;
    let with_id = |topic_id, name: Option<&str>| MetadataRequestTopic { topic_id, name: name.map(str::to_owned) };
    side.each("by id", |v| (v >= 12).then(|| asking(vec![with_id(known.id, None)]))).await;
    side.each("by unknown id", |v| (v >= 12).then(|| asking(vec![with_id(nowhere.id, None)]))).await;
    side.each("by id and name", |v| (v >= 12).then(|| asking(vec![with_id(known.id, Some(&known.name))]))).await;
    side.each("by id in an early version", |v| (v == 10).then(|| asking(vec![with_id(known.id, Some(&known.name))])))
        .await;
    side.each("by nothing", |v| (v >= 12).then(|| asking(vec![with_id(Uuid::nil(), None)]))).await;
    for version in side.versions::<MetadataRequest>() {
        let name = side.name("made-by-asking", version);
        let request = MetadataRequest { topics: Some(vec![named(&name)]), ..Default::default() };
        side.call("made by asking", version, &request).await;
        side.settle(&name).await;
    }
    side.each("bad name made by asking", |_| {
        Some(MetadataRequest { topics: Some(vec![named("with spaces")]), ..Default::default() })
    })
    .await;
}

async fn describe(side: &mut Side) {
    let three = topic(side, "three", 0, 3, &[]).await;
    let one = topic(side, "one", 1, 1, &[]).await;
    let ask = |names: &[&str], limit: i32, cursor: Option<(&str, i32)>| DescribeTopicPartitionsRequest {
        topics: names.iter().map(|name| TopicRequest { name: (*name).to_owned() }).collect(),
        response_partition_limit: limit,
        cursor: cursor
            .map(|(topic, partition_index)| RequestedCursor { topic_name: topic.to_owned(), partition_index }),
    };
    let both = [three.name.as_str(), one.name.as_str()];
    side.newest("both", &ask(&both, 2000, None)).await;
    side.newest("unknown", &ask(&["nowhere"], 2000, None)).await;
    side.newest("bad name", &ask(&["with spaces"], 2000, None)).await;
    side.newest("twice", &ask(&[&one.name, &one.name], 2000, None)).await;
    for limit in [2, 1, 0, -1] {
        side.newest(&format!("limit {limit}"), &ask(&both, limit, None)).await;
    }
    for partition in [1, 2, 3, -1] {
        side.newest(&format!("from partition {partition}"), &ask(&both, 2000, Some((&three.name, partition)))).await;
    }
    side.newest("from an unknown topic", &ask(&both, 2000, Some(("nowhere", 0)))).await;
}

async fn create_partitions(side: &mut Side) {
    for version in side.versions::<CreatePartitionsRequest>() {
        let name = topic(side, "grows", version, 2, &[]).await.name;
        let other = topic(side, "grows-too", version + 100, 2, &[]).await.name;
        let to = |name: &str, count, brokers: Option<&[&[i32]]>| CreatePartitionsTopic {
            name: name.to_owned(),
            count,
            assignments: brokers
                .map(|each| each.iter().map(|ids| CreatePartitionsAssignment { broker_ids: ids.to_vec() }).collect()),
        };
        let steps: Vec<(&str, Vec<CreatePartitionsTopic>)> = vec![
            ("more", vec![to(&name, 3, None)]),
            ("as many", vec![to(&name, 3, None)]),
            ("fewer", vec![to(&name, 1, None)]),
            ("to none", vec![to(&name, 0, None)]),
            ("to -1", vec![to(&name, -1, None)]),
            ("unknown topic", vec![to("nowhere", 3, None)]),
            ("empty name", vec![to("", 3, None)]),
            ("assigned", vec![to(&name, 4, Some(&[&[1]]))]),
            ("assigned too few", vec![to(&name, 6, Some(&[&[1]]))]),
            ("assigned too many", vec![to(&name, 5, Some(&[&[1], &[1]]))]),
            ("assigned to a stranger", vec![to(&name, 5, Some(&[&[77]]))]),
            ("assigned two replicas", vec![to(&name, 5, Some(&[&[1, 1]]))]),
            ("assigned to nobody", vec![to(&name, 5, Some(&[&[]]))]),
            ("assigned nothing", vec![to(&name, 5, Some(&[]))]),
            ("twice", vec![to(&name, 8, None), to(&name, 9, None)]),
            ("one good, one bad", vec![to("nowhere", 8, None), to(&other, 9, None)]),
            ("none", vec![]),
        ];
        for (step, topics) in steps {
            for validate_only in [true, false] {
                let request = CreatePartitionsRequest { topics: topics.clone(), timeout_ms: 5000, validate_only };
                let step = if validate_only { format!("{step}, only validated") } else { step.to_owned() };
                side.call(&step, version, &request).await;
            }
        }
    }
}

async fn delete_records(side: &mut Side) {
    for version in side.versions::<DeleteRecordsRequest>() {
        let topic = topic(side, "shortened", version, 2, &[]).await;
        for _ in 0..3 {
            side.newest("three records", &produce_request(&topic, 0, Some(batch(THREE)))).await;
        }
        let before = |name: &str, partition_index, offset| DeleteRecordsRequest {
            topics: vec![DeleteRecordsTopic {
                name: name.to_owned(),
                partitions: vec![DeleteRecordsPartition { partition_index, offset }],
            }],
            timeout_ms: 5000,
        };
        let name = topic.name.as_str();
        let steps = [
            ("up to 4", before(name, 0, 4)),
            ("below the start", before(name, 0, 2)),
            ("beyond the end", before(name, 0, 10)),
            ("-2", before(name, 0, -2)),
            ("to the end", before(name, 0, -1)),
            ("of nothing", before(name, 1, -1)),
            ("of nothing, at 0", before(name, 1, 0)),
            ("unknown partition", before(name, 7, 0)),
            ("partition -1", before(name, -1, 0)),
            ("unknown topic", before("nowhere", 0, 0)),
            ("none", DeleteRecordsRequest::default()),
        ];
        for (step, request) in &steps {
            side.call(step, version, request).await;
        }
    }
    let compacted = topic(side, "compacted", 0, 1, &[("cleanup.policy", "compact")]).await;
    side.newest("three records", &produce_request(&compacted, 0, Some(batch(THREE)))).await;
    side.each("of a compacted topic", |_| {
        let partitions = vec![DeleteRecordsPartition { partition_index: 0, offset: 1 }];
        let topics = vec![DeleteRecordsTopic { name: compacted.name.clone(), partitions }];
        Some(DeleteRecordsRequest { topics, timeout_ms: 5000 })
    })
    .await;
}

async fn delete(side: &mut Side) {
    for version in side.versions::<DeleteTopicsRequest>() {
        let first = topic(side, "gone", version, 1, &[]).await;
        let second = topic(side, "gone-too", version, 1, &[]).await;
        let unknown = nowhere(side);
        let by_name = |names: &[&str]| DeleteTopicsRequest {
            topics: match version {
                6.. => names
                    .iter()
                    .map(|name| DeleteTopicState { name: Some((*name).to_owned()), ..Default::default() })
                    .collect(),
                _ => Vec::new(),
            },
            topic_names: names.iter().map(|name| (*name).to_owned()).collect(),
            timeout_ms: 5000,
        };
        side.call("unknown", version, &by_name(&[&unknown.name])).await;
        side.call("empty name", version, &by_name(&[""])).await;
        side.call("none", version, &by_name(&[])).await;
        side.call("twice in a request", version, &by_name(&[&first.name, &first.name])).await;
        side.call("one good, one bad", version, &by_name(&[&first.name, &unknown.name])).await;
        side.call("again", version, &by_name(&[&first.name])).await;
        if version < 6 {
            continue;
        }
        let by = |name: Option<&str>, topic_id| DeleteTopicsRequest {
            topics: vec![DeleteTopicState { name: name.map(str::to_owned), topic_id }],
            topic_names: Vec::new(),
            timeout_ms: 5000,
        };
        side.call("by name and id", version, &by(Some(&second.name), second.id)).await;
        side.call("by nothing", version, &by(None, Uuid::nil())).await;
        side.call("by unknown id", version, &by(None, unknown.id)).await;
        side.call("by id", version, &by(None, second.id)).await;
    }
}
