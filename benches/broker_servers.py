"""The servers that benches/broker.py measures, and the clients it measures them by."""

import contextlib
import glob
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import time

from run import HERE, PEER_RUNS, RUNS, cpu_seconds, millstream, status, there

RECORDS = {100: int(float(os.environ.get("MILLSTREAM_BENCH_MILLIONS", "3")) * 1e6)}
RECORDS[1024] = RECORDS[100] // 3
GIB = float(os.environ.get("MILLSTREAM_BENCH_GIB", "10"))
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", millstream.ROOT / "target"))
BENCH = TARGET / "release" / "examples" / "bench"
KAFKA = millstream.ROOT / "tests/peers/kafka/kafka"


class Server:
    """What is measured: a broker with a folder of its own."""

    name = ""
    runs = RUNS

    def __init__(self, folder):
        self.folder, self.address, self.pid = folder, f"127.0.0.1:{free_port()}", 0
        folder.mkdir(parents=True, exist_ok=True)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def admin(self):
        from confluent_kafka.admin import AdminClient

        return AdminClient({"bootstrap.servers": self.address})

    def create(self, topic, partitions=1, mode="durable"):
        from confluent_kafka.admin import NewTopic

        admin = self.admin()
        for made in admin.create_topics([NewTopic(topic, partitions, 1, config=self.MODES[mode])]).values():
            made.result()
        time.sleep(0.2)

    def delete(self, topic):
        admin = self.admin()
        for gone in admin.delete_topics([topic]).values():
            gone.result()

    @contextlib.contextmanager
    def watched(self):
        """A dictionary that says afterwards what the server took meanwhile."""
        with contextlib.suppress(OSError):
            pathlib.Path(f"/proc/{self.pid}/clear_refs").write_text("5")  # the peak begins anew
        figures, cpu, begun = {}, cpu_seconds(self.pid), time.monotonic()
        yield figures
        wall = time.monotonic() - begun
        time.sleep(0.5)  # what is left to do behind the last answer
        figures |= {"cpu_s": cpu_seconds(self.pid) - cpu, "rss_mb": status(self.pid, "VmHWM") / 1024, "wall_s": figures.get("wall_s", wall)}


class Millstream(Server):
    name = "millstream"
    MODES = {"durable": {}, "relaxed": {"flush.messages": "1000000000"}}

    def start(self):
        self.server = millstream.Server("broker", "--data", self.folder / "data", log=self.folder / "log", kafka=self.address)
        self.pid = self.server.process.pid

    def kill(self):
        self.server.kill()

    def stop(self):
        if self.server.process.poll() is None:
            self.server.stop()


class Kafka(Server):
    name = "kafka"
    runs = PEER_RUNS
    MODES = {"durable": {"flush.messages": "1"}, "relaxed": {}}

    def start(self):
        subprocess.run([KAFKA, "start", self.folder, self.address.split(":")[1]], check=True, stdout=subprocess.DEVNULL)
        self.pid = int((self.folder / "pid").read_text())

    def kill(self):
        os.kill(self.pid, 9)
        while status(self.pid, "Threads"):
            time.sleep(0.05)

    def stop(self):
        subprocess.run([KAFKA, "stop", self.folder], check=True)


class Nothing(Server):
    """The ceiling: all that a server has to do, and nothing kept."""

    name = "ceiling"

    def __init__(self, records, size):
        self.arguments, self.address = [records, size], "127.0.0.1:0"

    def __enter__(self):
        self.process = subprocess.Popen([BENCH, "nothing", self.address, *map(str, self.arguments)], stdout=subprocess.PIPE, text=True)
        self.address, self.pid = json.loads(self.process.stdout.readline())["address"], self.process.pid
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def servers():
    return [Millstream, *([Kafka] if PEER_RUNS and there("kafka") else [])]


def bench(*args):
    done = subprocess.run([BENCH, *map(str, args)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"bench {args}: {done.stderr}")
    return json.loads(done.stdout)


def librdkafka(*args):
    done = subprocess.run([librdkafka_program(), *map(str, args)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"librdkafka {args}: {done.stderr}")
    return json.loads(done.stdout)


def librdkafka_program():
    """benches/librdkafka.c with the library that confluent-kafka brings; its headers are in the rdkafka-sys crate."""
    program = TARGET / "release" / "librdkafka-bench"
    source = HERE / "librdkafka.c"
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        import confluent_kafka

        [library] = (pathlib.Path(confluent_kafka.__file__).parent.parent / "confluent_kafka.libs").glob("librdkafka-*.so*")
        cargo = os.environ.get("CARGO_HOME", os.path.expanduser("~/.cargo"))
        version = re.search(r'name = "rdkafka-sys"\nversion = "(.*)"', (millstream.ROOT / "Cargo.lock").read_text()).group(1)
        headers = glob.glob(f"{cargo}/registry/src/*/rdkafka-sys-{version}/librdkafka/src")
        if not headers:
            subprocess.run(["cargo", "fetch", "--locked", "--quiet"], cwd=millstream.ROOT, check=True)
            headers = glob.glob(f"{cargo}/registry/src/*/rdkafka-sys-{version}/librdkafka/src")
        subprocess.run(["gcc", "-O2", f"-I{headers[0]}", source, "-o", program, library, f"-Wl,-rpath,{library.parent}"], check=True)
    return program


def tool(name, *args):
    return subprocess.run([KAFKA, "tool", name, *map(str, args)], capture_output=True, text=True, check=True).stdout


def java_produce(server, topic, size):
    out = tool("producer-perf", "--bootstrap-server", server.address, "--topic", topic, "--num-records", RECORDS[size], "--record-size", size,
               "--throughput", -1, "--command-property", "acks=all", "linger.ms=1", "batch.size=131072")
    return float(re.findall(r"([\d.]+) records/sec", out)[-1])


def java_consume(server, topic, size):
    out = tool("consumer-perf", "--bootstrap-server", server.address, "--topic", topic, "--num-records", RECORDS[size], "--hide-header", "--timeout", 60000)
    fields = [field.strip() for field in out.strip().splitlines()[-1].split(",")]
    assert int(fields[4]) >= RECORDS[size], out
    return float(fields[9])


def per_million(figures, records):
    return figures | {"cpu_s_per_million": figures["cpu_s"] / records * 1e6}
