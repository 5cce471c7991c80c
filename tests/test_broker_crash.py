"""kill -9 of the broker at any moment, under idempotent and transactional programs: their own histories are held against the log.

A life is a data folder of its own, killed some times; then everything is checked twice: as the last kill left it, and when the programs have come to
their end. `MILLSTREAM_KILLS` is the number of kills (20, in a minute or two; 1,000 where MILLSTREAM_SOAK=1), `MILLSTREAM_SEED` repeats the choices of one life: sizes,
moments, who aborts. What a failing life left is kept under `target/crash`.
"""

import collections
import contextlib
import dataclasses
import itertools
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import threading
import time
import traceback

import pytest
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

import histories
import millstream
import wire

KILLS = int(os.environ.get("MILLSTREAM_KILLS", "1000" if os.environ.get("MILLSTREAM_SOAK") == "1" else "20"))
KILLS_PER_LIFE = 5
TOPICS = {"in": 3, "out": 4, "plain": 3}
RELAXED = {"flush.messages": "1000000", "flush.ms": "3600000"}
KEPT = millstream.ROOT / "target" / "crash"
# Members that are gone without a word are missed soon.
SETTINGS = ["group.min.session.timeout.ms=1000", "group.consumer.session.timeout.ms=3000", "group.consumer.heartbeat.interval.ms=300"]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Life:
    """A data folder, its server, the programs at work on it, and what they wrote down."""

    def __init__(self, seed, folder):
        self.seed, self.folder = seed, folder
        self.chance = random.Random(seed)
        self.address = f"127.0.0.1:{free_port()}"
        self.sent, self.transactions = [], {}
        self.made, self.deleted = {}, set()
        self.told = collections.Counter()  # errors by which consumers were told something
        self.lives = itertools.count()
        self.wrong = []  # what a program saw that must not be
        self.halt = threading.Event()  # copiers stop where they stand
        self.pause = threading.Event()  # writers hand nothing over
        self.end = threading.Event()  # everybody comes to an end
        # Small batches go by the journal, large ones straight to their segment; small segments roll.
        self.padding = self.chance.choice([0, 0, 300, 3000])
        self.segment_bytes = self.chance.choice([1 << 20, 1 << 30])
        # What is acknowledged there holds over a kill all the same (docs/durability.md).
        self.relaxed = [topic for topic in TOPICS if self.chance.random() < 0.3]
        self.group_protocol = self.chance.choice(["classic", "consumer"])
        self.server = None

    # The server

    def arguments(self):
        return ["broker", "--data", self.folder / "data", *(part for one in SETTINGS for part in ("--set", one))]

    def start(self):
        self.server = millstream.Server(*self.arguments(), log=self.folder / "broker.log", kafka=self.address, env={"MILLSTREAM_LOG": "info"})

    def stillborn(self):
        """A start that is killed before it is done: recovery is cut short, too."""
        with open(self.folder / "broker.log", "ab") as log:
            process = subprocess.Popen([millstream.BINARY, *self.arguments(), "--kafka", self.address, "--http", "127.0.0.1:0"],
                                       stdout=log, stderr=log)
            time.sleep(self.chance.uniform(0, 0.03))
            process.send_signal(signal.SIGKILL)
            process.wait()

    def kill(self):
        self.server.kill()
        for _ in range(self.chance.choice([0, 0, 0, 1, 3])):
            self.stillborn()
        self.start()

    # The history

    def record(self, producer, topic, partition, number, transaction=None):
        one = histories.Sent(producer, topic, partition, number, transaction=transaction)
        self.sent.append(one)
        return one

    def value(self, one):
        return (one.value + "#" + "x" * self.chance.randrange(self.padding + 1)).encode()

    def keep(self, complaints):
        """Puts aside all that a person needs to find out."""
        target = KEPT / f"seed-{self.seed}"
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        shutil.copy(self.folder / "broker.log", target)
        shutil.copytree(self.folder / "data", target / "data", ignore_dangling_symlinks=True)
        with open(target / "history.jsonl", "w") as file:
            for one in self.sent:
                file.write(json.dumps(dataclasses.asdict(one)) + "\n")
            for name, one in self.transactions.items():
                file.write(json.dumps({"name": name} | dataclasses.asdict(one)) + "\n")
        (target / "complaints").write_text("\n".join(complaints))
        return target


