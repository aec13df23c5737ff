"""
Two answers, field by field.

Compared    every declared field, also its absence
Ids         topic, producer, member, cluster and session ids are each broker's own: which of ours stands for which of
            theirs is kept over the whole run; an id that changes, is doubled or belongs to another is a difference
Times       both there or both not there; a time that the client gave is compared as it is
Words       of an error message are each broker's own; ours are missing only where Apache Kafka has none
Arrays      of entries that have a key (a topic's name, a partition's index) are compared by key: order means nothing
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from broker.records import BatchHeader, CorruptBatch, iterate_batches
from broker.wire.declaration import Message, Struct, fields_of
from broker.wire.primitives import NO_UUID

_IDENTITIES = {
    "topic_id": "topic",
    "member_id": "member",
    "leader": "member",
    "producer_id": "producer",
    "cluster_id": "cluster",
    "session_id": "session",
    "port": "port",
    "log_dir": "directory",
}
_TIMES = {"log_append_time_ms", "last_timestamp", "transaction_start_time_ms", "total_bytes", "usable_bytes"}
_WORDS = {"error_message", "batch_index_error_message", "documentation"}
# The first of these that an entry has is its key in an array.
_KEYS = (
    "partition_index",
    "index",
    "partition",
    "partition_id",
    "api_key",
    "resource_name",
    "transactional_id",
    "group_id",
    "name",
    "topic",
    "key",
    "broker_id",
    "node_id",
    "topic_id",
    "producer_id",
    "group_instance_id",
    "instance_id",
    "member_id",
)
# What stands for no id.
_NO_IDS = {"topic": NO_UUID, "producer": -1, "session": 0, "member": ""}
_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|[A-Za-z0-9_-]{22}$")
_MASKED_TIME = 0


class Difference(NamedTuple):
    """One field in which both answers differ; *path* has no indexes, *place* has them."""

    path: str
    place: str
    ours: object
    theirs: object

    def __str__(self) -> str:
        return f"{self.place}: ours {self.ours!r}, Apache Kafka's {self.theirs!r}"


@dataclass(slots=True)
class Identities:
    """Which id of ours stands for which of theirs."""

    _theirs: dict[tuple[str, object], object] = field(default_factory=dict)
    _ours: dict[tuple[str, object], object] = field(default_factory=dict)

    def theirs_of(self, kind: str, ours: object) -> object:
        """What *ours* is called by Apache Kafka; itself when that is not known."""
        return self._theirs.get((kind, ours), ours)

    def are_one(self, kind: str, ours: object, theirs: object) -> bool:
        """Whether both ids may be the same thing's; remembered from then on."""
        nothing = (None, _NO_IDS.get(kind))
        if ours in nothing or theirs in nothing:
            return ours == theirs
        if kind == "member" and _UUID.sub("", str(ours)) != _UUID.sub("", str(theirs)):
            return False
        return (
            self._theirs.setdefault((kind, ours), theirs) == theirs
            and self._ours.setdefault((kind, theirs), ours) == ours
        )


def compare(ours: Message | str, theirs: Message | str, version: int, identities: Identities) -> list[Difference]:
    """What differs between two answers of one version; an answer that never came is said in words."""
    if isinstance(ours, str) or isinstance(theirs, str):
        plain = [answer if isinstance(answer, str) else "answered" for answer in (ours, theirs)]
        return [] if plain[0] == plain[1] else [Difference("outcome", "outcome", ours, theirs)]
    return list(_structs(ours, theirs, version, "", "", identities))


def _structs(
    ours: Struct, theirs: Struct, version: int, path: str, place: str, identities: Identities
) -> Iterator[Difference]:
    for declared in fields_of(type(ours)):
        if version not in declared.versions:
            continue
        name = declared.name
        here, there = (f"{path}.{name}", f"{place}.{name}") if path else (name, name)
        yield from _values(name, getattr(ours, name), getattr(theirs, name), version, here, there, identities)


