"""
Databases in memory: SQLite files on the machine's memory disk, which go when nobody of this process has them any more.

SQLite's own `:memory:` cannot keep what a `Database` promises: there, a reader and the writer are one connection, or
wait for each other. A file in memory is the same code, the same snapshots beside a writer, and costs no disk.

Where      /dev/shm if it is there with room, else the directory for temporary files, where nothing is synced
Lifetime   `memory:` as long as the `Database`; `memory:NAME` until the process ends
Left over  what a killed process could not remove is removed by the next one: its lock is free
"""

import fcntl
import os
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import ClassVar, Final

_PREFIX: Final = "eventbus-memory-"
_MEMORY_DISK: Final = Path("/dev/shm")  # noqa: S108 (the directory in it is made for this process alone)
_ROOM_BYTES: Final = 256 * 1024 * 1024


class MemoryFile:
    """
    A place for one database in memory; the directory is made at once, the file is the database's affair.

    path   of the file; the directory is this user's alone and is removed when this object is
    """

    _named: ClassVar["dict[str, MemoryFile]"] = {}

    def __init__(self) -> None:
        place = _place()
        _remove_left_over(place)
        directory, lock = _locked_directory(place)
        self.path: Final = directory / "database.sqlite3"
        weakref.finalize(self, _remove, directory, lock, os.getpid())

    @classmethod
    def named(cls, name: str) -> "MemoryFile":
        """The same one for all of the process who say this name."""
        if name not in cls._named:
            cls._named[name] = cls()
        return cls._named[name]

    @classmethod
    def forget(cls, name: str) -> None:
        """Who says this name from now on gets a new one; the old one stays with those who have it."""
        cls._named.pop(name, None)


def _place() -> Path:
    try:
        if os.access(_MEMORY_DISK, os.W_OK) and shutil.disk_usage(_MEMORY_DISK).free >= _ROOM_BYTES:
            return _MEMORY_DISK
    except OSError:
        pass  # there is none, as on macOS
    return Path(tempfile.gettempdir())


def _locked_directory(place: Path) -> tuple[Path, int]:
    while True:
        directory = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
        if (lock := _lock(directory)) is not None:
            return directory, lock
        # Another process has taken it for a left-over one in the moment before it was locked.


def _lock(directory: Path) -> int | None:
    """The descriptor that holds the directory's lock, until it or the process ends; None when another has it."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    if not directory.exists():
        os.close(descriptor)
        return None
    return descriptor


def _remove_left_over(place: Path) -> None:
    for directory in place.glob(f"{_PREFIX}*"):
        if (lock := _lock(directory)) is not None:
            shutil.rmtree(directory, ignore_errors=True)
            os.close(lock)


def _remove(directory: Path, lock: int, pid: int) -> None:
    # A forked child has the object too, and the parent goes on with its database.
    if os.getpid() == pid:
        shutil.rmtree(directory, ignore_errors=True)
        os.close(lock)
