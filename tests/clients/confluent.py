"""confluent-kafka (librdkafka): codecs, idempotence, acks, groups with each assignor, static members, administration.

Usage: confluent.py BOOTSTRAP
"""

import sys
import time
import uuid

try:
    from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, Producer, TopicPartition
    from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, NewTopic, OffsetSpec, ResourceType
except ImportError:
    print("confluent-kafka is not installed")
    sys.exit(77)

BOOTSTRAP = sys.argv[1]
RUN = f"confluent-{uuid.uuid4().hex[:8]}"


def consumer(group, **options):
    return Consumer({
        "bootstrap.servers": BOOTSTRAP, "group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": False,
        "session.timeout.ms": 6000, "heartbeat.interval.ms": 500, **options,
    })


def read_all(reader, count, seconds=20):
    out, end = [], time.time() + seconds
    while len(out) < count and time.time() < end:
        for record in reader.consume(500, timeout=0.5):
            assert record.error() is None, record.error()
            out.append(record)
    assert len(out) == count, f"{len(out)} of {count}"
    return out


def produce(topic, values, **options):
    errors = []
    producer = Producer({"bootstrap.servers": BOOTSTRAP, "linger.ms": 5, **options})
    for i, value in enumerate(values):
        producer.produce(topic, value, key=b"k%d" % i, headers={"n": b"%d" % i}, on_delivery=lambda e, _: errors.append(e) if e else None)
        producer.poll(0)
    assert producer.flush(20) == 0
    assert not errors, errors[:3]


def codecs():
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"]:
        for acks in ["all", "1", "0"]:
            topic = f"{RUN}-{codec}-{acks}"
            values = [b"v" * 100 + b"%d" % i for i in range(300)]
            produce(topic, values, **{"compression.type": codec, "acks": acks, "enable.idempotence": acks == "all"})
            reader = consumer(RUN)
            reader.assign([TopicPartition(topic, 0, 0)])
            records = read_all(reader, 300)
            assert [r.value() for r in records] == values, (codec, acks)
            assert records[7].headers() == [("n", b"7")]
            assert reader.get_watermark_offsets(TopicPartition(topic, 0), timeout=5) == (0, 300)
            reader.close()


def groups(admin):
    for assignor in ["range", "roundrobin", "cooperative-sticky"]:
        topic = group = f"{RUN}-{assignor}"
        admin.create_topics([NewTopic(topic, 4, 1)])[topic].result(10)
        produce(topic, [b"%d" % i for i in range(400)])
        options = {"partition.assignment.strategy": assignor}
        first = consumer(group, **options)
        first.subscribe([topic])
        read_all(first, 400)
        first.commit(asynchronous=False)
        second = consumer(group, **options)
        second.subscribe([topic])
        end = time.time() + 30
        while time.time() < end and not (len(first.assignment()) == 2 and len(second.assignment()) == 2):
            first.poll(0.1)
            second.poll(0.1)
        owned = [(p.topic, p.partition) for reader in (first, second) for p in reader.assignment()]
        assert len(owned) == len(set(owned)) == 4, (assignor, owned)
        described = admin.describe_consumer_groups([group])[group].result(10)
        assert len(described.members) == 2 and described.state.name == "STABLE", described
        assert described.partition_assignor == assignor, described.partition_assignor
        first.close()
        end = time.time() + 30
        while time.time() < end and len(second.assignment()) < 4:
            second.poll(0.1)
        assert len(second.assignment()) == 4
        produce(topic, [b"new"] * 20)
        assert {r.value() for r in read_all(second, 20)} == {b"new"}
        second.close()


