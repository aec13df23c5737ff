"""
What Java's and everybody's consumers put into the classic protocol's metadata and assignments (type "consumer").

Layout (big-endian; a string is i16 length and UTF-8; bytes are i32 length and bytes, -1 is null)
    subscription    i16 version, i32 topics, each a string, user data bytes;
                    from v1: i32 owned topics, each a string, i32 partitions, each i32;
                    from v2: generation i32 (-1: unknown); from v3: rack string (length -1: none)
    assignment      i16 version, i32 topics, each a string, i32 partitions, each i32; user data bytes
Newer versions append; what is not known is not read.
Source  Kafka's ConsumerProtocolSubscription and ConsumerProtocolAssignment
"""

from collections.abc import Mapping, Sequence
from struct import Struct, error
from types import MappingProxyType
from typing import NamedTuple

CONSUMER = "consumer"

_I16 = Struct(">h")
_I32 = Struct(">i")
_VERSION_MAX = 3


class MalformedConsumerProtocol(ValueError):
    """Metadata or an assignment that no consumer would write."""


class Subscription(NamedTuple):
    """What a consumer says when it joins; `owned` is empty for one that gives up everything first."""

    version: int
    topics: frozenset[str]
    owned: Mapping[str, frozenset[int]] = MappingProxyType({})
    rack_id: str | None = None


def read_subscription(metadata: bytes) -> Subscription:
    """Raises MalformedConsumerProtocol."""
    try:
        reader = _Reader(metadata)
        version = reader.i16()
        topics = frozenset(reader.string() for _ in range(reader.count()))
        reader.skip_bytes()
        owned = reader.partitions() if version >= 1 else {}
        if version >= 2:
            reader.i32()
        return Subscription(version, topics, owned, reader.optional_string() if version >= 3 else None)
    except (error, UnicodeDecodeError) as cause:
        raise MalformedConsumerProtocol(f"{len(metadata)} bytes of metadata are no subscription: {cause}") from cause


def subscribed_topics(metadata: bytes) -> frozenset[str] | None:
    """The topics of a subscription; None when *metadata* is none: other protocols put there what they like."""
    try:
        reader = _Reader(metadata)
        reader.i16()
        return frozenset(reader.string() for _ in range(reader.count()))
    except (error, UnicodeDecodeError, MalformedConsumerProtocol):
        return None


def read_assignment(assignment: bytes) -> Mapping[str, frozenset[int]]:
    """Topic → partitions. No bytes at all: nothing is assigned. Raises MalformedConsumerProtocol."""
    if not assignment:
        return {}
    try:
        reader = _Reader(assignment)
        reader.i16()
        return reader.partitions()
    except (error, UnicodeDecodeError) as cause:
        raise MalformedConsumerProtocol(f"{len(assignment)} bytes are no assignment: {cause}") from cause


def write_assignment(version: int, assigned: Mapping[str, Sequence[int]]) -> bytes:
    """An assignment in the highest version that both sides know."""
    parts = [_I16.pack(min(max(version, 0), _VERSION_MAX)), _I32.pack(len(assigned))]
    for topic, partitions in assigned.items():
        name = topic.encode()
        parts += [_I16.pack(len(name)), name, _I32.pack(len(partitions)), *map(_I32.pack, partitions)]
    parts.append(_I32.pack(-1))
    return b"".join(parts)


class _Reader:
    __slots__ = ("_data", "_position")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def i16(self) -> int:
        return self._integer(_I16)

    def i32(self) -> int:
        return self._integer(_I32)

    def count(self) -> int:
        """The length of an array, each of whose elements takes two bytes at least."""
        count = self.i32()
        if not 0 <= count <= (len(self._data) - self._position) // 2:
            raise MalformedConsumerProtocol(f"{count} elements announced at byte {self._position}")
        return count

    def string(self) -> str:
        return self._take(self.i16()).decode()

    def optional_string(self) -> str | None:
        length = self.i16()
        return None if length < 0 else self._take(length).decode()

    def skip_bytes(self) -> None:
        length = self.i32()
        if length > 0:
            self._take(length)

    def partitions(self) -> dict[str, frozenset[int]]:
        owned: dict[str, frozenset[int]] = {}
        for _ in range(self.count()):
            topic = self.string()
            owned[topic] = owned.get(topic, frozenset()) | {self.i32() for _ in range(self.count())}
        return owned

    def _integer(self, struct: Struct) -> int:
        value: int = struct.unpack_from(self._data, self._position)[0]
        self._position += struct.size
        return value

    def _take(self, length: int) -> bytes:
        end = self._position + length
        if length < 0 or end > len(self._data):
            raise MalformedConsumerProtocol(f"{length} bytes announced at byte {self._position}")
        taken = self._data[self._position : end]
        self._position = end
        return taken
