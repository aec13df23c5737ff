"""
Which partition, and which slot of the outbox, a key belongs to.

Algorithm   murmur2 with the seed 0x9747b28c, made positive, modulo the number: the Java client's default partitioner,
            librdkafka's `murmur2_random`. So services in other languages agree on the partition of a key.
"""

from collections.abc import Callable
from functools import lru_cache
from struct import Struct

SLOTS = 4
"""Slots of the outbox: how many relays can publish at the same time, each the keys of its slot."""

_SEED = 0x9747B28C
_MULTIPLIER = 0x5BD1E995
_MASK = 0xFFFFFFFF


def murmur2(key: bytes) -> int:
    """The unsigned 32-bit hash of *key*."""
    length = len(key)
    value = _SEED ^ length
    whole = length & ~3
    for part in _words(whole)(key):
        mixed = part * _MULTIPLIER & _MASK
        value = (value * _MULTIPLIER ^ (mixed ^ mixed >> 24) * _MULTIPLIER) & _MASK
    if whole < length:
        value = (value ^ int.from_bytes(key[whole:], "little")) * _MULTIPLIER & _MASK
    value = (value ^ value >> 13) * _MULTIPLIER & _MASK
    return value ^ value >> 15


@lru_cache(maxsize=64)
def _words(whole: int) -> Callable[[bytes], tuple[int, ...]]:
    """Reads the first *whole* bytes as words of 4: keys of a service are of few lengths."""
    return Struct(f"<{whole // 4}I").unpack_from


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of *key* in a topic of that many partitions."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def slot_of(key: bytes | None, slots: int = SLOTS) -> int:
    """The slot of the outbox that publishes the records of *key*; those without a key share slot 0."""
    if slots == 1 or key is None:
        return 0
    return (murmur2(key) & 0x7FFFFFFF) % slots
