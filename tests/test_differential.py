"""The same requests to Millstream and to a real Apache Kafka, by our own client, and their answers compared field by field
(`crates/client/examples/differential`). What may differ stands in `tests/differential.md`, with the reason. Budget: two minutes."""

import os
import pathlib
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

import millstream
from conftest import missing, peer
from test_crash import free_port

# `cargo test` builds examples, too.
PROGRAM = pathlib.Path(os.environ.get("MILLSTREAM_DIFFERENTIAL", millstream.ROOT / "target" / "release" / "examples" / "differential"))
ACCEPTED = pathlib.Path(__file__).parent / "differential.md"

# What both are told, so that they are comparable.
SETTINGS = {"node.id": "1", "group.initial.rebalance.delay.ms": "0"}


@pytest.mark.timeout(300)
def test_answers_are_those_of_a_real_kafka(tmp_path, server, capsys):
    if not PROGRAM.exists():
        missing(f"{PROGRAM}: cargo build --release -p millstream-client --example differential")
    script, port = peer("kafka"), free_port()
    start = lambda: subprocess.run([script, "start", tmp_path / "kafka", str(port)], capture_output=True, text=True)
    try:
        with ThreadPoolExecutor() as pool:
            starting = pool.submit(start)
            ours = server("broker", "--data", tmp_path / "data", *(f"--set={name}={value}" for name, value in SETTINGS.items()))
            assert (started := starting.result()).returncode == 0, started.stderr[-2000:]
        done = subprocess.run([PROGRAM, ours.kafka, f"127.0.0.1:{port}", ACCEPTED], capture_output=True, text=True, timeout=240)
    finally:
        subprocess.run([script, "stop", tmp_path / "kafka"], check=True)
    with capsys.disabled():
        print(f"\ndifferential: {done.stdout.strip().splitlines()[-1] if done.stdout.strip() else done.stderr[-500:]}")
    assert done.returncode == 0, done.stdout + done.stderr
