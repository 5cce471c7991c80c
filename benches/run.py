"""The README's table: Millstream beside a real Apache Spark and a real Apache Kafka, in one run on one machine.

    make bench                      everything, medians of MILLSTREAM_BENCH_RUNS (5) runs
                                    (MILLSTREAM_BENCH_PEER_RUNS: of the peer, which takes a minute each)
    python benches/run.py NAME...   some of: run, latency, start, idle

Each figure is of whole processes: wall time from start to exit, CPU seconds (user and system, children included), and the
peak resident set of the largest process. Results land in benches/results.json and, as a table, on stdout.
"""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from datetime import datetime, timedelta

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))
import millstream  # noqa: E402
import oracle  # noqa: E402

RUNS = int(os.environ.get("MILLSTREAM_BENCH_RUNS", "5"))
PEER_RUNS = int(os.environ.get("MILLSTREAM_BENCH_PEER_RUNS", RUNS))
ROWS = int(os.environ.get("MILLSTREAM_BENCH_ROWS", "1500000"))
TOPIC = "mta-turnstile"
PIPELINE = """name: bench
storage: file:///tmp/millstream-spark/bench
libraries:
  - glob:
      include: transformations/**
configuration:
  spark.sql.shuffle.partitions: "2"
  spark.sql.session.timeZone: UTC
  mapreduce.output.fileoutputformat.compress: "true"
  mapreduce.output.fileoutputformat.compress.codec: org.apache.hadoop.io.compress.GzipCodec
"""
STATIONS = (millstream.ROOT / "examples/turnstiles/transformations/audits.sql").read_text() + """
CREATE STREAMING TABLE station_traffic
USING csv
AS SELECT date_format(window.start, 'yyyy-MM-dd HH:mm:ss') AS start, station, count(*) AS audits, sum(entries) AS entries, sum(exits) AS exits
FROM STREAM audits WATERMARK ts DELAY OF INTERVAL 10 MINUTES
GROUP BY window(ts, '4 hours'), station;
"""
PASS = """CREATE STREAMING TABLE passed
USING json
TBLPROPERTIES ('millstream.topic' = 'passed')
AS SELECT CAST(value AS STRING) AS value
FROM STREAM kafka WITH ('kafka.bootstrap.servers' = '${env:KAFKA_BOOTSTRAP}', subscribe = 'plain', startingOffsets = 'earliest');
"""


def say(*words):
    print(*words, file=sys.stderr, flush=True)


