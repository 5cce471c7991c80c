"""confluent-kafka (librdkafka) with transactions: commit, abort, fencing, offsets in transactions, what a consumer sees of each.

Usage: confluent_transactions.py BOOTSTRAP
"""

import sys
import time
import uuid

try:
    from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
    from confluent_kafka.admin import AdminClient, NewTopic
except ImportError:
    print("confluent-kafka is not installed")
    sys.exit(77)

BOOTSTRAP = sys.argv[1]
RUN = f"ctxn-{uuid.uuid4().hex[:8]}"


def producer(name, **options):
    one = Producer({"bootstrap.servers": BOOTSTRAP, "transactional.id": f"{RUN}-{name}", "linger.ms": 2, **options})
    one.init_transactions(20)
    return one


def consumer(topic, partitions, isolation, group=None):
    one = Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": group or f"{RUN}-none", "auto.offset.reset": "earliest",
                    "enable.auto.commit": False, "isolation.level": isolation, "enable.partition.eof": True})
    one.assign([TopicPartition(topic, p, 0) for p in range(partitions)])
    return one


def read_to_end(topic, partitions, isolation):
    """Values per partition, up to where the isolation level ends."""
    reader, out, ended, stop = consumer(topic, partitions, isolation), {p: [] for p in range(partitions)}, set(), time.time() + 20
    while len(ended) < partitions and time.time() < stop:
        for record in reader.consume(500, timeout=0.5):
            if record.error():
                assert record.error().code() == KafkaError._PARTITION_EOF, record.error()
                ended.add(record.partition())
            else:
                out[record.partition()].append(record.value().decode())
    reader.close()
    assert len(ended) == partitions, f"no end within the time: {ended}"
    return out


def topic(admin, name, partitions):
    name = f"{RUN}-{name}"
    admin.create_topics([NewTopic(name, partitions, 1)])[name].result(10)
    return name


def commit_and_abort(admin):
    name = topic(admin, "ends", 3)
    one = producer("ends")
    committed, everything = {p: [] for p in range(3)}, {p: [] for p in range(3)}
    for round in range(12):
        one.begin_transaction()
        for i in range(20):
            value, partition = f"{round}-{i}", (round + i) % 3
            one.produce(name, value, partition=partition)
            everything[partition].append(value)
            if round % 3 != 1:
                committed[partition].append(value)
        one.flush(10)
        one.abort_transaction(10) if round % 3 == 1 else one.commit_transaction(10)
    assert read_to_end(name, 3, "read_committed") == committed
    assert read_to_end(name, 3, "read_uncommitted") == everything
    # One that is open hides what comes behind it, also of others.
    one.begin_transaction()
    one.produce(name, "open", partition=0)
    one.flush(10)
    plain = Producer({"bootstrap.servers": BOOTSTRAP})
    plain.produce(name, "plain", partition=0)
    plain.flush(10)
    assert read_to_end(name, 3, "read_committed") == committed
    one.commit_transaction(10)
    assert read_to_end(name, 3, "read_committed")[0] == committed[0] + ["open", "plain"]


def fencing(admin):
    name = topic(admin, "fenced", 1)
    old = producer("fenced")
    old.begin_transaction()
    old.produce(name, "of the old one")
    old.flush(10)
    new = producer("fenced")
    new.begin_transaction()
    new.produce(name, "of the new one")
    new.commit_transaction(10)
    try:
        old.commit_transaction(10)
        raise AssertionError("a producer that was replaced committed")
    except KafkaException as error:
        assert error.args[0].code() in (KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.PRODUCER_FENCED), error
    assert read_to_end(name, 1, "read_committed") == {0: ["of the new one"]}


def consume_transform_produce(admin):
    source, target, group = topic(admin, "source", 2), topic(admin, "target", 2), f"{RUN}-group"
    plain = Producer({"bootstrap.servers": BOOTSTRAP})
    for i in range(400):
        plain.produce(source, f"{i}", partition=i % 2)
    assert plain.flush(10) == 0
    one = producer("transform")
    aborts = 0
    for attempt in range(40):
        reader = Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": False,
                           "isolation.level": "read_committed", "session.timeout.ms": 6000})
        reader.subscribe([source])
        batch, stop = [], time.time() + 15
        while not batch and time.time() < stop:
            batch = [record for record in reader.consume(70, timeout=1.0) if not record.error()]
            if reader.assignment() and all(p.offset >= 200 for p in reader.committed(reader.assignment(), 10)):
                break
        if not batch:
            reader.close()
            break
        one.begin_transaction()
        for record in batch:
            one.produce(target, record.value() + b"!", partition=record.partition())
        one.send_offsets_to_transaction(reader.position(reader.assignment()), reader.consumer_group_metadata(), 10)
        if attempt % 3 == 1:
            one.abort_transaction(10)
            aborts += 1
        else:
            one.commit_transaction(10)
        reader.close()
    found = read_to_end(target, 2, "read_committed")
    expected = {p: [f"{i}!" for i in range(p, 400, 2)] for p in range(2)}
    assert found == expected, {p: (len(v), v[:3]) for p, v in found.items()}
    assert aborts > 0


def time_out(admin):
    name = topic(admin, "slow", 1)
    slow = producer("slow", **{"transaction.timeout.ms": 1000})
    slow.begin_transaction()
    slow.produce(name, "too slow")
    slow.flush(10)
    plain = Producer({"bootstrap.servers": BOOTSTRAP})
    plain.produce(name, "waits")
    plain.flush(10)
    stop = time.time() + 30
    while time.time() < stop and read_to_end(name, 1, "read_committed") != {0: ["waits"]}:
        time.sleep(0.5)
    assert read_to_end(name, 1, "read_committed") == {0: ["waits"]}
    try:
        slow.commit_transaction(10)
        raise AssertionError("a transaction that was aborted by its time-out was committed")
    except KafkaException as error:
        assert error.args[0].fatal() or error.args[0].txn_requires_abort(), error


def main():
    admin = AdminClient({"bootstrap.servers": BOOTSTRAP})
    commit_and_abort(admin)
    fencing(admin)
    consume_transform_produce(admin)
    time_out(admin)
    print("ok")


main()
