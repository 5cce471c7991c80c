"""What clients saw, held against what a log holds: no client, no clock, no disk. Each check gives its complaints, none if all is well.

A history is what the programs under load wrote down themselves: each record that they handed over, and how each transaction ended for them. "unknown"
is an honest answer: the program was stopped before it heard.
"""

from collections import defaultdict
from dataclasses import dataclass


@dataclass
class Sent:
    """A record that a producer handed to its client. Numbers rise by one for each producer and partition."""

    producer: str
    topic: str
    partition: int
    number: int
    outcome: str = "unknown"  # "acked" or "failed"
    offset: int = -1  # that the acknowledgement named
    transaction: str | None = None

    @property
    def value(self):
        return f"{self.producer}|{self.number}|{self.transaction or ''}"


@dataclass
class Transaction:
    """How it ended for its program, which moves the offset of each of `inputs` (partition: first offset and the one behind the last)."""

    inputs: dict
    outcome: str = "unknown"  # "committed" or "aborted"


# A log is {(topic, partition): [(offset, value)]}, the value as `Sent.value` has it.


def lost(sent, committed_log, transactions):
    """Acknowledged records that are not where the acknowledgement said."""
    at = {(topic, partition, value): offset for (topic, partition), records in committed_log.items() for offset, value in records}
    for one in sent:
        if one.outcome != "acked" or (one.transaction and transactions[one.transaction].outcome != "committed"):
            continue
        found = at.get((one.topic, one.partition, one.value))
        if found is None:
            yield f"lost: {one}"
        elif one.offset >= 0 and found != one.offset:
            yield f"moved: {one} is at {found}"


def doubled(log):
    """Values that stand somewhere twice."""
    for place, records in log.items():
        seen = {}
        for offset, value in records:
            if value in seen:
                yield f"doubled: {value} in {place} at {seen[value]} and {offset}"
            seen[value] = offset


def reordered(log):
    """Records of one producer that overtook each other."""
    for place, records in log.items():
        last = {}
        for offset, value in sorted(records):
            producer, number, _ = value.split("|")
            if int(number) < last.get(producer, -1):
                yield f"reordered: {value} in {place} at {offset}, behind number {last[producer]}"
            last[producer] = int(number)


def unasked(sent, log):
    """Values that nobody sent there."""
    known = {(one.topic, one.partition, one.value) for one in sent}
    for (topic, partition), records in log.items():
        for offset, value in records:
            if (topic, partition, value) not in known:
                yield f"unasked: {value[:100]!r} in {topic}-{partition} at {offset}"


def torn(sent, committed_log, transactions):
    """Transactions that are there though aborted, not there though committed, or there in part."""
    present = {(place, value) for place, records in committed_log.items() for _, value in records}
    there, all_of = defaultdict(int), defaultdict(int)
    for one in sent:
        if one.transaction:
            all_of[one.transaction] += 1
            there[one.transaction] += ((one.topic, one.partition), one.value) in present
    for name, transaction in transactions.items():
        seen, count = there[name], all_of[name]
        if transaction.outcome == "aborted" and seen:
            yield f"aborted: {seen} of {count} records of {name} are there"
        elif transaction.outcome == "committed" and seen < count:
            yield f"torn: {seen} of {count} records of {name}, which was committed, are there"
        elif 0 < seen < count:
            yield f"torn: {seen} of {count} records of {name} are there"


def offsets_astray(sent, committed_log, transactions, group_offsets):
    """A group's offsets are those of the transactions that are there: each input was taken by exactly one, up to the group's offset, and none behind it.

    `group_offsets` is {partition: offset}, of the one topic that is read.
    """
    present = {(place, value) for place, records in committed_log.items() for _, value in records}
    there = {one.transaction for one in sent if one.transaction and ((one.topic, one.partition), one.value) in present}
    # A transaction without any record has only its offsets: known only if its end was heard.
    there |= {name for name, one in transactions.items() if one.outcome == "committed"}
    taken = defaultdict(list)
    for name in there:
        for partition, (first, end) in transactions[name].inputs.items():
            taken[partition].append((first, end, name))
    for partition in sorted(set(taken) | set(group_offsets)):
        at = 0
        for first, end, name in sorted(taken[partition]):
            if first != at:
                yield f"{'left out' if first > at else 'taken twice'}: input partition {partition}, {min(at, first)} to {max(at, first)}, at {name}"
            at = max(at, end)
        if group_offsets.get(partition, 0) != at:
            yield f"offset: the group stands at {group_offsets.get(partition, 0)} of partition {partition}, its transactions at {at}"


def topics_astray(made, deleted, there):
    """Topics whose making or deletion was acknowledged, against {topic: partitions} as it is. `made` is {topic: partitions}."""
    for topic, partitions in made.items():
        if topic in deleted:
            if topic in there:
                yield f"came back: topic {topic}, which was deleted"
        elif there.get(topic) != partitions:
            yield f"gone: topic {topic} has {there.get(topic)} partitions, not {partitions}"


# A partition as it stands: a list of batches (`wire.Batch`).


def holes(batches):
    """Offsets that are neither a record's nor a marker's."""
    at = 0
    for batch in batches:
        if batch.base != at:
            yield f"hole: a batch begins at {batch.base}, {at} is due"
        inside = [offset for offset, _ in batch.values]
        if not batch.marker and inside != list(range(batch.base, batch.last + 1)) or batch.claims != batch.last - batch.base + 1:
            yield f"hole: the batch at {batch.base} claims {batch.claims} records up to {batch.last} and has {len(inside)}"
        at = batch.last + 1


def out_of_sequence(batches):
    """Batches of an idempotent producer that do not follow each other."""
    due = {}
    for batch in batches:
        if batch.producer < 0 or batch.marker:
            continue
        key = (batch.producer, batch.epoch)
        if batch.sequence != due.get(key, 0):
            yield f"sequence: {key} has {batch.sequence} at {batch.base}, {due.get(key, 0)} is due"
        due[key] = (batch.sequence + batch.claims) % (1 << 31)


def committed(batches):
    """What read_committed gives: [(offset, bytes)] with all that is decided, and the last stable offset."""
    open_ones, visible = defaultdict(list), []
    end = batches[-1].last + 1 if batches else 0
    for batch in batches:
        if batch.marker == "commit":
            for one in open_ones.pop(batch.producer, []):
                visible += one.values
        elif batch.marker == "abort":
            open_ones.pop(batch.producer, None)
        elif batch.transactional:
            open_ones[batch.producer].append(batch)
        else:
            visible += batch.values
    stable = min([one.base for several in open_ones.values() for one in several], default=end)
    return sorted(visible), stable


def misread(batches, read, end):
    """What a real client read with read_committed up to `end`, its end then, must be what the markers say."""
    visible, stable = committed(batches)
    if end > stable:
        yield f"misread: up to {end}, beyond the last stable offset {stable}"
    due = [(offset, value) for offset, value in visible if offset < end]
    if read != due:
        missing, extra = sorted(set(due) - set(read))[:3], sorted(set(read) - set(due))[:3]
        yield f"misread: {len(read)} records, {len(due)} are due; missing {missing}, too many {extra}"
