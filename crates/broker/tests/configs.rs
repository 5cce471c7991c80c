//! Configurations over a socket: what holds, where it comes from, and what changes while the broker runs.

mod common;

use common::*;
use millstream_protocol::ErrorCode;
use millstream_protocol::messages::describe_configs::{DescribeConfigsResource, DescribeConfigsResourceResult};
use millstream_protocol::messages::incremental_alter_configs::{AlterConfigsResource, AlterableConfig};
use millstream_protocol::messages::*;
use tokio::net::TcpListener;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const GROUP: i8 = 32;
const SET: i8 = 0;
const DELETE: i8 = 1;

async fn describe(client: &mut Connection, kind: i8, resource: &str, name: &str) -> DescribeConfigsResourceResult {
    let resource = DescribeConfigsResource {
        resource_type: kind,
        resource_name: resource.to_string(),
        configuration_keys: Some(vec![name.to_string()]),
    };
    let request =
        DescribeConfigsRequest { resources: vec![resource], include_synonyms: true, include_documentation: true };
    let answer = client.call(4, request).await.results.remove(0);
    assert_eq!((answer.error_code, answer.configs.len()), (ErrorCode::None, 1), "{name}");
    answer.configs.into_iter().next().expect("one")
}

async fn alter(client: &mut Connection, kind: i8, resource: &str, operation: i8, name: &str, value: &str) -> ErrorCode {
    let change = AlterableConfig {
        name: name.to_string(),
        config_operation: operation,
        value: (operation != DELETE).then(|| value.to_string()),
    };
    let resource =
        AlterConfigsResource { resource_type: kind, resource_name: resource.to_string(), configs: vec![change] };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
    client.call(1, request).await.responses[0].error_code
}