def acknowledged(life, one):
    """A delivery report that writes into the history."""

    def report(error, message):
        one.outcome = "failed" if error else "acked"
        if error:
            # Purged with its transaction, or because the program ends.
            if one.transaction is None:
                life.wrong.append(f"{one}: {error}")
        else:
            one.offset = message.offset()

    return report


COMMON = {"message.timeout.ms": 300_000, "reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 200, "retry.backoff.ms": 50,
          "retry.backoff.max.ms": 200, "topic.metadata.refresh.interval.ms": 60_000, "log_level": 0}


def write(life, topic, compression, pause, batch):
    """An idempotent producer that outlives every kill: each of its records is acknowledged in the end."""
    chance, name = random.Random(f"{life.seed}-{topic}-{compression}"), f"w{next(life.lives)}"
    numbers = [itertools.count() for _ in range(TOPICS[topic])]
    producer = Producer(COMMON | {"bootstrap.servers": life.address, "enable.idempotence": True, "linger.ms": chance.choice([0, 5, 50]),
                                  "compression.type": compression, "batch.size": chance.choice([16_384, 1_000_000])})
    while not life.end.is_set():
        if not life.pause.is_set() and len(producer) < 5_000:
            for _ in range(chance.randrange(1, batch)):
                partition = chance.randrange(len(numbers))
                one = life.record(name, topic, partition, next(numbers[partition]))
                producer.produce(topic, life.value(one), partition=partition, on_delivery=acknowledged(life, one))
        producer.poll(pause)
    if producer.flush(60):
        life.wrong.append(f"{name}: {len(producer)} records were neither taken nor refused within a minute")


def administer(life):
    """Makes topics and deletes some. What is only heard of too late is asked for again: then it is so already."""
    chance, numbers = random.Random(f"{life.seed}-topics"), itertools.count()
    admin = AdminClient({"bootstrap.servers": life.address, "log_level": 0, "reconnect.backoff.max.ms": 200})

    def heard(futures, but):
        try:
            [future] = futures.values()
            future.result(20)
            return True
        except KafkaException as error:
            return error.args[0].code() == but

    def ask(call, but):
        while not heard(call(), but):
            if life.end.is_set():
                return False
            time.sleep(0.05)
        return True

    while not life.end.is_set():
        name, partitions = f"made-{next(numbers)}", chance.choice([1, 1, 5])
        if ask(lambda: admin.create_topics([NewTopic(name, partitions)], request_timeout=2), KafkaError.TOPIC_ALREADY_EXISTS):
            life.made[name] = partitions
            if chance.random() < 0.3:
                del life.made[name]  # nobody knows, until it is heard
                if ask(lambda: admin.delete_topics([name], request_timeout=2), KafkaError.UNKNOWN_TOPIC_OR_PART):
                    life.deleted.add(name)
                    life.made[name] = partitions
        time.sleep(0.05)


class Halted(Exception):
    """The life came to its check; what is under way stays as it is."""


