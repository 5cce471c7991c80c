"""The README's table of the broker: Millstream beside a real Apache Kafka, in one run on one machine.

    make bench-broker                 everything, medians of MILLSTREAM_BENCH_RUNS (5) runs
                                      (MILLSTREAM_BENCH_PEER_RUNS: of the peer; 0 keeps what was measured of it before)
    python benches/broker.py NAME...  some of: start, full, java, librdkafka, latency, idle, hostile; or `table`: the README's from what is there

Beside each figure stand wall seconds, CPU seconds and peak resident memory of the server alone: the clients are the same for all. The third
server of each measurement keeps nothing (`bench nothing`, crates/client/examples/bench): what a client reaches against it is that client's
ceiling here, what it costs itself is the floor. Results land in benches/broker.json, in the README and on stdout.

Kafka runs with its defaults, which acknowledge before anything is on disk; `durable` there is flush.messages=1. Millstream's default is
durable; `relaxed` there is flush.messages=1000000000. MILLSTREAM_BENCH_MILLIONS (3) of records of 100 bytes are sent in each run, a third as
many of 1 KiB; MILLSTREAM_BENCH_GIB (10) fill the folder to start from.
"""

import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

from broker_servers import BENCH, GIB, RECORDS, Kafka, Nothing, bench, java_consume, java_produce, librdkafka, per_million, servers
from broker_table import peak, table, write_table
from run import HERE, RUNS, cpu_seconds, say, status

MODES = ("durable", "relaxed")
SIZES = (100, 1024)
RESULTS = HERE / "broker.json"


# Measurements: each adds to {row: {who: figures}}


def medians(each):
    """Of memory the peak, of all else the median."""
    return {name: (max if name == "rss_mb" else statistics.median)(one[name] for one in each) for name in each[0]}


def repeated(server, results, row, once, runs=None):
    each = []
    for number in range(runs or server.runs):
        each.append(once(number))
        say(f"{row:24} {server.name:11}", {name: round(value, 3) for name, value in each[-1].items()})
    results.setdefault(row, {})[server.name] = medians(each) | {"runs": len(each)}
    results["peak"] = peak(results)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")


def first_record(server, topic):
    """Milliseconds from the server's start to its first acknowledged record."""
    waiting = subprocess.Popen([BENCH, "first", server.address, topic], stdout=subprocess.PIPE, text=True)
    time.sleep(0.2)
    begun = time.time_ns()
    server.start()
    at = json.loads(waiting.communicate()[0])["at_ns"]
    return {"first_ack_ms": (at - begun) / 1e6, "cpu_s": cpu_seconds(server.pid), "rss_mb": status(server.pid, "VmHWM") / 1024}


def start(work, results):
    for kind in servers():

        def once(number, kind=kind):
            server = kind(work / f"{kind.name}-start-{number}")
            if kind is Kafka:  # its folder is made before the clock starts
                server.start()
                server.stop()
            figures = first_record(server, "first")
            server.__exit__()
            return figures

        repeated(kind, results, "start", once)


