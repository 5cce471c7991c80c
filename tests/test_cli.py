"""The command line as a person meets it."""

import json
import shutil
import subprocess
import time
import urllib.request

import millstream


def test_help_teaches_each_verb():
    text = millstream.run("--help").stdout
    assert "MILLSTREAM_LOG" in text and "--log-format" in text
    for verb in ("up", "run", "dry-run", "init", "broker", "replay", "topics", "groups", "produce", "consume", "configs", "users", "acls", "certificate", "completions"):
        assert verb in text
        first = ("Run", "Work", "Check", "Make", "Serve", "Send", "List", "Print", "Show")
        assert millstream.run(verb, "--help").stdout.startswith(first)


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
    with urllib.request.urlopen(up.http + "/metrics") as answer:
        text = answer.read().decode()
    documented = (millstream.ROOT / "docs" / "metrics.md").read_text()
    names = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")}
    assert "millstream_connections" in names and "millstream_info" in names
    assert all(f"`{name}`" in documented or f"`{name}{{" in documented for name in names), names


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


def test_records_go_in_and_out_through_pipes(server, tmp_path):
    import json
    import os

    broker = server("broker", "--data", tmp_path / "data")
    env = {"KAFKA_BOOTSTRAP": broker.kafka}
    piped = lambda *args, text="": subprocess.run(
        [millstream.BINARY, *args], input=text, capture_output=True, text=True, timeout=60, env={**os.environ, **env})
    sent = piped("produce", "notes", "--create", "--key-separator", ":", text="a:1\nb:2\n")
    assert sent.returncode == 0 and sent.stderr.startswith("2 records (4 B) into notes")
    rows = [json.loads(line) for line in piped("consume", "notes").stdout.splitlines()]
    assert [(row["key"], row["value"]) for row in rows] == [("a", "1"), ("b", "2")]
    assert json.loads(piped("topics", "list").stdout)["records"] == 2
    # A reader that has seen enough ends it quietly.
    piped("produce", "many", "--create", text="x" * 99 + "\n" + "y" * 99 + "\n" + "z\n" * 200_000)
    head = subprocess.run(f"{millstream.BINARY} consume many | head -1; echo ${{PIPESTATUS[0]}}", shell=True, executable="/bin/bash",
                          capture_output=True, text=True, timeout=60, env={**os.environ, **env})
    assert head.stdout.splitlines()[1] == "0" and head.stderr == ""


def test_following_ends_with_an_interrupt_and_without_an_error(server, tmp_path):
    import os
    import signal
    import time

    broker = server("broker", "--data", tmp_path / "data")
    env = {**os.environ, "KAFKA_BOOTSTRAP": broker.kafka}
    subprocess.run([millstream.BINARY, "produce", "t", "--create"], input=b"1\n", check=True, env=env, capture_output=True)
    following = subprocess.Popen([millstream.BINARY, "consume", "t", "-f", "-g", "g", "--format", "raw"], stdout=subprocess.PIPE, env=env)
    assert following.stdout.readline() == b"1\n"
    following.send_signal(signal.SIGINT)
    assert following.wait(10) == 0
    # What it had printed is committed.
    described = subprocess.run([millstream.BINARY, "groups", "describe", "g"], capture_output=True, text=True, env=env, check=True)
    assert '"lag":0' in described.stdout


def test_on_a_terminal_there_are_tables_and_colours_unless_unwanted(server, tmp_path):
    broker = server("broker", "--data", tmp_path / "data")
    on_terminal = lambda command: subprocess.run(["script", "-qec", f"{millstream.BINARY} {command} -b {broker.kafka}", "/dev/null"],
                                                 capture_output=True, text=True, timeout=60).stdout
    millstream.run("topics", "create", "t", "-b", broker.kafka)
    assert on_terminal("topics list").startswith("\x1b[1mtopic  ")
    assert "\x1b" not in subprocess.run(
        ["script", "-qec", f"env NO_COLOR=1 {millstream.BINARY} topics list -b {broker.kafka}", "/dev/null"], capture_output=True, text=True).stdout


def test_errors_of_the_command_line_say_what_to_do(server, tmp_path):
    nobody = millstream.run("topics", "list", "-b", "127.0.0.1:1", check=False)
    assert nobody.returncode == 1 and "millstream up" in nobody.stderr
    assert millstream.run("consume", check=False).returncode == 2
    broker = server("broker", "--data", tmp_path / "data")
    millstream.run("topics", "create", "orders", "-b", broker.kafka)
    typo = millstream.run("consume", "order", "-b", broker.kafka, check=False)
    assert typo.returncode == 1 and "did you mean 'orders'?" in typo.stderr


def test_shells_learn_the_verbs():
    for shell in ("bash", "zsh", "fish"):
        assert "consume" in millstream.run("completions", shell).stdout


