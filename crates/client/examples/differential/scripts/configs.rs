//! Configurations: described, set, refused.

use millstream_protocol::messages::alter_configs::{self, AlterConfigsResource as Replaced};
use millstream_protocol::messages::describe_configs::DescribeConfigsResource;
use millstream_protocol::messages::incremental_alter_configs::{self, AlterConfigsResource as Altered};
use millstream_protocol::messages::{
    AlterConfigsRequest, DescribeConfigsRequest, IncrementalAlterConfigsRequest, ListConfigResourcesRequest,
};

use super::topic;
use crate::side::Side;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const LOGGER: i8 = 8;
const CLIENT_METRICS: i8 = 16;
const GROUP: i8 = 32;

pub async fn run(side: &mut Side) {
    describe(side).await;
    increment(side).await;
    replace(side).await;
    list(side).await;
}

fn describe_request(kind: i8, name: &str, keys: Option<&[&str]>, synonyms: bool) -> DescribeConfigsRequest {
    DescribeConfigsRequest {
        resources: vec![DescribeConfigsResource {
            resource_type: kind,
            resource_name: name.to_owned(),
            configuration_keys: keys.map(|keys| keys.iter().map(|key| (*key).to_owned()).collect()),
        }],
        include_synonyms: synonyms,
        include_documentation: false,
    }
}

async fn describe(side: &mut Side) {
    let topic =
        topic(side, "described", 0, 1, &[("retention.ms", "123456"), ("cleanup.policy", "compact,delete")]).await;
    let name = topic.name.as_str();
    side.each("a topic's", |_| Some(describe_request(TOPIC, name, None, false))).await;
    side.each("a topic's with synonyms", |_| {
        let keys = ["retention.ms", "cleanup.policy", "segment.bytes", "max.message.bytes", "min.insync.replicas"];
        Some(describe_request(TOPIC, name, Some(&keys), true))
    })
    .await;
    let asked: [(&str, i8, &str, Option<&[&str]>); 15] = [
        ("some of a topic's", TOPIC, name, Some(&["retention.ms", "no.such.setting"])),
        ("none of a topic's", TOPIC, name, Some(&[])),
        ("of an unknown topic", TOPIC, "nowhere", None),
        ("of a topic without a name", TOPIC, "", None),
        ("of a bad name", TOPIC, "with spaces", None),
        ("of another broker", BROKER, "77", None),
        ("of a broker that is no number", BROKER, "one", None),
        (
            "some of the broker's",
            BROKER,
            "1",
            Some(&["num.partitions", "log.retention.hours", "log.retention.ms", "node.id"]),
        ),
        ("some of all brokers'", BROKER, "", Some(&["num.partitions"])),
        ("of type 7", 7, "x", None),
        ("of type 0", 0, "x", None),
        ("of a logger of another broker", LOGGER, "77", Some(&["root"])),
        ("of client metrics", CLIENT_METRICS, "no-such-one", None),
        ("of a group", GROUP, "no-such-group", None),
        ("of a group without a name", GROUP, "", None),
    ];
    for (step, kind, resource, keys) in asked {
        side.each(step, |_| Some(describe_request(kind, resource, keys, false))).await;
    }
    side.each("with documentation", |version| {
        (version >= 3).then(|| DescribeConfigsRequest {
            include_documentation: true,
            ..describe_request(TOPIC, name, Some(&["retention.ms"]), false)
        })
    })
    .await;
    side.each("of none", |_| Some(DescribeConfigsRequest::default())).await;
}

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

type Setting<'a> = (&'a str, i8, Option<&'a str>);

