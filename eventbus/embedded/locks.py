"""Locks on files that the kernel frees when their holder dies, however it dies."""

import fcntl
import os
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

_PAUSE_SECONDS = 0.02


class FileLock:
    """
    An flock() on a file, which is made when missing and never removed: a lock on a removed file is on another file.

    The descriptor is not inherited by child processes, which would otherwise hold the lock too.
    """

    __slots__ = ("_descriptor", "path")

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def try_take(self, *, shared: bool = False) -> bool:
        """Takes the lock if nobody is in the way. Raises OSError when the file cannot be made."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        return True

    def take(self, seconds: float, *, shared: bool = False) -> bool:
        """Waits for the lock; False when it was not to be had in time."""
        until = time.monotonic() + seconds
        while not self.try_take(shared=shared):
            if time.monotonic() > until:
                return False
            time.sleep(_PAUSE_SECONDS)
        return True

    def release(self) -> None:
        """Gives the lock back; nothing when it is not held."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


@contextmanager
def held(path: Path, seconds: float) -> Generator[bool]:
    """The exclusive lock for the time of a block; yields False when it was not to be had in time."""
    lock = FileLock(path)
    taken = lock.take(seconds)
    try:
        yield taken
    finally:
        lock.release()


def is_locked(path: Path) -> bool:
    """Whether some process holds the exclusive lock of an existing file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)
