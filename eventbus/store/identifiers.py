"""
Ids of events: UUIDs of version 7, which begin with the time, so that an index of them grows at its end.
"""

import os
import random
from functools import lru_cache
from time import time_ns
from typing import Final

# Unlike, not secret: seeded by the system once, and again in a process that is forked.
_random: Final = random.Random()
os.register_at_fork(after_in_child=_random.seed)
_random_bits: Final = _random.getrandbits
# The variant's bits, 10, and two random ones behind them.
_VARIANTS: Final = "89ab"


def new_event_id() -> str:
    """A UUID of version 7 (RFC 9562): 48 bits of milliseconds, 74 random ones."""
    bits = _random_bits(74)
    digits = f"{bits:019x}"
    variant = _VARIANTS[bits >> 72]
    return f"{_beginning(time_ns() // 1_000_000)}{digits[1:4]}-{variant}{digits[4:7]}-{digits[7:]}"


@lru_cache(maxsize=2)
def _beginning(milliseconds: int) -> str:
    """What the ids of one millisecond begin with, up to the version."""
    digits = f"{milliseconds & (1 << 48) - 1:012x}"
    return f"{digits[:8]}-{digits[8:]}-7"
