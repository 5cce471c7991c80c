"""A newcomer's first minutes: `millstream broker` at its default address, and each client's quick-start as its own documentation has it.

The programs are cut from what is installed: the description of a Python package, the README of a module. Only a stand-in for an address
(`mybroker`) becomes the broker's. docs/clients.md lists them all, and is held true here.
"""

import contextlib
import gzip
import importlib.metadata
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time

import pytest

import millstream
from conftest import missing, peer

HERE = pathlib.Path(__file__).parent
PROGRAMS = HERE / "clients" / "programs"
ADDRESS = "localhost:9092"


@pytest.fixture
def broker(server, tmp_path):
    """As `millstream broker` listens when nothing is said."""
    return server("broker", "--data", tmp_path / "data", kafka="127.0.0.1:9092")


def description(package):
    return importlib.metadata.metadata(package).get_payload()


def blocks(text, language):
    """The programs of a document, Markdown or reStructuredText."""
    if f"```{language}" in text:
        return re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S)
    found = re.findall(rf"^\.\. code-block:: {language}\n\n((?:(?: .*)?\n)+)", text, re.M)
    return [textwrap.dedent(block) for block in found]


def python(*blocks):
    return [sys.executable, "-u", "-c", "\n".join(blocks)]


def run(command, cwd=None, text=None):
    done = subprocess.run(command, cwd=cwd, input=text, capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-3000:]}"
    return done.stdout


@contextlib.contextmanager
def running(command, log, cwd=None):
    """A program that goes on for ever, as examples of consumers do. Gives a function that waits for a word in what it prints."""
    with open(log, "wb") as out:
        program = subprocess.Popen(command, cwd=cwd, stdin=subprocess.PIPE, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)

    def until(word, meanwhile=lambda: time.sleep(0.1)):
        end = time.monotonic() + 60
        while word not in (said := log.read_text(errors="replace")):
            assert program.poll() is None and time.monotonic() < end, f"no {word!r} in: {said[-3000:]}"
            meanwhile()

    try:
        yield until
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGKILL)
        program.wait()


def consumed(topic):
    """The records of a topic, by our own command line."""
    out = millstream.run("consume", topic, "-b", ADDRESS, "--format", "json").stdout
    return [json.loads(line) for line in out.splitlines()]


def send(topic):
    return lambda: run([millstream.BINARY, "produce", topic, "-b", ADDRESS, "--create"], text="hello\n")


# Each client's quick-start: a function named as its row in docs/clients.md has it, with _ for what is no letter.


def kafka_python(tmp_path):
    text = description("kafka-python").replace("localhost:1234", ADDRESS)
    readers, writers = text.split("\nKafkaProducer\n")
    for number, block in enumerate(blocks(readers, "python")[:2]):
        with running(python(block), tmp_path / f"{number}.log") as until:
            until("value=b'hello'", send("my_favorite_topic"))
    writes = blocks(writers.split("\nThread safety\n")[0], "python")
    # What comes after the transactions is meant for a producer without them.
    ends = 1 + next(number for number, block in enumerate(writes) if "transactional_id" in block)
    run(python(*writes[:ends]))
    run(python(writes[0], *writes[ends:]))
    assert len(consumed("foobar")) == 100 + 1 + 1 + 1000 + 100 + 1
    assert [record["value"] for record in consumed("txn_topic")] == ["yes"]


def aiokafka(tmp_path):
    produce, consume = blocks(description("aiokafka"), "python")
    with running(python(consume), tmp_path / "log") as until:
        until("consumed:  my_topic", lambda: run(python(produce)))


def confluent_kafka(tmp_path):
    text = description("confluent-kafka").replace("mybroker1,mybroker2", ADDRESS).replace("'mybroker'", f"'{ADDRESS}'")
    produce, consume, administer = blocks(text, "python")[:3]
    assert "Message delivered to mytopic [0]" in run(python("some_data_source = ['one', 'two']", produce))
    with running(python(consume), tmp_path / "log") as until:
        until("Received message: two")
    assert "Topic topic2 created" in run(python(administer))


def KafkaJS(tmp_path):
    if not (PROGRAMS / "kafkajs" / "node_modules").exists() or not shutil.which("node"):
        missing("KafkaJS (npm ci in tests/clients/programs/kafkajs)")
    readme = (PROGRAMS / "kafkajs" / "node_modules" / "kafkajs" / "README.md").read_text()
    program = blocks(readme, "javascript")[0].replace("'kafka1:9092', 'kafka2:9092'", f"'{ADDRESS}'")
    with running(["node", "-e", program], tmp_path / "log", PROGRAMS / "kafkajs") as until:
        until("Hello KafkaJS user!")


