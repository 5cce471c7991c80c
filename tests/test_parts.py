"""Parts of a pipeline that need each other: a table joined with the project's own view, files that come while it runs."""

import random
import shutil
import subprocess
import time
import urllib.error
import urllib.request

import millstream

PIPELINE = "name: parts\nlibraries:\n  - glob:\n      include: transformations/**\nconfiguration:\n  spark.sql.session.timeZone: UTC\n"
SOURCES = """
CREATE TABLE visits (ts TIMESTAMP, station STRING, n BIGINT) USING csv OPTIONS (header "true") LOCATION 'visits';
CREATE TABLE codes (station STRING, name STRING) USING csv OPTIONS (header "true") LOCATION 'codes';
"""
# In the order that a person may well write: the reader first.
JOINED = """
CREATE STREAMING TABLE named USING csv AS
SELECT v.station, s.name, v.n FROM STREAM visits v JOIN stations s ON v.station = s.station;
CREATE MATERIALIZED VIEW stations USING csv AS SELECT station, upper(name) AS name FROM codes;
"""


def pipeline(folder, sql):
    (folder / "transformations").mkdir()
    (folder / "spark-pipeline.yml").write_text(PIPELINE)
    (folder / "sources.sql").write_text(SOURCES)
    (folder / "transformations" / "all.sql").write_text(sql)
    add(folder, "codes/1.csv", "station,name\nA,Astor\n")
    add(folder, "visits/1.csv", "ts,station,n\n2024-01-01 12:00:00,A,1\n2024-01-01 12:00:01,B,2\n")


def add(folder, name, text):
    """A file as a careful writer leaves it: whole at once."""
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    hidden = path.with_name("." + path.name)
    hidden.write_text(text)
    hidden.rename(path)


def rows(folder, table):
    return sorted(millstream.read_table(folder / "lake" / table))


def wait_for(folder, table, expected, seconds=20):
    deadline = time.monotonic() + seconds
    while True:
        try:
            found = rows(folder, table)
        except FileNotFoundError:
            found = None
        if found == expected:
            return
        assert time.monotonic() < deadline, f"{table}: {found}, not {expected}"
        time.sleep(0.05)


def test_a_table_joined_with_the_projects_own_view_has_its_rows_in_the_first_run(tmp_path):
    pipeline(tmp_path, JOINED)
    millstream.run("run", tmp_path)
    assert rows(tmp_path, "named") == [["A", "ASTOR", "1"]]
    add(tmp_path, "codes/2.csv", "station,name\nB,Bowery\n")
    add(tmp_path, "visits/2.csv", "ts,station,n\n2024-01-01 12:00:02,B,3\n")
    millstream.run("run", tmp_path)
    assert rows(tmp_path, "named") == [["A", "ASTOR", "1"], ["B", "BOWERY", "3"]], "the view is computed before it is joined"


def test_up_waits_for_a_view_and_follows_it_when_its_files_change(tmp_path, server):
    pipeline(tmp_path, JOINED)
    server("up", tmp_path)
    wait_for(tmp_path, "named", [["A", "ASTOR", "1"]])
    add(tmp_path, "codes/2.csv", "station,name\nB,Bowery\n")
    wait_for(tmp_path, "stations", [["A", "ASTOR"], ["B", "BOWERY"]])
    time.sleep(1.1)
    add(tmp_path, "visits/2.csv", "ts,station,n\n2024-01-01 12:00:02,B,3\n")
    wait_for(tmp_path, "named", [["A", "ASTOR", "1"], ["B", "BOWERY", "3"]])


def test_what_waits_for_a_view_says_so(tmp_path, server):
    pipeline(tmp_path, JOINED)
    shutil.rmtree(tmp_path / "codes")
    up = server("up", tmp_path)
    deadline, reasons = time.monotonic() + 20, ""
    while "flow named waits: stations is joined here and was never computed yet" not in reasons:
        assert time.monotonic() < deadline, reasons
        time.sleep(0.05)
        try:
            with urllib.request.urlopen(f"{up.http}/ready") as answer:
                reasons = answer.read().decode()
        except urllib.error.HTTPError as refused:
            reasons = refused.read().decode()
    add(tmp_path, "codes/1.csv", "station,name\nA,Astor\n")
    wait_for(tmp_path, "named", [["A", "ASTOR", "1"]])


