"""
A file system whose writes go nowhere: what is there is read, what is changed is kept in memory until the process ends.

The `FileSystem` port of storage, so that a recovery can be run to see what it would do. Changes of names are dictionary
entries; a changed file is the part of the old one that is left, with the bytes written over it.
"""

import os
from pathlib import Path

from broker.storage import DiskFileSystem
from broker.storage.files import Bytes


class PretendedFile:
    """A file that may be written without being changed. Shared by all who open it; the last one need not close it."""

    def __init__(self, source: Path | None) -> None:
        self._descriptor = -1 if source is None else os.open(source, os.O_RDONLY | os.O_CLOEXEC)
        self._source_bytes = 0 if source is None else os.fstat(self._descriptor).st_size
        self._size = self._source_bytes
        self._written: list[tuple[int, bytes]] = []

    def fileno(self) -> int:
        raise NotImplementedError("what a pretended file has is not all behind one descriptor")

    def read_at(self, position: int, size: int) -> bytes:
        size = max(0, min(size, self._size - position))
        from_source = max(0, min(size, self._source_bytes - position))
        data = bytearray(os.pread(self._descriptor, from_source, position) if from_source else b"")
        data.extend(bytes(size - len(data)))
        for start, content in self._written:
            begin, end = max(start, position), min(start + len(content), position + size)
            if begin < end:
                data[begin - position : end - position] = content[begin - start : end - start]
        return bytes(data)

    def write_at(self, position: int, data: Bytes) -> None:
        self._written.append((position, bytes(data)))
        self._size = max(self._size, position + len(data))

    def truncate(self, size: int) -> None:
        self._source_bytes = min(self._source_bytes, size)
        self._written = [(start, content[: size - start]) for start, content in self._written if start < size]
        self._size = size

    def sync(self) -> None:
        """Nothing to sync."""

    def size(self) -> int:
        return self._size

    def retain(self) -> None:
        """Open until the process ends."""

    def release(self) -> None:
        """Open until the process ends."""


class PretendedFileSystem:
    """Over the disk's. One thread."""

    def __init__(self) -> None:
        self._disk = DiskFileSystem()
        self._files: dict[Path, PretendedFile | None] = {}
        """None: removed, or renamed away."""
        self._moved: dict[Path, Path] = {}
        """Directories by their new names."""
        self._directories: set[Path] = set()

    def open(self, path: Path, *, create: bool = False) -> PretendedFile:
        file = self._files.get(path)
        if file is None and path not in self._files:
            on_disk = self._on_disk(path)
            if on_disk is not None and on_disk.is_file():
                file = self._files[path] = PretendedFile(on_disk)
        if file is None:
            if not create:
                raise FileNotFoundError(2, os.strerror(2), str(path))
            file = self._files[path] = PretendedFile(None)
        return file

    def names(self, directory: Path) -> list[str]:
        on_disk = self._on_disk(directory)
        names = set(self._disk.names(on_disk)) if on_disk is not None and on_disk.is_dir() else set[str]()
        if not names and directory not in self._directories and on_disk is None:
            raise FileNotFoundError(2, os.strerror(2), str(directory))
        for path, file in self._files.items():
            if path.parent == directory:
                names.discard(path.name) if file is None else names.add(path.name)
        for new, old in self._moved.items():
            if old.parent == directory:
                names.discard(old.name)
            if new.parent == directory:
                names.add(new.name)
        return sorted(names)

    def size(self, path: Path) -> int:
        return self.open(path).size()

    def modified_ms(self, path: Path) -> int:
        on_disk = self._on_disk(path)
        return 0 if on_disk is None or not on_disk.exists() else self._disk.modified_ms(on_disk)

    def rename(self, source: Path, target: Path) -> None:
        on_disk = self._on_disk(source)
        if source not in self._files and on_disk is not None and on_disk.is_dir():
            self._moved[target] = on_disk
            return
        self._files[target], self._files[source] = self.open(source), None

    def remove(self, path: Path) -> None:
        self._files[path] = None

    def make_directory(self, path: Path) -> None:
        self._directories.add(path)

    def remove_directory(self, path: Path) -> None:
        self._directories.discard(path)

    def sync_directory(self, path: Path) -> None:
        """Nothing to sync."""

    def _on_disk(self, path: Path) -> Path | None:
        """Where the disk has what is called *path* here; None when it has not."""
        for new, old in self._moved.items():
            if path == old or old in path.parents:
                return None
            if path == new or new in path.parents:
                return old / path.relative_to(new)
        return path if path.exists() else None
