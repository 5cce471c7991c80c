"""The golden pipelines on real Spark: every case is run by Structured Streaming, a file of records an epoch, and must give what its .out says.

    tests/peers/spark submit tests/pipelines/spark.py [NAME...]

What Spark cannot be asked is left out and said: clocks of several partitions (it has one), and records that would stop it: those are taken out of its
input, and each must by itself stop it with the error class that the .out names.
"""

import base64
import datetime
import functools
import json
import logging
import os
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

from pyspark.sql import SparkSession
from pyspark.sql.types import (BinaryType, IntegerType, LongType, StringType, StructField, StructType,
                               TimestampType)

HERE = Path(__file__).resolve().parent
FIRST_RECORD = datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc)
# Dead letters that are copies: Spark keeps the row.
STAYS = {"MALFORMED_RECORD_IN_PARSING", "EVENT_TIME_IS_NULL"}
KAFKA = StructType([
    StructField("key", BinaryType()), StructField("value", BinaryType()), StructField("topic", StringType()),
    StructField("partition", IntegerType()), StructField("offset", LongType()),
    StructField("timestamp", TimestampType()), StructField("timestampType", IntegerType()),
])


class Case:
    def __init__(self, name):
        self.name = name
        self.dir = Path(tempfile.mkdtemp(prefix=f"golden-{Path(name).name}-"))
        path, texts = "queries.sql", {}
        for line in (HERE / f"{name}.sql").read_text().splitlines(keepends=True):
            if line.startswith("-- file: "):
                path = line[9:].strip()
                continue
            texts[path] = texts.get(path, "") + line
        for path, text in texts.items():
            (self.dir / path).parent.mkdir(parents=True, exist_ok=True)
            (self.dir / path).write_text(text)
        self.queries = statements(texts["queries.sql"])
        self.sources = statements(texts.get("sources.sql", ""))
        self.epochs, self.partitions = records(HERE / f"{name}.in")
        self.out = sections(HERE / f"{name}.out")


def statements(text):
    text = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("--"))
    return [s.strip() for s in re.split(r";\s*(?:\n|$)", text) if s.strip()]


def records(path):
    """Epochs as (records, ends a run), and the number of partitions."""
    epochs, epoch, offsets, number = [], [], {}, 0
    for line in path.read_text().splitlines():
        if line in ("---", "==="):
            epochs.append((epoch, line == "==="))
            epoch = []
            continue
        partition = 0
        if re.match(r"\d\|", line):
            partition, line = int(line[0]), line[2:]
        key, value = line.split("=>", 1) if "=>" in line else (None, line)
        encode = lambda text: None if text is None else base64.b64encode(text.encode()).decode()
        epoch.append({
            "key": encode(key), "value": None if value == "\\N" else encode(value), "topic": "input", "partition": partition,
            "offset": offsets.get(partition, 0), "timestamp": (FIRST_RECORD + datetime.timedelta(seconds=number)).isoformat(),
            "timestampType": 0, "line": value,
        })
        offsets[partition] = offsets.get(partition, 0) + 1
        number += 1
    return epochs, len(offsets)


def sections(path):
    found, lines = {}, []
    for line in path.read_text().splitlines():
        if line.startswith("== "):
            lines = found.setdefault(line[3:], [])
        else:
            lines.append(line)
    return found


