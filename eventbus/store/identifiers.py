"""
Ids of events: UUIDs of version 7 (RFC 9562), which begin with the time, so that an index of them grows at its end.

What follows the time is made for 256 ids at once, as every command and every event has one: 66 random bits, and a
count in the last eight, so that those of one millisecond grow, too.
"""

import os
import random
from collections.abc import Iterator
from functools import lru_cache
from time import time_ns
from typing import Final

# Unlike, not secret: seeded by the system once, and again in a process that is forked.
_random: Final = random.Random()
# The variant's bits, 10, and two random ones behind them.
_VARIANTS: Final = "89ab"
_COUNTS: Final = tuple(f"{number:02x}" for number in range(256))

_tails: Iterator[str] = iter(())


def new_event_id() -> str:
    """A UUID of version 7: 48 bits of milliseconds, 66 random ones, 8 that count."""
    global _tails
    # Of a tuple's iterator, each is given out once, also to threads.
    for tail in _tails:
        return _beginning(time_ns() // 1_000_000) + tail
    _tails = iter(_new_tails())
    return new_event_id()


def _new_tails() -> tuple[str, ...]:
    bits = _random.getrandbits(66)
    digits = f"{bits:017x}"
    before = f"{digits[1:4]}-{_VARIANTS[bits >> 64]}{digits[4:7]}-{digits[7:]}"
    return tuple([before + count for count in _COUNTS])


@lru_cache(maxsize=2)
def _beginning(milliseconds: int) -> str:
    """What the ids of one millisecond begin with, up to the version."""
    digits = f"{milliseconds & (1 << 48) - 1:012x}"
    return f"{digits[:8]}-{digits[8:]}-7"


def _begin_anew() -> None:
    """In a process that is forked: it must not give out what its parent does."""
    global _tails
    _random.seed()
    _tails = iter(())


os.register_at_fork(after_in_child=_begin_anew)
