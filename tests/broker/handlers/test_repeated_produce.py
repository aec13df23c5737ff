"""A produce request that repeats the one before it is answered as it would be without that."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.errors import ErrorCode, MalformedMessage
from broker.handlers.repeated_produce import RepeatedProduce
from broker.records import Compression, NewRecord, build_batch
from broker.wire.frame import decode_request, decode_response, encode_request, encode_response
from broker.wire.headers import decode_request_header
from broker.wire.messages.produce import (
    PartitionProduceData,
    PartitionProduceResponse,
    ProduceRequest,
    ProduceResponse,
    TopicProduceData,
)
from broker.wire.primitives import NO_UUID
from tests.broker.handlers.conftest import InProcessBroker

NOW = 1_700_000_000_000


class Producer:
    """One connection to one broker; *repeats*: requests that repeat the last one take the short way."""

    def __init__(self, broker: InProcessBroker, *, repeats: bool) -> None:
        self.broker = broker
        self.taken = 0
        self._repeats = repeats
        self._last: RepeatedProduce | None = None

    def send(self, frame: bytes) -> tuple[int, ProduceResponse]:
        """Correlation id and answer; *frame* is without its size prefix."""
        view = memoryview(bytearray(frame))
        header = decode_request_header(view)
        answer = None if self._last is None else self._last.answer(view)
        if answer is not None:
            self.taken += 1
        else:
            request = decode_request(header, view)
            assert isinstance(request, ProduceRequest)
            response = self.broker.call(request, ProduceResponse, header.version)
            answer = b"".join(bytes(each) for each in encode_response(response, header.version, header.correlation_id))  # type: ignore[arg-type]  # no slices in it
            if self._repeats:
                self._last = RepeatedProduce.of(self.broker.state, header, request)
        assert int.from_bytes(answer[:4], "big") == len(answer) - 4
        correlation_id, decoded = decode_response(ProduceResponse, header.version, answer[4:])
        for topic in decoded.responses:
            topic.topic_id = NO_UUID  # made by chance
        return correlation_id, decoded


@contextmanager
def two_brokers() -> Iterator[tuple[Producer, Producer]]:
    """The same topics on both; the first one's producer repeats."""
    with TemporaryDirectory() as folder:
        brokers = [InProcessBroker(Path(folder) / name) for name in ("short", "long")]
        try:
            for broker in brokers:
                broker.state.catalog.create("plain", 3, {"max.message.bytes": "400"})
                broker.state.catalog.create("stamped", 1, {"message.timestamp.type": "LogAppendTime"})
                broker.state.catalog.create("compacted", 1, {"cleanup.policy": "compact"})
                broker.state.catalog.create("synced", 1, {"flush.before.ack": "true"})
            yield Producer(brokers[0], repeats=True), Producer(brokers[1], repeats=False)
        finally:
            for broker in brokers:
                broker.close()


def frame_of(
    producer: Producer, topic: str, records: bytes, *, version: int = 9, number: int = 1, index: int = 0, acks: int = -1
) -> bytes:
    found = producer.broker.state.catalog.find(topic)
    data = TopicProduceData(
        name=topic,
        topic_id=NO_UUID if found is None else found.id,
        partition_data=[PartitionProduceData(index=index, records=memoryview(records))],
    )
    request = ProduceRequest(acks=acks, timeout_ms=1000, topic_data=[data])
    return encode_request(request, version, number, "producer")[4:]


def one(answered: tuple[int, ProduceResponse]) -> PartitionProduceResponse:
    return answered[1].responses[0].partition_responses[0]