class Copier:
    """Consume, transform, produce, in transactions; aborts some, and some of its producers are fenced by a successor before they commit.

    `partitions`: what it reads, with a transactional id that goes with it; `None`: what its group gives it.
    """

    def __init__(self, life, name, group, partitions):
        self.life, self.name, self.group, self.partitions = life, name, group, partitions
        self.chance = random.Random(f"{life.seed}-{name}")
        self.producer = self.consumer = None

    def run(self):
        self.consumer = Consumer(COMMON_OF_CONSUMERS | {"bootstrap.servers": self.life.address, "group.id": self.group, **self.membership()})
        try:
            self.renew()
            if self.partitions is None:
                self.consumer.subscribe(["in"])
            else:
                self.rewind()
            while not self.life.end.is_set():
                self.check_halt()
                if messages := self.read():
                    self.copy(messages)
        except Halted:
            pass
        finally:
            # A client that is only forgotten goes on to be a member, with partitions that it does not read.
            self.consumer.close()
            self.producer = None

    def membership(self):
        if self.partitions is not None or self.life.group_protocol == "classic":
            return {"session.timeout.ms": 3000, "heartbeat.interval.ms": 300}
        return {"group.protocol": "consumer"}

    def check_halt(self):
        if self.life.halt.is_set():
            raise Halted

    def read(self):
        messages = self.consumer.consume(self.chance.choice([5, 50]), timeout=0.2)
        for message in messages:
            if message.error():
                self.life.told[f"{self.name}: {message.error()}"] += 1
        return [message for message in messages if not message.error()]

    def patiently(self, call, *args):
        """Again as long as the client says that it may be."""
        while True:
            self.check_halt()
            try:
                return call(*args, 2.0)
            except KafkaException as error:
                if not error.args[0].retriable():
                    raise

    def renew(self):
        """A new producer under the same transactional id: all before it are fenced."""
        self.life_name = f"{self.name}.{next(self.life.lives)}"
        self.numbers = {partition: itertools.count() for partition in range(TOPICS["out"])}
        while True:
            self.producer = Producer(COMMON | {"bootstrap.servers": self.life.address, "transactional.id": self.name, "linger.ms": 2,
                                               "transaction.timeout.ms": 60_000, "message.timeout.ms": 60_000})
            try:
                return self.patiently(self.producer.init_transactions)
            except KafkaException as error:
                # A kill may leave this very call half done; the client cannot go on from that by itself.
                if not error.args[0].fatal():
                    raise

    def rewind(self):
        """Goes on at the group's offsets."""
        places = self.consumer.assignment() if self.partitions is None else [TopicPartition("in", p) for p in self.partitions]
        while places:
            self.check_halt()
            try:
                committed = self.consumer.committed(places, timeout=2.0)
                break
            except KafkaException:
                time.sleep(0.05)
        else:
            return
        places = [TopicPartition(one.topic, one.partition, max(one.offset, 0)) for one in committed]
        if self.partitions is not None:
            self.consumer.assign(places)
            return
        for place in places:
            with contextlib.suppress(KafkaException):  # it was taken away meanwhile
                self.consumer.seek(place)

    def copy(self, messages):
        life, producer = self.life, self.producer
        name = f"{self.life_name}/{next(life.lives)}"
        inputs = {}
        for message in messages:
            first, _ = inputs.get(message.partition(), (message.offset(), None))
            inputs[message.partition()] = (first, message.offset() + 1)
        life.transactions[name] = transaction = histories.Transaction(inputs)
        asked = False
        try:
            producer.begin_transaction()
            for message in messages:
                partition = self.chance.randrange(TOPICS["out"])
                one = life.record(self.life_name, "out", partition, next(self.numbers[partition]), name)
                producer.produce("out", life.value(one), partition=partition, on_delivery=acknowledged(life, one))
            ends = [TopicPartition("in", partition, end) for partition, (_, end) in inputs.items()]
            will = self.chance.random()
            if will < 0.5:
                producer.flush(self.chance.uniform(0, 0.05))
            self.patiently(producer.send_offsets_to_transaction, ends, self.consumer.consumer_group_metadata())
            if will < 0.1:
                self.patiently(producer.abort_transaction)
                transaction.outcome = "aborted"
                self.rewind()
                return
            if will < 0.15:
                self.fence(producer, transaction)
                return
            asked = True
            self.patiently(producer.commit_transaction)
            transaction.outcome = "committed"
        except KafkaException as error:
            self.mend(error.args[0], transaction, asked)

    def fence(self, zombie, transaction):
        """A successor begins while its predecessor is about to commit: that must not succeed."""
        self.renew()
        transaction.outcome = "aborted"
        try:
            self.patiently(zombie.commit_transaction)
            self.life.wrong.append(f"{self.name}: a zombie committed")
        except KafkaException as error:
            if not error.args[0].fatal() and not error.args[0].txn_requires_abort():
                raise
        self.rewind()

    def mend(self, error, transaction, asked):
        """After an error: abort, or a new producer, as the client asks for."""
        if error.txn_requires_abort():
            try:
                self.patiently(self.producer.abort_transaction)
                transaction.outcome = "aborted"
            except KafkaException as another:
                error = another.args[0]
        if transaction.outcome == "unknown":
            if not error.fatal():
                raise KafkaException(error)
            self.renew()
            # Its end was never asked for, so the new producer has aborted it.
            transaction.outcome = "unknown" if asked else "aborted"
        self.rewind()