class Run:
    """A case's tables, one after the other."""

    def __init__(self, spark, case, stopping):
        self.spark, self.case, self.stopping = spark, case, stopping
        self.views, self.tables, self.numbers = [], {}, {}
        self.runs = []
        run = []
        for number, (epoch, ends) in enumerate(case.epochs, 1):
            run.append((number, [r for r in epoch if r["line"] not in stopping]))
            if ends:
                self.runs.append(run)
                run = []
        self.runs.append(run)

    def all(self):
        """{table: lines}"""
        for sql in self.case.sources:
            sql = re.sub(r"LOCATION\s+'", f"LOCATION '{self.case.dir}/", sql)
            name = re.search(r"CREATE TABLE (\w+)", sql).group(1)
            self.spark.sql(f"DROP TABLE IF EXISTS {name}")
            self.spark.sql(sql)
            self.tables[name] = ("file", sql)
        out = {}
        for sql in self.case.queries:
            if m := re.match(r"SET (\S+)\s*=\s*(.*)$", sql):
                if m[1].startswith("spark."):
                    self.spark.conf.set(m[1], m[2])
            elif m := re.match(r"CREATE (?:TEMPORARY )?VIEW (\w+)(?:\s+COMMENT '[^']*')?\s+AS\s+(.*)$", sql, re.S):
                self.views.append((m[1], m[2]))
            elif m := re.match(r"CREATE MATERIALIZED VIEW (\w+).*?\sAS\s+(.*)$", sql, re.S):
                self.define_views(streaming=False)
                frame = self.spark.sql(m[2])
                out[m[1]] = csv_lines(frame, self.case.dir / f"{m[1]}.csv")
                frame.createOrReplaceTempView(m[1])
                self.tables[m[1]] = ("view", None)
            elif m := re.match(r"CREATE STREAMING TABLE (\w+)\s*\(([^)]*)\)[^()]*$", sql, re.S):
                out[m[1]] = []
                columns = [c.split()[0] for c in m[2].split(",")]
                self.tables[m[1]] = ("stream", [columns, []])
            elif m := re.match(r"CREATE STREAMING TABLE (\w+).*?\sAS\s+((?:SELECT|WITH).*)$", sql, re.S):
                out[m[1]] = self.stream(m[2], m[1], None)
            elif m := re.match(r"CREATE FLOW (\w+).*?INSERT INTO (\w+) BY NAME\s+(.*)$", sql, re.S):
                columns = self.tables[m[2]][1][0]
                out[m[2]] += self.stream(m[3], m[2], columns)
            else:
                raise ValueError(f"a statement that this script does not know: {sql}")
        for lines in out.values():
            if lines and re.match(r"\d+: ", lines[0]):
                lines.sort(key=lambda line: (int(line.split(":")[0]), line.split(": ", 1)[1].encode()))
        return out

    def stream_names(self, sql):
        sql = re.sub(r"STREAM\s*\(?\s*kafka\s*\)?\s+WITH\s*\([^)]*\)", "kafka_stream", sql)
        known = lambda name: name + ("__stream" if name in self.tables else "")
        return re.sub(r"\bSTREAM(?:\s*\(\s*(\w+)\s*\)|\s+(\w+))", lambda m: known(m[1] or m[2]), sql)

    def define_views(self, streaming):
        for name, sql in self.views:
            sql = self.stream_names(sql) if streaming else sql
            if streaming or "STREAM" not in sql:
                self.spark.sql(sql).createOrReplaceTempView(name)

    def stream(self, sql, table, columns):
        """Rows of a query as `N: CSV`."""
        case, spark = self.case, self.spark
        work = Path(tempfile.mkdtemp(dir=case.dir))
        feed = work / "kafka"
        feed.mkdir()
        spark.readStream.schema(KAFKA).option("maxFilesPerTrigger", 1).json(str(feed)).createOrReplaceTempView("kafka_stream")
        numbers = None
        for name, (kind, about) in self.tables.items():
            if not re.search(rf"STREAM\s*\(?\s*{name}\b", sql + str(self.views)):
                continue
            if kind == "file":
                options = dict(re.findall(r"(\w+)\s+[\"']([^\"']*)[\"']", re.search(r"OPTIONS\s*\((.*?)\)", about + "OPTIONS ()", re.S)[1]))
                form = re.search(r"USING (\w+)", about)[1]
                where = re.search(r"LOCATION\s+'([^']*)'", about)[1]
                for age, file in enumerate(sorted(Path(where).iterdir())):
                    touch(file, age)
                reader = spark.readStream.schema(spark.table(name).schema).options(**options).option("maxFilesPerTrigger", 1)
                reader.format(form).load(where).createOrReplaceTempView(name + "__stream")
            else:
                folder = work / name
                numbers = sorted({number for number, _ in about[1]})
                schema = about[1][0][1].schema
                for age, number in enumerate(numbers):
                    rows = functools.reduce(lambda a, b: a.union(b), [frame for n, frame in about[1] if n == number])
                    rows.coalesce(1).write.parquet(str(work / f"{name}-{number}"))
                    folder.mkdir(exist_ok=True)
                    [part] = (work / f"{name}-{number}").glob("*.parquet")
                    shutil.copy(part, folder / f"{age:03}.parquet")
                    touch(folder / f"{age:03}.parquet", age)
                reader = spark.readStream.schema(schema).option("maxFilesPerTrigger", 1)
                reader.parquet(str(folder)).createOrReplaceTempView(name + "__stream")
        self.define_views(streaming=True)
        frame = spark.sql(self.stream_names(sql))
        if columns:
            known = [c for c in columns if c.lower() in [f.lower() for f in frame.columns]]
            frame = frame.select(known)
        got = []

        def take(rows, batch):
            path = str(work / f"rows-{batch}-{time.time_ns()}")
            rows.coalesce(1).write.parquet(path)
            got.append((batch, path, csv_lines(rows, work / f"out-{batch}-{time.time_ns()}")))

        age, lines, late, offsets = 0, [], {}, {}
        for run in self.runs:
            for number, epoch in run:
                path = feed / f"{number:03}.json"
                path.write_text("".join(json.dumps(r) + "\n" for r in epoch))
                touch(path, age)
                age += 1
            query = frame.writeStream.outputMode("append").option("checkpointLocation", str(work / "checkpoint")) \
                .foreachBatch(take).trigger(availableNow=True).start()
            query.awaitTermination()
            for progress in query.recentProgress:
                progress = json.loads(progress.json) if hasattr(progress, "json") else progress
                ends = [s["endOffset"] for s in progress["sources"]]
                ends = [json.loads(e) if isinstance(e, str) else e for e in ends]
                offsets[progress["batchId"]] = max(e["logOffset"] for e in ends if e)
                late[progress["batchId"]] = sum(s.get("numRowsDroppedByWatermark", 0) for s in progress["stateOperators"])
        for batch, path, texts in got:
            number = offsets[batch] + 1
            number = numbers[number - 1] if numbers else number
            lines += [f"{number}: {text}" for text in texts]
            if texts:
                kept = self.tables.setdefault(table, ("stream", [None, []]))[1][1]
                kept.append((number, spark.read.parquet(path)))
                every = kept[0][1]
                for _, more in kept[1:]:
                    every = every.unionByName(more)
                every.createOrReplaceTempView(table)
        expected = sum(int(l.split()[1]) for l in case.out.get("late", []) if l.split()[0] == table)
        late = sum(late.values())
        if late != expected and not columns:
            print(f"  {case.name}: Spark says {late} late rows in {table}, we {expected} (it counts after a partial aggregate)")
        return lines


