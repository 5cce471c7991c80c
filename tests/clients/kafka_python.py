"""kafka-python: codecs, keys and headers, a group over two consumers, administration. Usage: kafka_python.py BOOTSTRAP"""

import sys
import time
import uuid

try:
    from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
    from kafka.admin import ConfigResource, ConfigResourceType, NewPartitions, NewTopic
    from kafka.errors import InvalidTopicError, KafkaError, TopicAlreadyExistsError
    from kafka.structs import OffsetAndMetadata
except ImportError:
    print("kafka-python is not installed")
    sys.exit(77)

BOOTSTRAP = sys.argv[1]
RUN = f"kafka-python-{uuid.uuid4().hex[:8]}"


def read_all(consumer, count, seconds=20):
    out, end = [], time.time() + seconds
    while len(out) < count and time.time() < end:
        for records in consumer.poll(timeout_ms=500).values():
            out.extend(records)
    assert len(out) == count, f"{len(out)} of {count} records"
    return out


def codecs():
    for codec in [None, "gzip", "snappy", "lz4", "zstd"]:
        topic = f"{RUN}-{codec}"
        producer = KafkaProducer(bootstrap_servers=BOOTSTRAP, compression_type=codec, acks="all", linger_ms=5)
        sent = [
            producer.send(topic, key=b"k%d" % i, value=b"v" * 100 + b"%d" % i, headers=[("n", b"%d" % i)], timestamp_ms=1_700_000_000_000 + i)
            for i in range(500)
        ]
        producer.flush()
        assert [future.get(timeout=10).offset for future in sent] == list(range(500)), codec
        producer.close()
        consumer = KafkaConsumer(topic, bootstrap_servers=BOOTSTRAP, auto_offset_reset="earliest", group_id=None)
        records = read_all(consumer, 500)
        assert [r.key for r in records] == [b"k%d" % i for i in range(500)], codec
        assert records[7].headers == [("n", b"7")] and records[7].timestamp == 1_700_000_000_007, records[7]
        partition = TopicPartition(topic, 0)
        assert consumer.beginning_offsets([partition]) == {partition: 0}
        assert consumer.end_offsets([partition]) == {partition: 500}
        found = consumer.offsets_for_times({partition: 1_700_000_000_100})[partition]
        assert (found.offset, found.timestamp) == (100, 1_700_000_000_100), found
        assert consumer.offsets_for_times({partition: 1_800_000_000_000})[partition] is None
        consumer.close()


def groups(admin):
    topic, group = f"{RUN}-group", f"{RUN}-group"
    admin.create_topics([NewTopic(topic, num_partitions=4, replication_factor=1)])
    producer = KafkaProducer(bootstrap_servers=BOOTSTRAP)
    for i in range(400):
        producer.send(topic, partition=i % 4, value=b"%d" % i)
    producer.flush()

    def consumer():
        return KafkaConsumer(
            topic, bootstrap_servers=BOOTSTRAP, group_id=group, auto_offset_reset="earliest", enable_auto_commit=False,
            session_timeout_ms=6000, heartbeat_interval_ms=500, max_poll_interval_ms=20000,
        )

    first = consumer()
    assert len(read_all(first, 400)) == 400
    first.commit()
    second = consumer()
    end = time.time() + 30
    while time.time() < end and not (len(first.assignment()) == 2 and len(second.assignment()) == 2):
        first.poll(timeout_ms=200)
        second.poll(timeout_ms=200)
    assert len(first.assignment()) == 2 and len(second.assignment()) == 2, (first.assignment(), second.assignment())
    assert not first.assignment() & second.assignment()
    first.close()
    end = time.time() + 30
    while time.time() < end and len(second.assignment()) < 4:
        second.poll(timeout_ms=200)
    assert len(second.assignment()) == 4, second.assignment()
    for i in range(8):
        producer.send(topic, partition=i % 4, value=b"new")
    producer.flush()
    assert {r.value for r in read_all(second, 8)} == {b"new"}
    partition = TopicPartition(topic, 1)
    assert second.committed(partition) == 100
    second.commit({partition: OffsetAndMetadata(101, "a note", -1)})
    assert second.committed(partition, metadata=True).metadata == "a note"
    second.close()
    producer.close()


def administration(admin):
    topic = f"{RUN}-admin"
    admin.create_topics([NewTopic(topic, num_partitions=2, replication_factor=1, topic_configs={"retention.ms": "60000"})])
    assert topic in admin.list_topics()
    for wrong, error in [(topic, TopicAlreadyExistsError), ("__millstream.mine", InvalidTopicError), ("a b", InvalidTopicError)]:
        try:
            admin.create_topics([NewTopic(wrong, num_partitions=1, replication_factor=1)])
            raise AssertionError(f"{wrong} was made")
        except KafkaError as raised:
            assert isinstance(raised, error), raised
    admin.create_partitions({topic: NewPartitions(3)})
    described = admin.describe_topics([topic])
    assert len(described[0]["partitions"]) == 3, described
    configs = str(admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)]))
    assert "retention.ms" in configs and "60000" in configs, configs
    assert len(str(admin.describe_cluster())) > 0
    admin.delete_topics([topic])
    assert topic not in admin.list_topics()


def main():
    codecs()
    admin = KafkaAdminClient(bootstrap_servers=BOOTSTRAP)
    groups(admin)
    administration(admin)
    admin.close()
    print("ok")


main()
