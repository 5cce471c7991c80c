"""docs/durability.md, its column of kill -9: what each acks promises, in durable topics and in relaxed ones, while all of them are at work.

A power cut cannot be had here: it is played with a file layer that forgets, in `crates/log/tests/power_cut.rs`.
"""

import contextlib
import itertools
import os
import random
import socket
import struct
import threading
import time

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

import wire

ROUNDS = 8
RELAXED = {"flush.messages": "1000000", "flush.ms": "3600000"}
CELLS = {f"{kind}-{name}": acks for kind in ("durable", "relaxed") for name, acks in (("all", -1), ("1", 1), ("0", 0))}


def work(address, topic, acks, numbers, answered, refused):
    """One record a request, until the broker is gone. `answered`: the numbers that were acknowledged, and their offsets."""
    with contextlib.suppress(OSError), wire.Connection(address) as connection:
        for number in numbers:
            body = wire.produce_v7(topic, 0, wire.batch([str(number).encode()]), acks)
            if acks == 0:
                connection.send(body)
                time.sleep(0.0005)
                continue
            answer = connection.call(body)
            error, offset = struct.unpack_from(">hq", answer, 4 + 4 + 2 + len(topic) + 4 + 4)
            if error:
                refused.append(f"{topic}: error {error} for {number}")
            else:
                answered.append((number, offset))


def check(address, topic, answered, sent):
    """What is there: each acknowledged record at its offset, and no record but those that were sent, in their order."""
    batches, _, _ = wire.read_batches(address, topic, 0)
    there = [(int(value), offset) for batch in batches for offset, value in batch.values]
    missing = set(answered) - set(there)
    assert not missing, f"{topic}: {len(missing)} of {len(answered)} acknowledged records are gone: {sorted(missing)[:5]}"
    numbers = [number for number, _ in there]
    assert numbers == sorted(set(numbers)), f"{topic}: out of order, or twice"
    assert not numbers or numbers[-1] < sent, f"{topic}: {numbers[-1]} was never sent"
    return len(there)


@pytest.mark.timeout(120)
def test_what_was_acknowledged_is_there_after_kills_whatever_the_acks(tmp_path, server, capsys):
    seed = int(os.environ.get("MILLSTREAM_SEED", random.randrange(1 << 30)))
    print("MILLSTREAM_SEED =", seed)
    chance = random.Random(seed)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"

    def start():
        return server("broker", "--data", tmp_path / "data", kafka=address)

    broker = start()
    admin = AdminClient({"bootstrap.servers": address, "log_level": 0})
    topics = [NewTopic(topic, 1, config=RELAXED if topic.startswith("relaxed") else {}) for topic in CELLS]
    for future in admin.create_topics(topics).values():
        future.result(20)
    answered = {topic: [] for topic in CELLS}
    numbers = {topic: itertools.count() for topic in CELLS}
    there, refused = {}, []
    for _ in range(ROUNDS):
        threads = [threading.Thread(target=work, args=[address, topic, acks, numbers[topic], answered[topic], refused])
                   for topic, acks in CELLS.items()]
        for thread in threads:
            thread.start()
        time.sleep(chance.uniform(0.02, 0.5))
        broker.kill()
        for thread in threads:
            thread.join()
        assert not refused, refused[:3]
        broker = start()
        for topic in CELLS:
            there[topic] = check(address, topic, answered[topic], next(numbers[topic]))
    with capsys.disabled():
        print(f"\n{ROUNDS} kills; there / acknowledged: " + ", ".join(f"{topic} {there[topic]} / {len(answered[topic])}" for topic in CELLS))
    assert all(there[topic] for topic in CELLS) and all(answered[topic] for topic, acks in CELLS.items() if acks)
    assert broker.stop() == 0