COMMON_OF_CONSUMERS = {"enable.auto.commit": False, "isolation.level": "read_committed", "auto.offset.reset": "earliest", "check.crcs": True,
                       "reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 200, "log_level": 0, "fetch.wait.max.ms": 50}


def read_committed(address, places):
    """What a real client reads up to each partition's end, and that end: {(topic, partition): ([(offset, bytes)], end)}."""
    reader = Consumer(COMMON_OF_CONSUMERS | {"bootstrap.servers": address, "group.id": "reader", "enable.partition.eof": True})
    reader.assign([TopicPartition(topic, partition, 0) for topic, partition in places])
    found, ends, deadline = {place: [] for place in places}, {}, time.monotonic() + 60
    while len(ends) < len(places):
        assert time.monotonic() < deadline, f"no end of {set(places) - set(ends)} within a minute"
        for message in reader.consume(1000, timeout=0.2):
            place = (message.topic(), message.partition())
            if not message.error():
                found[place].append((message.offset(), message.value()))
            elif message.error().code() == KafkaError._PARTITION_EOF:
                ends.setdefault(place, message.offset())
    reader.close()
    return {place: ([one for one in found[place] if one[0] < end], end) for place, end in ends.items()}


def offsets_of(address, group):
    """{partition of `in`: the group's offset}, without those of open transactions."""
    admin = AdminClient({"bootstrap.servers": address, "log_level": 0})
    [future] = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)], request_timeout=20).values()
    try:
        return {one.partition: one.offset for one in future.result().topic_partitions if one.offset >= 0}
    except KafkaException as error:
        if error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
            return {}
        raise


def members_of(address, groups):
    """In words: who is in the groups, with which partitions."""
    admin = AdminClient({"bootstrap.servers": address, "log_level": 0})
    for group, future in admin.describe_consumer_groups(list(groups), request_timeout=20).items():
        described = future.result()
        members = [f"{one.member_id} has {[place.partition for place in one.assignment.topic_partitions]}" for one in described.members]
        yield f"{group} is {described.state.name}, {members}"


def complaints(life, groups):
    """Everything that is wrong with the log, as the histories have it. `groups`: by the beginnings of its copiers' names."""
    # What is acknowledged from here on may be missing in what is read.
    sent = [dataclasses.replace(one) for one in life.sent]
    transactions = {name: dataclasses.replace(one) for name, one in life.transactions.items()}
    offsets = {group: offsets_of(life.address, group) for group in groups}
    made, deleted = dict(life.made), set(life.deleted)
    there = AdminClient({"bootstrap.servers": life.address, "log_level": 0}).list_topics(timeout=20).topics
    made = {name: count for name, count in made.items() if name in life.made and (name in deleted) == (name in life.deleted)}
    yield from histories.topics_astray(made, deleted, {name: len(topic.partitions) for name, topic in there.items()})
    places = [(topic, partition) for topic, count in TOPICS.items() for partition in range(count)]
    read, log = read_committed(life.address, places), {}
    for place in places:
        batches, _, _ = wire.read_batches(life.address, *place)
        visible, _ = histories.committed(batches)
        found = [*histories.holes(batches), *histories.out_of_sequence(batches), *histories.misread(batches, *read[place])]
        yield from (f"{place[0]}-{place[1]}: {one}" for one in found)
        log[place] = [(offset, value.split(b"#")[0].decode()) for offset, value in visible]
    yield from histories.lost(sent, log, transactions)
    yield from histories.doubled(log)
    yield from histories.reordered(log)
    yield from histories.unasked(life.sent, log)
    yield from histories.torn(sent, log, transactions)
    for group, prefix in groups.items():
        of_group = {name: one for name, one in transactions.items() if name.startswith(prefix)}
        yield from histories.offsets_astray([one for one in sent if one.transaction in of_group], log, of_group, offsets[group])


