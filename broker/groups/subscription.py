"""
What can be read from a consumer's metadata without knowing its assignor.

Layout (protocol type "consumer", all versions begin so; big-endian)
    i16  version
    i32  number of topics, then for each: i16 length, UTF-8
Source  Kafka's ConsumerProtocolSubscription. What follows (user data, owned partitions, …) is the assignor's.
"""

from struct import Struct, error

CONSUMER = "consumer"

_HEAD = Struct(">hi")
_LENGTH = Struct(">h")


def subscribed_topics(metadata: bytes) -> frozenset[str] | None:
    """The topics of a subscription; None when *metadata* is none: other protocols put there what they like."""
    try:
        _, count = _HEAD.unpack_from(metadata)
        position = _HEAD.size
        if not 0 <= count <= (len(metadata) - position) // _LENGTH.size:
            return None
        topics: set[str] = set()
        for _ in range(count):
            (length,) = _LENGTH.unpack_from(metadata, position)
            position += _LENGTH.size
            if length < 0 or position + length > len(metadata):
                return None
            topics.add(metadata[position : position + length].decode())
            position += length
    except (error, UnicodeDecodeError):
        return None
    return frozenset(topics)
