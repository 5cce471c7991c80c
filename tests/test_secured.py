"""Unmodified clients against a secured broker: SASL, TLS, rules. Each file in secured/ is one client's own program.

The broker, its certificates and its first user come from the commands that a person would use."""

import json
import os
import pathlib
import re
import ssl
import stat
import subprocess
import sys

import pytest

import millstream
from conftest import missing, peer

CLIENTS = sorted((pathlib.Path(__file__).parent / "secured").glob("*.*"))
USER, PASSWORD = "admin", "not-to-be-logged"


@pytest.fixture
def secured(tmp_path, server):
    """A broker on free ports; gives the addresses of SASL_SSL, SASL_PLAINTEXT and SSL, and the folder of certificates."""
    data, certificates, password = tmp_path / "data", tmp_path / "certificates", tmp_path / "password"
    password.write_text(PASSWORD + "\n")
    millstream.run("certificate", certificates, "--client", "client")
    millstream.run("users", "add", USER, "--password-file", password, "--data", data)
    settings = [
        "listeners=SASL_SSL://127.0.0.1:0,SASL_PLAINTEXT://127.0.0.1:0,SSL://127.0.0.1:0",
        f"ssl.keystore.location={certificates}/server.pem", f"ssl.truststore.location={certificates}/ca.pem", "ssl.client.auth=requested",
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer", f"super.users=User:{USER}",
    ]
    broker = server("broker", "--data", data, *(f"--set={one}" for one in settings), env={"MILLSTREAM_LOG": "info"})
    found = dict(re.findall(r"listener (\w+) on (127\.0\.0\.1:\d+)$", broker.log.read_text(), re.M))
    assert "ssl.client.auth is for SSL listeners only" in broker.log.read_text()
    yield [found[name].replace("127.0.0.1", "localhost") for name in ("SASL_SSL", "SASL_PLAINTEXT", "SSL")], certificates
    assert PASSWORD not in broker.log.read_text(), "a password stands in the log"


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


def test_users_and_rules_by_our_own_commands(secured, tmp_path):
    (address, *_), certificates = secured

    def login(user, password):
        path = tmp_path / f"{user}.properties"
        path.write_text(f"security.protocol=SASL_SSL\nsasl.mechanism=SCRAM-SHA-512\nsasl.username={user}\nsasl.password={password}\n"
                        f"ssl.truststore.location={certificates}/ca.pem\n")
        return ["-b", address, "--command-config", path]

    admin = login(USER, PASSWORD)
    key = json.loads(millstream.run("users", "key", "ingest", *admin).stdout)
    own = login(key["user"], key["secret"])
    produce = lambda: subprocess.run([millstream.BINARY, "produce", "raw", "--create", *map(str, own)], input="1\n", capture_output=True, text=True, timeout=60)
    assert produce().returncode == 1
    millstream.run("acls", "add", "--allow", key["user"], "--operation", "write,create", "--topic", "ra", "--prefix", *admin)
    assert produce().returncode == 0
    assert len(millstream.run("acls", "list", "--principal", key["user"], *admin).stdout.splitlines()) == 2
    millstream.run("acls", "remove", "--principal", key["user"], "--execute", *admin)
    assert produce().returncode == 1
    millstream.run("users", "delete", key["user"], "--yes", *admin)
    refused = millstream.run("topics", "list", *own, check=False)
    assert "refused the log-in" in refused.stderr


def test_failed_handshakes_are_logged_once_with_their_reason(server, tmp_path):
    import socket
    import time

    certificates = tmp_path / "certificates"
    millstream.run("certificate", certificates)
    broker = server("broker", "--data", tmp_path / "data", "--set=listeners=SSL://127.0.0.1:0", f"--set=ssl.keystore.location={certificates}/server.pem")
    address = ("127.0.0.1", int(broker.kafka.rsplit(":", 1)[1]))
    for _ in range(3):
        with socket.create_connection(address, timeout=10) as plain:
            begin = time.monotonic()
            plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
            while plain.recv(1 << 10):
                pass
            assert time.monotonic() - begin > 0.09, "connection.failed.authentication.delay.ms"
    lines = [line for line in broker.log.read_text().splitlines() if "TLS handshake failed: " in line]
    assert len(lines) == 1 and "WARN" in lines[0] and "peer=127.0.0.1:" in lines[0], lines
    # Files that are there anew are read by the next handshake a second later.
    assert "certificates changed" not in broker.log.read_text()
    os.utime(certificates / "server.pem", (1, 1))
    time.sleep(1.1)
    with socket.create_connection(address, timeout=10) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
        while plain.recv(1 << 10):
            pass
    assert "certificates changed and were read again" in broker.log.read_text()


def test_denials_are_audited_as_json_once_in_a_while(server, tmp_path):
    data, password, config = tmp_path / "data", tmp_path / "password", tmp_path / "ann.properties"
    password.write_text(PASSWORD + "\n")
    millstream.run("users", "add", "ann", "--password-file", password, "--data", data)
    config.write_text(f"security.protocol=SASL_PLAINTEXT\nsasl.mechanism=SCRAM-SHA-512\nsasl.username=ann\nsasl.password={PASSWORD}\n")
    broker = server("broker", "--data", data, "--log-format", "json", "--set=listeners=SASL_PLAINTEXT://127.0.0.1:0",
                    "--set=authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer")
    for _ in range(3):
        assert millstream.run("groups", "describe", "billing", "-b", broker.kafka, "--command-config", config, check=False).returncode == 1
    # A list that is narrowed to what she may see refuses her nothing.
    millstream.run("groups", "list", "-b", broker.kafka, "--command-config", config, check=False)
    lines = [json.loads(line) for line in broker.log.read_text().splitlines() if line.startswith("{")]
    denied = [line["fields"] for line in lines if (line["target"], line["level"], line["fields"]["message"]) == ("audit", "INFO", "denied")]
    told = [tuple(fields[name] for name in ("principal", "host", "operation", "kind", "name")) for fields in denied]
    assert told.count(("User:ann", "127.0.0.1", "describe", "group", "billing")) == 1 and len(set(told)) == len(told), lines
    assert not any(kind == "cluster" for *_, kind, _ in told), lines


def test_certificates_are_not_overwritten_and_keys_not_readable(tmp_path):
    folder = tmp_path / "certificates"
    told = millstream.run("certificate", folder, "--name", "broker.example", "--client", "ann").stdout
    assert f"ssl.keystore.location={folder}/server.pem" in told and f"ssl.truststore.location={folder}/ca.pem" in told
    assert [stat.S_IMODE((folder / name).stat().st_mode) for name in ("server.pem", "client.pem")] == [0o600, 0o600]
    before = (folder / "server.pem").read_bytes()
    again = millstream.run("certificate", folder, check=False)
    assert again.returncode == 1 and "is there already" in again.stderr and (folder / "server.pem").read_bytes() == before
    names = ssl._ssl._test_decode_cert(str(folder / "server.pem"))["subjectAltName"]
    assert {"localhost", "broker.example", "127.0.0.1"} <= {name for _, name in names}


def test_a_folder_in_use_refuses_users_and_says_what_to_do(server, tmp_path):
    broker = server("broker", "--data", tmp_path / "data")
    refused = millstream.run("users", "list", "--data", tmp_path / "data", check=False)
    assert refused.returncode == 1 and str(broker.process.pid) in refused.stderr and "--bootstrap" in refused.stderr
