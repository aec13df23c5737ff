"""
What the disk still lets a log do, and what is said about it.

    sound       reads and appends
    refusing    no room, or a file system that was made read-only: appends are refused, and each tries again; the first
                that gets through ends it
    offline     anything else that a disk says, and every failed fsync: nobody knows what it has, so no appends until
                the broker starts again

Reads go on as long as the disk gives the bytes. Other logs go on in any case.
Logged      one line when the disk begins to refuse and one when it takes writes again, however many logs and producers
            there are; one line for a log that goes offline
"""

import errno
import logging
from pathlib import Path

from broker.storage.errors import StorageError

LOG = logging.getLogger("broker.storage")

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
# What the process ran out of, not the disk: it says nothing about what was written.
_PASSING = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR, errno.EAGAIN})

_ALL_LOGS = _NO_ROOM | _PASSING | {errno.EROFS, errno.EACCES, errno.EPERM}


def concerns_one_log(error: StorageError) -> bool:
    """Whether only this log's files failed, by an I/O error or damage, and not the whole disk, or the process."""
    reason = error.reason
    return not isinstance(reason, OSError) or reason.errno not in _ALL_LOGS


class DiskHealth:
    """Whether the disk of a data directory takes writes. Shared by its logs."""

    __slots__ = ("_bytes_since", "_bytes_wanted", "refused", "refuses")

    def __init__(self) -> None:
        self.refuses: str | None = None
        """Why the last write was refused; None while the disk takes writes."""
        self.refused = 0
        """How many writes it has refused since it began to."""
        self._bytes_wanted = 0
        self._bytes_since = 0

    def refuse(self, path: Path, error: OSError, size: int) -> None:
        """Notes that *size* bytes could not be written."""
        self.refused += 1
        self._bytes_wanted, self._bytes_since = size, 0
        if self.refuses is not None:
            return
        if error.errno == errno.EROFS:
            LOG.error(
                "disk is read-only path=%s reason=%s; appends are refused, reads go on; check it and mount it writable",
                path,
                error,
            )
        else:
            LOG.error(
                "disk is full path=%s reason=%s; appends are refused, reads go on; they resume when there is room",
                path,
                error,
            )
        self.refuses = str(error)

    def wrote(self, size: int) -> None:
        """Notes that *size* bytes were written; call it only while `refuses` is set."""
        # A small batch may still find room in a block that is there already: wait for as much as was refused.
        self._bytes_since += size
        if self._bytes_since >= self._bytes_wanted:
            LOG.warning("disk takes writes again refused=%d", self.refused)
            self.refuses, self.refused = None, 0


class LogHealth:
    """Whether one log takes appends."""

    __slots__ = ("_directory", "disk", "offline")

    def __init__(self, directory: Path, disk: DiskHealth) -> None:
        self.disk = disk
        self.offline: str | None = None
        """Why no append is taken until the broker starts again; None while they are."""
        self._directory = directory

    def check(self) -> None:
        """Raises StorageError while the log is offline."""
        if self.offline is not None:
            raise StorageError(self._directory, self.offline)

    def failed(self, error: OSError | StorageError, size: int = 0) -> StorageError:
        """What to raise for *error*, after which a log may be offline; *size* bytes were to be written."""
        reason = error.reason if isinstance(error, StorageError) else error
        failure = error if isinstance(error, StorageError) else StorageError(self._directory, error)
        # Damage in a file concerns who reads there; what comes from the disk itself concerns whoever writes.
        if isinstance(reason, OSError) and reason.errno not in _PASSING:
            if reason.errno in _NO_ROOM or reason.errno == errno.EROFS:
                self.disk.refuse(failure.path, reason, size)
            else:
                self.go_offline(str(reason))
        return failure

    def go_offline(self, reason: str) -> StorageError:
        """Takes no more appends; what to raise for it."""
        if self.offline is None:
            self.offline = f"{reason}; no appends until the broker starts again"
            LOG.error("partition is offline path=%s reason=%s, reads go on", self._directory, self.offline)
        return StorageError(self._directory, self.offline)