def measured(command, **kwargs):
    """Runs a command; wall and CPU seconds and peak RSS in MB of it and its children."""
    start = time.monotonic()
    process = subprocess.Popen([str(c) for c in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **kwargs)
    peak = [0]

    # What wait4 says of memory counts this process too, as it was when it forked; so the largest of the tree is sampled.
    def sample():
        for pid in [process.pid, *children(process.pid)]:
            peak[0] = max(peak[0], status(pid, "VmHWM"))

    while True:
        pid, code, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        sample()
        time.sleep(0.02)
    wall = time.monotonic() - start
    errors = process.stderr.read().decode()
    if code:
        raise SystemExit(f"{command} failed:\n{errors[-3000:]}")
    return {"wall_s": wall, "cpu_s": usage.ru_utime + usage.ru_stime, "rss_mb": peak[0] / 1024}


def children(pid):
    try:
        found = [int(c) for c in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return found + [g for c in found for g in children(c)]


def status(pid, name):
    try:
        for line in open(f"/proc/{pid}/status"):
            if line.startswith(name):
                return int(line.split()[1])
    except OSError:
        pass
    return 0


def cpu_seconds(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def medians(runs):
    return {k: statistics.median(r[k] for r in runs) for k in runs[0]}


def turnstile_lines():
    """Three weeks sorted by time, then again with dates shifted by the span of the first pass, cut at ROWS."""
    first = []
    for path in sorted((millstream.DATA / "mta").glob("*.txt.gz")):
        for line in oracle.lines(path)[1:]:
            f = line.split(",")
            first.append((datetime.strptime(f"{f[6]} {f[7]}", "%m/%d/%Y %H:%M:%S"), f))
    first.sort(key=lambda x: x[0])
    span = timedelta(days=(first[-1][0] - first[0][0]).days + 1)
    shift, count = timedelta(0), 0
    while True:
        for ts, f in first:
            if count == ROWS:
                return
            count += 1
            yield ",".join([*f[:6], (ts + shift).strftime("%m/%d/%Y"), *f[7:]])
        shift += span


def project(work, name, sql):
    folder = work / name
    (folder / "transformations").mkdir(parents=True)
    (folder / "spark-pipeline.yml").write_text(PIPELINE)
    (folder / "transformations" / "bench.sql").write_text(sql)
    return folder


def fill(work, data, partitions):
    """The lines in a topic of a data folder, round robin over its partitions."""
    from confluent_kafka import Producer
    from confluent_kafka.admin import AdminClient, NewTopic

    with millstream.Server("broker", "--data", data, log=work / "fill.log") as broker:
        admin = AdminClient({"bootstrap.servers": broker.kafka})
        for made in admin.create_topics([NewTopic(TOPIC, partitions, 1)]).values():
            made.result()
        producer = Producer({"bootstrap.servers": broker.kafka, "linger.ms": 50, "enable.idempotence": True})
        for i, line in enumerate(turnstile_lines()):
            while True:
                try:
                    producer.produce(TOPIC, line.encode(), partition=i % partitions)
                    break
                except BufferError:
                    producer.poll(0.1)
        assert producer.flush(300) == 0


def table(folder):
    return {(r[0], r[1]): tuple(r[2:]) for r in millstream.read_table(folder)}


def run_backlog():
    """1.5 M lines already in the topic; `run` and `spark-pipelines run`, start and exit included. Over one partition and over four, in turn."""
    with tempfile.TemporaryDirectory(prefix="millstream-bench-") as tmp:
        work = pathlib.Path(tmp)
        folder = project(work, "bench", STATIONS)
        expected, _ = oracle.turnstiles(list(turnstile_lines()))
        expected = {k: tuple("" if x is None else str(x) for x in v) for k, v in expected.items()}
        filled = {partitions: work / f"filled-{partitions}" for partitions in (1, 4)}
        for partitions, data in filled.items():
            say(f"filling {ROWS} lines into {partitions} partition(s)")
            fill(work, data, partitions)
        runs = {(partitions, who): [] for partitions in filled for who in ("millstream", "spark")}
        for _ in range(RUNS):
            for partitions, data in filled.items():
                shutil.rmtree(folder / ".millstream", ignore_errors=True)
                shutil.rmtree(folder / "lake", ignore_errors=True)
                shutil.copytree(data, folder / ".millstream")
                runs[partitions, "millstream"].append(measured([millstream.BINARY, "run", folder]))
                say("millstream", partitions, runs[partitions, "millstream"][-1])
                assert table(folder / "lake" / "station_traffic") == expected, "rows differ from the independent sum"
        script = millstream.ROOT / "tests/peers/spark/spark"
        for partitions, data in filled.items() if there("spark") else ():
            with millstream.Server("broker", "--data", data, log=work / "serve.log") as broker:
                for i in range(PEER_RUNS):
                    env = {**os.environ, "WORK": str(work / f"spark-{partitions}-{i}")}
                    runs[partitions, "spark"].append(measured([script, "run", folder, broker.kafka], env=env))
                    say("spark", partitions, runs[partitions, "spark"][-1])
        rate = lambda each: {**medians(each), "rows_per_s": ROWS / medians(each)["wall_s"], "cpu_s_per_million": medians(each)["cpu_s"] / ROWS * 1e6}
        return {f"{who}, {partitions}": rate(each) for (partitions, who), each in runs.items() if each}


class Kafka:
    """A real Apache Kafka on a port of its own, formatted before the clock starts."""

    SCRIPT = millstream.ROOT / "tests/peers/kafka/kafka"
    PORT = 19492

    def __init__(self, folder):
        self.folder, self.address = folder, f"127.0.0.1:{self.PORT}"
        subprocess.run([self.SCRIPT, "start", folder, str(self.PORT)], check=True, stdout=subprocess.DEVNULL)
        self.pid = int((folder / "pid").read_text())

    def stop(self):
        subprocess.run([self.SCRIPT, "stop", self.folder], check=True)


def there(name):
    """Is the peer there, or can it be fetched?"""
    script = millstream.ROOT / f"tests/peers/{name}/{name}"
    return subprocess.run([script, "setup"], capture_output=True).returncode == 0


def tree(pid, of):
    return sum(of(p) for p in [pid, *children(pid)])


def pass_through(address, pids, runs):
    once = lambda: millstream.run("bench-passthrough", "--bootstrap", address, "--from", "plain", "--to", "passed", "--rate", 1000, "--seconds", 10)
    once()  # warms up, above all the JVM
    before = sum(tree(pid, cpu_seconds) for pid in pids)
    each = []
    for _ in range(runs):
        each.append(json.loads(once().stdout))
        say(address, each[-1])
    used = sum(tree(pid, cpu_seconds) for pid in pids) - before
    return {**medians(each), "rss_mb": sum(tree(pid, lambda p: status(p, "VmHWM")) for pid in pids) / 1024, "cpu_s": used / runs}


def resting(pids):
    """Memory and CPU of processes that have nothing to do, over 20 seconds."""
    before = sum(tree(pid, cpu_seconds) for pid in pids)
    time.sleep(20)
    used = sum(tree(pid, cpu_seconds) for pid in pids) - before
    return {"rss_mb": sum(tree(pid, lambda p: status(p, "VmRSS")) for pid in pids) / 1024, "cpu_percent": used / 20 * 100}


@contextlib.contextmanager
def kafka_and_spark(work):
    """A real Kafka, and a real Spark that copies one of its topics into another; the pids of both."""
    kafka = Kafka(work / "kafka")
    try:
        from confluent_kafka.admin import AdminClient, NewTopic

        admin = AdminClient({"bootstrap.servers": kafka.address})
        for topic in admin.create_topics([NewTopic(name, 1, 1) for name in ("plain", "passed")]).values():
            topic.result()
        script = millstream.ROOT / "tests/peers/spark/spark"
        with open(work / "spark.log", "wb") as log:
            spark = subprocess.Popen([script, "submit", HERE / "spark_passthrough.py", kafka.address, "plain", "passed", work / "checkpoint"],
                                     stdout=log, stderr=log, start_new_session=True)
        try:
            time.sleep(30)
            yield kafka.address, kafka.pid, spark.pid
        finally:
            os.killpg(spark.pid, signal.SIGTERM)
            spark.wait()
    finally:
        kafka.stop()


def latency():
    """Pass-through topic to topic at 1,000 records a second: ms from send to receipt of the record that came out."""
    with tempfile.TemporaryDirectory(prefix="millstream-bench-") as tmp:
        work = pathlib.Path(tmp)
        folder = project(work, "bench", PASS)
        with millstream.Server("up", folder, log=work / "up.log") as up:
            figures = {"millstream": pass_through(up.kafka, [up.process.pid], RUNS)}
        if there("kafka") and there("spark"):
            with kafka_and_spark(work) as (address, kafka, spark):
                figures["kafka+spark"] = pass_through(address, [kafka, spark], PEER_RUNS)
        return figures


def start():
    """From exec to the first acknowledged record (our client), and to a page that answers."""
    from confluent_kafka import Producer

    ours, theirs = [], []
    with tempfile.TemporaryDirectory(prefix="millstream-bench-") as tmp:
        work = pathlib.Path(tmp)
        for i in range(RUNS):
            folder = project(work, f"bench{i}", PASS)
            done = millstream.run("bench-start", folder)
            ours.append(json.loads(done.stdout))
            say("millstream", ours[-1])
        if there("kafka"):
            Kafka(work / "kafka").stop()
            for _ in range(PEER_RUNS):
                began = time.monotonic()
                kafka = Kafka(work / "kafka")
                producer = Producer({"bootstrap.servers": kafka.address, "acks": "all"})
                producer.produce("first", b"record")
                assert producer.flush(60) == 0
                theirs.append({"first_ack_ms": (time.monotonic() - began) * 1000})
                say("kafka", theirs[-1])
                kafka.stop()
    return {"millstream": medians(ours), **({"kafka": medians(theirs)} if theirs else {})}


def idle():
    """`up` with a pipeline and nothing to do, after it has settled; Kafka with a topic, Spark with a query that waits for rows."""
    with tempfile.TemporaryDirectory(prefix="millstream-bench-") as tmp:
        work = pathlib.Path(tmp)
        folder = project(work, "bench", STATIONS)
        with millstream.Server("up", folder, log=work / "up.log") as up:
            time.sleep(5)
            figures = {"millstream": resting([up.process.pid])}
        if there("kafka") and there("spark"):
            with kafka_and_spark(work) as (_, kafka, spark):
                figures |= {"kafka": resting([kafka]), "spark": resting([spark])}
        return figures


BENCHES = {"run": run_backlog, "latency": latency, "start": start, "idle": idle}


def main():
    names = sys.argv[1:] or list(BENCHES)
    path = HERE / "results.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    for name in names:
        say("==", name)
        results[name] = BENCHES[name]()
        path.write_text(json.dumps(results, indent=2) + "\n")
    for name in names:
        for who, figures in results[name].items():
            print(f"{name:8} {who:13}", "  ".join(f"{k} {v:,.2f}" for k, v in figures.items()))


if __name__ == "__main__":
    main()
