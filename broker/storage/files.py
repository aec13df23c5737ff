"""
Files, as a port: all that the log does to a disk goes through here, so that a test can fail it, tear it and forget it.

Positions and sizes are bytes. Errors of the disk are OSError, as the operating system gives them; who calls decides
what they mean.
"""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

Bytes = bytes | bytearray | memoryview

# fdatasync leaves out the modification time, and nothing that is needed to read the data back. macOS has none.
_sync_data = getattr(os, "fdatasync", os.fsync)


class OpenFile(Protocol):
    """
    One open file, shared by count: it is closed when the last holder lets go.

    Who wants to read later (a queued fetch, an fsync in a worker) retains it, because the number of a closed descriptor
    is given to the next file that is opened, and the reader would send that file's bytes.
    """

    def fileno(self) -> int:
        """The descriptor, for sendfile."""
        ...

    def read_at(self, position: int, size: int) -> bytes:
        """At most *size* bytes; fewer only where the file ends."""
        ...

    def write_at(self, position: int, data: Bytes) -> None:
        """Writes all of *data*. Raises OSError, after which a part of it may have been written."""
        ...

    def truncate(self, size: int) -> None:
        """Cuts the file to *size*."""
        ...

    def sync(self) -> None:
        """Returns when the file's bytes will survive a loss of power. May be called in any thread."""
        ...

    def size(self) -> int:
        """The file's size now."""
        ...

    def retain(self) -> None:
        """Adds a holder."""
        ...

    def release(self) -> None:
        """Takes a holder away; the last one closes the file."""
        ...


class FileSystem(Protocol):
    """What the log needs of a file system. A rename replaces its target at once or not at all."""

    def open(self, path: Path, *, create: bool = False) -> OpenFile:
        """Opens for reading and writing, with one holder. *create* makes a missing file."""
        ...

    def names(self, directory: Path) -> list[str]:
        """The names in *directory*, in no order. Raises FileNotFoundError."""
        ...

    def size(self, path: Path) -> int:
        """The size of the file at *path*. Raises FileNotFoundError."""
        ...

    def modified_ms(self, path: Path) -> int:
        """When the file was last written, ms since 1970."""
        ...

    def rename(self, source: Path, target: Path) -> None:
        """Gives *source* the name *target*, replacing what had it."""
        ...

    def remove(self, path: Path) -> None:
        """Removes the file, when there is one."""
        ...

    def make_directory(self, path: Path) -> None:
        """Makes *path* and its parents, when missing."""
        ...

    def remove_directory(self, path: Path) -> None:
        """Removes the directory at *path*, which has to be empty."""
        ...

    def sync_directory(self, path: Path) -> None:
        """Returns when the names in *path* will survive a loss of power. May be called in any thread."""
        ...


class DiskFile:
    """A file on this machine's disk."""

    __slots__ = ("_descriptor", "_holders")

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._holders = 1

    def fileno(self) -> int:
        return self._descriptor

    def read_at(self, position: int, size: int) -> bytes:
        data = os.pread(self._descriptor, size, position)
        if len(data) == size or not data:
            return data
        # One read gives at most 2 GiB, and a signal may cut it short.
        pieces = [data]
        position += len(data)
        size -= len(data)
        while size and (data := os.pread(self._descriptor, size, position)):
            pieces.append(data)
            position += len(data)
            size -= len(data)
        return b"".join(pieces)

    def write_at(self, position: int, data: Bytes) -> None:
        written = os.pwrite(self._descriptor, data, position)
        # A disk that fills up takes a part first; the next call then says why.
        while written < len(data):
            written += os.pwrite(self._descriptor, memoryview(data)[written:], position + written)

    def truncate(self, size: int) -> None:
        os.ftruncate(self._descriptor, size)

    def sync(self) -> None:
        _sync_data(self._descriptor)

    def size(self) -> int:
        return os.fstat(self._descriptor).st_size

    def retain(self) -> None:
        self._holders += 1

    def release(self) -> None:
        self._holders -= 1
        if self._holders == 0:
            os.close(self._descriptor)
            # Whoever uses the number after this gets an error, not another file's bytes.
            self._descriptor = -1


class DiskFileSystem:
    """This machine's file system."""

    __slots__ = ()

    def open(self, path: Path, *, create: bool = False) -> OpenFile:
        return DiskFile(os.open(path, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0), 0o644))

    def names(self, directory: Path) -> list[str]:
        return [path.name for path in directory.iterdir()]

    def size(self, path: Path) -> int:
        return path.stat().st_size

    def modified_ms(self, path: Path) -> int:
        return path.stat().st_mtime_ns // 1_000_000

    def rename(self, source: Path, target: Path) -> None:
        source.replace(target)

    def remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def make_directory(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)

    def remove_directory(self, path: Path) -> None:
        path.rmdir()

    def sync_directory(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def opened(files: FileSystem, path: Path, *, create: bool = False) -> Generator[OpenFile, None, None]:
    """The file for the length of a with block."""
    file = files.open(path, create=create)
    try:
        yield file
    finally:
        file.release()


def read_whole(files: FileSystem, path: Path) -> bytes:
    """All bytes of a small file. Raises FileNotFoundError."""
    with opened(files, path) as file:
        return file.read_at(0, file.size())


def write_atomically(files: FileSystem, path: Path, content: Bytes, *, sync: bool = True) -> None:
    """
    Replaces the file at *path* by *content*: a reader, and a start after a crash, finds the old bytes or the new ones.

    Without *sync* a loss of power may leave an empty file: only for content that is checked and can be made again.
    """
    unfinished = path.with_name(path.name + ".tmp")
    with opened(files, unfinished, create=True) as file:
        file.truncate(0)
        file.write_at(0, content)
        if sync:
            file.sync()
    # Rename last: a crash before it leaves only a .tmp file, which nobody reads.
    files.rename(unfinished, path)
    if sync:
        files.sync_directory(path.parent)
