"""Unmodified clients against the broker: each file in clients/ is one client's own program."""

import os
import pathlib
import subprocess
import sys

import pytest

from conftest import missing, peer

# Clients that are part of a peer's own installation.
KAFKA = ["java_cluster_tools.py", "java_tools.sh", "java_transactions.sh", "java_verifiable.sh", "kafka_connect.py", "kafka_streams.py"]
PEERS = dict.fromkeys(KAFKA, "kafka") | {"spark.sh": "spark", "flink.py": "flink"}
# Those of the long form, MILLSTREAM_SOAK=1.
SOAK = ["flink.py"]
# What a client's test wants of the broker: changelogs that are compacted while it looks.
SETTINGS = {"kafka_streams.py": ["--set=log.cleaner.backoff.ms=200"]}
# Three workers come to their end there, each within Connect's own limits.
SECONDS = {"kafka_connect.py": 600}
CLIENTS = sorted((pathlib.Path(__file__).parent / "clients").glob("*.*"))


@pytest.mark.timeout(900)
@pytest.mark.parametrize("script", [c for c in CLIENTS if c.suffix in (".py", ".sh")], ids=lambda c: c.name)
def test_client(script, server, tmp_path):
    if script.name in SOAK and os.environ.get("MILLSTREAM_SOAK") != "1":
        pytest.skip("part of the long form: make soak")
    if script.name in PEERS:
        peer(PEERS[script.name])
    broker = server("broker", "--data", tmp_path / "data", *SETTINGS.get(script.name, []))
    command = [sys.executable, script] if script.suffix == ".py" else ["bash", script]
    done = subprocess.run([*command, broker.kafka], capture_output=True, text=True, timeout=SECONDS.get(script.name, 240))
    if done.returncode == 77:  # the convention of automake: the client is not there
        missing(done.stdout.strip() or script.name)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-20_000:]