def _values(
    name: str, ours: object, theirs: object, version: int, path: str, place: str, identities: Identities
) -> Iterator[Difference]:
    kind = _IDENTITIES.get(name)
    if isinstance(ours, Struct) and isinstance(theirs, Struct):
        yield from _structs(ours, theirs, version, path, place, identities)
    elif name == "records":
        yield from _records(ours, theirs, path, place, identities)
    elif isinstance(ours, list) and isinstance(theirs, list):
        yield from _arrays(ours, theirs, version, path, place, identities)
    elif kind is not None:
        if not identities.are_one(kind, ours, theirs):
            yield Difference(path, place, ours, theirs)
    elif name in _TIMES:
        if (ours == -1) != (theirs == -1):
            yield Difference(path, place, ours, theirs)
    elif name in _WORDS:
        if theirs and not ours:
            yield Difference(path, place, ours, theirs)
    elif ours != theirs:
        yield Difference(path, place, ours, theirs)


def _arrays(
    ours: list[Struct], theirs: list[Struct], version: int, path: str, place: str, identities: Identities
) -> Iterator[Difference]:
    if not all(isinstance(item, Struct) for item in (*ours, *theirs)):
        # Numbers of partitions, names: their order means nothing either.
        if sorted(map(repr, ours)) != sorted(map(repr, theirs)):
            yield Difference(path, place, ours, theirs)
        return
    key = _key_of([*ours, *theirs])
    our_entries, their_entries = _by_key(ours, key, identities), _by_key(theirs, key, None)
    for label in our_entries | their_entries:
        our_item, their_item, there = our_entries.get(label), their_entries.get(label), f"{place}[{label}]"
        if our_item is not None and their_item is not None:
            yield from _structs(our_item, their_item, version, path, there, identities)
        else:
            yield Difference(f"{path}[]", there, our_item, their_item)


def _key_of(items: Sequence[Struct]) -> str | None:
    """The first of the known keys that entries have a value for."""
    for key in _KEYS:
        if any(getattr(item, key, None) not in (None, "", NO_UUID) for item in items):
            return key
    return None


def _by_key(items: Sequence[Struct], key: str | None, identities: Identities | None) -> dict[str, Struct]:
    """
    The entries by their key, in the words of Apache Kafka; without a key by their number.

    A topic that is listed twice (Apache Kafka does so where some of its partitions failed) becomes one.
    """
    entries: dict[str, Struct] = {}
    for index, item in enumerate(items):
        value: object = index if key is None else getattr(item, key)
        if key in _IDENTITIES and identities is not None:
            value = identities.theirs_of(_IDENTITIES[key], value)
        label = str(value)
        while label in entries:
            partitions = getattr(entries[label], "partitions", None)
            if isinstance(partitions, list):
                partitions.extend(getattr(item, "partitions", ()))
                break
            label += "'"
        else:
            entries[label] = item
    return entries


def _records(ours: object, theirs: object, path: str, place: str, identities: Identities) -> Iterator[Difference]:
    if ours is None or theirs is None:
        if bool(ours) or bool(theirs) or (ours is None) != (theirs is None):
            yield Difference(path, place, ours, theirs)
        return
    our_batches, their_batches = list(_batches(ours)), list(_batches(theirs))
    if len(our_batches) != len(their_batches):
        yield Difference(f"{path}.batches", f"{place}.batches", _spans(our_batches), _spans(their_batches))
        return
    for index, (our_batch, their_batch) in enumerate(zip(our_batches, their_batches, strict=True)):
        for name, our_value, their_value in zip((*BatchHeader._fields, "body"), our_batch, their_batch, strict=True):
            if name == "producer_id":
                same = identities.are_one("producer", our_value, their_value)
            else:
                same = our_value == their_value
            if not same:
                yield Difference(f"{path}.{name}", f"{place}[{index}].{name}", our_value, their_value)


def _batches(data: object) -> Iterator[tuple[object, ...]]:
    """
    Header fields and body of each whole batch.

    The CRC has been checked by the parser and covers the producer's id; it is left out, as is a time that the log set,
    and everything in the body of a transaction marker but its kind.
    """
    assert isinstance(data, (bytes, bytearray, memoryview))
    try:
        for batch in iterate_batches(data):
            header = batch.header._replace(crc=0)
            if header.attributes & 0x28:
                header = header._replace(max_timestamp=_MASKED_TIME)
            if header.is_control:
                header = header._replace(base_timestamp=_MASKED_TIME)
                yield (*header, [(record.key, record.offset) for record in batch.records()])
            else:
                yield (*header, bytes(batch.data[61:]))
    except CorruptBatch:
        return  # the rest is a batch that the answer had no room for


def _spans(batches: list[tuple[object, ...]]) -> list[object]:
    return [batch[0] for batch in batches]
