"""The same pipeline over a real Apache Kafka instead of the embedded log: KAFKA_BOOTSTRAP changes, nothing else does."""

import json
import subprocess

import pytest

import millstream
import oracle
from conftest import peer
from test_crash import free_port
from test_examples import produce


@pytest.fixture
def kafka(tmp_path):
    """A real broker's address."""
    script, port = peer("kafka"), free_port()
    started = subprocess.run([script, "start", tmp_path / "kafka", str(port)], capture_output=True, text=True)
    assert started.returncode == 0, started.stderr[-2000:]
    yield f"127.0.0.1:{port}"
    subprocess.run([script, "stop", tmp_path / "kafka"], check=True)


@pytest.mark.timeout(300)
def test_topics_of_a_real_kafka_give_the_same_tables(data, project, kafka):
    rows = oracle.lines(data / "mta" / "turnstile_240106.txt.gz")[:60_000]
    folder = project("turnstiles")
    produce(kafka, "mta-turnstile", rows)
    millstream.run("run", folder, env={"KAFKA_BOOTSTRAP": kafka})
    stations, _ = oracle.turnstiles(rows)
    number = lambda t: None if t == "" else int(t)
    got = millstream.read_table(folder / "lake" / "station_traffic")
    assert {(r[0], r[1]): (int(r[2]), number(r[3]), number(r[4])) for r in got} == stations
    assert len(got) == len(stations)
    # What was read stays read.
    millstream.run("run", folder, env={"KAFKA_BOOTSTRAP": kafka})
    assert len(millstream.read_table(folder / "lake" / "station_traffic")) == len(stations)


@pytest.mark.timeout(300)
def test_alerts_go_to_the_cluster_that_the_flow_reads_from(data, project, kafka):
    from kafka import KafkaConsumer

    rows = [line for line in oracle.lines(data / "noaa" / "noaa-docs-2005-2008.json.gz") if '"AZ"' in line][:1000]
    folder = project("weather")
    produce(kafka, "weather", rows)
    millstream.run("run", folder, env={"KAFKA_BOOTSTRAP": kafka})
    expected = millstream.read_table(folder / "lake" / "cold_nights")
    assert expected
    consumer = KafkaConsumer("weather-alerts", bootstrap_servers=kafka, auto_offset_reset="earliest", consumer_timeout_ms=5000)
    by_day = lambda r: r["day"]
    assert sorted((json.loads(r.value) for r in consumer), key=by_day) == sorted(expected, key=by_day)


@pytest.mark.timeout(300)
def test_the_verbs_work_on_a_real_kafka(kafka):
    run = lambda *args, **kwargs: millstream.run(*args, "-b", kafka, **kwargs)
    rows = lambda *args: [json.loads(line) for line in run(*args).stdout.splitlines()]
    run("topics", "create", "orders", "--partitions", "3", "--config", "retention.ms=7d")
    lines = [{"key": f"k{n % 5}", "value": {"n": n}, "timestamp": 1_700_000_000_000 + n * 1000, "headers": {"h": "x"}} for n in range(100)]
    sent = subprocess.run([millstream.BINARY, "produce", "orders", "--format", "json", "-z", "zstd", "-b", kafka], text=True,
                          input="\n".join(map(json.dumps, lines)), capture_output=True, timeout=60)
    assert sent.returncode == 0, sent.stderr
    listed = rows("topics", "list")
    assert [(t["topic"], t["partitions"], t["records"], t["newest"]) for t in listed] == [("orders", 3, 100, "2023-11-14T22:14:59.000Z")]
    described = rows("topics", "describe", "orders")[0]
    assert {"name": "retention.ms", "value": "604800000", "source": "topic"}.items() <= next(
        s for s in described["settings"] if s["name"] == "retention.ms").items()
    assert [r["value"]["n"] for r in rows("consume", "orders", "--last", "5")] == [95, 96, 97, 98, 99]
    assert sorted(r["value"]["n"] for r in rows("consume", "orders", "--since", "1700000090000")) == list(range(90, 100))
    assert len(rows("consume", "orders", "--key", "k1", "--group", "readers")) == 20
    group = rows("groups", "describe", "readers")[0]
    assert (group["state"], group["lag"]) == ("Empty", 0)
    run("groups", "reset", "readers", "--to", "-2", "--execute")
    again = rows("groups", "list")[0]
    used = len({p["partition"] for p in described["partitions"] if p["next_offset"]})
    assert again["lag"] == 2 * used and again["behind_seconds"] > 86_400
    run("configs", "set", "topic", "orders", "retention.ms=1h")
    assert rows("configs", "get", "topic", "orders", "retention.ms")[0]["value"] == "3600000"
    assert "INVALID_CONFIG" in run("configs", "set", "topic", "orders", "retention.ms=x", check=False).stderr
    run("groups", "delete", "readers", "--yes")
    run("topics", "delete", "orders", "--yes")
    assert rows("topics", "list") == []