BATCHES = st.builds(
    lambda values, key, **fields: bytes(
        build_batch([NewRecord(key, value) for value in values], timestamp=NOW, **fields)
    ),
    st.lists(st.binary(max_size=150), min_size=1, max_size=3),
    st.sampled_from([b"key", None]),
    compression=st.sampled_from([Compression.NONE, Compression.ZSTD]),
    producer_id=st.sampled_from([-1, 77]),
    producer_epoch=st.sampled_from([0, 1]),
    base_sequence=st.integers(0, 3),
    transactional=st.sampled_from([False, False, False, True]),
)
REQUESTS = st.tuples(
    st.sampled_from(["plain", "plain", "plain", "stamped", "compacted", "synced", "missing"]),
    BATCHES | st.binary(max_size=70),
    st.sampled_from([-1, 0, 1, 2, 3]),
    st.sampled_from([b"", b"", b"", b"\x00", b"garbage"]),
    st.booleans(),
)


@given(version=st.integers(7, 13), requests=st.lists(REQUESTS, max_size=12))
@settings(max_examples=60, deadline=None)
def test_every_answer_is_that_of_a_broker_that_does_not_look_for_repetition(
    version: int, requests: list[tuple[str, bytes, int, bytes, bool]]
) -> None:
    """Good and bad batches, repeated and out of sequence, partitions that are not there, bytes behind the message."""
    with two_brokers() as producers:
        for number, (topic, records, index, behind, spoiled) in enumerate(requests):
            sent = bytearray(records)
            if spoiled and sent:
                sent[-1] ^= 1
            answers: list[object] = []
            for producer in producers:
                frame = frame_of(producer, topic, bytes(sent), version=version, number=number, index=index) + behind
                try:
                    answers.append(producer.send(frame))
                except MalformedMessage:
                    answers.append("malformed")
            assert answers[0] == answers[1]
        logs = [[each.log.next_offset for each in p.broker.state.catalog.partitions()] for p in producers]
        assert logs[0] == logs[1]


@pytest.mark.parametrize("version", range(7, 14))
def test_what_repeats_takes_the_short_way(version: int) -> None:
    """From the second request on, whatever the partition and the size, in every version that is served so."""
    with two_brokers() as (producer, _):
        sizes = (10, 60, 61, 62, 70, 126, 127, 128, 300)
        for number, size in enumerate(sizes):
            records = bytes(build_batch([NewRecord(b"k", bytes(size))], timestamp=NOW))
            frame = frame_of(producer, "plain", records, version=version, number=number, index=number % 3)
            correlation_id, answer = producer.send(frame)
            assert (correlation_id, one((0, answer)).base_offset) == (number, number // 3)
        assert producer.taken == len(sizes) - 1


def test_a_large_batch_takes_the_short_way_too() -> None:
    """Its length takes three bytes in a flexible version."""
    with two_brokers() as (producer, _):
        records = bytes(build_batch([NewRecord(b"k", bytes(100_000))], timestamp=NOW))
        offsets = [one(producer.send(frame_of(producer, "compacted", records))).base_offset for _ in range(3)]
        assert (offsets, producer.taken) == ([0, 1, 2], 2)


def test_a_topic_that_was_made_again_is_not_taken_for_the_old_one() -> None:
    """Nor is one that flushes since: what was known of it is looked up again."""
    with two_brokers() as (producer, _):
        catalog = producer.broker.state.catalog
        records = bytes(build_batch([NewRecord(b"k", b"v")], timestamp=NOW))
        for expected in (0, 1):
            assert one(producer.send(frame_of(producer, "plain", records))).base_offset == expected
        found = catalog.find("plain")
        assert found is not None
        catalog.delete(found)
        assert one(producer.send(frame_of(producer, "plain", records))).error_code == (
            ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        )
        again = catalog.create("plain", 1, {})
        for expected in (0, 1):
            assert one(producer.send(frame_of(producer, "plain", records))).base_offset == expected
        taken = producer.taken
        catalog.replace_configs(again, {"flush.before.ack": "true"})
        assert one(producer.send(frame_of(producer, "plain", records))).base_offset == 2
        assert producer.taken == taken
        assert again.partitions[0].log.recovery_point == 3
