"""The tools of Kafka that look at a cluster and administer it, and how those fail whose subject the broker does not have.
Usage: java_cluster_tools.py BOOTSTRAP"""

import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import uuid

if not shutil.which("javac"):
    print("a JDK is not installed")
    sys.exit(77)

HERE = pathlib.Path(__file__).resolve().parent
BOOTSTRAP = sys.argv[1]
RUN = f"cluster-{uuid.uuid4().hex[:8]}"
JVM = subprocess.Popen([HERE.parent / "peers" / "kafka" / "kafka", "tool", HERE / "programs" / "Tools.java"],
                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def tool(name, *args, ends=0):
    """Runs a tool to its end; gives what it printed, each run of blanks as one."""
    words = ["--bootstrap-server", BOOTSTRAP, *args] if name != "ClusterTool" else [*args, "--bootstrap-server", BOOTSTRAP]
    JVM.stdin.write("\t".join([name if name.startswith("kafka.") else f"org.apache.kafka.tools.{name}", *words]) + "\n")
    JVM.stdin.flush()
    printed = ""
    while not (line := JVM.stdout.readline()).startswith("\0"):
        assert line, f"{name} ended the JVM: {printed}"
        printed += re.sub(r"[ \t]+", " ", line)
    assert ends is None or int(line[1:]) == ends, f"{name} {args} ended with {line[1:]}: {printed}"
    return printed


def holds(pattern, text):
    assert re.search(pattern, text, re.M), f"no {pattern!r} in: {text}"


def configs(*args, **kwargs):
    return tool("kafka.admin.ConfigCommand", *args, **kwargs)


def cluster():
    versions = tool("BrokerApiVersionsCommand")
    holds(r"^ Produce\(0\): 0 to 13 \[usable: 13\]", versions)
    holds(r"^ ConsumerGroupHeartbeat\(68\): 0 to 1 \[usable: 1\]", versions)
    identity = tool("ClusterTool", "cluster-id").removeprefix("Cluster ID: ").strip()
    assert len(identity) == 22, identity
    holds(rf"^1 .* {BOOTSTRAP.split(':')[1]} ", tool("ClusterTool", "list-endpoints"))
    holds(f"ClusterId: {re.escape(identity)}", tool("MetadataQuorumCommand", "describe", "--status"))
    holds("^1 .* Leader", tool("MetadataQuorumCommand", "describe", "--replication"))
    features = tool("FeatureCommand", "describe")
    holds("group.version .*FinalizedVersionLevel: 1", features)
    holds("transaction.version .*FinalizedVersionLevel: 2", features)


def offsets(work):
    tool("TopicCommand", "--create", "--topic", RUN, "--partitions", "2")
    tool("ProducerPerformance", "--topic", RUN, "--num-records", "30", "--record-size", "10", "--throughput", "-1")

    def sum_at(time):
        lines = tool("GetOffsetShell", "--topic-partitions", f"{RUN}:0-2", "--time", time).split()
        return sum(int(line.split(":")[2] or 0) for line in lines)

    assert [sum_at(time) for time in ("earliest", "latest", "-2", "-1", "1")] == [0, 30, 0, 30, 0]
    assert "__" not in tool("GetOffsetShell", "--exclude-internal-topics")
    directories = json.loads(tool("LogDirsCommand", "--describe", "--topic-list", RUN).splitlines()[-1])
    partitions = [p for b in directories["brokers"] for d in b["logDirs"] for p in d["partitions"]]
    assert sorted(p["partition"] for p in partitions) == [f"{RUN}-0", f"{RUN}-1"] and sum(p["size"] for p in partitions) > 60, partitions
    plan = work / "records"
    wanted = [{"topic": RUN, "partition": 0, "offset": -1}, {"topic": RUN, "partition": 1, "offset": 1000}]
    plan.write_text(json.dumps({"version": 1, "partitions": wanted}))
    end = tool("GetOffsetShell", "--topic-partitions", f"{RUN}:0").split(":")[2].strip()
    deleted = tool("DeleteRecordsCommand", "--offset-json-file", str(plan), ends=None)
    holds(f"partition: {RUN}-0 low_watermark: {end}$", deleted)
    holds(f"partition: {RUN}-1 error: .*OffsetOutOfRange", deleted)
    assert tool("GetOffsetShell", "--topic-partitions", f"{RUN}:0", "--time", "earliest") == f"{RUN}:0:{end}\n"


def leaders(work):
    """As a single node answers them."""
    holds("Valid replica already elected", tool("LeaderElectionCommand", "--election-type", "preferred", "--topic", RUN, "--partition", "0"))
    tool("LeaderElectionCommand", "--election-type", "preferred", "--all-topic-partitions")
    reassign = lambda *args: tool("reassign.ReassignPartitionsCommand", *args)
    holds("No partition reassignments found", reassign("--list"))
    plan = work / "plan"
    plan.write_text(json.dumps({"version": 1, "partitions": [{"topic": RUN, "partition": 0, "replicas": [1]}]}))
    holds(f"Successfully started partition reassignment for {RUN}-0", reassign("--execute", "--reassignment-json-file", str(plan)))
    holds(f"Reassignment of partition {RUN}-0 is completed", reassign("--verify", "--reassignment-json-file", str(plan)))


def configurations():
    topic = ["--entity-type", "topics", "--entity-name", RUN]
    configs("--alter", *topic, "--add-config", "retention.ms=1000,segment.ms=60000")
    configs("--alter", *topic, "--delete-config", "retention.ms")
    described = configs("--describe", *topic)
    assert "segment.ms=60000" in described and "retention.ms=1000" not in described, described
    holds("InvalidConfigurationException", configs("--alter", *topic, "--add-config", "no.such.setting=1", ends=1))
    default = ["--entity-type", "brokers", "--entity-default"]
    configs("--alter", *default, "--add-config", "log.retention.ms=7200000")
    for described in (configs("--describe", *default), configs("--describe", *topic, "--all")):
        holds("DYNAMIC_DEFAULT_BROKER_CONFIG:log.retention.ms=7200000", described)
    configs("--alter", *default, "--delete-config", "log.retention.ms")
    one = ["--entity-type", "brokers", "--entity-name", "1"]
    configs("--alter", *one, "--add-config", "message.max.bytes=2000000")
    holds("DYNAMIC_BROKER_CONFIG:message.max.bytes=2000000, DEFAULT_CONFIG:", configs("--describe", *one))
    configs("--alter", *one, "--delete-config", "message.max.bytes")
    assert "message.max.bytes" not in configs("--describe", *one)
    user = ["--entity-type", "users", "--entity-name", RUN]
    configs("--alter", *user, "--add-config", "SCRAM-SHA-256=[password=secret]")
    configs("--alter", *user, "--delete-config", "SCRAM-SHA-256")
    for kind in ("client-metrics", "groups"):
        assert RUN not in configs("--describe", "--entity-type", kind)


def not_there():
    """What the broker does not have is said at once."""
    tool("GroupsCommand", "--list")
    tool("ClientMetricsCommand", "--list")
    altered = ["--alter", "--name", RUN, "--metrics", "org.apache.kafka.", "--interval", "1000"]
    holds("InvalidRequestException", tool("ClientMetricsCommand", *altered, ends=None))
    holds("UnsupportedVersionException", tool("consumer.group.ShareGroupCommand", "--describe", "--group", RUN, ends=None))
    tokens = ["--describe", "--command-config", "/dev/null"]
    holds("UnsupportedVersionException", tool("DelegationTokenCommand", *tokens, ends=None))


with tempfile.TemporaryDirectory() as folder, JVM:
    work = pathlib.Path(folder)
    cluster()
    offsets(work)
    leaders(work)
    configurations()
    not_there()
    JVM.stdin.close()
    print("ok")
