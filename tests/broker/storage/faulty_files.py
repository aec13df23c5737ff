"""
A file system on a real directory that fails when told, and forgets what was not synced.

A file's bytes survive power_loss() as they were at its last sync(); a name survives as it was at its directory's last
sync_directory(). Of what was written since, a random part may have reached the disk (*torn*).
"""

import errno
import os
from dataclasses import dataclass
from pathlib import Path
from random import Random

from broker.storage.files import Bytes, DiskFileSystem, OpenFile


@dataclass
class Inode:
    """A file, whatever its names: what of it is on the disk."""

    durable: bytes = b""


class FaultyFileSystem:
    """Faults: `room` bytes may still be written (None: any number), then `write_error`; `sync_error` fails syncs."""

    def __init__(self) -> None:
        self.room: int | None = None
        self.write_error = errno.ENOSPC
        self.truncate_error: int | None = None
        self.sync_error: int | None = None
        self.writes = 0
        self._disk = DiskFileSystem()
        self._names: dict[Path, Inode] = {}
        self._durable_names: dict[Path, Inode] = {}

    def open(self, path: Path, *, create: bool = False) -> OpenFile:
        file = self._disk.open(path, create=create)
        return FaultyFile(self, file, self._names.setdefault(path, Inode()))

    def names(self, directory: Path) -> list[str]:
        return self._disk.names(directory)

    def size(self, path: Path) -> int:
        return self._disk.size(path)

    def modified_ms(self, path: Path) -> int:
        return self._disk.modified_ms(path)

    def rename(self, source: Path, target: Path) -> None:
        self._disk.rename(source, target)
        self._names[target] = self._names.pop(source, Inode())

    def remove(self, path: Path) -> None:
        self._disk.remove(path)
        self._names.pop(path, None)

    def make_directory(self, path: Path) -> None:
        self._disk.make_directory(path)

    def sync_directory(self, path: Path) -> None:
        if self.sync_error is not None:
            raise OSError(self.sync_error, os.strerror(self.sync_error))
        for name in [name for name in self._durable_names if name.parent == path]:
            del self._durable_names[name]
        self._durable_names.update({name: inode for name, inode in self._names.items() if name.parent == path})

    def power_loss(self, directory: Path, torn: Random | None = None) -> None:
        """Puts *directory* back to what was synced, plus, with *torn*, a random part of what was written since."""
        written = {name: (directory / name).read_bytes() for name in self._disk.names(directory)}
        for name in written:
            (directory / name).unlink()
        holders = dict(self._names)
        survivors = dict(self._durable_names)
        if torn is not None:
            # A removal, as a new name, may have reached the disk unasked.
            gone = [path for path in survivors if path not in holders]
            for path in gone:
                if torn.random() < 0.5:
                    del survivors[path]
            survivors.update({path: inode for path, inode in self._names.items() if torn.random() < 0.5})
        self._names = {}
        for path, inode in survivors.items():
            content = inode.durable
            current = written.get(path.name, b"")
            # Under this name there may be another file by now, whose bytes this one never had.
            if torn is not None and holders.get(path) is inode and current.startswith(content):
                content = current[: torn.randint(len(content), len(current))]
                if len(content) > len(inode.durable) and torn.random() < 0.3:
                    # A page that was allotted and never written.
                    keep = torn.randint(len(inode.durable), len(content))
                    content = content[:keep] + bytes(len(content) - keep)
            path.write_bytes(content)
            inode.durable = content
            self._names[path] = inode
        self._durable_names = dict(self._names)


class FaultyFile:
    """An open file of a FaultyFileSystem."""

    def __init__(self, system: FaultyFileSystem, file: OpenFile, inode: Inode) -> None:
        self._system = system
        self._file = file
        self._inode = inode

    def fileno(self) -> int:
        return self._file.fileno()

    def read_at(self, position: int, size: int) -> bytes:
        return self._file.read_at(position, size)

    def write_at(self, position: int, data: Bytes) -> None:
        system = self._system
        system.writes += 1
        if system.room is not None and len(data) > system.room:
            self._file.write_at(position, memoryview(data)[: system.room])
            system.room = 0
            raise OSError(system.write_error, os.strerror(system.write_error))
        if system.room is not None:
            system.room -= len(data)
        self._file.write_at(position, data)

    def truncate(self, size: int) -> None:
        if self._system.truncate_error is not None:
            raise OSError(self._system.truncate_error, os.strerror(self._system.truncate_error))
        self._file.truncate(size)

    def sync(self) -> None:
        if self._system.sync_error is not None:
            raise OSError(self._system.sync_error, os.strerror(self._system.sync_error))
        self._inode.durable = self._file.read_at(0, self._file.size())

    def size(self) -> int:
        return self._file.size()

    def retain(self) -> None:
        self._file.retain()

    def release(self) -> None:
        self._file.release()