def touch(path, age):
    """A file source takes the oldest first."""
    os.utime(path, (1_700_000_000 + age, 1_700_000_000 + age))


def csv_lines(frame, folder):
    frame.coalesce(1).write.csv(str(folder))
    lines = []
    for part in folder.glob("part-*"):
        lines += part.read_text().split("\n")[:-1]
    return lines


def check(spark, name):
    case = Case(name)
    spark.conf.set("spark.sql.session.timeZone", "UTC")
    if case.partitions > 1 and "WATERMARK" in "".join(case.queries):
        return "left out: Spark has one clock for all partitions"
    letters = [line.split("|", 1) for line in case.out.get("dead letters", [])]
    stopping = {value: error for error, value in letters if error not in STAYS}
    every = [r for epoch, _ in case.epochs for r in epoch]
    inputs = {r["line"] for r in every}
    rows = [r for r in every if r["line"] not in stopping]
    batch(spark, case, rows)
    if aggregated := {error for value, error in stopping.items() if value not in inputs}:
        try:
            Run(spark, case, {}).all()
        except Exception as problem:
            return [] if any(error in str(problem) for error in aggregated) else [f"  Spark stops with {str(problem)[:500]}"]
        return [f"  Spark does not stop with {aggregated}"]
    got = Run(spark, case, stopping).all()
    problems = []
    for table in got.keys() | (case.out.keys() - {"late", "dead letters"}):
        want = case.out.get(table, [])
        have = got.get(table, [])
        if want != have:
            problems += [f"  {table}: Spark {line}" for line in have if line not in want]
            problems += [f"  {table}: ours  {line}" for line in want if line not in have]
            problems += [f"  {table}: another order or count: {have}"] if sorted(want) == sorted(have) or not problems else []
    for value, error in stopping.items():
        said = set()
        batch(spark, case, [r for r in every if r["line"] == value])
        run = Run(spark, case, {})
        for sql in case.queries:
            try:
                if m := re.match(r"CREATE (?:TEMPORARY )?VIEW (\w+)(?:\s+COMMENT '[^']*')?\s+AS\s+(.*)$", sql, re.S):
                    spark.sql(run.stream_names(m[2]).replace("kafka_stream", "kafka_batch")).createOrReplaceTempView(m[1])
                elif m := re.match(r"CREATE (?:STREAMING TABLE|FLOW) \w+.*?\s((?:SELECT|WITH)\s.*)$", sql, re.S):
                    spark.sql(run.stream_names(m[1]).replace("kafka_stream", "kafka_batch")).collect()
            except Exception as problem:
                condition = getattr(problem, "getCondition", lambda: None)() or str(problem)[:300]
                said.add(condition.split(".")[0])
        if error not in said:
            problems.append(f"  dead letter {value}: ours {error}, Spark {sorted(said) or 'takes it'}")
    shutil.rmtree(case.dir)
    return problems


def batch(spark, case, rows):
    path = case.dir / f"batch-{time.time_ns()}.json"
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    spark.read.schema(KAFKA).json(str(path)).createOrReplaceTempView("kafka_batch")


def main():
    logging.disable(logging.CRITICAL)
    spark = SparkSession.builder.config("spark.sql.shuffle.partitions", 1).config("spark.ui.enabled", "false") \
        .config("spark.sql.streaming.stateStore.minDeltasForSnapshot", 100).getOrCreate()
    spark.sparkContext.setLogLevel("OFF")
    names = sys.argv[1:] or sorted(path.stem for path in HERE.glob("*.sql"))
    failed = 0
    for name in names:
        try:
            result = check(spark, name)
        except Exception as error:
            result = [f"  {error.__class__.__name__}: {str(error)[:1500]}"]
        failed += bool(result) and not isinstance(result, str)
        print(f"{name}: {'equal' if not result else result if isinstance(result, str) else 'different'}", flush=True)
        if result and not isinstance(result, str):
            print("\n".join(result), flush=True)
    sys.exit(min(failed, 1))


main()
