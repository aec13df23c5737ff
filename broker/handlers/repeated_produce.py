"""
The produce request that is like the one before it.

A producer's requests to one topic differ in their correlation id, the index of the partition, the length of the records
and the records. The rest is the same bytes each time: it is compared as bytes, and neither decoded nor encoded again.

Taken       one partition of one topic with acks 1 or -1 and no transaction, from v7 on, encoded as everybody does it
Not taken   everything else, and what needs more than an append: topics with flush.before.ack, flush.ms or
            flush.messages, transactional batches. `answer` gives None then, and nothing was done
Forgotten   when a topic was created, deleted or widened
"""

from struct import Struct
from typing import Final, Self, cast
from uuid import UUID

from broker.errors import KafkaError
from broker.handlers.context import BrokerState
from broker.handlers.produce import refused_append
from broker.identifiers import TopicId
from broker.records.header import HEADER_SIZE
from broker.topics import Topic
from broker.wire.frame import encode_request, encode_response
from broker.wire.headers import RequestHeader
from broker.wire.messages.produce import (
    PartitionProduceData,
    PartitionProduceResponse,
    ProduceRequest,
    ProduceResponse,
    TopicProduceData,
    TopicProduceResponse,
)
from broker.wire.primitives import read_uvarint

# The first that may have batches compressed by zstd: nothing is left to be refused for its version.
VERSION_MIN: Final = 7
_TOPIC_IDS_FROM_VERSION: Final = 13

# Where the attributes lie in a batch, and what they say.
_ATTRIBUTES_LOW_BYTE: Final = 22
_TRANSACTIONAL: Final = 0x10

# Of a request: key and version as one number, correlation id.
_HEAD = Struct(">Ii")
_INDEX_AND_SIZE = Struct(">ii")
_INDEX_BYTES: Final = 4
# Tagged fields of partition, topic and request, all of them empty.
_NO_TAGS: Final = bytes(3)
# Of an answer, from v5 on one behind the other: index, error code, base offset, append time, log start offset.
_OUTCOME = Struct(">ihqqq")
_SIZE_AND_CORRELATION_ID_BYTES: Final = 8
# An outcome to find its place in an answer by: nothing else there is negative.
_MARK: Final = PartitionProduceResponse(
    index=-2, error_code=-3, base_offset=-4, log_append_time_ms=-5, log_start_offset=-6
)
_MARK_BYTES: Final = _OUTCOME.pack(-2, -3, -4, -5, -6)

_read_head = _HEAD.unpack_from
_read_index_and_size = _INDEX_AND_SIZE.unpack_from


class RepeatedProduce:
    """What the requests of one producer to one topic have in common, and their answers."""

    __slots__ = (
        "_after",
        "_before",
        "_broker",
        "_changes",
        "_is_flexible",
        "_kind",
        "_named",
        "_pack",
        "_prefix",
        "_prefix_end",
        "_size",
        "_topic",
        "_version",
    )

    def __init__(
        self, broker: BrokerState, topic: Topic, header: RequestHeader, prefix: bytes, named: tuple[str, UUID]
    ) -> None:
        self._broker = broker
        self._topic = topic
        self._changes = broker.catalog.changes
        self._version = header.version
        self._is_flexible = header.api.is_flexible(header.version)
        self._kind = header.api.key << 16 | header.version
        self._prefix = prefix
        self._prefix_end = _HEAD.size + len(prefix)
        self._named = named
        answer = self._encoded(0, _MARK)
        at = answer.index(_MARK_BYTES)
        self._size = len(answer) - 4
        self._before = answer[_SIZE_AND_CORRELATION_ID_BYTES:at]
        self._after = answer[at + _OUTCOME.size :]
        self._pack = Struct(f">ii{len(self._before)}sihqqq{len(self._after)}s").pack

    @classmethod
    def of(cls, broker: BrokerState, header: RequestHeader, request: ProduceRequest) -> Self | None:
        """What *request* has in common with those that are like it; None when it is not one that is taken."""
        version = header.version
        if version < VERSION_MIN or not request.acks or request.transactional_id is not None:
            return None
        if len(request.topic_data) != 1 or len(request.topic_data[0].partition_data) != 1:
            return None
        data = request.topic_data[0]
        catalog = broker.catalog
        by_id = version >= _TOPIC_IDS_FROM_VERSION
        topic = catalog.find_by_id(TopicId(data.topic_id)) if by_id else catalog.find(data.name)
        if topic is None or topic.is_internal:
            return None
        nothing = PartitionProduceData(index=0, records=memoryview(b""))
        alike = ProduceRequest(
            acks=request.acks,
            timeout_ms=request.timeout_ms,
            topic_data=[TopicProduceData(name=data.name, topic_id=data.topic_id, partition_data=[nothing])],
        )
        encoded = encode_request(alike, version, 0, header.client_id)
        # Behind what repeats: the partition's index, the length of the records, and the tags of flexible versions.
        behind = _INDEX_BYTES + (1 + len(_NO_TAGS) if header.api.is_flexible(version) else 4)
        return cls(broker, topic, header, encoded[4 + _HEAD.size : -behind], (data.name, data.topic_id))

    def answer(self, frame: memoryview) -> bytes | None:
        """
        Appends what *frame* brings; the answer's frame, size prefix included. None when it is no such request.

        Raises MalformedMessage.
        """
        at = self._prefix_end
        end = len(frame)
        if self._changes != self._broker.catalog.changes or end < at + _INDEX_AND_SIZE.size:
            return None
        kind, correlation_id = _read_head(frame)
        if kind != self._kind or frame[_HEAD.size : at].tobytes() != self._prefix:
            return None
        index: int
        size: int
        index, size = _read_index_and_size(frame, at)
        if self._is_flexible:
            at += _INDEX_BYTES
            low, high = frame[at], frame[at + 1]
            if low > 127 and high < 128:
                # 127 to 16,382 bytes, the frequent case.
                size, at = (high << 7 | low & 127) - 1, at + 2
            else:
                size, at = read_uvarint(frame, at)
                size -= 1
            end -= len(_NO_TAGS)
            if frame[end:].tobytes() != _NO_TAGS:
                return None
        else:
            at += _INDEX_AND_SIZE.size
        if size < HEADER_SIZE or at + size != end:
            return None
        records = frame[at:end]
        partitions = self._topic.partitions
        if records[_ATTRIBUTES_LOW_BYTE] & _TRANSACTIONAL or not 0 <= index < len(partitions):
            return None
        partition = partitions[index]
        try:
            if partition.log.config.flushes:
                return None
            appended = partition.append(records)
        except KafkaError as refused:
            return self._encoded(correlation_id, refused_append(self._broker, partition, refused))
        return self._pack(
            self._size,
            correlation_id,
            self._before,
            index,
            0,
            appended.base_offset,
            appended.log_append_time_ms,
            appended.log_start_offset,
            self._after,
        )

    def _encoded(self, correlation_id: int, outcome: PartitionProduceResponse) -> bytes:
        name, topic_id = self._named
        response = ProduceResponse(
            responses=[TopicProduceResponse(name=name, topic_id=topic_id, partition_responses=[outcome])]
        )
        return b"".join(cast("list[bytes]", encode_response(response, self._version, correlation_id)))
