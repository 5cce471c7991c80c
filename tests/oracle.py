"""What the examples must compute, done again in plain Python over the same lines: no engine, no SQL."""

import csv
import gzip
import json
from collections import defaultdict
from datetime import datetime, timedelta, timezone

UTC = timezone.utc


def lines(path):
    """Lines of a gzip text file without their line ends."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as f:
        return [line.rstrip("\r\n") for line in f]


def parse(text, *patterns):
    """The first pattern that fits, as UTC; None where none does."""
    for pattern in patterns:
        try:
            return datetime.strptime(text, pattern).replace(tzinfo=UTC)
        except ValueError:
            continue
    return None


def floor(ts, seconds):
    """Start of the tumbling window that holds `ts`, aligned to 1970 as Spark's are."""
    return ts - timedelta(seconds=int(ts.timestamp()) % seconds, microseconds=ts.microsecond)


def final(groups, seconds, watermark):
    """Groups keyed by (start, …) whose window the watermark has passed."""
    return {k: v for k, v in groups.items() if k[0] + timedelta(seconds=seconds) <= watermark}


def show(ts):
    return ts.strftime("%Y-%m-%d %H:%M:%S")


def audits(rows):
    """Turnstile lines as (event time, fields, entries, exits); lines that are no audit are left out."""
    for line in rows:
        f = line.split(",")
        ts = parse(f"{f[6]} {f[7]}", "%m/%d/%Y %H:%M:%S") if len(f) > 7 else None
        if ts is not None:
            number = lambda i: int(f[i]) if len(f) > i and f[i].strip().lstrip("-").isdigit() else None
            yield ts, f, number(9), number(10)


def total(values):
    """SQL's sum: null when every value is."""
    known = [v for v in values if v is not None]
    return sum(known) if known else None


def turnstiles(rows):
    """Both tables of examples/turnstiles as {key: values}, of windows that are final after the last line."""
    stations, turnstile = defaultdict(list), defaultdict(list)
    newest = None
    for ts, f, entries, exits in audits(rows):
        newest = ts if newest is None or ts > newest else newest
        stations[floor(ts, 4 * 3600), f[3]].append((entries, exits))
        turnstile[(floor(ts, 300), *f[:7], f[8])].append((entries, exits))
    watermark = newest - timedelta(minutes=10)
    sums = lambda v: (total(x[0] for x in v), total(x[1] for x in v))
    return (
        {(show(k[0]), k[1]): (len(v), *sums(v)) for k, v in final(stations, 4 * 3600, watermark).items()},
        {(show(k[0]), *k[1:]): sums(v) for k, v in final(turnstile, 300, watermark).items()},
    )


def trips(rows):
    """station_hours of examples/bikes: {(hour, station id, name): (trips, mean seconds)}."""
    groups, newest = defaultdict(list), None
    for f in csv.reader(rows):
        ts = parse(f[1], "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M:%S.%f", "%m/%d/%y %H:%M:%S") if len(f) > 4 else None
        if ts is None:
            continue
        newest = ts if newest is None or ts > newest else newest
        groups[floor(ts, 3600), int(f[3]), f[4]].append(int(f[0]))
    done = final(groups, 3600, newest - timedelta(minutes=30))
    return {(show(k[0]), *k[1:]): (len(v), sum(v) / len(v)) for k, v in done.items()}


def waits(rows):
    """ride_waits of examples/parks: {(start, park, ride): (polls, mean, longest)}; windows of an hour, every half an hour."""
    groups, newest = defaultdict(list), None
    for f in csv.reader(rows):
        ts = parse(f[0], "%Y-%m-%d %H:%M:%S") if len(f) > 4 else None
        # A filter on other columns than the event time goes below the watermark, as in Spark: closed rides move no clock.
        if ts is None or f[4].lower() != "true":
            continue
        newest = ts if newest is None or ts > newest else newest
        last = floor(ts, 1800)
        for start in (last, last - timedelta(minutes=30)):
            groups[start, f[1], f[2]].append(int(f[3]))
    done = final(groups, 3600, newest - timedelta(minutes=15))
    return {(show(k[0]), *k[1:]): (len(v), sum(v) / len(v), max(v)) for k, v in done.items()}


def arizona(rows, stations):
    """arizona_days, arizona_months and cold_nights of examples/weather. `stations`: {id: (place, region)}."""
    days, months, cold, newest = [], defaultdict(list), [], None
    for line in rows:
        d = json.loads(line)
        s = d["station"]
        if s.get("country_code") != "US" or s.get("state_code") != "AZ" or s["id"] not in stations:
            continue
        ts = parse(d["date"], "%Y-%m-%dT%H:%M:%S")
        place, region = stations[s["id"]]
        tmin, tmax, prcp = d.get("TMIN"), d.get("TMAX"), d.get("PRCP")
        days.append((ts.strftime("%Y-%m-%d"), s["id"], place, region, tmin, tmax, prcp))
        if s["id"] == "USW00023183" and tmin is not None and tmin <= 10.0:
            cold.append({"station": s["id"], "place": place, "day": ts.strftime("%Y-%m-%d"), "tmin": tmin})
        newest = ts if newest is None or ts > newest else newest
        months[floor(ts, 30 * 86400), place].append((tmin, tmax, prcp))
    done = final(months, 30 * 86400, newest - timedelta(days=2))
    least = lambda v, pick: pick([x for x in v if x is not None], default=None)
    return (
        days,
        {
            (k[0].strftime("%Y-%m-%d"), k[1]): (len(v), least([x[0] for x in v], min), least([x[1] for x in v], max), total(x[2] for x in v))
            for k, v in done.items()
        },
        cold,
    )
