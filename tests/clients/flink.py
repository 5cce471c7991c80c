"""Flink's Kafka source and its exactly-once sink (programs/Flink.java): a word count that fails in its middle, whose every count comes once.
Usage: flink.py BOOTSTRAP"""

import collections
import pathlib
import random
import shutil
import subprocess
import sys

try:
    from confluent_kafka import Consumer, Producer, TopicPartition
    from confluent_kafka.admin import AdminClient, NewTopic
except ImportError:
    print("confluent-kafka is not installed")
    sys.exit(77)
if not shutil.which("javac"):
    print("a JDK is not installed")
    sys.exit(77)

HERE = pathlib.Path(__file__).resolve().parent
BOOTSTRAP = sys.argv[1]
PARTITIONS, RECORDS = 2, 4000

ADMIN = AdminClient({"bootstrap.servers": BOOTSTRAP})
for future in ADMIN.create_topics([NewTopic(name, PARTITIONS, 1) for name in ("words", "counts")]).values():
    future.result()
rng = random.Random(5)
words = [f"w{rng.randrange(40)}" for _ in range(RECORDS)]
producer = Producer({"bootstrap.servers": BOOTSTRAP})
for number, word in enumerate(words):
    producer.produce("words", word, partition=number % PARTITIONS)
assert producer.flush(20) == 0

command = [HERE.parent / "peers" / "flink" / "flink", "run", HERE / "programs" / "Flink.java", BOOTSTRAP, "words", "counts", str(RECORDS)]
done = subprocess.run(command, capture_output=True, text=True, timeout=180)
assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-4000:]

reader = Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": "none", "isolation.level": "read_committed", "enable.partition.eof": True})
reader.assign([TopicPartition("counts", partition, 0) for partition in range(PARTITIONS)])
seen, ends = collections.defaultdict(list), 0
while ends < PARTITIONS:
    record = reader.poll(10)
    assert record is not None, "the end of the counts does not come"
    if record.error():
        ends += 1
    else:
        word, count = record.value().decode().split()
        seen[word].append(int(count))
reader.close()
expected = collections.Counter(words)
for word, count in expected.items():
    # A word's counts may stand in either partition.
    missing, twice = set(range(1, count + 1)) - set(seen[word]), [n for n, times in collections.Counter(seen[word]).items() if times > 1]
    assert not missing and not twice, f"{word}: {sorted(missing)} are missing, {twice} came twice\n{done.stderr[-4000:]}"
print(done.stdout.strip())
print("ok")
