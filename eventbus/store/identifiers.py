"""
Ids of events: UUIDs of version 7, which begin with the time, so that an index of them grows at its end.
"""

import secrets
import time
import uuid


def new_event_id() -> str:
    """A UUID of version 7 (RFC 9562): 48 bits of milliseconds, 74 random ones."""
    milliseconds = time.time_ns() // 1_000_000
    random_bits = secrets.randbits(74)
    value = (milliseconds & (1 << 48) - 1) << 80
    value |= 0x7 << 76
    value |= (random_bits >> 62) << 64
    value |= 0b10 << 62
    value |= random_bits & (1 << 62) - 1
    return str(uuid.UUID(int=value))
