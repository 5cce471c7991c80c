"""Kafka Connect's file source and sink: standalone, which goes on from its offsets after a stop; and distributed over its three compacted
topics with exactly-once sources, killed in its middle. What goes into a file comes out of the other. Usage: kafka_connect.py BOOTSTRAP"""

import json
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

try:
    from confluent_kafka import Consumer, TopicPartition
    from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType
except ImportError:
    print("confluent-kafka is not installed")
    sys.exit(77)
if not shutil.which("java"):
    print("java is not installed")
    sys.exit(77)

HERE = pathlib.Path(__file__).resolve().parent
KAFKA = HERE.parent / "peers" / "kafka" / "kafka"
BOOTSTRAP = sys.argv[1]
# Connect's own limits: a minute for requests under way in its REST server, then 23 seconds for its herder.
STOP_SECONDS = 120
WORKER = {
    "bootstrap.servers": BOOTSTRAP,
    "key.converter": "org.apache.kafka.connect.storage.StringConverter",
    "value.converter": "org.apache.kafka.connect.storage.StringConverter",
    "offset.flush.interval.ms": 200,
    "plugin.discovery": "service_load",
}


def connectors(work, topic):
    source = {"name": f"{topic}-source", "connector.class": "FileStreamSource", "tasks.max": 1, "file": work / "in", "topic": topic}
    sink = {"name": f"{topic}-sink", "connector.class": "FileStreamSink", "tasks.max": 1, "file": work / "out", "topics": topic,
            "consumer.override.auto.offset.reset": "earliest", "consumer.override.session.timeout.ms": 6000}
    return source, sink


def until(holds, worker, what, seconds=90):
    end = time.monotonic() + seconds
    while not holds():
        assert worker.process.poll() is None, f"the worker ended: {worker.said()}"
        assert time.monotonic() < end, f"{what}: {worker.said()}"
        time.sleep(0.1)


class Worker:
    def __init__(self, mode, work, settings, *connectors):
        files = []
        for number, properties in enumerate([settings, *connectors]):
            files.append(work / f"{number}.properties")
            files[-1].write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
        self.log = work / "worker.log"
        self.process = subprocess.Popen([KAFKA, "tool", f"org.apache.kafka.connect.cli.Connect{mode}", *files],
                                        stdout=open(self.log, "ab"), stderr=subprocess.STDOUT)

    def said(self):
        return self.log.read_text()[-4000:]

    def stop(self):
        self.process.terminate()
        try:
            ended = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGQUIT)  # its threads, into its log
            time.sleep(2)
            self.process.kill()
            log = self.log.read_text()
            threads = log[log.find("Full thread dump"):].split("\n\n")
            ours = [thread for thread in threads if "org.apache.kafka" in thread or "jetty" in thread]
            raise AssertionError("the worker does not end: " + "\n\n".join(ours)) from None
        assert ended in (0, 143), self.said()


def lines(work, first, last):
    with open(work / "in", "a") as file:
        file.writelines(f"line {n}\n" for n in range(first, last))
    return [f"line {n}" for n in range(last)]


def came_out(work):
    return (work / "out").read_text().splitlines() if (work / "out").exists() else []


def in_topic(topic):
    """What the topic has for a reader of committed records."""
    partition = TopicPartition(topic, 0, 0)
    reader = Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": "none", "isolation.level": "read_committed", "enable.partition.eof": True})
    reader.assign([partition])
    values = []
    while record := reader.poll(10):
        if record.error():  # its end
            break
        values.append(record.value().decode())
    reader.close()
    return values


def standalone(work):
    settings = WORKER | {"offset.storage.file.filename": work / "offsets", "listeners": "http://127.0.0.1:0"}
    for first in (0, 500):  # the second is written while nobody looks
        wanted = lines(work, first, first + 500)
        worker = Worker("Standalone", work, settings, *connectors(work, "standalone"))
        until(lambda: len(came_out(work)) >= len(wanted), worker, "lines of the sink")
        worker.stop()
        assert came_out(work) == wanted
        assert in_topic("standalone") == wanted


def distributed(work):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = WORKER | {
        "group.id": "connect", "listeners": f"http://127.0.0.1:{port}", "session.timeout.ms": 6000, "heartbeat.interval.ms": 1000,
        "exactly.once.source.support": "enabled", "scheduled.rebalance.max.delay.ms": 0,
    }
    settings |= {f"{one}.storage.topic": f"connect-{one}" for one in ("config", "offset", "status")}
    settings |= {f"{one}.storage.replication.factor": 1 for one in ("config", "offset", "status")}

    def call(method, path, body=None):
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body and json.dumps(body).encode(), {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.loads(answer.read() or "null")
        except (urllib.error.URLError, OSError):
            return None

    def is_running(name):
        status = call("GET", f"/connectors/{name}/status")
        return status and [task["state"] for task in status["tasks"]] == ["RUNNING"]

    worker = Worker("Distributed", work, settings)
    until(lambda: call("GET", "/connectors") == [], worker, "the REST interface")
    wanted = lines(work, 0, 300)
    source, sink = ({name: str(value) for name, value in one.items()} for one in connectors(work, "distributed"))
    for one in (source, sink):
        until(lambda: call("PUT", f"/connectors/{one['name']}/config", one), worker, f"{one['name']} is taken")
    until(lambda: len(came_out(work)) >= 300, worker, "lines of the sink")
    worker.process.kill()
    worker.process.wait()

    wanted = lines(work, 300, 600)
    worker = Worker("Distributed", work, settings)
    until(lambda: is_running(source["name"]) and is_running(sink["name"]), worker, "the connectors after the restart")
    until(lambda: set(came_out(work)) >= set(wanted), worker, "lines of the sink after the restart")
    assert in_topic("distributed") == wanted, "the source is exactly once"
    assert sorted(call("GET", "/connectors")) == sorted([source["name"], sink["name"]])
    for one in (source, sink):
        call("DELETE", f"/connectors/{one['name']}")
    until(lambda: call("GET", "/connectors") == [], worker, "the connectors are gone")
    worker.stop()
    admin = AdminClient({"bootstrap.servers": BOOTSTRAP})
    for future in admin.describe_configs([ConfigResource(ResourceType.TOPIC, f"connect-{one}") for one in ("config", "offset", "status")]).values():
        assert future.result()["cleanup.policy"].value == "compact"


with tempfile.TemporaryDirectory() as folder:
    for run in (standalone, distributed):
        began = time.monotonic()
        (work := pathlib.Path(folder) / run.__name__).mkdir()
        run(work)
        print(f"{run.__name__}: {time.monotonic() - began:.1f} s")
print("ok")