def test_a_view_that_is_joined_but_was_never_computed_is_named(tmp_path):
    pipeline(tmp_path, JOINED)
    done = millstream.run("run", tmp_path, "--refresh", "named", check=False)
    assert done.returncode == 1
    assert "named joins stations" in done.stderr and "--refresh stations" in done.stderr, done.stderr
    millstream.run("run", tmp_path, "--refresh", "stations")
    millstream.run("run", tmp_path, "--refresh", "named")
    assert rows(tmp_path, "named") == [["A", "ASTOR", "1"]]


def test_a_position_in_one_cluster_is_not_used_in_another(tmp_path, server):
    project = tmp_path / "project"
    (project / "transformations").mkdir(parents=True)
    (project / "spark-pipeline.yml").write_text(PIPELINE)
    (project / "transformations" / "all.sql").write_text("""
        CREATE STREAMING TABLE copied USING csv AS SELECT CAST(value AS STRING) AS value FROM STREAM kafka
        WITH ('kafka.bootstrap.servers' = '${env:KAFKA_BOOTSTRAP}', subscribe = 'words', startingOffsets = 'earliest');
    """)
    here, there = server("broker", "--data", tmp_path / "here"), server("broker", "--data", tmp_path / "there")
    for broker, words in ((here, "a\nb\n"), (there, "x\ny\nz\n")):
        lines = tmp_path / "lines"
        lines.write_text(words)
        millstream.run("produce", "words", lines, "-b", broker.kafka)
    run = lambda broker, *args, **kwargs: millstream.run("run", project, *args, env={"KAFKA_BOOTSTRAP": broker.kafka}, **kwargs)
    run(here)
    refused = run(there, check=False)
    assert refused.returncode == 1
    assert "--full-refresh copied" in refused.stderr and refused.stderr.count("cluster ") == 2, refused.stderr
    run(here)
    assert rows(project, "copied") == [["a"], ["b"]]
    run(there, "--full-refresh", "copied")
    assert rows(project, "copied") == [["x"], ["y"], ["z"]]


def test_a_folder_of_very_many_small_files_is_read_whole(tmp_path):
    pipeline(tmp_path, "CREATE STREAMING TABLE copied USING csv AS SELECT station, n FROM STREAM visits;")
    for number in range(5_000):
        (tmp_path / "visits" / f"{number + 2}.csv").write_text(f"ts,station,n\n2024-01-01 12:00:00,C,{number}\n")
    millstream.run("run", tmp_path)
    assert len(rows(tmp_path, "copied")) == 5_002


def test_a_full_refresh_that_is_killed_doubles_nothing(tmp_path):
    sql = "CREATE STREAMING TABLE copied USING csv AS SELECT station, n FROM STREAM visits;"
    pipeline(tmp_path, sql)
    mark = tmp_path / ".millstream" / "refreshing" / "copied"
    chance = random.Random(5)
    cut_short = 0
    deadline = time.monotonic() + 60
    while cut_short < 10 and time.monotonic() < deadline:
        millstream.run("run", tmp_path)
        assert rows(tmp_path, "copied") == [["A", "1"], ["B", "2"]]
        assert not mark.exists()
        refresh = subprocess.Popen([millstream.BINARY, "run", tmp_path, "--full-refresh-all"], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        while refresh.poll() is None and not mark.exists():
            pass
        time.sleep(chance.uniform(0, 0.004))
        refresh.kill()
        refresh.wait()
        cut_short += mark.exists()
    assert cut_short > 0, "in a whole minute it was never killed in the middle"
    millstream.run("run", tmp_path)
