"""The command line as a person meets it."""

import shutil
import subprocess
import urllib.request

import millstream


def test_help_teaches_each_verb():
    text = millstream.run("--help").stdout
    for verb in ("up", "run", "dry-run", "init", "broker", "replay"):
        assert verb in text
        assert millstream.run(verb, "--help").stdout.startswith(("Run", "Work", "Check", "Make", "Serve", "Send"))


def test_init_makes_a_project_that_passes_its_dry_run(tmp_path):
    millstream.run("init", tmp_path / "rides")
    millstream.run("dry-run", tmp_path / "rides")
    again = millstream.run("init", tmp_path / "rides", check=False)
    assert again.returncode != 0 and "already" in again.stderr


def test_every_example_passes_its_dry_run():
    for example in sorted((millstream.ROOT / "examples").iterdir()):
        if example.is_dir():
            millstream.run("dry-run", example)


def test_an_error_in_sql_shows_file_line_text_and_remedy(project):
    folder = project("turnstiles")
    sql = folder / "transformations" / "traffic.sql"
    sql.write_text(sql.read_text().replace("FROM STREAM audits", "FROM STREAM audit"))
    done = millstream.run("dry-run", folder, check=False)
    assert done.returncode == 1
    assert "traffic.sql:6" in done.stderr and "audit" in done.stderr and "audits" in done.stderr


def test_run_is_refused_while_up_holds_the_project(project, server):
    folder = project("turnstiles")
    server("up", folder)
    done = millstream.run("run", folder, check=False)
    assert done.returncode != 0
    assert "up" in done.stderr and ".millstream" in done.stderr


def test_up_without_a_project_serves_broker_and_page(tmp_path, server):
    up = server("up", "--data", tmp_path / "data")
    with urllib.request.urlopen(up.http) as answer:
        assert b"Millstream" in answer.read()
    with urllib.request.urlopen(up.http + "/health") as answer:
        assert answer.status == 200


def test_an_example_fills_its_lake_by_one_command(project, server):
    import time

    folder = project("turnstiles", feeds=True)
    up = server("up", folder)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not millstream.read_table(folder / "lake" / "turnstile_traffic"):
        time.sleep(0.2)
    assert millstream.read_table(folder / "lake" / "turnstile_traffic")
    assert up.stop() == 0


def test_hostile_bytes_leave_the_port_serving(server, tmp_path):
    import os
    import random
    import socket

    broker = server("broker", "--data", tmp_path / "data")
    host, port = broker.kafka.rsplit(":", 1)
    chance = random.Random(1)
    for size in (0, 1, 4, 100, 10_000):
        for head in (b"", b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff", b"\x00\x00\x00\x10", b"\x00\x00\x00\x20\x00\x03\x00\x0d\x00\x00\x00\x01\x00\x01a\xff\xff"):
            with socket.create_connection((host, int(port))) as s:
                s.sendall(head + bytes(chance.randrange(256) for _ in range(size)))
                s.settimeout(0.05)
                try:
                    s.recv(1 << 16)
                except OSError:
                    pass
    status = open(f"/proc/{broker.process.pid}/status").read()
    peak = int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])
    assert peak < 150_000, f"{peak} KiB"
    from kafka import KafkaProducer

    KafkaProducer(bootstrap_servers=broker.kafka).send("still-here", b"x").get(10)
