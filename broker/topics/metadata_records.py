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
from typing import NamedTuple

from broker.identifiers import TopicId, parse_topic_id, topic_id_text
from broker.records.checksum import crc32c


class TopicCreated(NamedTuple):
    """`epoch` is the broker's epoch at that time: leader epochs of the topic count from it."""

    id: TopicId
    name: str
    partitions: int
    configs: Mapping[str, str]
    epoch: int


class PartitionsAdded(NamedTuple):
    """`partitions` is the new count."""

    id: TopicId
    partitions: int


class ConfigsReplaced(NamedTuple):
    """All overrides of a topic after a change."""

    id: TopicId
    configs: Mapping[str, str]


class TopicDeleted(NamedTuple):
    id: TopicId
    name: str


class ProducerIdsReserved(NamedTuple):
    """Producer ids below `next` have been given out, or may have been."""

    next: int


class EpochBegun(NamedTuple):
    """The broker's epoch: one higher after each stop that was not clean. Leader epochs follow it."""

    epoch: int


MetadataRecord = TopicCreated | PartitionsAdded | ConfigsReplaced | TopicDeleted | ProducerIdsReserved | EpochBegun
_TYPES: Mapping[str, type[MetadataRecord]] = {
    "topic": TopicCreated,
    "partitions": PartitionsAdded,
    "configs": ConfigsReplaced,
    "deleted": TopicDeleted,
    "producer-ids": ProducerIdsReserved,
    "epoch": EpochBegun,
}
_KINDS: Mapping[type[MetadataRecord], str] = {record_type: kind for kind, record_type in _TYPES.items()}


class UnreadableLine(Exception):
    """A whole line with a right CRC that this version does not understand."""


def encode_line(record: MetadataRecord) -> bytes:
    fields: dict[str, object] = {"kind": _KINDS[type(record)], **record._asdict()}
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
