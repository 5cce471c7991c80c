"""Unmodified clients against the broker: each file in clients/ is one client's own program."""

import pathlib
import subprocess
import sys

import pytest

from conftest import missing, peer

# Clients that are part of a peer's own installation.
PEERS = {"java_tools.sh": "kafka", "java_transactions.sh": "kafka", "spark.sh": "spark"}
CLIENTS = sorted((pathlib.Path(__file__).parent / "clients").glob("*.*"))


@pytest.mark.timeout(900)
@pytest.mark.parametrize("script", [c for c in CLIENTS if c.suffix in (".py", ".sh")], ids=lambda c: c.name)
def test_client(script, server, tmp_path):
    if script.name in PEERS:
        peer(PEERS[script.name])
    broker = server("broker", "--data", tmp_path / "data")
    command = [sys.executable, script] if script.suffix == ".py" else ["bash", script]
    done = subprocess.run([*command, broker.kafka], capture_output=True, text=True, timeout=240)
    if done.returncode == 77:  # the convention of automake: the client is not there
        missing(done.stdout.strip() or script.name)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
