"""
Who has which partitions in a group of the classic protocol.

By librdkafka's older request, which its Python face calls deprecated: the newer one (describe_consumer_groups) ends the
process with an assertion when the connection to the group's coordinator breaks meanwhile (librdkafka's issue 4605).

An assignment is bytes of the members' own (ConsumerProtocolAssignment), big-endian: version i16, i32 topics, each of
them a name (i16 length and UTF-8), i32 partitions and as many i32; then what the sharing members tell each other.
"""

import warnings
from collections.abc import Sequence
from struct import Struct, error
from typing import Final, Protocol

from confluent_kafka import KafkaException

from eventbus.errors import BrokerUnavailable
from eventbus.transport.kafka.answers import REQUEST_SECONDS
from eventbus.transport.kafka.options import describe
from eventbus.transport.port import TopicPartition

# Once for the process: around each call it would be a race with whoever else is changing the filters.
warnings.filterwarnings("ignore", r"list_groups\(\) is deprecated", DeprecationWarning)

# Unsigned: a negative length ends beyond the bytes, instead of leading backwards.
_U16: Final = Struct(">H")
_U32: Final = Struct(">I")
_STABLE: Final = "Stable"


class _Member(Protocol):
    assignment: bytes


class _Group(Protocol):
    id: str
    state: str
    error: object | None
    members: Sequence[_Member]


class ListsGroups(Protocol):
    """librdkafka's admin client, as far as this asks it."""

    def list_groups(self, group: str, timeout: float) -> Sequence[_Group]: ...


def assigned_partitions(client: ListsGroups, group_id: str) -> frozenset[TopicPartition] | None:
    """
    What the members of a group have together; None while it shares its partitions out anew, or has no members.

    Raises BrokerUnavailable when not every broker has answered in time.
    """
    try:
        groups = client.list_groups(group_id, timeout=REQUEST_SECONDS)
    except KafkaException as raised:
        raise BrokerUnavailable(f"group {group_id!r}: {describe(raised.args[0])}") from raised
    for group in groups:
        if group.id == group_id and group.error is None and group.state == _STABLE:
            return frozenset(place for member in group.members for place in _partitions(member.assignment))
    return None


def _partitions(assignment: bytes) -> list[TopicPartition]:
    """Nothing for bytes that are no assignment: a member may share out whatever it likes."""
    found: list[TopicPartition] = []
    at = _U16.size
    try:
        (topics,) = _U32.unpack_from(assignment, at)
        at += _U32.size
        for _ in range(topics):
            (length,) = _U16.unpack_from(assignment, at)
            at += _U16.size
            topic = assignment[at : at + length].decode()
            at += length
            (count,) = _U32.unpack_from(assignment, at)
            at += _U32.size
            found += [TopicPartition(topic, number) for (number,) in _U32.iter_unpack(assignment[at : at + 4 * count])]
            at += 4 * count
    except (error, UnicodeDecodeError):
        return []
    return found
