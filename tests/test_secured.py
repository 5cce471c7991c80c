"""Unmodified clients against a secured broker: SASL, TLS, rules. Each file in secured/ is one client's own program.

The broker and its first user come from the broker crate's example programs, which `cargo test` builds."""

import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest

import millstream
from conftest import missing, peer

EXAMPLES = pathlib.Path(os.environ.get("MILLSTREAM_EXAMPLES", millstream.ROOT / "target" / "release" / "examples"))
CLIENTS = sorted((pathlib.Path(__file__).parent / "secured").glob("*.*"))
USER, PASSWORD = "admin", "not-to-be-logged"


@pytest.fixture
def secured(tmp_path):
    """A broker on free ports; gives the addresses of SASL_SSL, SASL_PLAINTEXT and SSL, and the folder of certificates."""
    if not (EXAMPLES / "serve").exists():
        missing("the broker's examples: cargo build --release -p millstream-broker --examples")
    data, certificates, log = tmp_path / "data", tmp_path / "certificates", tmp_path / "log"
    subprocess.run([EXAMPLES / "secure", data, certificates, USER, PASSWORD], check=True, capture_output=True)
    settings = [
        "listeners=SASL_SSL://127.0.0.1:0,SASL_PLAINTEXT://127.0.0.1:0,SSL://127.0.0.1:0",
        f"ssl.keystore.location={certificates}/server.pem", f"ssl.truststore.location={certificates}/ca.pem", "ssl.client.auth=requested",
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer", f"super.users=User:{USER}",
    ]
    with open(log, "wb") as out:
        process = subprocess.Popen([EXAMPLES / "serve", data, *settings], stdout=out, stderr=out)
    try:
        end = time.monotonic() + 30
        while len(found := dict(re.findall(r"^(\w+)://(127\.0\.0\.1:\d+)$", log.read_text(), re.M))) < 3:
            assert process.poll() is None and time.monotonic() < end, log.read_text()
            time.sleep(0.05)
        yield [found[name].replace("127.0.0.1", "localhost") for name in ("SASL_SSL", "SASL_PLAINTEXT", "SSL")], certificates
        assert PASSWORD not in log.read_text(), "a password stands in the log"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("script", CLIENTS, ids=lambda c: c.name)
def test_client_of_a_secured_broker(script, secured):
    if script.suffix == ".sh":
        peer("kafka")
    addresses, certificates = secured
    command = [sys.executable, script] if script.suffix == ".py" else ["bash", script]
    done = subprocess.run([*command, *addresses, certificates, USER, PASSWORD], capture_output=True, text=True, timeout=240)
    if done.returncode == 77:  # the convention of automake: the client is not there
        missing(done.stdout.strip() or script.name)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
