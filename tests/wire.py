"""Kafka's wire by hand, for what no client does: reading every batch with its markers, and sending what is wrong on purpose."""

import socket
import struct
from dataclasses import dataclass

from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from kafka.record.util import calc_crc32c

PRODUCE, FETCH, METADATA, API_VERSIONS, INIT_PRODUCER_ID = 0, 1, 3, 18, 22
CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
# Base offset, length, leader epoch, magic, CRC, attributes, last offset delta, two times, producer id and epoch, first sequence, count.
BATCH = struct.Struct(">qiibIhiqqqhii")
# CRC's place in a batch, and where what it covers begins.
CRC_AT, CRC_FROM = 17, 21


def address(text):
    host, port = text.rsplit(":", 1)
    return host.strip("[]"), int(port)


def frame(body):
    return struct.pack(">i", len(body)) + body


def string(text):
    raw = text.encode()
    return struct.pack(">h", len(raw)) + raw


def header(key, version, correlation=7, client="wire"):
    """A request's header, of a version that is not flexible."""
    return struct.pack(">hhi", key, version, correlation) + string(client)


def produce_v7(topic, partition, batches, acks=-1, transactional_id=None):
    """The body of a Produce request that carries `batches` as they are."""
    transactional = struct.pack(">h", -1) if transactional_id is None else string(transactional_id)
    head = struct.pack(">hii", acks, 30_000, 1) + string(topic) + struct.pack(">ii", 1, partition)
    return header(PRODUCE, 7) + transactional + head + struct.pack(">i", len(batches)) + batches


def fetch_v4(topic, partition, offset, isolation=0, max_wait_ms=0, max_bytes=1 << 20):
    head = struct.pack(">iiiibi", -1, max_wait_ms, 1, max_bytes, isolation, 1) + string(topic)
    return header(FETCH, 4) + head + struct.pack(">iiqi", 1, partition, offset, max_bytes)


def batch(values, codec="none"):
    """A batch of records without keys, as a good client makes it."""
    builder = DefaultRecordBatchBuilder(2, CODECS[codec], False, -1, -1, -1, 1 << 30)
    for offset, value in enumerate(values):
        builder.append(offset, 1_700_000_000_000, None, value, [])
    return bytes(builder.build())


def sealed(raw):
    """The batch with the CRC that its bytes have: what was spoilt is not found by it."""
    return raw[:CRC_AT] + struct.pack(">I", calc_crc32c(raw[CRC_FROM:])) + raw[CRC_FROM:]


class Connection:
    """A socket that speaks frames."""

    def __init__(self, server, timeout=10):
        self.socket = socket.create_connection(address(server), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, body):
        self.socket.sendall(frame(body))

    def exactly(self, count):
        parts = bytearray()
        while len(parts) < count:
            more = self.socket.recv(min(count - len(parts), 1 << 20))
            if not more:
                raise ConnectionError("the broker hung up")
            parts += more
        return bytes(parts)

    def receive(self):
        """An answer without its length."""
        return self.exactly(struct.unpack(">i", self.exactly(4))[0])

    def call(self, body):
        self.send(body)
        return self.receive()

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


@dataclass(frozen=True)
class Batch:
    """A batch as it stands in a partition."""

    base: int
    last: int
    producer: int
    epoch: int
    sequence: int
    transactional: bool
    marker: str | None  # "commit" or "abort"
    values: tuple  # of (offset, bytes)
    claims: int  # records, by its header


def parse(raw):
    """All whole batches of a fetch's answer. Their CRCs are left to a real client to check."""
    found = []
    while len(raw) >= BATCH.size:
        base, length, _, magic, _, attributes, delta, _, _, producer, epoch, sequence, count = BATCH.unpack_from(raw)
        if len(raw) < 12 + length:
            break
        assert magic == 2, f"magic {magic} at offset {base}"
        whole = DefaultRecordBatch(raw[:12 + length])
        records = list(whole)
        marker = None
        if attributes & 32:
            marker = {0: "abort", 1: "commit"}[struct.unpack(">hh", records[0].key)[1]]
        values = () if marker else tuple((record.offset, record.value) for record in records)
        found.append(Batch(base, base + delta, producer, epoch, sequence, bool(attributes & 16), marker, values, count))
        raw = raw[12 + length:]
    return found


def read_batches(server, topic, partition):
    """All batches of a partition up to its high watermark; gives also that and the last stable offset."""
    found, offset = [], 0
    with Connection(server) as connection:
        while True:
            answer = connection.call(fetch_v4(topic, partition, offset, max_bytes=8 << 20))
            at = 4 + 4 + 4  # correlation, throttle, topics
            at += 2 + struct.unpack_from(">h", answer, at)[0] + 4
            _, error, high_watermark, last_stable, aborted = struct.unpack_from(">ihqqi", answer, at)
            assert error == 0, f"fetch of {topic}-{partition} at {offset}: error {error}"
            at += 26 + max(aborted, 0) * 16
            size = struct.unpack_from(">i", answer, at)[0]
            # The first batch may begin before the offset that was asked for.
            more = [one for one in parse(answer[at + 4:at + 4 + max(size, 0)]) if one.last >= offset]
            found += more
            if more:
                offset = more[-1].last + 1
            if offset >= high_watermark:
                return found, high_watermark, last_stable
            assert more, f"{topic}-{partition}: nothing at {offset}, before the high watermark {high_watermark}"