fn layers(config: &DescribeConfigsResourceResult) -> Vec<(&str, &str, i8)> {
    let each = config.synonyms.iter();
    each.map(|one| (one.name.as_str(), one.value.as_deref().unwrap_or_default(), one.source)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_the_broker_hold_for_topics_and_over_a_restart() {
    let dir = tempfile::tempdir().expect("a folder");
    let config = || settings(&["log.retention.hours=1", "num.partitions=3"]);
    let server = Server::start_with(dir.path(), config()).await;
    let mut client = server.connect().await;
    assert_eq!(client.create("t", -1, &[]).await, ErrorCode::None);
    assert_eq!(client.metadata(Some(&["t"])).await.topics[0].partitions.len(), 3);
    let retention = describe(&mut client, TOPIC, "t", "retention.ms").await;
    assert_eq!((retention.value.as_deref(), retention.config_source), (Some("3600000"), 4));
    assert_eq!(alter(&mut client, BROKER, "1", SET, "log.retention.ms", "5000").await, ErrorCode::None);
    assert_eq!(alter(&mut client, BROKER, "", SET, "log.retention.ms", "6000").await, ErrorCode::None);
    assert_eq!(alter(&mut client, BROKER, "1", SET, "message.max.bytes", "50").await, ErrorCode::None);
    assert_eq!(client.produce("t", -1, batch(&["a"])).await.error_code, ErrorCode::MessageTooLarge);
    server.stop().await;

    let server = Server::start_with(dir.path(), config()).await;
    let mut client = server.connect().await;
    let retention = describe(&mut client, TOPIC, "t", "retention.ms").await;
    assert_eq!((retention.value.as_deref(), retention.config_source), (Some("5000"), 2));
    assert_eq!(
        layers(&retention),
        [
            ("log.retention.ms", "5000", 2),
            ("log.retention.ms", "6000", 3),
            ("log.retention.ms", "3600000", 4),
            ("log.retention.hours", "168", 5)
        ]
    );
    assert!(retention.documentation.is_some_and(|text| !text.is_empty()));
    assert_eq!(alter(&mut client, BROKER, "1", DELETE, "log.retention.ms", "").await, ErrorCode::None);
    assert_eq!(describe(&mut client, TOPIC, "t", "retention.ms").await.value.as_deref(), Some("6000"));
    assert_eq!(alter(&mut client, TOPIC, "t", SET, "retention.ms", "7").await, ErrorCode::None);
    let retention = describe(&mut client, TOPIC, "t", "retention.ms").await;
    assert_eq!((retention.value.as_deref(), retention.config_source), (Some("7"), 1));
    let of_all = describe(&mut client, BROKER, "", "log.retention.ms").await;
    assert_eq!((of_all.value.as_deref(), of_all.config_source), (Some("6000"), 3));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_changed_is_refused_with_kafkas_codes() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path()).await;
    let mut client = server.connect().await;
    client.create("t", 1, &[]).await;
    for (kind, resource, name, value, code) in [
        (BROKER, "1", "num.partitions", "3", ErrorCode::InvalidRequest),
        (BROKER, "1", "no.such", "3", ErrorCode::InvalidRequest),
        (BROKER, "1", "log.retention.ms", "soon", ErrorCode::InvalidRequest),
        (BROKER, "1", "log.retention.hours", "5", ErrorCode::InvalidRequest),
        (BROKER, "2", "log.retention.ms", "5", ErrorCode::InvalidRequest),
        (TOPIC, "t", "no.such", "3", ErrorCode::InvalidConfig),
        (TOPIC, "t", "retention.ms", "-5", ErrorCode::InvalidConfig),
        (TOPIC, "u", "retention.ms", "5", ErrorCode::UnknownTopicOrPartition),
    ] {
        assert_eq!(alter(&mut client, kind, resource, SET, name, value).await, code, "{name}={value}");
    }
    for (kind, resource) in [(BROKER, "1"), (BROKER, ""), (TOPIC, "t")] {
        assert_eq!(alter(&mut client, kind, resource, DELETE, "no.such", "").await, ErrorCode::None);
    }
    let partitions = describe(&mut client, BROKER, "1", "num.partitions").await;
    assert!(partitions.read_only && partitions.config_source == 5);
    assert_eq!(layers(&partitions), [("num.partitions", "1", 5)]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_kafka_without_effect_are_taken_kept_and_said_to_be_so() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(dir.path(), settings(&["broker.rack=cellar", "num.replica.fetchers=4"])).await;
    let mut client = server.connect().await;
    assert_eq!(client.metadata(None).await.brokers[0].rack.as_deref(), Some("cellar"));
    for (name, value) in [("sasl.kerberos.min.time.before.relogin", "58000"), ("background.threads", "9")] {
        assert_eq!(alter(&mut client, BROKER, "1", SET, name, value).await, ErrorCode::None, "{name}");
        let found = describe(&mut client, BROKER, "1", name).await;
        assert_eq!((found.value.as_deref(), found.config_source, found.read_only), (Some(value), 2, false));
        assert!(found.documentation.is_some_and(|text| !text.is_empty()));
        assert_eq!(alter(&mut client, BROKER, "1", DELETE, name, "").await, ErrorCode::None, "{name}");
    }
    let fetchers = describe(&mut client, BROKER, "1", "replica.fetch.max.bytes").await;
    assert_eq!((fetchers.value.as_deref(), fetchers.read_only), (Some("1048576"), true));
    assert_eq!(alter(&mut client, BROKER, "1", SET, "broker.rack", "x").await, ErrorCode::InvalidRequest);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_listener_tells_its_own_address() {
    let dir = tempfile::tempdir().expect("a folder");
    let config = settings(&[
        "listeners=PLAINTEXT://127.0.0.1:0,DOCKER://127.0.0.1:0",
        "advertised.listeners=DOCKER://broker.example:29092",
        "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,DOCKER:PLAINTEXT",
    ]);
    let docker = config.listeners().expect("two listeners").remove(1);
    let server = Server::start_with(dir.path(), config).await;
    let socket = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = socket.local_addr().expect("it is bound");
    let serving = tokio::spawn(server.broker.clone().serve_listener(docker, socket));
    let brokers = server.connect().await.metadata(None).await.brokers;
    assert_eq!((brokers[0].host.as_str(), brokers[0].port), ("localhost", i32::from(server.address.port())));
    let brokers = Connection::to(address).await.metadata(None).await.brokers;
    assert_eq!((brokers[0].host.as_str(), brokers[0].port), ("broker.example", 29092));
    server.stop().await;
    serving.await.expect("serving ends");
}

async fn group_names(client: &mut Connection) -> Vec<String> {
    let request = ListConfigResourcesRequest { resource_types: vec![GROUP] };
    let answer = client.call(1, request).await;
    assert_eq!(answer.error_code, ErrorCode::None);
    answer.config_resources.into_iter().map(|one| one.resource_name).collect()
}

/// Joins a group of the new protocol; gives the interval that the member is told.
async fn heartbeat_interval(client: &mut Connection, group: &str, member: &str, epoch: i32) -> i32 {
    let request = ConsumerGroupHeartbeatRequest {
        group_id: group.to_string(),
        member_id: member.to_string(),
        member_epoch: epoch,
        rebalance_timeout_ms: 60_000,
        subscribed_topic_names: Some(vec!["t".into()]),
        topic_partitions: Some(Vec::new()),
        ..ConsumerGroupHeartbeatRequest::default()
    };
    let answer = client.call(1, request).await;
    assert_eq!(answer.error_code, ErrorCode::None, "{:?}", answer.error_message);
    answer.heartbeat_interval_ms
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_has_configurations_of_its_own_which_hold_and_are_kept() {
    let dir = tempfile::tempdir().expect("a folder");
    let config = || settings(&["group.consumer.min.session.timeout.ms=200", "group.consumer.session.timeout.ms=40000"]);
    let server = Server::start_with(dir.path(), config()).await;
    let mut client = server.connect().await;
    let (session, interval) = ("consumer.session.timeout.ms", "consumer.heartbeat.interval.ms");
    // Also a group that is not there has some.
    let found = describe(&mut client, GROUP, "g", session).await;
    assert_eq!((found.value.as_deref(), found.config_source, found.read_only), (Some("40000"), 4, false));
    let broker_name = "group.consumer.session.timeout.ms";
    assert_eq!(layers(&found), [(broker_name, "40000", 4), (broker_name, "45000", 5)]);
    assert!(group_names(&mut client).await.is_empty());

    assert_eq!(alter(&mut client, GROUP, "g", SET, session, "300").await, ErrorCode::None);
    assert_eq!(alter(&mut client, GROUP, "g", SET, interval, "6000").await, ErrorCode::None);
    assert_eq!(alter(&mut client, GROUP, "h", SET, interval, "7000").await, ErrorCode::None);
    let found = describe(&mut client, GROUP, "g", session).await;
    assert_eq!((found.value.as_deref(), found.config_source), (Some("300"), 8));
    assert_eq!(layers(&found), [(session, "300", 8), (broker_name, "40000", 4), (broker_name, "45000", 5)]);
    assert_eq!(group_names(&mut client).await, ["g", "h"]);
    server.stop().await;

    let server = Server::start_with(dir.path(), config()).await;
    let mut client = server.connect().await;
    assert_eq!(heartbeat_interval(&mut client, "g", "m", 0).await, 6000);
    assert_eq!(heartbeat_interval(&mut client, "h", "m", 0).await, 7000);
    assert_eq!(heartbeat_interval(&mut client, "i", "m", 0).await, 5000);
    assert_eq!(alter(&mut client, GROUP, "g", DELETE, interval, "").await, ErrorCode::None);
    assert_eq!(alter(&mut client, GROUP, "h", DELETE, interval, "").await, ErrorCode::None);
    assert_eq!(group_names(&mut client).await, ["g"]);
    assert_eq!(heartbeat_interval(&mut client, "h", "m", 0).await, 5000);
    // The member of `g` is silent for its own time-out, the one of `h` for less than the broker's.
    tokio::time::sleep(std::time::Duration::from_millis(400)).await;
    let request = ConsumerGroupDescribeRequest { group_ids: vec!["g".into(), "h".into()], ..Default::default() };
    let members: Vec<usize> = client.call(1, request).await.groups.iter().map(|group| group.members.len()).collect();
    assert_eq!(members, [0, 1]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_group_cannot_have_is_refused_with_kafkas_codes() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path()).await;
    let mut client = server.connect().await;
    for (group, name, value, code) in [
        ("g", "consumer.session.timeout.ms", "44999", ErrorCode::InvalidConfig),
        ("g", "consumer.session.timeout.ms", "60001", ErrorCode::InvalidConfig),
        ("g", "consumer.session.timeout.ms", "60000", ErrorCode::None),
        ("g", "consumer.heartbeat.interval.ms", "4999", ErrorCode::InvalidConfig),
        ("g", "consumer.heartbeat.interval.ms", "soon", ErrorCode::InvalidConfig),
        ("g", "no.such", "1", ErrorCode::InvalidConfig),
        ("g", "share.auto.offset.reset", "latest", ErrorCode::InvalidConfig),
        ("", "consumer.session.timeout.ms", "50000", ErrorCode::InvalidRequest),
    ] {
        assert_eq!(alter(&mut client, GROUP, group, SET, name, value).await, code, "{name}={value}");
    }
    let change = AlterableConfig { name: "consumer.session.timeout.ms".into(), config_operation: SET, value: None };
    let resource = |name: &str, changes: &[AlterableConfig]| AlterConfigsResource {
        resource_type: GROUP,
        resource_name: name.into(),
        configs: changes.to_vec(),
    };
    let null = IncrementalAlterConfigsRequest {
        resources: vec![resource("g", std::slice::from_ref(&change))],
        validate_only: false,
    };
    assert_eq!(client.call(1, null).await.responses[0].error_code, ErrorCode::InvalidRequest);
    let change = AlterableConfig { value: Some("50000".into()), ..change };
    let resources = vec![
        resource("h", std::slice::from_ref(&change)),
        resource("h", std::slice::from_ref(&change)),
        resource("i", &[change]),
    ];
    let twice = IncrementalAlterConfigsRequest { resources, validate_only: true };
    let codes: Vec<_> = client.call(1, twice).await.responses.iter().map(|one| one.error_code).collect();
    assert_eq!(codes, [ErrorCode::InvalidRequest, ErrorCode::InvalidRequest, ErrorCode::None]);
    assert_eq!(group_names(&mut client).await, ["g"], "who only asks whether it could be changes nothing");
    let unknown = ListConfigResourcesRequest { resource_types: vec![99] };
    assert_eq!(client.call(1, unknown).await.error_code, ErrorCode::UnsupportedVersion);
    server.stop().await;
}