def free_port():
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def test_a_reader_that_goes_away_ends_nothing(tmp_path):
    import time

    def unread(*args):
        process = subprocess.Popen([millstream.BINARY, *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdout.close()
        return process

    for args in (("init", tmp_path / "rides"), ("dry-run", tmp_path / "rides"), ("run", tmp_path / "rides"), ("completions", "bash")):
        done = unread(*args)
        assert (done.wait(60), done.stderr.read()) == (0, b""), args
    http = f"127.0.0.1:{free_port()}"
    up = unread("up", tmp_path / "rides", "--kafka", "127.0.0.1:0", "--http", http)
    up.stderr.close()
    deadline = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(f"http://{http}/ready", timeout=5) as answer:
                assert answer.status == 200
                break
        except OSError:
            assert up.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
    up.terminate()
    assert up.wait(30) == 0


def test_a_cluster_that_is_not_there_is_named_once_and_can_be_stopped(tmp_path):
    import os
    import time

    millstream.run("init", tmp_path / "rides")
    address = f"127.0.0.1:{free_port()}"
    process = subprocess.Popen([millstream.BINARY, "run", tmp_path / "rides"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               env={**os.environ, "KAFKA_BOOTSTRAP": address})
    assert process.stdout.readline() == f"reads visits from {address}  (KAFKA_BOOTSTRAP)\n"
    first = process.stderr.readline()
    assert f"no broker at {address} (Connection refused)" in first
    time.sleep(2)
    process.terminate()
    asked = time.monotonic()
    assert process.wait(10) == 1 and time.monotonic() - asked < 2
    assert len(process.stderr.read().splitlines()) <= 5, "once each, and no flood"


def test_what_is_open_to_the_network_is_said(server, tmp_path):
    shut = server("broker", "--data", tmp_path / "shut")
    assert "open to the network" not in shut.log.read_text()
    wide = server("broker", "--data", tmp_path / "wide", kafka="0.0.0.0:0", http="0.0.0.0:0")
    millstream.run("topics", "list", "-b", f"127.0.0.1:{wide.kafka.rsplit(':', 1)[1]}")
    lines = [line.split() for line in wide.log.read_text().splitlines() if "network without a log-in" in line]
    assert [line[:2] for line in lines] == [["open", "kafka"], ["open", "page"]]


def test_the_banner_claims_no_durability_that_defaults_take_away(server, tmp_path):
    def banner(name, *settings):
        broker, deadline = server("broker", "--data", tmp_path / name, *(f"--set={one}" for one in settings)), time.monotonic() + 10
        while "Ctrl-C stops." not in broker.log.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return broker.log.read_text()

    assert "(durable: " in banner("plain")
    for setting in ("log.flush.interval.messages=10000", "log.flush.interval.ms=1000"):
        text = banner(setting.split("=")[0], setting)
        assert "(relaxed: " in text and "(durable: " not in text, text


def test_the_banner_names_every_listener(server, tmp_path):
    broker = server("broker", "--data", tmp_path / "data", "--set=listeners=PLAINTEXT://127.0.0.1:0,INSIDE://127.0.0.1:0",
                    "--set=listener.security.protocol.map=PLAINTEXT:PLAINTEXT,INSIDE:PLAINTEXT", "--set=advertised.listeners=INSIDE://broker:29092")
    lines = [line.split() for line in broker.log.read_text().splitlines() if line.startswith("  kafka  127.0.0.1:")]
    assert len(lines) == 2 and lines[1][2:] == ["INSIDE", "(PLAINTEXT),", "advertised", "as", "broker:29092"], lines


def test_refused_connections_are_logged_once_in_a_while(server, tmp_path):
    import socket

    broker = server("broker", "--data", tmp_path / "data", "--set=max.connections.per.ip=1")
    host, port = broker.kafka.rsplit(":", 1)
    with socket.create_connection((host, int(port))):
        for _ in range(5):
            with socket.create_connection((host, int(port)), timeout=10) as refused:
                assert refused.recv(1) == b""
    lines = [line for line in broker.log.read_text().splitlines() if "max.connections.per.ip=1 are open from there" in line]
    assert len(lines) == 1 and "WARN" in lines[0], lines


def test_a_listener_without_a_host_serves_both_families(server, tmp_path):
    import socket

    broker = server("broker", "--data", tmp_path / "data", "--set=listeners=PLAINTEXT://:0")
    port = broker.kafka.rsplit(":", 1)[1]
    millstream.run("topics", "list", "-b", f"127.0.0.1:{port}")
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return  # a computer without IPv6
    assert broker.kafka == f"[::]:{port}"
    socket.create_connection(("::1", int(port)), timeout=5).close()


def test_a_group_that_refuses_the_other_protocol_says_what_to_do(server, tmp_path):
    from confluent_kafka import Consumer, KafkaException

    broker = server("broker", "--data", tmp_path / "data")
    millstream.run("topics", "create", "t", "-b", broker.kafka)

    def polls(protocol, done):
        consumer = Consumer({"bootstrap.servers": broker.kafka, "group.id": "g", "group.protocol": protocol})
        consumer.subscribe(["t"])
        deadline = time.monotonic() + 30
        while not done(consumer):
            assert time.monotonic() < deadline, protocol
            try:
                consumer.poll(0.1)
            except KafkaException:
                pass  # it is told of the refusal
        return consumer

    told = lambda: [line for line in broker.log.read_text().splitlines() if "stop all members of the classic protocol first" in line]
    classic = polls("classic", lambda consumer: consumer.assignment())
    assert not told()
    other = polls("consumer", lambda _: told())
    assert len(told()) == 1 and "WARN" in told()[0] and 'group="g"' in told()[0], told()
    other.close()
    classic.close()


def test_a_run_without_records_tells_where_feeds_run(tmp_path):
    millstream.run("init", tmp_path / "rides")
    assert "run under `millstream up" in millstream.run("run", tmp_path / "rides").stdout


def test_a_table_that_is_not_there_is_refused_before_anything_is_made(tmp_path):
    millstream.run("init", tmp_path / "rides")
    for verb in ("up", "run"):
        done = millstream.run(verb, tmp_path / "rides", "--full-refresh", "nosuch", check=False)
        assert (done.returncode, done.stdout) == (1, "") and "page_visits" in done.stderr
    assert not (tmp_path / "rides" / ".millstream").exists()


def test_produce_says_what_refuses_it_and_stops_when_told(server, tmp_path):
    broker = server("broker", "--data", tmp_path / "data")
    process = subprocess.Popen([millstream.BINARY, "produce", "t", "--create", "-b", broker.kafka], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdin.write("1\n")
    process.stdin.flush()
    import time

    deadline = time.monotonic() + 20
    while millstream.run("consume", "t", "--format", "raw", "-b", broker.kafka, check=False).stdout != "1\n":
        assert time.monotonic() < deadline
    broker.kill()
    process.stdin.write("2\n")
    process.stdin.flush()
    waiting = process.stderr.readline()
    assert waiting.startswith("waiting, 1 record acknowledged so far: ") and broker.kafka in waiting
    process.terminate()
    assert process.wait(5) == 1
    assert "1 record of 2 acknowledged: stopped before the broker had answered" in process.stderr.read()


def test_a_file_is_replayed_in_the_order_of_its_times(server, tmp_path):
    (tmp_path / "rows.csv").write_text("day,time,n\n01/02/2024,00:10:00,3\n01/01/2024,12:00:00,1\nnever,never,2\n12/31/2023,09:00:00,0\n")
    broker = server("broker", "--data", tmp_path / "data")
    millstream.run("replay", tmp_path / "rows.csv", "--topic", "rows", "-b", broker.kafka, "--sort", "--time", "day,time",
                   "--time-format", "MM/dd/yyyy HH:mm:ss")
    values = millstream.run("consume", "rows", "-b", broker.kafka, "--format", "raw").stdout.splitlines()
    assert [value[-1] for value in values] == ["0", "1", "2", "3"], values


def test_a_run_does_not_wait_for_ever_for_a_topic(server, project, tmp_path):
    broker = server("broker", "--data", tmp_path / "data")
    done = millstream.run("run", project("parks"), env={"KAFKA_BOOTSTRAP": broker.kafka}, check=False, timeout=60)
    assert done.returncode == 1
    assert f"{broker.kafka} has no topic" in done.stderr and "millstream topics create" in done.stderr, done.stderr


def test_topics_that_are_relaxed_are_said(server, tmp_path):
    broker = server("broker", "--data", tmp_path / "data")
    millstream.run("topics", "create", "clicks", "--config", "flush.messages=1000", "-b", broker.kafka)
    millstream.run("topics", "create", "orders", "-b", broker.kafka)
    described = [json.loads(line) for line in millstream.run("topics", "describe", "clicks", "-b", broker.kafka).stdout.splitlines()]
    assert "flush.messages" in json.dumps(described)
    deadline, relaxed = time.monotonic() + 10, {}
    while "clicks" not in relaxed or "orders" not in relaxed:
        assert time.monotonic() < deadline, relaxed
        with urllib.request.urlopen(f"{broker.http}/api/v1/overview") as answer:
            relaxed = {topic["name"]: topic["relaxed"] for topic in json.load(answer)["overview"]["topics"]}
    assert (relaxed["clicks"], relaxed["orders"]) == (True, False)
    broker.stop()
    again = server("broker", "--data", tmp_path / "data")
    banner = again.log.read_text()
    assert "but for clicks: flush.messages or flush.ms" in banner, banner