def live(life):
    """One life from its first start to its end; gives how much was seen."""
    life.start()
    admin = AdminClient({"bootstrap.servers": life.address, "log_level": 0})
    topics = [NewTopic(name, count, config={"segment.bytes": str(life.segment_bytes)} | (RELAXED if name in life.relaxed else {}))
              for name, count in TOPICS.items()]
    for future in admin.create_topics(topics).values():
        future.result(20)
    groups = {"assigned": "a", "members": "m"}

    def guarded(call, *args):
        try:
            call(*args)
        except Exception:
            life.wrong.append(f"{call.__qualname__} {args[1:]}: {traceback.format_exc()}")

    def begin(calls):
        threads = [threading.Thread(target=guarded, args=call, daemon=True) for call in calls]
        for thread in threads:
            thread.start()
        return threads

    def copiers():
        return begin([(Copier(life, "a-0", "assigned", [0]).run,), (Copier(life, "a-1", "assigned", [1, 2]).run,),
                      (Copier(life, "m-0", "members", None).run,), (Copier(life, "m-1", "members", None).run,)])

    def join(threads, seconds, what):
        deadline = time.monotonic() + seconds
        for thread in threads:
            thread.join(max(0, deadline - time.monotonic()))
            if thread.is_alive():
                life.wrong.append(f"{what} did not come to their end within {seconds} s")

    writers = begin([(write, life, "in", "none", 0.02, 10), (write, life, "plain", "lz4", 0.01, 60), (write, life, "plain", "none", 0.02, 60),
                     (administer, life)])
    working = copiers()
    for kill in range(KILLS_PER_LIFE):
        time.sleep(life.chance.uniform(0.05, 2.0))
        if kill == KILLS_PER_LIFE - 1:
            life.pause.set()
            life.halt.set()
        life.kill()
    join(working, 60, "copiers that are to halt")
    yield from (f"after the kill: {one}" for one in complaints(life, groups))
    life.halt.clear()
    working = copiers()
    deadline = time.monotonic() + 90
    while not life.wrong:
        time.sleep(0.1)
        ends = {p: wire.read_batches(life.address, "in", p)[1] for p in range(TOPICS["in"])}
        stands = [offsets_of(life.address, group) for group in groups]
        is_taken = all(one.outcome != "unknown" for one in list(life.sent) if one.transaction is None)
        if is_taken and all(offsets == ends for offsets in stands):
            break
        if time.monotonic() > deadline:
            yield (f"the programs did not come to the end of their input, {ends}: {stands}; all was taken: {is_taken}; "
                   f"{[*members_of(life.address, groups)]}; {dict(life.told)}")
            break
    life.end.set()
    join(writers + working, 90, "programs")
    yield from (f"at the end: {one}" for one in complaints(life, groups))
    yield from life.wrong


@pytest.mark.timeout(120 + 30 * KILLS)
def test_kills_lose_double_reorder_and_tear_nothing(tmp_path, capsys):
    seed = int(os.environ.get("MILLSTREAM_SEED", random.randrange(1 << 30)))
    totals = dict.fromkeys(["kills", "topics", "records", "acked", "committed", "aborted", "unknown"], 0)
    for number in range(-(-KILLS // KILLS_PER_LIFE)):
        life = Life(seed + number, tmp_path / f"life-{number}")
        life.folder.mkdir()
        print("MILLSTREAM_SEED =", life.seed)
        try:
            found = list(live(life))
            assert not found, f"seed {life.seed}, kept in {life.keep(found)}: {len(found)} complaints\n" + "\n".join(found[:10])
            assert life.server.stop() == 0
        finally:
            for event in (life.halt, life.end):
                event.set()
            if life.server.process.poll() is None:
                life.server.kill()
        shutil.rmtree(life.folder / "data")
        totals["kills"] += KILLS_PER_LIFE
        totals["records"] += len(life.sent)
        totals["topics"] += len(life.made)
        totals["acked"] += sum(one.outcome == "acked" for one in life.sent)
        for one in life.transactions.values():
            totals[one.outcome] += 1
    with capsys.disabled():
        print(f"\n{totals['kills']} kills, seeds from {seed}: {totals['records']} records, {totals['acked']} acknowledged; transactions: "
              f"{totals['committed']} committed, {totals['aborted']} aborted, {totals['unknown']} with an end that nobody heard")
    assert totals["committed"] and totals["aborted"], "the programs did not come to work"