def full(work, results):
    partitions = 1000
    for kind in servers():
        with kind(work / f"{kind.name}-full") as server:
            say("filling", GIB, "GiB for", server.name)
            server.create("full", partitions)
            bench("fill", server.address, "full", partitions, int(GIB * 1024))

            def once(number, server=server):
                load = subprocess.Popen([BENCH, "fill", server.address, "full", str(partitions), "2048"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                time.sleep(1)
                server.kill()
                load.kill()
                load.wait()
                return first_record(server, "full")

            repeated(server, results, "start-full", once)


def java(work, results):
    for kind in servers():
        with kind(work / f"{kind.name}-java") as server:

            def produce(topic, size):
                with server.watched() as figures:
                    figures["records_per_s"] = java_produce(server, topic, size)
                return per_million(figures, RECORDS[size])

            def consume(topic, size):
                with server.watched() as figures:
                    figures["records_per_s"] = java_consume(server, topic, size)
                return per_million(figures, RECORDS[size])

            for size in SIZES:
                for mode in MODES:

                    def once(number, size=size, mode=mode):
                        topic = f"java-{size}-{mode}"
                        server.create(topic, mode=mode)
                        figures = produce(topic, size)
                        if mode == "durable" or number + 1 < server.runs:
                            server.delete(topic)
                        return figures

                    if kind is Kafka:  # the JVM warms up
                        server.create("warm", mode=mode)
                        produce("warm", size)
                        consume("warm", size)
                        server.delete("warm")
                    repeated(server, results, f"produce-{size}-{mode}", once)
                repeated(server, results, f"fetch-{size}", lambda _, size=size: consume(f"java-{size}-relaxed", size))
                server.delete(f"java-{size}-relaxed")
    for size in SIZES:
        with Nothing(RECORDS[size], size) as server:

            def once(_, size=size):
                with server.watched() as figures:
                    figures["records_per_s"] = java_produce(server, "nothing", size)
                return per_million(figures, RECORDS[size])

            for mode in MODES:
                repeated(server, results, f"produce-{size}-{mode}", once, runs=1)


def with_librdkafka(work, results):

    def produce(server, topic, size):
        with server.watched() as figures:
            figures |= librdkafka("produce", server.address, topic, RECORDS[size], size)
        return per_million(figures, RECORDS[size])

    def consume(server, topic, size):
        with server.watched() as figures:
            figures |= librdkafka("consume", server.address, topic, RECORDS[size])
        return per_million(figures, RECORDS[size])

    for kind in servers():
        with kind(work / f"{kind.name}-librdkafka") as server:
            for size in SIZES:
                for mode in MODES:

                    def once(number, size=size, mode=mode):
                        topic = f"c-{size}-{mode}"
                        server.create(topic, mode=mode)
                        figures = produce(server, topic, size)
                        if mode == "durable" or number + 1 < server.runs:
                            server.delete(topic)
                        return figures

                    repeated(server, results, f"librdkafka-produce-{size}-{mode}", once)
                repeated(server, results, f"librdkafka-consume-{size}", lambda _, size=size: consume(server, f"c-{size}-relaxed", size))
                server.delete(f"c-{size}-relaxed")
    for size in SIZES:
        with Nothing(RECORDS[size], size) as server:
            each = [produce(server, "nothing", size) for _ in range(RUNS)]
            for mode in MODES:
                repeated(server, results, f"librdkafka-produce-{size}-{mode}", each.__getitem__)
            repeated(server, results, f"librdkafka-consume-{size}", lambda _, size=size: consume(server, "nothing", size))


def latency(work, results):
    for kind in servers():
        with kind(work / f"{kind.name}-latency") as server:
            server.create("one")
            server.create("spread", 100)

            def one(_, server=server):
                with server.watched() as figures:
                    figures |= bench("one", server.address, "one", 2000, 100)
                return figures

            def spread(_, server=server):
                with server.watched() as figures:
                    figures |= bench("spread", server.address, "spread", 100, 100, 5)
                return figures

            if kind is Kafka:  # the JVM warms up
                one(0)
                spread(0)
            repeated(server, results, "one", one)
            repeated(server, results, "spread", spread)


def idle(work, results):
    for kind in servers():
        with kind(work / f"{kind.name}-idle") as server:
            server.create("idle", 1000)
            bench("fill", server.address, "idle", 1000, 1)

            def once(_, server=server):
                with server.watched() as figures:
                    held = subprocess.Popen([BENCH, "idle", server.address, "10000"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
                    assert json.loads(held.stdout.readline())["connections"] == 10000
                    time.sleep(2)
                    held.communicate("")
                return figures

            repeated(server, results, "idle", once, runs=1)


def hostile(work, results):
    for kind in servers():
        with kind(work / f"{kind.name}-hostile") as server:

            def once(_, server=server):
                with server.watched() as figures:
                    figures |= bench("hostile", server.address, "good", 3000, 2000)
                return figures

            repeated(server, results, "hostile", once, runs=1)


MEASUREMENTS = {"start": start, "full": full, "java": java, "librdkafka": with_librdkafka, "latency": latency, "idle": idle, "hostile": hostile}


def main():
    names = sys.argv[1:] or [*MEASUREMENTS, "table"]
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in names:
        if name == "table":
            write_table(results)
            continue
        say("==", name)
        with tempfile.TemporaryDirectory(prefix="millstream-bench-", dir=os.environ.get("MILLSTREAM_BENCH_DIR")) as work:
            MEASUREMENTS[name](pathlib.Path(work), results)
    print(table(results))


if __name__ == "__main__":
    main()
