"""Each example over real data, against the same sums done in plain Python."""

import csv

import pytest
from confluent_kafka import Producer

import millstream
import oracle


def produce(bootstrap, topic, lines, partitions=None):
    """Writes the lines to a topic, over `partitions` in turn, and waits until all are acknowledged."""
    failed = []
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 20, "compression.type": "zstd", "enable.idempotence": True})
    report = lambda error, _: failed.append(error) if error else None
    for i, line in enumerate(lines):
        where = {} if partitions is None else {"partition": i % partitions}
        while True:
            try:
                producer.produce(topic, line.encode(), on_delivery=report, **where)
                break
            except BufferError:
                producer.poll(0.1)
        if i % 1000 == 0:
            producer.poll(0)
    producer.flush(120)
    assert not failed, failed[:3]


@pytest.fixture
def run_example(project, server):
    """Fills the example's topic through the Kafka protocol, stops the broker, runs the pipeline over what is there."""

    def run(name, topic, lines):
        folder = project(name)
        broker = server("broker", "--data", folder / ".millstream")
        produce(broker.kafka, topic, lines)
        assert broker.stop() == 0
        millstream.run("run", folder)
        return folder

    return run


def number(text):
    return None if text == "" else int(text)


def real(text):
    return None if text in ("", None) else pytest.approx(float(text), rel=1e-9)


def test_a_week_of_turnstiles_in_the_files_own_order_loses_no_row(data, run_example):
    rows = oracle.lines(data / "mta" / "turnstile_240106.txt.gz")
    folder = run_example("turnstiles", "mta-turnstile", rows)
    stations, turnstiles = oracle.turnstiles(rows)
    got = millstream.read_table(folder / "lake" / "station_traffic")
    assert {(r[0], r[1]): (int(r[2]), number(r[3]), number(r[4])) for r in got} == stations
    assert len(got) == len(stations)
    got = millstream.read_table(folder / "lake" / "turnstile_traffic")
    assert {tuple(r[:9]): (number(r[9]), number(r[10])) for r in got} == turnstiles
    assert len(got) == len(turnstiles)


def test_bike_trips_of_four_layouts_are_one_stream(data, run_example):
    names = ["JC-201601", "JC-201711", "JC-201802", "JC-201901", "NYC-201807-sample10000"]
    rows = [line for n in names for line in oracle.lines(data / "citibike" / f"{n}-citibike-tripdata.csv.gz")]
    folder = run_example("bikes", "bike-trips", rows)
    # The 16-column lines are one column longer before the start of what is read, never in it.
    expected = oracle.trips(rows)
    got = millstream.read_table(folder / "lake" / "station_hours")
    assert {(r[0], int(r[1]), r[2]): (int(r[3]), real(r[4])) for r in got} == expected
    assert len(got) == len(expected)
    busiest = {int(r[0]): int(r[2]) for r in millstream.read_table(folder / "lake" / "busiest_stations") if r[1] == "Grove St PATH"}
    assert busiest == {3186: sum(v[0] for k, v in expected.items() if k[1] == 3186 and k[2] == "Grove St PATH")}


def test_waiting_times_slide_and_leave_closed_rides_out(data, run_example):
    rows = oracle.lines(data / "parks" / "queue-times" / "queue-times-2026-06_07.csv.gz")
    folder = run_example("parks", "park-waits", rows)
    expected = oracle.waits(rows)
    got = millstream.read_table(folder / "lake" / "ride_waits")
    assert {tuple(r[:3]): (int(r[3]), real(r[4]), int(r[5])) for r in got} == expected
    assert len(got) == len(expected)


def test_weather_is_filtered_enriched_and_alerted_on(data, run_example, server):
    rows = oracle.lines(data / "noaa" / "noaa-docs-2005-2008.json.gz")
    folder = run_example("weather", "weather", rows)
    with open(folder / "data" / "stations" / "stations.csv") as f:
        stations = {r["id"]: (r["place"], r["region"]) for r in csv.DictReader(f)}
    days, months, cold = oracle.arizona(rows, stations)
    key = lambda r: (r[0], r[1])
    got = sorted(((*r[:4], *map(real, r[4:])) for r in millstream.read_table(folder / "lake" / "arizona_days")), key=key)
    assert got == sorted(days, key=key)
    got = millstream.read_table(folder / "lake" / "arizona_months")
    assert {(r[0], r[1]): (int(r[2]), *map(real, r[3:])) for r in got} == months
    by_day = lambda r: r["day"]
    assert sorted(millstream.read_table(folder / "lake" / "cold_nights"), key=by_day) == sorted(cold, key=by_day)

    # The same rows are records of the alert topic, keyed by station, each once.
    import json

    from kafka import KafkaConsumer

    broker = server("broker", "--data", folder / ".millstream")
    consumer = KafkaConsumer("weather-alerts", bootstrap_servers=broker.kafka, auto_offset_reset="earliest", consumer_timeout_ms=3000)
    records = list(consumer)
    assert {r.key for r in records} == {b"USW00023183"}
    assert sorted((json.loads(r.value) for r in records), key=by_day) == sorted(cold, key=by_day)
