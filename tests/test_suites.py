"""Peers' own test suites, from their published packages, against the broker. Tests that are left out stand in clients/EXPECTED.md.

`MILLSTREAM_SOAK=1` runs each in its long form.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile

import pytest

from conftest import missing, peer

HERE = pathlib.Path(__file__).parent
SOAK = os.environ.get("MILLSTREAM_SOAK") == "1"
GO = HERE / "clients" / "programs" / "go"


def left_out(suite):
    """The tests of a suite that are not run: the names in its table of EXPECTED.md."""
    section = (HERE / "clients" / "EXPECTED.md").read_text().split(f"\n## {suite}\n")[1].split("\n## ")[0]
    return re.findall(r"^\| `([^`]+)` \|", section, re.M)


def tell(capsys, suite, passed, failed, skipped):
    with capsys.disabled():
        print(f"\n{suite}: {passed} passed, {len(failed)} failed, {skipped} skipped by themselves, {len(left_out(suite))} left out")


@pytest.mark.timeout(1800 if SOAK else 420)
def test_franz_go(server, tmp_path, capsys):
    """kgo's tests, within three minutes; the long form sends more records."""
    if not shutil.which("go"):
        missing("go")
    binary, out = tmp_path / "kgo.test", tmp_path / "kgo.out"
    package = "github.com/twmb/franz-go/pkg/kgo"
    build = subprocess.run(["go", "test", "-c", "-o", binary, package], cwd=GO, capture_output=True, text=True)
    if build.returncode:
        missing(f"franz-go's tests: {build.stderr[-1000:]}")
    source = subprocess.run(["go", "list", "-f", "{{.Dir}}", package], cwd=GO, capture_output=True, text=True, check=True).stdout.strip()
    skip = left_out("franz-go")
    listed = subprocess.run([binary, "-test.list", "."], capture_output=True, text=True, check=True).stdout.split()
    assert set(skip) <= set(listed), f"EXPECTED.md names what is not there: {set(skip) - set(listed)}"
    broker = server("broker", "--data", tmp_path / "data")
    env = {"KGO_SEEDS": broker.kafka, "KGO_TEST_RF": "1", "KGO_TEST_RECORDS": "50000" if SOAK else "20000", "KGO_LOG_LEVEL": "none"}
    with open(out, "wb") as file:
        done = subprocess.run([binary, "-test.v", "-test.skip", f"^({'|'.join(skip)})$", "-test.timeout", "25m" if SOAK else "5m"],
                              cwd=source, env={**os.environ, **env}, stdout=file, stderr=file)
    text = out.read_text(errors="replace")
    ended = re.findall(r"^\s*--- (PASS|FAIL|SKIP): (\S+)", text, re.M)
    passed, failed = sum(how == "PASS" for how, _ in ended), [name for how, name in ended if how == "FAIL"]
    tell(capsys, "franz-go", passed, failed, sum(how == "SKIP" for how, _ in ended))
    assert done.returncode == 0 and passed > 300, f"{failed}\n{text[-4000:]}"


# What takes the place of a module that the published package of kafka-python's tests lacks.
SERVICE = '''class ExternalService:
    def __init__(self, host, port):
        self.host, self.port = host, port

    def open(self):
        pass

    def stop(self):
        pass


SpawnedService = ExternalService
'''
# As kafka-python's own brokers are configured.
KAFKA_PYTHON = [
    "num.partitions=4", "node.id=0", "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "allow.everyone.if.no.acl.found=true", "super.users=User:ANONYMOUS",
]


@pytest.mark.timeout(300)
def test_kafka_python(server, tmp_path, capsys):
    """kafka-python's integration tests, within one minute."""
    wanted = re.search(r"^kafka-python==\S+", (HERE / "requirements.txt").read_text(), re.M).group()
    fetch = subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:", "-d", tmp_path, wanted],
                           capture_output=True, text=True)
    if fetch.returncode:
        missing(f"the source of {wanted}: {fetch.stderr[-400:]}")
    with tarfile.open(next(tmp_path.glob("kafka_python-*.tar.gz"))) as archive:
        archive.extractall(tmp_path, filter="data")
    suite = next(path for path in tmp_path.glob("kafka_python-*") if path.is_dir())
    (suite / "test" / "__init__.py").touch()
    (suite / "test" / "service.py").write_text(SERVICE)
    broker = server("broker", "--data", tmp_path / "data", *(word for setting in KAFKA_PYTHON for word in ("--set", setting)))
    env = {"PYTHONPATH": str(suite), "KAFKA_VERSION": "4.0.0", "KAFKA_ROOT": str(tmp_path), "KAFKA_URI": f"kafka://{broker.kafka}"}
    deselect = [f"--deselect=test/integration/{name}" for name in left_out("kafka-python")]
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout", "60", "test/integration", *deselect],
                          cwd=suite, env={**os.environ, **env}, capture_output=True, text=True)
    count = {how: int(n) for n, how in re.findall(r"(\d+) (\w+)", done.stdout.strip().splitlines()[-1])}
    failed = re.findall(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.M)
    tell(capsys, "kafka-python", count.get("passed", 0) + count.get("xpassed", 0), failed, count.get("skipped", 0))
    assert done.returncode == 0 and count["passed"] > 30, done.stdout[-4000:]


