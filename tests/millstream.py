"""Drives the binary from outside, as a user would: starts it, reads what it prints, kills it, reads its lake."""

import csv
import gzip
import io
import json
import os
import pathlib
import re
import signal
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BINARY = pathlib.Path(os.environ.get("MILLSTREAM_BIN", ROOT / "target" / "release" / "millstream"))
DATA = pathlib.Path(os.environ.get("MILLSTREAM_DATA", ROOT.parent / "shared" / "data"))
STRICT = os.environ.get("MILLSTREAM_STRICT") == "1"


def run(*args, env=None, check=True, timeout=300, cwd=None):
    """Runs one command of the binary to its end."""
    done = subprocess.run([BINARY, *map(str, args)], capture_output=True, text=True, timeout=timeout, cwd=cwd,
                          env={**os.environ, **(env or {})})
    if check and done.returncode != 0:
        raise AssertionError(f"millstream {' '.join(map(str, args))} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


class Server:
    """A `millstream up` or `broker` on free ports. The addresses are read from what it prints."""

    def __init__(self, verb, *args, log, env=None, kafka="127.0.0.1:0", http="127.0.0.1:0"):
        self.log = pathlib.Path(log)
        self.out = open(self.log, "ab")
        start = self.log.stat().st_size
        self.process = subprocess.Popen([BINARY, verb, *map(str, args), "--kafka", kafka, "--http", http],
                                        stdout=self.out, stderr=self.out, env={**os.environ, **(env or {})})
        deadline = time.monotonic() + 60
        while True:
            text = self.log.read_bytes()[start:].decode(errors="replace")
            kafka_at = re.search(r"kafka\s+(\S+:\d+)", text, re.I)
            http_at = re.search(r"(http://\S+:\d+)", text)
            if kafka_at and http_at:
                self.kafka, self.http = kafka_at.group(1), http_at.group(1)
                return
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise AssertionError(f"millstream {verb} did not start:\n{text}")
            time.sleep(0.02)

    def kill(self):
        """kill -9: nothing is flushed, nobody is told."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.out.close()

    def stop(self, timeout=30):
        """A polite stop; returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout)
        self.out.close()
        return code

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.stop()


def committed(folder):
    """The files that `_spark_metadata` names, as Spark reads it: from the last compact file on. A materialized view has none: all files."""
    meta = pathlib.Path(folder) / "_spark_metadata"
    if not meta.is_dir():
        return sorted(pathlib.Path(folder).glob("part-*"))
    entries = sorted((int(p.name.split(".")[0]), p) for p in meta.iterdir() if p.name.split(".")[0].isdigit())
    assert [n for n, _ in entries] == list(range(len(entries))), f"gap in {meta}: {[n for n, _ in entries]}"
    last_compact = max((n for n, p in entries if p.name.endswith(".compact")), default=0)
    files = []
    for n, path in entries:
        if n < last_compact:
            continue
        lines = path.read_text().splitlines()
        assert lines[0] == "v1", path
        files += [json.loads(line)["path"] for line in lines[1:] if line]
    return [pathlib.Path(re.sub(r"^file://", "", f)) for f in files]


def read_table(folder):
    """All rows of a table's folder: lists of strings for csv, dicts for json and Parquet."""
    rows = []
    for path in committed(folder):
        raw = path.read_bytes()
        if path.suffix == ".gz":
            raw = gzip.decompress(raw)
        name = path.name.removesuffix(".gz")
        if name.endswith(".csv"):
            rows += list(csv.reader(io.StringIO(raw.decode()), escapechar="\\"))
        elif name.endswith(".json"):
            rows += [json.loads(line) for line in raw.decode().splitlines()]
        else:
            import pyarrow.parquet

            rows += pyarrow.parquet.read_table(io.BytesIO(raw)).to_pylist()
    return rows
