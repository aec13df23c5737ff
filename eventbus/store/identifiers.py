"""
Ids of events: UUIDs of version 7, which begin with the time, so that an index of them grows at its end.
"""

import os
import random
import time
from typing import Final

# Unlike, not secret: seeded by the system once, and again in a process that is forked.
_random: Final = random.Random()
os.register_at_fork(after_in_child=_random.seed)


def new_event_id() -> str:
    """A UUID of version 7 (RFC 9562): 48 bits of milliseconds, 74 random ones."""
    milliseconds = time.time_ns() // 1_000_000
    random_bits = _random.getrandbits(74)
    value = (milliseconds & (1 << 48) - 1) << 80
    value |= 0x7 << 76
    value |= (random_bits >> 62) << 64
    value |= 0b10 << 62
    value |= random_bits & (1 << 62) - 1
    digits = f"{value:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
