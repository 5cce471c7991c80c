"""Kafka Streams (programs/Streams.java): a word count, also windowed, that is stopped and goes on with its state from the changelogs; and an
exactly-once program that is killed twice, the second time with its folder gone, whose every count comes once. Usage: kafka_streams.py BOOTSTRAP"""

import collections
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

try:
    from confluent_kafka import Consumer, Producer, TopicPartition
    from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType
except ImportError:
    print("confluent-kafka is not installed")
    sys.exit(77)
if not shutil.which("javac"):
    print("a JDK is not installed")
    sys.exit(77)

HERE = pathlib.Path(__file__).resolve().parent
KAFKA = HERE.parent / "peers" / "kafka" / "kafka"
BOOTSTRAP = sys.argv[1]
PARTITIONS = 3
NOW = int(time.time() * 1000)  # records of long ago would be removed by retention
ADMIN = AdminClient({"bootstrap.servers": BOOTSTRAP})


def create(*topics):
    for future in ADMIN.create_topics([NewTopic(topic, PARTITIONS, 1) for topic in topics]).values():
        future.result()


def send(topic, records):
    """Records are (partition, key, value, time in ms)."""
    producer = Producer({"bootstrap.servers": BOOTSTRAP})
    for partition, key, value, timestamp in records:
        producer.produce(topic, value, key, partition=partition, timestamp=timestamp)
    assert producer.flush(20) == 0


class Reader:
    """All committed records of a topic from its beginning, as (key, value), as they come."""

    def __init__(self, topic, partitions=PARTITIONS):
        self.consumer = Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": "none", "enable.auto.commit": False, "isolation.level": "read_committed"})
        self.consumer.assign([TopicPartition(topic, partition, 0) for partition in range(partitions)])
        self.records, self.topic = [], topic

    def until(self, done, program, seconds=60):
        end = time.monotonic() + seconds
        while not done(self.records):
            assert program.process.poll() is None, f"the program ended: {program.said()}"
            assert time.monotonic() < end, f"{self.topic}: {len(self.records)} records, the last {self.records[-3:]}\n{program.said()}"
            self.take(0.2)

    def take(self, seconds):
        for record in (got := self.consumer.consume(1000, timeout=seconds)):
            assert record.error() is None, record.error()
            self.records.append((record.key().decode(), record.value()))
        return got


class Program:
    def __init__(self, name, folder):
        self.log = folder.with_suffix(".log")
        # `exec` all the way: the process is the JVM itself.
        self.process = subprocess.Popen([KAFKA, "tool", HERE / "programs" / "Streams.java", BOOTSTRAP, folder, name],
                                        stdin=subprocess.PIPE, stdout=open(self.log, "ab"), stderr=subprocess.STDOUT)

    def said(self):
        return self.log.read_text()[-4000:]

    def stop(self):
        self.process.stdin.close()
        assert self.process.wait(30) == 0, self.said()

    def kill(self):
        self.process.kill()
        self.process.wait()


def word_count(work):
    create("lines", "counts", "windowed")
    rng, words = random.Random(7), [f"w{n}" for n in range(50)]
    counts, windows = collections.Counter(), collections.Counter()

    def more(count, start):
        lines = []
        for n in range(count):
            line, at = [rng.choice(words) for _ in range(10)], start + n * 50
            lines.append((n % PARTITIONS, None, " ".join(line), at))
            counts.update(line)
            windows.update(f"{word}@{at // 10_000 * 10_000}" for word in line)
        send("lines", lines)

    def is_answered(wanted):
        return lambda records: {key: int(value) for key, value in records} == wanted

    all_time, windowed = Reader("counts"), Reader("windowed")
    start = NOW - 120_000
    for part in range(2):  # the second finds its state in the changelogs alone
        more(1000, start + part * 45_000)
        program = Program("word-count", work / f"words-{part}")
        all_time.until(is_answered(counts), program)
        windowed.until(is_answered(windows), program)
        program.stop()
    for records in (all_time.records, windowed.records):
        seen = collections.defaultdict(int)
        for key, value in records:
            assert int(value) >= seen[key], f"{key} went from {seen[key]} back to {value}"
            seen[key] = int(value)

    policies = {"word-count-words-repartition": "delete", "word-count-all-changelog": "compact", "word-count-windows-changelog": "compact,delete"}
    for name, future in ADMIN.describe_configs([ConfigResource(ResourceType.TOPIC, name) for name in policies]).items():
        assert future.result()["cleanup.policy"].value == policies[name.name], name
    reset = [KAFKA, "tool", "org.apache.kafka.tools.StreamsResetter", "--bootstrap-server", BOOTSTRAP, "--application-id", "word-count",
             "--input-topics", "lines"]
    done = subprocess.run(reset, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    left = [name for name in ADMIN.list_topics(timeout=10).topics if name.startswith("word-count-")]
    assert not left, f"kafka-streams-application-reset left {left}"


def in_changelog(topic):
    """How many records there are still, of all that were written."""
    reader = Reader(topic)
    while reader.take(1):
        pass
    reader.consumer.close()
    return len(reader.records)


def exactly_once(work):
    create("keys", "numbers")
    rng, expected = random.Random(11), collections.Counter()

    def more(count):
        keys = [f"k{rng.randrange(60)}" for _ in range(count)]
        expected.update(keys)
        # A key is always in the same partition.
        send("keys", [(int(key[1:]) % PARTITIONS, key, "x", NOW) for key in keys])

    numbers, total = Reader("numbers"), 6000
    more(total)
    for part in (0.2, 0.6):
        program = Program("exactly-once", work / "once")
        numbers.until(lambda records: len(records) > total * part, program)
        program.kill()
        assert len(numbers.records) < total, "it was done before it was killed"
    # Compaction has taken most of the changelog away before the state is made again from it.
    end = time.monotonic() + 20
    while (left := in_changelog("exactly-once-all-changelog")) > len(numbers.records) / 2:
        assert time.monotonic() < end, f"{left} records of {len(numbers.records)} are in the changelog"
    shutil.rmtree(work / "once")
    program = Program("exactly-once", work / "once")
    more(500)
    numbers.until(lambda records: len(records) >= expected.total(), program)
    program.stop()
    while numbers.take(0.3):
        pass
    seen = collections.defaultdict(list)
    for key, value in numbers.records:
        seen[key].append(int(value))
    assert {key: len(values) for key, values in seen.items()} == expected
    for key, values in seen.items():
        assert values == list(range(1, expected[key] + 1)), f"{key}: {values}"


with tempfile.TemporaryDirectory() as folder:
    for program in (word_count, exactly_once):
        began = time.monotonic()
        program(pathlib.Path(folder))
        print(f"{program.__name__}: {time.monotonic() - began:.1f} s")
print("ok")
