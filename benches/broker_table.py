"""How the figures of benches/broker.json read, what is held against them, and the README's table of them."""

from typing import Callable, NamedTuple

from broker_servers import GIB
from run import millstream

MARKS = ("<!-- benches/broker.py -->", "<!-- end of benches/broker.py -->")
# What the hardware itself takes, measured once on two cores.
FDATASYNC = "0.14 ms: fdatasync of 128 B"
SENDFILE = "sendfile at 1.8 GB/s"


def took(f):
    return f"{f['cpu_s']:.2f} CPU-s, {f['rss_mb']:,.0f} MB"


def first(f):
    return f"**{f['first_ack_ms']:,.0f} ms**; {took(f)}"


def costs(f):
    return f"**{f['cpu_s_per_million']:.2f} CPU-s**; {f['records_per_s'] / 1e6:.2f} M/s, {f['rss_mb']:,.0f} MB"


def throughput(f):
    return f"**{f['records_per_s'] / 1e6:.2f} M/s**; {f['cpu_s_per_million']:.2f} CPU-s per million, {f['rss_mb']:,.0f} MB"


def milliseconds(f):
    return f"**{f['p50_ms']:.2f} / {f['p99_ms']:.2f} ms**; {took(f)}"


def microseconds(f):
    return f"**{f['p50_us']:,.0f} / {f['p99_us']:,.0f} µs**; {took(f)}"


def memory(f):
    return f"**{f['rss_mb']:,.0f} MB**" + (f"; {f['cpu_s']:.2f} CPU-s" if "cpu_s" in f else "")


def survived(f):
    if "p99_ms" not in f:
        return f"{memory(f)}; the good client was not served"
    return f"{memory(f)}; a good client's acknowledgements {f['p99_ms']:,.1f} ms at p99, {f['failures']:.0f} failed"


class Row(NamedTuple):
    """A line of the table. `goals` are bounds from above; `share` one from below, of the ceiling's rate."""

    key: str
    work: str
    reads: Callable
    goal: str
    goals: dict = {}
    share: float = 0
    limit: str = ""

    def verdict(self, sides):
        ours = sides["millstream"]
        missed = any(ours[name] > most for name, most in self.goals.items())
        words = ""
        if self.share and "ceiling" in sides:
            share = ours["records_per_s"] / sides["ceiling"]["records_per_s"]
            words, missed = f"; {share:.0%} of its ceiling", share < self.share
        return words + (" (missed)" if missed else "")

    def bound(self, sides):
        if "ceiling" not in sides:
            return self.limit
        ceiling = sides["ceiling"]
        cost, rate = ceiling["cpu_s_per_million"], ceiling["records_per_s"] / 1e6
        return f"{rate:.2f} M/s, {cost:.2f} CPU-s per million"


def rows():
    yield Row("start", "start to the first acknowledged record, empty", first, "≤ 50 ms", {"first_ack_ms": 50}, limit=FDATASYNC)
    yield Row("start-full", f"the same with {GIB:g} GB in 1,000 partitions, killed under load", first, "≤ 500 ms", {"first_ack_ms": 500}, limit=FDATASYNC)
    for size, name, most in ((100, "100 B", (0.3, 0.2)), (1024, "1 KiB", (1.5, 1.0))):
        for mode, cpu in zip(("durable", "relaxed"), most):
            work = f"1 M records of {name} produced by the Java client, {mode}: the server's CPU"
            yield Row(f"produce-{size}-{mode}", work, costs, f"≤ {cpu} CPU-s", {"cpu_s_per_million": cpu})
    for size, name, most, limit in ((100, "100 B", 0.1, 0.06), (1024, "1 KiB", 0.6, 0.57)):
        work = f"1 M records of {name} fetched by the Java client: the server's CPU"
        yield Row(f"fetch-{size}", work, costs, f"≤ {most} CPU-s", {"cpu_s_per_million": most}, limit=f"{limit} CPU-s: {SENDFILE}")
    yield Row("spread", "100 partitions × 100 records/s, durable: p50 / p99 of acknowledgements", milliseconds, "≤ 2 / ≤ 10 ms",
              {"p50_ms": 2, "p99_ms": 10}, limit="0.19 ms: fdatasync of 4 KiB")
    for size, name in ((100, "100 B"), (1024, "1 KiB")):
        for mode, share in (("durable", 0.6), ("relaxed", 0.8)):
            yield Row(f"librdkafka-produce-{size}-{mode}", f"librdkafka into one partition, {name}, {mode}", throughput,
                      f"≥ {share:.0%} of its ceiling", share=share)
    for size, name in ((100, "100 B"), (1024, "1 KiB")):
        yield Row(f"librdkafka-consume-{size}", f"librdkafka out of one partition, {name}", throughput, "≥ 90% of its ceiling", share=0.9)
    yield Row("one", "one record at a time, durable, to its acknowledgement: p50 / p99", microseconds, "≤ 500 / ≤ 3,000 µs",
              {"p50_us": 500, "p99_us": 3000}, limit="210 µs: a round trip and fdatasync")
    yield Row("peak", "peak memory over all of this", memory, "≤ 80 MB", {"rss_mb": 80})
    yield Row("idle", "10,000 idle connections and 1,000 partitions", memory, "≤ 200 MB", {"rss_mb": 200})
    yield Row("hostile", "3,000 hostile frames beside 2,000 idle connections", survived, "≤ 120 MB, a good client served", {"rss_mb": 120})


def peak(results):
    """The largest of all rows but the last two, which have goals of their own."""
    largest = {}
    for key, sides in results.items():
        if key not in ("peak", "idle", "hostile"):
            for who, figures in sides.items():
                largest[who] = max(largest.get(who, 0), figures["rss_mb"])
    return {who: {"rss_mb": mb} for who, mb in largest.items() if who != "ceiling"}


def table(results):
    lines = ["| work | Millstream | Apache Kafka 4.3 | goal | limit here |", "| --- | --- | --- | --- | --- |"]
    for row in rows():
        sides = results.get(row.key, {})
        if "millstream" in sides:
            theirs = row.reads(sides["kafka"]) if "kafka" in sides else "not measured"
            lines.append(f"| {row.work} | {row.reads(sides['millstream'])}{row.verdict(sides)} | {theirs} | {row.goal} | {row.bound(sides)} |")
    return "\n".join(lines)


def counted(results, who):
    """Of how many runs the medians are: 5, or 1 to 5."""
    counts = sorted({sides[who]["runs"] for sides in results.values() if "runs" in sides.get(who, {})})
    return " to ".join(map(str, [counts[0], counts[-1]] if len(counts) > 1 else counts)) or "no"


def write_table(results):
    """Puts the table, and how it came about, between its marks in the README."""
    words = f"Medians of {counted(results, 'millstream')} runs, Kafka's of {counted(results, 'kafka')}; behind each figure the server's own CPU seconds and peak memory."
    readme = millstream.ROOT / "README.md"
    before, rest = readme.read_text().split(MARKS[0])
    after = rest.split(MARKS[1])[1]
    readme.write_text(f"{before}{MARKS[0]}\n{words}\n\n{table(results)}\n{MARKS[1]}{after}")
