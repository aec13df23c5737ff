"""
What the metadata log remembers, as values and as lines of text.

A line is `CRC JSON\\n`: eight hexadecimal digits of the CRC-32C of the JSON's bytes, a space, one JSON object. So a
person can read the file with any tool, and a line that a crash tore does not pass for one.

    1c2f… {"kind":"topic","name":"orders","id":"AAAA…","partitions":12,"configs":{"retention.ms":"-1"},"epoch":0}
    77ab… {"kind":"deleted","id":"AAAA…","name":"orders"}

Source: ours; Kafka keeps the same facts in `__cluster_metadata`.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import ClassVar

from broker.identifiers import TopicId, parse_topic_id, topic_id_text
from broker.records.checksum import crc32c


@dataclass(frozen=True, slots=True)
class TopicCreated:
    """`epoch` is the broker's epoch at that time: leader epochs of the topic count from it."""

    KIND: ClassVar[str] = "topic"
    id: TopicId
    name: str
    partitions: int
    configs: Mapping[str, str]
    epoch: int


@dataclass(frozen=True, slots=True)
class PartitionsAdded:
    """`partitions` is the new count."""

    KIND: ClassVar[str] = "partitions"
    id: TopicId
    partitions: int


@dataclass(frozen=True, slots=True)
class ConfigsReplaced:
    """All overrides of a topic after a change."""

    KIND: ClassVar[str] = "configs"
    id: TopicId
    configs: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class TopicDeleted:
    KIND: ClassVar[str] = "deleted"
    id: TopicId
    name: str


@dataclass(frozen=True, slots=True)
class ProducerIdsReserved:
    """Producer ids below `next` have been given out, or may have been."""

    KIND: ClassVar[str] = "producer-ids"
    next: int


@dataclass(frozen=True, slots=True)
class EpochBegun:
    """The broker's epoch: one higher after each stop that was not clean. Leader epochs follow it."""

    KIND: ClassVar[str] = "epoch"
    epoch: int


MetadataRecord = TopicCreated | PartitionsAdded | ConfigsReplaced | TopicDeleted | ProducerIdsReserved | EpochBegun
_TYPES: Mapping[str, type[MetadataRecord]] = {
    record.KIND: record
    for record in (
        TopicCreated,
        PartitionsAdded,
        ConfigsReplaced,
        TopicDeleted,
        ProducerIdsReserved,
        EpochBegun,
    )
}


class UnreadableLine(Exception):
    """A whole line with a right CRC that this version does not understand."""


def encode_line(record: MetadataRecord) -> bytes:
    fields: dict[str, object] = {"kind": record.KIND, **asdict(record)}
    if "id" in fields and not isinstance(record, (ProducerIdsReserved, EpochBegun)):
        fields["id"] = topic_id_text(record.id)
    body = json.dumps(fields, separators=(",", ":")).encode()
    return b"%08x %s\n" % (crc32c(body), body)


def decode_line(line: bytes) -> MetadataRecord | None:
    """The record of one line without its newline; None when it is torn or garbled. Raises UnreadableLine."""
    if len(line) < 10 or line[8:9] != b" ":
        return None
    body = line[9:]
    if line[:8] != b"%08x" % crc32c(body):
        return None
    fields: dict[str, object] = json.loads(body)
    record_type = _TYPES.get(str(fields.pop("kind", None)))
    if record_type is None:
        raise UnreadableLine(f"a record of an unknown kind: {body[:200]!r}")
    if "id" in fields:
        fields["id"] = parse_topic_id(str(fields["id"]))
    try:
        return record_type(**fields)  # type: ignore[arg-type]  # the CRC says that encode_line wrote these fields
    except TypeError as error:
        raise UnreadableLine(f"a record with other fields: {body[:200]!r}") from error
