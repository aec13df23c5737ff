"""
The metadata log: topics, settings, producer ids and the broker's epoch, in one file of its own.

Layout      `metadata.log`: a line per record (see metadata_records), in the order in which things happened
Durability  appended and synced before a change shows. A line that a crash tore is cut off at the next start; everything
            before it is whole
Size        rewritten at start, when most of its lines have been overtaken: a new file, synced and renamed, so a crash
            leaves the old one or the new one
Loss        a line in the middle that is not whole means a damaged disk: the broker refuses to start rather than to
            forget topics
"""

import contextlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from broker.errors import BrokerError
from broker.identifiers import TopicId
from broker.storage import FileSystem
from broker.storage.errors import StorageError
from broker.storage.files import OpenFile, write_atomically
from broker.topics.metadata_records import (
    ConfigsReplaced,
    EpochBegun,
    MetadataRecord,
    PartitionsAdded,
    ProducerIdsReserved,
    TopicCreated,
    TopicDeleted,
    UnreadableLine,
    decode_line,
    encode_line,
)

LOG = logging.getLogger("broker.topics")

FILE_NAME = "metadata.log"
# Rewriting is worth it only when there is much to leave out.
REWRITE_LINES_MIN = 200
FIRST_PRODUCER_ID = 0


class UnsoundMetadata(BrokerError):
    """The metadata log cannot be read; the text says where and what to do."""


@dataclass(slots=True)
class MetadataState:
    """What the records of the log add up to."""

    topics: dict[TopicId, TopicCreated] = field(default_factory=dict[TopicId, TopicCreated])
    deleted_names: set[str] = field(default_factory=set[str])
    next_producer_id: int = FIRST_PRODUCER_ID
    epoch: int = 0

    def apply(self, record: MetadataRecord) -> None:
        match record:
            case TopicCreated():
                self.topics[record.id] = record
            case PartitionsAdded():
                old = self.topics[record.id]
                self.topics[record.id] = TopicCreated(old.id, old.name, record.partitions, old.configs, old.epoch)
            case ConfigsReplaced():
                old = self.topics[record.id]
                self.topics[record.id] = TopicCreated(old.id, old.name, old.partitions, record.configs, old.epoch)
            case TopicDeleted():
                del self.topics[record.id]
                self.deleted_names.add(record.name)
            case ProducerIdsReserved():
                self.next_producer_id = record.next
            case EpochBegun():
                self.epoch = record.epoch

    def records(self) -> list[MetadataRecord]:
        """The fewest records that add up to this, without deleted topics: their directories are dealt with."""
        return [
            EpochBegun(self.epoch),
            ProducerIdsReserved(self.next_producer_id),
            *self.topics.values(),
        ]


class MetadataLog:
    """The open file. One writer."""

    def __init__(self, path: Path, files: FileSystem, file: OpenFile, size: int, lines: int) -> None:
        self._path = path
        self._files = files
        self._file = file
        self._size = size
        self._lines = lines
        self._torn = False
        self._offline: str | None = None

    @classmethod
    def open(cls, directory: Path, *, files: FileSystem) -> "tuple[MetadataLog, MetadataState]":
        """Opens the log of *directory*, made when it is missing. Raises UnsoundMetadata, OSError."""
        path = directory / FILE_NAME
        file = files.open(path, create=True)
        state = MetadataState()
        content = file.read_at(0, file.size())
        if not content:
            files.sync_directory(directory)
        position = number = 0
        while (end := content.find(b"\n", position)) >= 0:
            number += 1
            try:
                record = decode_line(content[position:end])
                if record is None:
                    break
                state.apply(record)
            except (UnreadableLine, KeyError) as error:
                raise UnsoundMetadata(f"{path}, line {number}: {error}; was it written by a newer version?") from error
            position = end + 1
        if position < len(content):
            if content.find(b"\n", position) not in (-1, len(content) - 1):
                raise UnsoundMetadata(
                    f"{path}, line {number}: its checksum does not fit, and lines follow: the disk has damaged it. "
                    "Put the file back from a backup, or cut it before that line: later topics will be set aside."
                )
            # What was torn was never acknowledged.
            file.truncate(position)
        if content:
            # A line that a crash caught before its fsync counts from here on, and must not go with a loss of power.
            file.sync()
        return cls(path, files, file, position, number), state

    def append(self, records: Iterable[MetadataRecord]) -> None:
        """
        Returns when all of *records* are on the disk. Raises StorageError: then none of them is, and the next append
        tries again; after a failed fsync it does not, because nobody knows what the disk has.
        """
        if self._offline is not None:
            raise StorageError(self._path, self._offline)
        lines = [encode_line(record) for record in records]
        data = b"".join(lines)
        try:
            if self._torn:
                self._file.truncate(self._size)
            self._torn = True
            self._file.write_at(self._size, data)
        except OSError as error:
            # If this fails, too, the next append begins with it.
            with contextlib.suppress(OSError):
                self._file.truncate(self._size)
                self._torn = False
            raise StorageError(self._path, error) from error
        try:
            self._file.sync()
        except OSError as error:
            self._offline = f"an fsync failed ({error}); no topic is changed until the broker starts again"
            LOG.error("metadata log is offline path=%s reason=%s", self._path, self._offline)
            with contextlib.suppress(OSError):
                self._file.truncate(self._size)
            raise StorageError(self._path, self._offline) from error
        self._torn = False
        self._size += len(data)
        self._lines += len(lines)

    def rewrite(self, state: MetadataState) -> None:
        """Replaces the file by the fewest lines that say the same, when that is much less. Raises OSError."""
        records = state.records()
        if self._lines < REWRITE_LINES_MIN or self._lines < 2 * len(records):
            return
        write_atomically(self._files, self._path, b"".join(encode_line(record) for record in records))
        self._file.release()
        self._file = self._files.open(self._path)
        self._size = self._file.size()
        self._lines = len(records)

    def close(self) -> None:
        self._file.release()
