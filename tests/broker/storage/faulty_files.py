"""
A file system on a real directory that fails when told, and forgets what was not synced.

A file's bytes survive power_loss() as they were at its last sync(); a name, of a file or of a directory, survives as it
was at its directory's last sync_directory(). Of what happened since, a random part may have reached the disk (*torn*).
"""

import errno
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from broker.storage.files import Bytes, DiskFileSystem, OpenFile


@dataclass(eq=False)
class Inode:
    """A file, whatever its names: what of it is on the disk."""

    durable: bytes = b""


@dataclass(eq=False)
class Folder:
    """A directory: the names that it has, and those that are on the disk."""

    names: "dict[str, Node]" = field(default_factory=dict[str, "Node"])
    durable: "dict[str, Node]" = field(default_factory=dict[str, "Node"])


Node = Inode | Folder


class FaultyFileSystem:
    """
    Faults: `room` bytes may still be written (None: any number), then `write_error`; `read_error`, `sync_error` and
    `truncate_error` fail these; `read_only` refuses whatever changes the disk; all only below `only_below`, if given.
    """

    def __init__(self) -> None:
        self.room: int | None = None
        self.write_error = errno.ENOSPC
        self.read_error: int | None = None
        self.truncate_error: int | None = None
        self.sync_error: int | None = None
        self.read_only = False
        self.only_below: Path | None = None
        self.writes = 0
        self._disk = DiskFileSystem()
        self._root = Folder()
        self._known: dict[Path, Folder] = {}

    # ---- the port

    def open(self, path: Path, *, create: bool = False) -> OpenFile:
        if create and not path.exists():
            self._refuse_changes(path)
        file = self._disk.open(path, create=create)
        node = self._folder(path.parent).names.setdefault(path.name, Inode())
        assert isinstance(node, Inode)
        return FaultyFile(self, file, node, path)

    def names(self, directory: Path) -> list[str]:
        return self._disk.names(directory)

    def size(self, path: Path) -> int:
        return self._disk.size(path)

    def modified_ms(self, path: Path) -> int:
        return self._disk.modified_ms(path)

    def rename(self, source: Path, target: Path) -> None:
        self._refuse_changes(source)
        self._disk.rename(source, target)
        node = self._folder(source.parent).names.pop(source.name, Inode())
        self._folder(target.parent).names[target.name] = node
        if isinstance(node, Folder):
            self._known.clear()

    def remove(self, path: Path) -> None:
        if path.exists():
            self._refuse_changes(path)
        self._disk.remove(path)
        self._folder(path.parent).names.pop(path.name, None)

    def make_directory(self, path: Path) -> None:
        if not path.exists():
            self._refuse_changes(path)
        self._folder(path)
        self._disk.make_directory(path)

    def remove_directory(self, path: Path) -> None:
        self._refuse_changes(path)
        self._disk.remove_directory(path)
        self._known.clear()
        self._folder(path.parent).names.pop(path.name, None)

    def sync_directory(self, path: Path) -> None:
        self.check(self.sync_error, path)
        folder = self._folder(path)
        folder.durable = dict(folder.names)

    # ---- faults

    def check(self, error: int | None, path: Path) -> None:
        """Raises *error* for what is done to *path*, when there is one and it is hit."""
        if error is not None and self.hits(path):
            raise OSError(error, os.strerror(error), str(path))

    def hits(self, path: Path) -> bool:
        """Whether faults concern *path*."""
        return self.only_below is None or path.is_relative_to(self.only_below)

    def _refuse_changes(self, path: Path) -> None:
        self.check(errno.EROFS if self.read_only else None, path)

    def power_loss(self, directory: Path, torn: Random | None = None) -> None:
        """Puts *directory* back to what was synced, plus, with *torn*, a random part of what happened since."""
        folder = self._folder(directory)
        written: dict[Inode, bytes] = {}
        _collect(folder, directory, written)
        for path in directory.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        _restore(folder, directory, written, torn)
        self._known.clear()

    def _folder(self, path: Path) -> Folder:
        known = self._known.get(path)
        if known is not None:
            return known
        folder = self._root
        walked = Path(path.anchor)
        for part in path.relative_to(walked).parts:
            walked /= part
            node = folder.names.get(part)
            if node is None:
                node = folder.names[part] = Folder()
                if walked.exists():
                    # It was there before anything was watched.
                    folder.durable[part] = node
            assert isinstance(node, Folder)
            folder = node
        self._known[path] = folder
        return folder


def _collect(folder: Folder, directory: Path, written: dict[Inode, bytes]) -> None:
    for name, node in folder.names.items():
        path = directory / name
        if isinstance(node, Folder):
            _collect(node, path, written)
        elif path.exists():
            written[node] = path.read_bytes()


def _restore(folder: Folder, directory: Path, written: dict[Inode, bytes], torn: Random | None) -> None:
    survivors = dict(folder.durable)
    if torn is not None:
        # A removal, as a new name, may have reached the disk unasked.
        for name in [name for name in survivors if name not in folder.names]:
            if torn.random() < 0.5:
                del survivors[name]
        survivors.update({name: node for name, node in folder.names.items() if torn.random() < 0.5})
    for name, node in survivors.items():
        path = directory / name
        if isinstance(node, Folder):
            path.mkdir()
            _restore(node, path, written, torn)
        else:
            node.durable = _content_of(node, written.get(node, b""), torn)
            path.write_bytes(node.durable)
            written[node] = node.durable
    folder.names, folder.durable = dict(survivors), dict(survivors)


def _content_of(node: Inode, current: bytes, torn: Random | None) -> bytes:
    content = node.durable
    if torn is None or not current.startswith(content):
        return content
    content = current[: torn.randint(len(content), len(current))]
    if len(content) > len(node.durable) and torn.random() < 0.3:
        # A page that was allotted and never written.
        keep = torn.randint(len(node.durable), len(content))
        content = content[:keep] + bytes(len(content) - keep)
    return content


class FaultyFile:
    """An open file of a FaultyFileSystem."""

    def __init__(self, system: FaultyFileSystem, file: OpenFile, inode: Inode, path: Path) -> None:
        self._system = system
        self._file = file
        self._inode = inode
        self._path = path

    def fileno(self) -> int:
        return self._file.fileno()

    def read_at(self, position: int, size: int) -> bytes:
        self._system.check(self._system.read_error, self._path)
        return self._file.read_at(position, size)

    def write_at(self, position: int, data: Bytes) -> None:
        system = self._system
        system.writes += 1
        system.check(errno.EROFS if system.read_only else None, self._path)
        if system.room is not None and system.hits(self._path):
            if len(data) > system.room:
                self._file.write_at(position, memoryview(data)[: system.room])
                system.room = 0
                system.check(system.write_error, self._path)
            system.room -= len(data)
        self._file.write_at(position, data)

    def truncate(self, size: int) -> None:
        system = self._system
        system.check(errno.EROFS if system.read_only else None, self._path)
        system.check(system.truncate_error, self._path)
        self._file.truncate(size)

    def sync(self) -> None:
        self._system.check(self._system.sync_error, self._path)
        self._inode.durable = self._file.read_at(0, self._file.size())

    def size(self) -> int:
        return self._file.size()

    def retain(self) -> None:
        self._file.retain()

    def release(self) -> None:
        self._file.release()
