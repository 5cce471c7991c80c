"""aiokafka: codecs, an idempotent producer, a group that goes on where it was, administration. Usage: aiokafka_client.py BOOTSTRAP"""

import asyncio
import sys
import uuid

try:
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic
except ImportError:
    print("aiokafka is not installed")
    sys.exit(77)

BOOTSTRAP = sys.argv[1]
RUN = f"aiokafka-{uuid.uuid4().hex[:8]}"


async def read_all(consumer, count):
    out = []

    async def fill():
        while len(out) < count:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                out.extend(records)

    await asyncio.wait_for(fill(), 20)
    assert len(out) == count, f"{len(out)} of {count}"
    return out


async def codecs():
    for codec in [None, "gzip", "snappy", "lz4", "zstd"]:
        topic = f"{RUN}-{codec}"
        producer = AIOKafkaProducer(bootstrap_servers=BOOTSTRAP, compression_type=codec, enable_idempotence=True)
        await producer.start()
        sent = [await producer.send(topic, b"v" * 100 + b"%d" % i, key=b"k%d" % i, headers=[("n", b"%d" % i)]) for i in range(500)]
        offsets = [(await future).offset for future in sent]
        assert offsets == list(range(500)), codec
        await producer.stop()
        consumer = AIOKafkaConsumer(topic, bootstrap_servers=BOOTSTRAP, auto_offset_reset="earliest")
        await consumer.start()
        records = await read_all(consumer, 500)
        assert [r.key for r in records] == [b"k%d" % i for i in range(500)], codec
        assert list(records[7].headers) == [("n", b"7")]
        partition = TopicPartition(topic, 0)
        assert await consumer.end_offsets([partition]) == {partition: 500}
        assert (await consumer.offsets_for_times({partition: records[100].timestamp}))[partition].offset <= 100
        await consumer.stop()


async def groups():
    topic = f"{RUN}-group"
    admin = AIOKafkaAdminClient(bootstrap_servers=BOOTSTRAP)
    await admin.start()
    await admin.create_topics([NewTopic(topic, num_partitions=2, replication_factor=1)])
    producer = AIOKafkaProducer(bootstrap_servers=BOOTSTRAP, acks="all")
    await producer.start()
    for i in range(100):
        await producer.send_and_wait(topic, b"%d" % i, partition=i % 2)

    def consumer():
        return AIOKafkaConsumer(
            topic, bootstrap_servers=BOOTSTRAP, group_id=RUN, auto_offset_reset="earliest", enable_auto_commit=False,
            session_timeout_ms=6000, heartbeat_interval_ms=500,
        )

    first, second = consumer(), consumer()
    await first.start()
    assert len(await read_all(first, 100)) == 100
    await first.commit()
    await second.start()
    for _ in range(100):
        await asyncio.gather(first.getmany(timeout_ms=100), second.getmany(timeout_ms=100))
        if len(first.assignment()) == len(second.assignment()) == 1:
            break
    assert len(first.assignment()) == len(second.assignment()) == 1
    await first.stop()
    await second.stop()
    third = consumer()
    await third.start()
    await producer.send_and_wait(topic, b"new", partition=0)
    assert [r.value for r in await read_all(third, 1)] == [b"new"]
    assert await third.committed(TopicPartition(topic, 1)) == 50
    await third.stop()
    listed = [name for name, *_ in await admin.list_consumer_groups()]
    assert RUN in listed, listed
    await producer.stop()
    await admin.delete_topics([topic])
    assert topic not in await admin.list_topics()
    await admin.close()


async def wake_at_once():
    """A long poll is answered when a record comes, not when its time is up."""
    topic = f"{RUN}-wake"
    producer = AIOKafkaProducer(bootstrap_servers=BOOTSTRAP)
    await producer.start()
    await producer.send_and_wait(topic, b"first")
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=BOOTSTRAP, auto_offset_reset="earliest", fetch_max_wait_ms=10_000)
    await consumer.start()
    await read_all(consumer, 1)
    await asyncio.sleep(0.3)
    loop = asyncio.get_running_loop()
    began = loop.time()
    await producer.send_and_wait(topic, b"second")
    await read_all(consumer, 1)
    assert loop.time() - began < 1, loop.time() - began
    await consumer.stop()
    await producer.stop()


async def main():
    await codecs()
    await groups()
    await wake_at_once()
    print("ok")


asyncio.run(main())