def static_member(admin):
    """A static member that comes back within its session gets its partitions back without a rebalance of the others."""
    topic = group = f"{RUN}-static"
    admin.create_topics([NewTopic(topic, 2, 1)])[topic].result(10)
    produce(topic, [b"%d" % i for i in range(20)])
    rebalances = []
    stays, leaves = consumer(group, **{"group.instance.id": "a"}), consumer(group, **{"group.instance.id": "b"})
    stays.subscribe([topic], on_assign=lambda _, parts: rebalances.append(len(parts)))
    leaves.subscribe([topic])
    end = time.time() + 30
    while time.time() < end and not (len(stays.assignment()) == 1 and len(leaves.assignment()) == 1):
        stays.poll(0.1)
        leaves.poll(0.1)
    before, had = len(rebalances), leaves.assignment()
    leaves.close()
    back = consumer(group, **{"group.instance.id": "b"})
    back.subscribe([topic])
    end = time.time() + 10
    while time.time() < end and not back.assignment():
        stays.poll(0.1)
        back.poll(0.1)
    assert [(p.topic, p.partition) for p in back.assignment()] == [(p.topic, p.partition) for p in had]
    assert len(rebalances) == before, rebalances
    back.close()
    stays.close()


def administration(admin):
    topic = f"{RUN}-admin"
    admin.create_topics([NewTopic(topic, 2, 1, config={"retention.ms": "60000"})])[topic].result(10)
    for wrong in [NewTopic(topic, 1, 1), NewTopic("__millstream.mine", 1, 1), NewTopic(f"{topic}-3", 1, 3), NewTopic(f"{topic}-c", 1, 1, config={"no": "x"})]:
        try:
            admin.create_topics([wrong])[wrong.topic].result(10)
            raise AssertionError(f"{wrong.topic} was made")
        except KafkaException:
            pass
    admin.create_partitions([NewPartitions(topic, 3)])[topic].result(10)
    assert len(admin.list_topics(topic).topics[topic].partitions) == 3
    resource = ConfigResource(ResourceType.TOPIC, topic)
    assert admin.describe_configs([resource])[resource].result(10)["retention.ms"].value == "60000"
    change = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[
        ConfigEntry("retention.ms", "70000", incremental_operation=AlterConfigOpType.SET)])
    admin.incremental_alter_configs([change])[change].result(10)
    assert admin.describe_configs([resource])[resource].result(10)["retention.ms"].value == "70000"
    node = ConfigResource(ResourceType.BROKER, str(next(iter(admin.list_topics().brokers))))
    assert admin.describe_configs([node])[node].result(10)["num.partitions"].value
    cluster = admin.describe_cluster().result(10)
    assert len(cluster.nodes) == 1 and cluster.cluster_id
    produce(topic, [b"%d" % i for i in range(100)])
    partitions = [TopicPartition(topic, i) for i in range(3)]
    ends = {p: f.result(10).offset for p, f in admin.list_offsets({p: OffsetSpec.latest() for p in partitions}).items()}
    assert sum(ends.values()) == 100, ends
    newest = {p: f.result(10) for p, f in admin.list_offsets({p: OffsetSpec.max_timestamp() for p in partitions}).items()}
    assert all(found.offset < ends[p] for p, found in newest.items()), newest
    low = admin.delete_records([TopicPartition(topic, 0, 1)])
    assert [f.result(10).low_watermark for f in low.values()] == [1]
    assert admin.list_offsets({partitions[0]: OffsetSpec.earliest()})[partitions[0]].result(10).offset == 1
    group = f"{RUN}-range"
    listed = [g.group_id for g in admin.list_consumer_groups().result(10).valid]
    assert group in listed
    offsets = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])[group].result(10)
    assert sum(p.offset for p in offsets.topic_partitions) == 400, offsets.topic_partitions
    admin.delete_consumer_groups([group])[group].result(10)
    assert group not in [g.group_id for g in admin.list_consumer_groups().result(10).valid]
    admin.delete_topics([topic])[topic].result(10)
    assert topic not in admin.list_topics().topics


def main():
    admin = AdminClient({"bootstrap.servers": BOOTSTRAP})
    codecs()
    groups(admin)
    static_member(admin)
    administration(admin)
    print("ok")


main()
