"""
Which names a topic may have: Kafka's rules.

1 to 249 of the characters a-z A-Z 0-9 . _ - and neither "." nor "..": a topic's partitions are directories of that
name. Kafka's metric names have '_' for '.', so two topics that differ in these only collide, and the second is refused.
"""

import re
from collections.abc import Iterable

from broker.errors import ErrorCode, KafkaError

NAME_LENGTH_MAX = 249
_LEGAL = re.compile(r"[a-zA-Z0-9._-]+")
INTERNAL_TOPICS = frozenset({"__consumer_offsets", "__transaction_state"})


def check_name(name: str) -> None:
    """Raises KafkaError INVALID_TOPIC_EXCEPTION with what is wrong with *name*."""
    if not name:
        reason = "it is empty"
    elif name in (".", ".."):
        reason = "it would be a directory of the file system"
    elif len(name) > NAME_LENGTH_MAX:
        reason = f"it has {len(name)} characters, {NAME_LENGTH_MAX} are allowed"
    elif not _LEGAL.fullmatch(name):
        reason = "only the characters a-z A-Z 0-9 . _ - are allowed"
    else:
        return
    raise KafkaError(ErrorCode.INVALID_TOPIC_EXCEPTION, f"topic name {name[:260]!r}: {reason}")


def collision_key(name: str) -> str:
    """Two topics with the same key collide."""
    return name.replace(".", "_")


def check_collision(name: str, existing: Iterable[str]) -> None:
    """Raises KafkaError INVALID_TOPIC_EXCEPTION when *name* differs from an existing topic in '.' and '_' only."""
    if "." not in name and "_" not in name:
        return
    key = collision_key(name)
    for other in existing:
        if other != name and collision_key(other) == key:
            raise KafkaError(
                ErrorCode.INVALID_TOPIC_EXCEPTION,
                f"topic name {name!r} collides with {other!r}: '.' and '_' count as the same",
            )
