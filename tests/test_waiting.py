"""A disk that fills up, a cluster that stands still: what waits says why, nothing grows meanwhile, and nothing is lost when it goes on."""

import contextlib
import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

import millstream
import oracle
from conftest import missing


PASS = """CREATE STREAMING TABLE passed
USING json
TBLPROPERTIES ('millstream.topic' = 'passed')
AS SELECT CAST(value AS STRING) AS value
FROM STREAM kafka WITH ('kafka.bootstrap.servers' = '${env:KAFKA_BOOTSTRAP}', subscribe = 'plain', startingOffsets = 'earliest');
"""


@contextlib.contextmanager
def small_disk(path, megabytes):
    """A file system of its own, of that size."""
    path.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "none", path], capture_output=True, text=True)
    if done.returncode:
        missing(f"the right to mount a small file system: {done.stderr.strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


def fill(path):
    """Takes what is left of the disk; gives the file to remove."""
    ballast = path / "ballast"
    with contextlib.suppress(OSError), open(ballast, "wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    return ballast


def overview(up):
    with urllib.request.urlopen(f"{up.http}/api/v1/overview", timeout=10) as answer:
        return json.load(answer)


def told(up, folder):
    """Do the page and /ready say that this folder's disk is full, and what to do?"""
    try:
        urllib.request.urlopen(f"{up.http}/ready", timeout=10)
        return False
    except urllib.error.HTTPError as answer:
        reason = answer.read().decode()
    problems = [problem["text"] for problem in overview(up)["overview"]["problems"] if problem["bad"]]
    said = f"he disk of the data folder {folder} is full", f"he disk of the lake {folder} is full"
    return all(any(words in text and "Free some space" in text for words in said) for text in [reason, *problems[:1]]) and problems != []


def memory_mb(up):
    with open(f"/proc/{up.process.pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024


def wait_until(true, seconds, what):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, what()
        time.sleep(0.2)


@pytest.mark.timeout(300)
def test_a_full_lake_waits_says_why_and_loses_nothing(data, project, server):
    rows = oracle.lines(data / "mta" / "turnstile_240113.txt.gz")[1:]
    rows.sort(key=lambda line: line.split(",")[6][6:] + line.split(",")[6][:5] + line.split(",")[7])
    folder = project("turnstiles")
    with small_disk(folder / "lake", 8) as lake:
        up = server("up", folder)
        ballast = fill(lake)
        producer = Producer({"bootstrap.servers": up.kafka, "linger.ms": 20, "compression.type": "lz4"})

        def produce(lines):
            for line in lines:
                while True:
                    try:
                        producer.produce("mta-turnstile", line.encode(), partition=0)
                        break
                    except BufferError:
                        producer.poll(0.1)
            assert producer.flush(60) == 0

        produce(rows[: len(rows) // 2])
        wait_until(lambda: "No space left" in json.dumps(overview(up)), 30, lambda: json.dumps(overview(up), indent=1)[:4000])
        wait_until(lambda: told(up, lake), 10, lambda: json.dumps(overview(up), indent=1)[:4000])
        produce(rows[len(rows) // 2 :])
        assert memory_mb(up) < 250
        ballast.unlink()
        stations, _ = oracle.turnstiles(rows)
        table = lake / "station_traffic"
        wait_until(lambda: table.is_dir() and len(millstream.read_table(table)) >= len(stations), 90, lambda: up.log.read_text()[-3000:])
        assert "No space left" not in json.dumps(overview(up))
        assert up.stop() == 0
        number = lambda t: None if t == "" else int(t)
        got = millstream.read_table(table)
        assert {(r[0], r[1]): (int(r[2]), number(r[3]), number(r[4])) for r in got} == stations
        assert len(got) == len(stations)
        log = up.log.read_text()
        assert "No space left" in log
        assert log.count(f"the disk of the lake {lake} is full") == 1, log[-3000:]


@pytest.mark.timeout(300)
def test_a_full_data_folder_refuses_what_it_cannot_keep(tmp_path, server):
    with small_disk(tmp_path / "disk", 300) as disk:
        broker = server("broker", "--data", disk / "data")
        kept, refused = [], []
        # Gives up after a while, so that what is acknowledged is told from what is not.
        producer = Producer({"bootstrap.servers": broker.kafka, "message.timeout.ms": 4000, "enable.idempotence": True, "linger.ms": 5})

        def report(number):
            return lambda error, _: (refused if error else kept).append(number)

        value = os.urandom(100_000)
        number = 0

        def produce(count):
            nonlocal number
            for _ in range(count):
                producer.produce("t", str(number).encode() + b" " + value, partition=0, on_delivery=report(number))
                number += 1
                producer.poll(0)
                if number % 20 == 0:
                    producer.flush(30)

        produce(40)
        assert len(kept) == 40 and not refused
        ballast = fill(disk)
        while not refused and number < 3000:
            produce(20)
        assert refused, "a full disk has taken 300 MB"
        wait_until(lambda: told(broker, disk / "data"), 10, lambda: json.dumps(overview(broker), indent=1)[:4000])
        assert memory_mb(broker) < 250
        before = sorted(kept)
        assert [int(v.split(b" ")[0]) for v in read_all(broker)][: len(before)] == before, "reads go on"
        ballast.unlink()
        wait_until(lambda: produce(1) or producer.flush(10) == 0 and kept[-1] == number - 1, 60, lambda: broker.log.read_text()[-3000:])
        produce(20)
        producer.flush(30)
        assert set(kept) <= {int(v.split(b" ")[0]) for v in read_all(broker)}
        broker.kill()
        again = server("broker", "--data", disk / "data")
        values = [int(v.split(b" ")[0]) for v in read_all(again)]
        assert set(kept) <= set(values)
        assert len(values) == len(set(values)), "once each"


@pytest.mark.timeout(300)
def test_another_cluster_that_stands_still_is_waited_for(tmp_path, server):
    cluster = server("broker", "--data", tmp_path / "cluster")
    millstream.run("init", "passing", cwd=tmp_path)
    folder = tmp_path / "passing"
    for old in (folder / "transformations").iterdir():
        old.unlink()
    (folder / "millstream.yml").unlink()
    (folder / "transformations" / "pass.sql").write_text(PASS)
    producer = Producer({"bootstrap.servers": cluster.kafka, "linger.ms": 5, "message.timeout.ms": 120000})
    producer.produce("plain", b"first")
    producer.flush(10)
    up = server("up", folder, "--data", tmp_path / "data", env={"KAFKA_BOOTSTRAP": cluster.kafka})
    wait_until(lambda: "passed" in topics(cluster), 30, lambda: up.log.read_text()[-3000:])
    values = {b"%d %s" % (n, b"x" * 1000) for n in range(50_000)}
    for value in values:
        while True:
            with contextlib.suppress(BufferError):
                producer.produce("plain", value)
                break
            producer.poll(0.1)
    assert producer.flush(60) == 0
    wait_until(lambda: consumed(cluster, "passed") > 1, 30, lambda: up.log.read_text()[-3000:])
    cluster.process.send_signal(signal.SIGSTOP)
    time.sleep(8)
    assert memory_mb(up) < 250
    cluster.process.send_signal(signal.SIGCONT)
    wait_until(lambda: consumed(cluster, "passed") > len(values), 90, lambda: up.log.read_text()[-3000:])
    assert set(read_all(cluster, "passed")) == values | {b"first"}
    assert up.stop() == 0


def topics(cluster):
    return Consumer({"bootstrap.servers": cluster.kafka, "group.id": "reader"}).list_topics(timeout=10).topics


def consumed(cluster, topic):
    consumer = Consumer({"bootstrap.servers": cluster.kafka, "group.id": "reader"})
    return consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10)[1]


def read_all(broker, topic="t"):
    consumer = Consumer({"bootstrap.servers": broker.kafka, "group.id": "reader", "enable.auto.commit": False, "enable.partition.eof": False})
    _, end = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10)
    consumer.assign([TopicPartition(topic, 0, 0)])
    values = []
    deadline = time.monotonic() + 60
    while len(values) < end and time.monotonic() < deadline:
        for message in consumer.consume(500, 1.0):
            assert not message.error(), message.error()
            values.append(message.value())
    consumer.close()
    return values
