"""
The names by which the broker's parts know things: topics, partitions, producers, positions in a log.

A topic id is a UUID on the wire and in memory; people and Kafka's tools see its 16 bytes in URL-safe base64 without
padding (22 characters).
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import NamedTuple, NewType
from uuid import UUID, uuid4

BrokerId = NewType("BrokerId", int)
TopicId = NewType("TopicId", UUID)

Offset = NewType("Offset", int)
"""The number of a record in its partition; 0 is the first one ever written there."""
LeaderEpoch = NewType("LeaderEpoch", int)
"""Counts the leaderships of a partition; -1 is unknown."""
ProducerId = NewType("ProducerId", int)
"""Names an idempotent producer; -1 is a producer that is not."""
ProducerEpoch = NewType("ProducerEpoch", int)
"""Counts the incarnations of a producer id (i16); the higher one fences the lower."""

NO_TOPIC_ID = TopicId(UUID(int=0))
_RESERVED = (UUID(int=0), UUID(int=1))


class TopicPartition(NamedTuple):
    """One partition of one topic; its text is the name of its directory."""

    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic}-{self.partition}"


def new_topic_id() -> TopicId:
    """A random id whose text does not start with '-', which command lines would take for an option (Kafka's rule)."""
    while True:
        topic_id = TopicId(uuid4())
        if topic_id not in _RESERVED and not topic_id_text(topic_id).startswith("-"):
            return topic_id


def topic_id_text(topic_id: TopicId) -> str:
    """The 22 characters that Kafka's tools print."""
    return urlsafe_b64encode(topic_id.bytes).rstrip(b"=").decode("ascii")


def parse_topic_id(text: str) -> TopicId:
    """The reverse of topic_id_text. Raises ValueError with the text and what was expected."""
    try:
        raw = urlsafe_b64decode(text.encode("ascii") + b"==")
    except ValueError as error:
        raise ValueError(f"topic id {text!r} is not URL-safe base64") from error
    if len(raw) != 16 or len(text) != 22:
        raise ValueError(f"topic id {text!r}: expected the 22 characters of 16 bytes in base64, got {len(text)}")
    return TopicId(UUID(bytes=raw))