const INCREMENTS: &[(&str, &[Setting<'static>])] = &[
    ("sets one", &[("retention.ms", SET, Some("5000"))]),
    ("sets two", &[("retention.ms", SET, Some("6000")), ("segment.bytes", SET, Some("2000000"))]),
    ("deletes one", &[("retention.ms", DELETE, None)]),
    ("deletes one that is not set", &[("retention.ms", DELETE, None)]),
    ("appends", &[("cleanup.policy", APPEND, Some("compact"))]),
    ("appends what is there", &[("cleanup.policy", APPEND, Some("compact"))]),
    ("subtracts", &[("cleanup.policy", SUBTRACT, Some("delete"))]),
    ("subtracts what is not there", &[("cleanup.policy", SUBTRACT, Some("delete"))]),
    ("appends to a number", &[("retention.ms", APPEND, Some("1"))]),
    ("an unknown name", &[("no.such.setting", SET, Some("1"))]),
    ("deletes an unknown name", &[("no.such.setting", DELETE, None)]),
    ("sets nothing", &[("retention.ms", SET, None)]),
    ("sets an empty text", &[("retention.ms", SET, Some(""))]),
    ("no number", &[("retention.ms", SET, Some("soon"))]),
    ("a number with spaces", &[("retention.ms", SET, Some(" 7000 "))]),
    ("too small", &[("retention.ms", SET, Some("-2"))]),
    ("too large", &[("segment.bytes", SET, Some("99999999999"))]),
    ("a bad word", &[("cleanup.policy", SET, Some("burn"))]),
    ("an empty list", &[("cleanup.policy", SET, Some(""))]),
    ("a list with a word twice", &[("cleanup.policy", SET, Some("delete,delete"))]),
    ("no boolean", &[("preallocate", SET, Some("maybe"))]),
    ("a boolean in large letters", &[("preallocate", SET, Some("TRUE"))]),
    ("a bad ratio", &[("min.cleanable.dirty.ratio", SET, Some("1.5"))]),
    ("a bad codec", &[("compression.type", SET, Some("rar"))]),
    ("a bad time stamp type", &[("message.timestamp.type", SET, Some("Now"))]),
    ("no replica in sync", &[("min.insync.replicas", SET, Some("0"))]),
    ("one twice", &[("retention.ms", SET, Some("1000")), ("retention.ms", SET, Some("2000"))]),
    ("one good, one bad", &[("retention.ms", SET, Some("8000")), ("no.such.setting", SET, Some("1"))]),
    ("operation 9", &[("retention.ms", 9, Some("1000"))]),
    ("an empty name", &[("", SET, Some("1000"))]),
    ("nothing", &[]),
];

fn altered(kind: i8, name: &str, settings: &[Setting<'_>]) -> Altered {
    let configs = settings.iter().map(|(name, operation, value)| incremental_alter_configs::AlterableConfig {
        name: (*name).to_owned(),
        config_operation: *operation,
        value: value.map(str::to_owned),
    });
    Altered { resource_type: kind, resource_name: name.to_owned(), configs: configs.collect() }
}

async fn increment(side: &mut Side) {
    for version in side.versions::<IncrementalAlterConfigsRequest>() {
        for (number, (step, settings)) in INCREMENTS.iter().enumerate() {
            let before = [("retention.ms", "6000"), ("cleanup.policy", "compact")];
            let topic = topic(side, &format!("altered-{number}"), version, 1, &before).await;
            for validate_only in [true, false] {
                let resources = vec![altered(TOPIC, &topic.name, settings)];
                let request = IncrementalAlterConfigsRequest { resources, validate_only };
                let word = if validate_only { ", only validated" } else { "" };
                side.call(&format!("{step}{word}"), version, &request).await;
            }
            side.settle_metadata().await;
            let keys = ["retention.ms", "segment.bytes", "cleanup.policy", "preallocate"];
            let described = describe_request(TOPIC, &topic.name, Some(&keys), false);
            side.newest(&format!("after it {step}"), &described).await;
        }
        let topic = topic(side, "altered", version, 1, &[]).await;
        let good: &[Setting<'_>] = &[("retention.ms", SET, Some("5000"))];
        for (step, resources) in [
            ("of an unknown topic", vec![altered(TOPIC, "nowhere", good)]),
            ("of a topic without a name", vec![altered(TOPIC, "", good)]),
            ("of another broker", vec![altered(BROKER, "77", &[("log.cleaner.threads", SET, Some("2"))])]),
            ("of a broker that is no number", vec![altered(BROKER, "one", &[("log.cleaner.threads", SET, Some("2"))])]),
            ("of type 7", vec![altered(7, "x", good)]),
            ("of type 0", vec![altered(0, "x", good)]),
            ("of one topic twice", vec![altered(TOPIC, &topic.name, good), altered(TOPIC, &topic.name, good)]),
            (
                "of a known and an unknown topic",
                vec![altered(TOPIC, &topic.name, good), altered(TOPIC, "nowhere", good)],
            ),
            ("of none", vec![]),
            ("read-only of the broker", vec![altered(BROKER, "1", &[("node.id", SET, Some("9"))])]),
            ("unknown of the broker", vec![altered(BROKER, "1", &[("no.such.setting", SET, Some("9"))])]),
            ("bad of the broker", vec![altered(BROKER, "1", &[("message.max.bytes", SET, Some("many"))])]),
            ("of the broker", vec![altered(BROKER, "1", &[("log.retention.ms", SET, Some("700000000"))])]),
            ("of all brokers", vec![altered(BROKER, "", &[("log.retention.ms", SET, Some("800000000"))])]),
        ] {
            let request = IncrementalAlterConfigsRequest { resources, validate_only: false };
            side.call(step, version, &request).await;
        }
        side.settle_metadata().await;
        let described = describe_request(BROKER, "1", Some(&["log.retention.ms"]), true);
        side.newest("of the broker, set twice", &described).await;
        let described = describe_request(BROKER, "", Some(&["log.retention.ms"]), true);
        side.newest("of all brokers, set", &described).await;
        let undo = IncrementalAlterConfigsRequest {
            resources: ["1", ""].map(|name| altered(BROKER, name, &[("log.retention.ms", DELETE, None)])).to_vec(),
            validate_only: false,
        };
        side.call("of the broker and of all, undone", version, &undo).await;
    }
}

async fn replace(side: &mut Side) {
    for version in side.versions::<AlterConfigsRequest>() {
        let topic = topic(side, "replaced", version, 1, &[("segment.bytes", "2000000")]).await;
        let to = |kind, name: &str, settings: &[(&str, Option<&str>)]| {
            let configs = settings.iter().map(|(name, value)| alter_configs::AlterableConfig {
                name: (*name).to_owned(),
                value: value.map(str::to_owned),
            });
            Replaced { resource_type: kind, resource_name: name.to_owned(), configs: configs.collect() }
        };
        let name = topic.name.as_str();
        for (step, resources) in [
            ("by one", vec![to(TOPIC, name, &[("retention.ms", Some("5000"))])]),
            ("by an unknown", vec![to(TOPIC, name, &[("no.such.setting", Some("1"))])]),
            ("by a bad one", vec![to(TOPIC, name, &[("retention.ms", Some("soon"))])]),
            ("by no value", vec![to(TOPIC, name, &[("retention.ms", None)])]),
            ("by one twice", vec![to(TOPIC, name, &[("retention.ms", Some("1")), ("retention.ms", Some("2"))])]),
            ("of an unknown topic", vec![to(TOPIC, "nowhere", &[("retention.ms", Some("5000"))])]),
            ("of type 7", vec![to(7, "x", &[])]),
            ("of none", vec![]),
            ("by nothing", vec![to(TOPIC, name, &[])]),
        ] {
            for validate_only in [true, false] {
                let request = AlterConfigsRequest { resources: resources.clone(), validate_only };
                let word = if validate_only { ", only validated" } else { "" };
                side.call(&format!("{step}{word}"), version, &request).await;
            }
            side.settle_metadata().await;
            let keys = ["retention.ms", "segment.bytes"];
            let after = format!("after being replaced {step}");
            side.newest(&after, &describe_request(TOPIC, name, Some(&keys), false)).await;
        }
    }
}

async fn list(side: &mut Side) {
    let show = |version: i16| {
        move |answer: &millstream_protocol::messages::ListConfigResourcesResponse| {
            let mut answer = answer.clone();
            // Topics of other areas; what is left is the broker's, loggers', metrics' and groups'.
            if version >= 1 {
                answer.config_resources.retain(|resource| resource.resource_type != TOPIC);
            }
            answer
        }
    };
    for version in side.versions::<ListConfigResourcesRequest>() {
        let kinds: &[(&str, &[i8])] = match version {
            0 => &[("of client metrics", &[])],
            _ => &[
                ("all", &[]),
                ("brokers", &[BROKER]),
                ("loggers", &[LOGGER]),
                ("client metrics", &[CLIENT_METRICS]),
                ("groups", &[GROUP]),
                ("of type 7", &[7]),
                ("of type 7 and brokers", &[7, BROKER]),
                ("brokers twice", &[BROKER, BROKER]),
            ],
        };
        for (step, kinds) in kinds {
            let request = ListConfigResourcesRequest { resource_types: kinds.to_vec() };
            side.call_as(step, version, &request, show(version)).await;
        }
    }
}