def module(name):
    """The folder of a Go module."""
    if not shutil.which("go"):
        missing("go")
    return pathlib.Path(run(["go", "list", "-m", "-f", "{{.Dir}}", name], PROGRAMS / "go").strip())


def franz_go(tmp_path):
    program = blocks((module("github.com/twmb/franz-go") / "README.md").read_text(), "go")[0]
    imports = "".join(f'import "{one}"\n' for one in ("context", "fmt", "sync", "github.com/twmb/franz-go/pkg/kgo"))
    (tmp_path / "main.go").write_text(f"package main\n\n{imports}\nfunc main() {{\n{program}\n}}\n")
    send("foo")()  # it asks for no topic to be made, and Kafka would not make it either
    with running(["go", "run", tmp_path / "main.go"], tmp_path / "log", PROGRAMS / "go") as until:
        until("bar from a second callback!")


def sarama(tmp_path):
    tools = module("github.com/IBM/sarama") / "tools"
    commands = {}
    for name in ("kafka-console-producer", "kafka-console-consumer"):
        commands[name] = next(line.split() for line in (tools / name / "README.md").read_text().splitlines() if "-brokers=kafka1:9092" in line)
        run(["go", "build", "-o", tmp_path, f"github.com/IBM/sarama/tools/{name}"], PROGRAMS / "go")
    produce, consume = ([tmp_path / name, *(word.replace("kafka1:9092", ADDRESS) for word in command[1:])] for name, command in commands.items())
    run(produce)
    with running(consume, tmp_path / "log") as until:
        until("Value:\tvalue", lambda: run(produce))


def kcat(tmp_path):
    readme = pathlib.Path("/usr/share/doc/kcat/README.md.gz")
    if not shutil.which("kcat") or not readme.exists():
        missing("kcat, with its README")
    known = gzip.open(readme, "rt").read()

    def shell(command, text=None):
        assert command in known, f"not in kcat's README: {command}"
        return run(["bash", "-o", "pipefail", "-c", command.replace("mybroker", ADDRESS)], text=text)

    shell("kcat -P -b mybroker -t mytopic -X transactional.id=myproducerapp", "a\nb\n")
    shell('echo "abc:" | kcat -b mybroker -t mytopic -Z -K:')
    send("syslog")()
    shell("kcat -C -b mybroker -X broker.version.fallback=0.8.2.1 -t syslog -p 0 -o -100 -e")
    assert shell("kcat -C -b mybroker -t syslog -p 0 -o -2000 -e") == "hello\n"
    assert 'topic "mytopic" with 1 partitions' in shell("kcat -L -b mybroker")
    assert json.loads(shell("kcat -b mybroker -L -J"))["brokers"] == [{"id": 1, "name": ADDRESS}]
    assert [record["value"] for record in consumed("mytopic")] == ["a", "b", None]
    reader = "kcat -b mybroker -G mygroup topic1 topic2"
    assert reader in known
    send("topic1")(), send("topic2")()
    with running(reader.replace("mybroker", ADDRESS).split(), tmp_path / "log") as until:
        until("hello", send("topic2"))


def tool(name, *args, text=None):
    return run([peer("kafka"), "tool", name, *args], text=text)


def Kafka_s_tools(tmp_path):
    """The quick-start of Kafka's own documentation."""
    at = ["--bootstrap-server", ADDRESS]
    assert "Created topic quickstart-events." in tool("topics", "--create", "--topic", "quickstart-events", *at)
    assert "PartitionCount: 1\tReplicationFactor: 1" in tool("topics", "--describe", "--topic", "quickstart-events", *at)
    events = "This is my first event\nThis is my second event\n"
    tool("console-producer", "--topic", "quickstart-events", *at, text=events)
    with running([peer("kafka"), "tool", "console-consumer", "--topic", "quickstart-events", "--from-beginning", *at], tmp_path / "log") as until:
        until(events)


def Kafka_Connect(tmp_path):
    """The quick-start's step with files, and the settings of the three files that it names."""
    settings = {
        "connect-standalone": {
            "bootstrap.servers": ADDRESS, "key.converter": "org.apache.kafka.connect.json.JsonConverter",
            "value.converter": "org.apache.kafka.connect.json.JsonConverter", "key.converter.schemas.enable": "true",
            "value.converter.schemas.enable": "true", "offset.storage.file.filename": tmp_path / "connect.offsets", "offset.flush.interval.ms": 10000,
        },
        "connect-file-source": {"name": "local-file-source", "connector.class": "FileStreamSource", "tasks.max": 1, "file": "test.txt", "topic": "connect-test"},
        "connect-file-sink": {"name": "local-file-sink", "connector.class": "FileStreamSink", "tasks.max": 1, "file": "test.sink.txt", "topics": "connect-test"},
    }
    for name, properties in settings.items():
        (tmp_path / name).write_text("".join(f"{key}={value}\n" for key, value in properties.items()))
    (tmp_path / "test.txt").write_text("foo\nbar\n")
    sink = tmp_path / "test.sink.txt"
    with running([peer("kafka"), "tool", "org.apache.kafka.connect.cli.ConnectStandalone", *settings], tmp_path / "log", tmp_path):
        for line in ("", "Another line\n"):
            with open(tmp_path / "test.txt", "a") as file:
                file.write(line)
            end = time.monotonic() + 60
            while not sink.exists() or sink.read_text() != (tmp_path / "test.txt").read_text():
                assert time.monotonic() < end, (tmp_path / "log").read_text()[-3000:]
                time.sleep(0.1)
    assert [record["value"]["payload"] for record in consumed("connect-test")] == ["foo", "bar", "Another line"]


