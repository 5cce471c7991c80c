"""What all tests here share. A part that is missing skips loudly, and fails where MILLSTREAM_STRICT=1."""

import collections
import os
import pathlib
import shutil
import subprocess

import pytest

import millstream


# Minutes that each file may take on two cores, beside the other lane. What took longer is told at the end of a run: it is to be made faster.
BUDGET = {
    "test_broker_crash.py": 4,
    "test_cli.py": 1,
    "test_clients.py": 8,
    "test_crash.py": 4,
    "test_differential.py": 4,
    "test_durability.py": 2,
    "test_examples.py": 2,
    "test_histories.py": 1,
    "test_hostile.py": 2,
    "test_kafka.py": 4,
    "test_newcomer.py": 2,
    "test_page.py": 2,
    "test_parts.py": 2,
    "test_secured.py": 3,
    "test_spark.py": 6,
    "test_suites.py": 8,
    "test_supervised.py": 2,
    "test_waiting.py": 2,
}


def pytest_terminal_summary(terminalreporter):
    seconds = collections.Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if hasattr(report, "duration"):
                seconds[pathlib.Path(report.nodeid.split("::")[0]).name] += report.duration
    for name, spent in sorted(seconds.items()):
        budget = BUDGET[name]
        over = "   OVER ITS BUDGET" if spent > budget * 60 and os.environ.get("MILLSTREAM_SOAK") != "1" else ""
        terminalreporter.line(f"{spent / 60:5.1f} of {budget} min  {name}{over}")


def missing(what):
    """A test cannot run for want of `what`."""
    if millstream.STRICT:
        pytest.fail(f"missing: {what}")
    pytest.skip(f"MISSING: {what}")


@pytest.fixture(scope="session", autouse=True)
def binary():
    if not millstream.BINARY.exists():
        pytest.exit(f"{millstream.BINARY} is not there: cargo build --release")


@pytest.fixture
def data():
    """The folder of real data."""
    if not millstream.DATA.is_dir():
        missing(f"real data in {millstream.DATA} (MILLSTREAM_DATA names another folder)")
    return millstream.DATA


@pytest.fixture
def project(tmp_path):
    """Copies an example, without its feeds unless asked for, so that its lake lands in the test's folder."""

    def copy(name, feeds=False):
        target = tmp_path / name
        shutil.copytree(millstream.ROOT / "examples" / name, target, ignore=shutil.ignore_patterns(".millstream", "lake", ".spark"))
        if not feeds:
            (target / "millstream.yml").unlink(missing_ok=True)
        return target

    return copy


@pytest.fixture
def server(tmp_path):
    """Starts servers that are stopped with the test."""
    started = []

    def start(verb, *args, **kwargs):
        one = millstream.Server(verb, *args, log=tmp_path / f"server-{len(started)}.log", **kwargs)
        started.append(one)
        return one

    yield start
    for one in started:
        if one.process.poll() is None:
            one.stop()


def peer(name):
    """A script that drives a real peer, set up; skips where it cannot be."""
    script = pathlib.Path(__file__).parent / "peers" / name / name
    done = subprocess.run([script, "setup"], capture_output=True, text=True)
    if done.returncode:
        missing(f"a real {name}: {done.stderr[-400:]}")
    return script