# librdkafka's tests that run in CI: those of the client against the broker that take less than half a minute.
LIBRDKAFKA = """
    0001 0002 0003 0005 0007 0008 0011 0012 0013 0014 0015 0016 0017 0018 0019 0020 0021 0022 0029 0030 0031 0034 0035 0036 0039 0040
    0041 0042 0044 0045 0048 0051 0054 0056 0057 0059 0060 0061 0063 0064 0065 0067 0069 0070 0073 0083 0085 0086 0090 0099 0112 0114
    0122 0127 0130 0132 0140
""".split()
# Those of them, and for the long form some more, that are run again by the newer group protocol (KIP-848).
GROUPS = "0018 0019 0022 0029 0030 0050 0056 0059 0099 0102 0112 0130 0140".split()
GROUPS_SOAK = GROUPS + "0026 0033 0051 0061 0069 0122".split()
# The sub tests of 0081_admin that are run, in the long form: those whose name holds one of these.
ADMIN = [
    "Topics", "Partitions", "DeleteRecords", "DeleteGroups", "ListConsumerGroups", "DescribeConsumerGroups", "ConsumerGroupOffsets", "Cluster",
    "ListOffsets", "Acl", "AlterConfigs", "DescribeConfigs", "UserScramCredentials",
]
# Those of the long form that want what brokers of Kafka do by default: the first rebalance of a group waits for more members.
DELAYED = "0089 0102 0113 0118".split()
# As librdkafka's own brokers are configured.
LIBRDKAFKA_BROKER = [
    "num.partitions=4", "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer", "allow.everyone.if.no.acl.found=true",
]


@pytest.mark.timeout(1800 if SOAK else 600)
def test_librdkafka(server, tmp_path, capsys):
    """librdkafka's tests, a named list within three minutes and the first build; the long form runs all but those left out."""
    peer("kafka")  # some tests call Kafka's scripts
    script = peer("librdkafka")
    broker = server("broker", "--data", tmp_path / "data", *(word for setting in LIBRDKAFKA_BROKER for word in ("--set", setting)))
    skip = left_out("librdkafka")
    assert SOAK or not {name[:4] for name in skip} & set(LIBRDKAFKA)
    again = {"TEST_CONSUMER_GROUP_PROTOCOL": "consumer", "TESTS": ",".join(GROUPS_SOAK if SOAK else GROUPS)}
    runs = [{"TESTS": ",".join(LIBRDKAFKA)}, again]
    if SOAK:
        skipped = [name[:4] for name in skip] + DELAYED
        runs = [{"TESTS_SKIP": ",".join(skipped)}, again] + [{"TESTS": "0081", "SUBTESTS": name} for name in ADMIN]
        delayed = [*LIBRDKAFKA_BROKER, "group.initial.rebalance.delay.ms=3000"]
        other = server("broker", "--data", tmp_path / "delayed", *(word for setting in delayed for word in ("--set", setting)))
        runs.append({"TESTS": ",".join(DELAYED), "BROKER": other.kafka})
    states, text = [], ""
    for number, env in enumerate(runs):
        report, out = tmp_path / f"report-{number}.json", tmp_path / f"librdkafka-{number}.out"
        with open(out, "wb") as file:  # -L: without those against a mock; -E: without those that break connections by a preloaded library
            subprocess.run([script, "run", env.get("BROKER", broker.kafka), "-L", "-E", "-p5"], env={**os.environ, **env, "TEST_REPORT": str(report)},
                           stdout=file, stderr=file)
        said = re.sub(r"\x1b\[[0-9;]*m", "", out.read_text(errors="replace"))
        text += "\n".join(re.findall(r"^### .*\n.*", said, re.M))
        assert report.exists(), said[-3000:]
        states += [(test["name"], test["state"]) for test in json.loads(report.read_text())["tests"].values() if test["duration"] > 0]
    passed, failed = sum(state == "PASSED" for _, state in states), [name for name, state in states if state not in ("PASSED", "SKIPPED")]
    tell(capsys, "librdkafka", passed, failed, sum(state == "SKIPPED" for _, state in states))
    assert not failed and passed > 50, f"{failed}\n{text[-4000:]}"