def Kafka_Streams(tmp_path):
    """The demonstration that the quick-start of Kafka Streams runs, out of its jar."""
    at = ["--bootstrap-server", ADDRESS]
    tool("topics", "--create", *at, "--replication-factor", "1", "--partitions", "1", "--topic", "streams-plaintext-input")
    tool("topics", "--create", *at, "--replication-factor", "1", "--partitions", "1", "--topic", "streams-wordcount-output", "--config", "cleanup.policy=compact")
    consume = [
        peer("kafka"), "tool", "console-consumer", *at, "--topic", "streams-wordcount-output", "--from-beginning",
        "--property", "print.key=true", "--property", "print.value=true",
        "--property", "key.deserializer=org.apache.kafka.common.serialization.StringDeserializer",
        "--property", "value.deserializer=org.apache.kafka.common.serialization.LongDeserializer",
    ]
    with running([peer("kafka"), "tool", "org.apache.kafka.streams.examples.wordcount.WordCountDemo"], tmp_path / "demo"), \
            running(consume, tmp_path / "log") as until:
        for line, last in [("all streams lead to kafka\n", "kafka\t1\n"), ("hello kafka streams\n", "streams\t2\n"), ("join kafka summit\n", "summit\t1\n")]:
            tool("console-producer", *at, "--topic", "streams-plaintext-input", text=line)
            until(last)
    last = dict(line.split("\t") for line in (tmp_path / "log").read_text().splitlines() if "\t" in line)
    assert last == {"all": "1", "lead": "1", "to": "1", "hello": "1", "streams": "2", "join": "1", "kafka": "3", "summit": "1"}


def installed(client):
    """The version of a client that the tests bring, or find."""
    if client == "kcat":
        return re.search(r"Version (\S+)", run(["kcat", "-V"])).group(1)
    places = {
        "franz-go": ("clients/programs/go/go.mod", r"twmb/franz-go v(\S+)"), "sarama": ("clients/programs/go/go.mod", r"IBM/sarama v(\S+)"),
        "KafkaJS": ("clients/programs/kafkajs/package.json", r'"kafkajs": "(.*)"'), "Apache Flink": ("peers/flink/pom.xml", r"<flink.version>(.*)</flink.version>"),
        "Apache Spark": ("peers/spark/spark", r"pyspark\S*==([0-9.]+)"),
    }
    kafka = ("peers/kafka/pom.xml", r"<kafka.version>(.*)</kafka.version>") if client.startswith("Kafka") and client != "KafkaJS" else None
    path, pattern = places.get(client) or kafka or ("requirements.txt", rf"^{client}==(\S+)")
    return re.search(pattern, (HERE / path).read_text(), re.M).group(1)


def test_the_page_of_clients_is_true():
    rows = re.findall(r"^\| ([^|]+) \| ([0-9.]+) \| ([^|]+) \| (yes|–) \|", (HERE.parent / "docs" / "clients.md").read_text(), re.M)
    there = {path.name for path in (HERE / "clients").glob("*.*")} - {"EXPECTED.md"} | {f"secured/{path.name}" for path in (HERE / "secured").glob("*.*")}
    assert {name for row in rows for name in re.findall(r"`(.+?)`", row[2])} == there
    assert [re.sub(r"\W", "_", row[0]) for row in rows if row[3] == "yes"] == [one.__name__ for one in QUICK_STARTS]
    if not shutil.which("kcat"):
        missing("kcat")
    assert {row[0]: row[1] for row in rows} == {row[0]: installed(row[0]) for row in rows}


QUICK_STARTS = [kafka_python, aiokafka, confluent_kafka, kcat, franz_go, sarama, KafkaJS, Kafka_s_tools, Kafka_Streams, Kafka_Connect]


@pytest.mark.timeout(240)
@pytest.mark.parametrize("quick_start", QUICK_STARTS, ids=lambda one: one.__name__)
def test_quick_start(quick_start, broker, tmp_path):
    quick_start(tmp_path)
