"""
Where partitions begin and end, as the admin client lists it.

No answer   librdkafka gives the offset -1001 and no error for a partition whose broker went away while it was asked.
            That is no end of a log: whoever took it for one would stop for good
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Final, Protocol, cast

from confluent_kafka import IsolationLevel
from confluent_kafka import TopicPartition as KafkaPartition
from confluent_kafka.admin._listoffsets import OffsetSpec

from eventbus.errors import BrokerUnavailable
from eventbus.transport.kafka.answers import answer
from eventbus.transport.port import OffsetRange, TopicPartition

_EARLIEST: Final = cast("OffsetSpec", OffsetSpec.earliest())  # type: ignore[no-untyped-call]  # the stubs leave it open
_LATEST: Final = cast("OffsetSpec", OffsetSpec.latest())  # type: ignore[no-untyped-call]  # the stubs leave it open


class ListedOffset(Protocol):
    """What is read of an answer."""

    offset: int


class ListsOffsets(Protocol):
    """The admin client as it is used here: the stubs' own answers are futures of unknown things."""

    def list_offsets(
        self,
        topic_partition_offsets: Mapping[KafkaPartition, OffsetSpec],
        *,
        isolation_level: IsolationLevel,
        request_timeout: float,
    ) -> Mapping[KafkaPartition, Future[ListedOffset]]:
        """A future for each partition."""
        ...


def offset_ranges(
    client: ListsOffsets, topics: Mapping[str, int], *, committed: bool, seconds: float
) -> dict[TopicPartition, OffsetRange]:
    """
    The range of every partition of *topics* (their numbers of partitions, by name). *committed*: the end is the last
    stable offset, where readers of what is committed stop. Raises BrokerUnavailable, Refused.
    """
    places = [KafkaPartition(topic, number) for topic, count in topics.items() for number in range(count)]
    if not places:
        return {}
    level = IsolationLevel.READ_COMMITTED if committed else IsolationLevel.READ_UNCOMMITTED
    starts, ends = (_offsets(client, places, spec, level, seconds) for spec in (_EARLIEST, _LATEST))
    return {place: OffsetRange(start, ends[place]) for place, start in starts.items()}


def _offsets(
    client: ListsOffsets,
    places: Sequence[KafkaPartition],
    spec: OffsetSpec,
    level: IsolationLevel,
    seconds: float,
) -> dict[TopicPartition, int]:
    asked = client.list_offsets(dict.fromkeys(places, spec), isolation_level=level, request_timeout=seconds)
    found: dict[TopicPartition, int] = {}
    for place, future in asked.items():
        offset = int(answer(future, seconds).offset)
        if offset < 0:
            raise BrokerUnavailable(f"no broker told the offsets of {place.topic}-{place.partition}")
        found[TopicPartition(place.topic, place.partition)] = offset
    return found
