"""
Who goes next at a stream that commands keep colliding at.

Each of many commands for one aggregate decides on the same version; one is right, and the others would be wrong again
all together. So who has lost queues for the stream, and who comes new while somebody queues gets in line behind: within
a process everybody is right at the second attempt. Other processes are met by the retries alone.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import anyio

# A handler that waits for another command of the same stream, by way of HTTP say, must not wait for ever.
_WAIT_SECONDS_MAX: Final = 2.0


@dataclass(slots=True)
class _Line:
    lock: anyio.Lock = field(default_factory=anyio.Lock)
    commands: int = 0


class Turns:
    """The lines at the streams of one process; a stream has one only while somebody is in it."""

    __slots__ = ("_lines",)

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}

    def __bool__(self) -> bool:
        return bool(self._lines)

    def __contains__(self, stream: str) -> bool:
        return stream in self._lines

    @asynccontextmanager
    async def at(self, stream: str) -> AsyncGenerator[None]:
        """Have the turn at *stream* in the block, first come, first served; after two seconds it begins without."""
        line = self._lines.get(stream)
        if line is None:
            line = self._lines[stream] = _Line()
        line.commands += 1
        is_ours = False
        try:
            with anyio.move_on_after(_WAIT_SECONDS_MAX):
                await line.lock.acquire()
                is_ours = True
            yield
        finally:
            if is_ours:
                line.lock.release()
            line.commands -= 1
            if not line.commands:
                del self._lines[stream]
