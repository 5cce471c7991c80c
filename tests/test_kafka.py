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
