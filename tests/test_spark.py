"""Graduation: the same project on a real Spark, reading the same topics from our broker, gives the same files."""

import gzip
import os
import pathlib
import subprocess

import pytest

import millstream
import oracle
from conftest import peer
from test_examples import produce

CASES = {
    "turnstiles": ("mta-turnstile", "mta/turnstile_230603.txt.gz", 40_000, ["station_traffic", "turnstile_traffic"]),
    "bikes": ("bike-trips", "citibike/JC-201802-citibike-tripdata.csv.gz", 15_105, ["station_hours"]),
    "parks": ("park-waits", "parks/queue-times/queue-times-2026-06_07.csv.gz", 43_053, ["ride_waits"]),
    "weather": ("weather", "noaa/noaa-docs-2005-2008.json.gz", 49_705, ["arizona_days", "arizona_months", "cold_nights"]),
}


def spark_lines(folder):
    """Lines of the files that Spark committed, sorted: the order of rows between files means nothing."""
    lines = []
    for path in millstream.committed(folder):
        raw = path.read_bytes()
        lines += (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode().splitlines()
    return sorted(lines)


def floats_apart(a, b):
    """Do two CSV or JSON lines differ in more than the last digits of a double?"""
    import re

    fields = lambda line: re.split(r"[,:}]", line)
    for x, y in zip(fields(a), fields(b), strict=True):
        if x != y and not ("." in x and abs(float(x) - float(y)) <= 1e-9 * abs(float(y))):
            return True
    return False


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", CASES)
def test_spark_gives_the_same_files(name, data, project, server, tmp_path):
    spark = peer("spark")
    topic, file, count, tables = CASES[name]
    folder = project(name)
    broker = server("broker", "--data", folder / ".millstream")
    produce(broker.kafka, topic, oracle.lines(data / file)[:count])
    env = {**os.environ, "WORK": str(tmp_path / "spark")}
    done = subprocess.run([spark, "run", folder, broker.kafka], env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-4000:]
    assert broker.stop() == 0
    millstream.run("run", folder)
    for table in tables:
        ours = spark_lines(folder / "lake" / table)
        theirs = spark_lines(pathlib.Path(tmp_path) / "spark" / "warehouse" / table)
        assert len(ours) == len(theirs) > 0, table
        apart = [(a, b) for a, b in zip(ours, theirs) if a != b and floats_apart(a, b)]
        assert not apart, (table, apart[:5])
