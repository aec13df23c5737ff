"""
How far the opening of the logs has come: a line every second, and none when it takes less.

Logged      recovering partition=orders-3 bytes_read=… bytes=… partitions_open=… partitions=… seconds=…
            bytes are those of this partition that have to be read because the last stop was not clean
"""

import logging
from pathlib import Path

from broker.clock import Clock

LOG = logging.getLogger("broker.storage")

EVERY_S = 1.0


class OpeningProgress:
    """Of *partitions* logs that are opened one after the other."""

    def __init__(self, clock: Clock, partitions: int) -> None:
        self.partitions = partitions
        self._clock = clock
        self._begin = clock.monotonic()
        self._next = self._begin + EVERY_S
        self._open = 0
        self._name = ""
        self._bytes_read = 0
        self._bytes = 0

    def begin(self, directory: Path, size: int) -> None:
        """*size* bytes in *directory* will be read."""
        self._name, self._bytes_read, self._bytes = directory.name, 0, size

    def read(self, size: int) -> None:
        """So many bytes more have been read."""
        self._bytes_read += size
        if self._clock.monotonic() >= self._next:
            self._say()

    def opened(self) -> None:
        """A log is open."""
        self._open += 1
        if self._clock.monotonic() >= self._next:
            self._say()

    def _say(self) -> None:
        now = self._clock.monotonic()
        self._next = now + EVERY_S
        LOG.info(
            "recovering partition=%s bytes_read=%d bytes=%d partitions_open=%d partitions=%d seconds=%.1f",
            self._name,
            self._bytes_read,
            self._bytes,
            self._open,
            self.partitions,
            now - self._begin,
        )
