"""kill -9 at any moment: what was acknowledged is there, each row counts once, and each file is whole."""

import os
import random
import socket
import threading
import time

import pytest
from confluent_kafka import Producer

import millstream
import oracle

ROUNDS = int(os.environ.get("MILLSTREAM_KILLS", "20"))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.mark.timeout(600)
def test_a_week_over_three_partitions_survives_kills(data, project, tmp_path):
    rows = oracle.lines(data / "mta" / "turnstile_240113.txt.gz")[1:]
    rows.sort(key=lambda line: line.split(",")[6][6:] + line.split(",")[6][:5] + line.split(",")[7])
    folder = project("turnstiles")
    (folder / "millstream.yml").write_text("topics:\n  mta-turnstile:\n    partitions: 3\n")
    address = f"127.0.0.1:{free_port()}"
    seed = int(os.environ.get("MILLSTREAM_SEED", random.randrange(1 << 30)))
    print("MILLSTREAM_SEED =", seed)
    chance = random.Random(seed)
    env = {"MILLSTREAM_LOG": "info"}

    def start():
        return millstream.Server("up", folder, log=tmp_path / "up.log", kafka=address, env=env)

    failed, acknowledged, done = [], [0], threading.Event()

    def produce():
        producer = Producer({"bootstrap.servers": address, "linger.ms": 10, "enable.idempotence": True, "compression.type": "lz4",
                             "message.timeout.ms": 300000, "reconnect.backoff.max.ms": 500, "retry.backoff.max.ms": 500})

        def report(error, _):
            failed.append(error) if error else acknowledged.__setitem__(0, acknowledged[0] + 1)

        for i, line in enumerate(rows):
            producer.produce("mta-turnstile", line.encode(), partition=i % 3, on_delivery=report)
            if i % 500 == 0:  # about 20 rounds of kills long
                producer.poll(0)
                while len(producer) > 20_000:
                    producer.poll(0.05)
                time.sleep(0.05)
        producer.flush(300)
        done.set()

    up = start()
    thread = threading.Thread(target=produce)
    thread.start()
    for _ in range(ROUNDS):
        time.sleep(chance.uniform(0.05, 2.0))
        up.kill()
        up = start()
    thread.join(300)
    assert done.is_set() and not failed, failed[:3]
    assert acknowledged[0] == len(rows)

    stations, turnstiles = oracle.turnstiles(rows)
    lake = folder / "lake"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        time.sleep(1)
        if len(millstream.read_table(lake / "station_traffic")) >= len(stations) and \
           len(millstream.read_table(lake / "turnstile_traffic")) >= len(turnstiles):
            break
    up.stop()
    got = millstream.read_table(lake / "station_traffic")
    number = lambda t: None if t == "" else int(t)
    assert {(r[0], r[1]): (int(r[2]), number(r[3]), number(r[4])) for r in got} == stations
    assert len(got) == len(stations), "a row stands twice"
    got = millstream.read_table(lake / "turnstile_traffic")
    assert {tuple(r[:9]): (number(r[9]), number(r[10])) for r in got} == turnstiles
    assert len(got) == len(turnstiles), "a row stands twice"
