"""Parts of `up` that fail: they say why, on the page and at /ready, and are tried again where that can help. Views follow what they read."""

import json
import time
import urllib.error
import urllib.request

import pytest
from confluent_kafka import Producer

import millstream

PIPELINE = """name: parts
libraries:
  - glob:
      include: transformations/**
configuration:
  millstream.trigger: 1 second
"""

NUMBERS = """CREATE TABLE stations (name STRING, line STRING) USING csv OPTIONS (header "true") LOCATION 'stations';
"""

LINES = """CREATE MATERIALIZED VIEW lines USING json AS
SELECT line, count(*) AS stations FROM stations GROUP BY line;

CREATE MATERIALIZED VIEW busiest USING json AS
SELECT max(stations) AS stations FROM lines;
"""

STRICT = """CREATE STREAMING TABLE strict USING json AS
SELECT CAST(CAST(value AS STRING) AS INT) AS n
FROM STREAM kafka WITH ('subscribe' = 'numbers', 'startingOffsets' = 'earliest');
"""

LOOSE = """CREATE STREAMING TABLE loose USING json AS
SELECT CAST(value AS STRING) AS text
FROM STREAM kafka WITH ('subscribe' = 'numbers', 'startingOffsets' = 'earliest');
"""


@pytest.fixture
def folder(tmp_path):
    def make(files, configuration=""):
        folder = tmp_path / "parts"
        for name, text in {"spark-pipeline.yml": PIPELINE + configuration, **files}.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return folder

    return make


def ready(up):
    """Status and text of /ready."""
    try:
        with urllib.request.urlopen(f"{up.http}/ready", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as answer:
        return answer.code, answer.read().decode()


def overview(up):
    with urllib.request.urlopen(f"{up.http}/api/v1/overview", timeout=10) as answer:
        return json.load(answer)["overview"]


def shown(up, kind, name):
    """A flow, table or topic on the page; empty before the page has seen it."""
    return next((one for one in overview(up)[kind] if one["name"] == name), {})


def wait_until(true, up, seconds=30):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, (ready(up), up.log.read_text()[-3000:])
        time.sleep(0.1)


def produce(up, *values):
    producer = Producer({"bootstrap.servers": up.kafka})
    for value in values:
        producer.produce("numbers", value)
    assert producer.flush(10) == 0


@pytest.mark.timeout(120)
def test_a_view_follows_files_that_no_flow_writes(folder, server):
    parts = folder({"sources.sql": NUMBERS, "transformations/lines.sql": LINES, "stations/a.csv": "name,line\n14 ST,L\n1 AV,L\n"})
    up = server("up", parts)
    rows = lambda name: sorted(millstream.read_table(parts / "lake" / name), key=str) if (parts / "lake" / name).is_dir() else None
    wait_until(lambda: rows("busiest") == [{"stations": 2}], up)
    (parts / "stations" / "b.csv").write_text("name,line\n3 AV,L\n23 ST,F\n")
    wait_until(lambda: rows("lines") == [{"line": "F", "stations": 1}, {"line": "L", "stations": 3}], up)
    wait_until(lambda: rows("busiest") == [{"stations": 3}], up)
    before = sorted(p.name for p in (parts / "lake" / "lines").glob("part-*"))
    time.sleep(3)
    assert sorted(p.name for p in (parts / "lake" / "lines").glob("part-*")) == before, "computed again although nothing changed"
    (parts / "stations" / "a.csv").unlink()
    wait_until(lambda: rows("busiest") == [{"stations": 1}], up)
    assert ready(up) == (200, "ready\n")
    assert up.stop() == 0


@pytest.mark.timeout(120)
def test_a_view_whose_files_are_missing_is_tried_again(folder, server):
    parts = folder({"sources.sql": NUMBERS, "transformations/lines.sql": LINES})
    up = server("up", parts)
    wait_until(lambda: ready(up)[0] == 503 and "materialized view lines failed" in ready(up)[1], up)
    assert "there are no files at" in ready(up)[1] and "tried again" in ready(up)[1], ready(up)
    wait_until(lambda: "no files" in (shown(up, "tables", "lines").get("waiting") or ""), up)
    (parts / "stations").mkdir()
    (parts / "stations" / "a.csv").write_text("name,line\n14 ST,L\n")
    wait_until(lambda: ready(up) == (200, "ready\n"), up, 60)
    assert millstream.read_table(parts / "lake" / "lines") == [{"line": "L", "stations": 1}]
    wait_until(lambda: shown(up, "tables", "lines")["waiting"] is None, up)
    assert up.stop() == 0


@pytest.mark.timeout(120)
def test_a_bad_record_stops_a_strict_flow_alone_and_for_good(folder, server):
    parts = folder({"transformations/strict.sql": STRICT, "transformations/loose.sql": LOOSE, "millstream.yml": "topics:\n  numbers:\n    partitions: 1\n"},
                   "  millstream.on.error: fail\n")
    up = server("up", parts)
    wait_until(lambda: ready(up) == (200, "ready\n"), up)
    produce(up, b"1", b"two")
    wait_until(lambda: ready(up)[0] == 503, up)
    reason = ready(up)[1]
    assert reason.startswith("flow strict failed: ") and "`millstream.on.error` is `fail`" in reason, reason
    assert reason.endswith("; not tried again before the next start\n"), reason
    flow = lambda: shown(up, "flows", "strict")
    wait_until(lambda: flow().get("status") == "failed" and "millstream.on.error" in flow()["waiting"], up)
    produce(up, b"three")
    loose = parts / "lake" / "loose"
    wait_until(lambda: loose.is_dir() and len(millstream.read_table(loose)) == 3, up)
    assert "flow strict failed and is not tried again" in up.log.read_text()
    assert up.stop() == 0


@pytest.mark.timeout(120)
def test_a_feed_goes_on_once_its_file_is_there(folder, server):
    feed = "feeds:\n  numbers:\n    topic: numbers\n    replay:\n      file: numbers.txt\n      format: text\n      speed: max\n"
    parts = folder({"transformations/loose.sql": LOOSE, "millstream.yml": "topics:\n  numbers:\n    partitions: 1\n" + feed})
    up = server("up", parts)
    wait_until(lambda: "feed numbers failed: " in ready(up)[1], up)
    assert ready(up)[0] == 503 and "numbers.txt" in ready(up)[1] and "tried again" in ready(up)[1], ready(up)
    wait_until(lambda: "numbers.txt" in (shown(up, "topics", "numbers").get("feed") or ""), up)
    (parts / "numbers.txt").write_text("1\n2\n")
    loose = parts / "lake" / "loose"
    wait_until(lambda: loose.is_dir() and len(millstream.read_table(loose)) == 2, up, 60)
    wait_until(lambda: ready(up) == (200, "ready\n"), up)
    wait_until(lambda: shown(up, "topics", "numbers")["feed"] == "feed numbers, done", up)
    assert up.stop() == 0
