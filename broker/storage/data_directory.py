"""
The directory that holds everything of a broker: who has it, which cluster it is, how it was left.

    .lock                               flock()ed by the broker that has it; its text is that broker's pid
    meta.properties                     version=1, cluster.id, node.id, directory.id, and ours: broker.format=1
    .kafka_cleanshutdown                there after a clean stop; a start takes it away, so that a crash leaves none
    recovery-point-offset-checkpoint    how far each partition is known to be synced
    log-start-offset-checkpoint         where each partition starts, when that is not the start of a segment
    cleaner-offset-checkpoint           up to where each compacted partition is compacted
    <topic>-<partition>/                the logs
Version     broker.format is the version of everything in the directory. A broker opens what it knows, and refuses with
            nothing changed what it does not: a newer format, one of Apache Kafka's, partitions without meta.properties
Source      Kafka's LogManager and BrokerMetadataCheckpoint; the names are Kafka's
"""

import contextlib
import fcntl
import os
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from uuid import uuid4

from broker.errors import BrokerError
from broker.identifiers import TopicPartition, new_topic_id, topic_id_text
from broker.storage.errors import way_out
from broker.storage.files import FileSystem, read_whole, write_atomically
from broker.storage.health import DiskHealth
from broker.storage.log import PartitionLog
from broker.storage.names import partition_in
from broker.storage.partition_checkpoints import CheckpointWrite, PartitionCheckpoints

FORMAT_VERSION = 1
"""Rises with a change that the version before could not read, or would misread."""

# Kafka's own, of the file itself.
_META_VERSION = "1"
_LOCK = ".lock"
_META = "meta.properties"
_METADATA_LOG = "metadata.log"
_FORMAT = "broker.format"
_USE_ANOTHER = "nothing was changed; start the version that wrote it, or choose another --data-dir"
_CLEAN_MARK = ".kafka_cleanshutdown"


class UnusableDataDirectory(BrokerError):
    """A data directory that a broker cannot start on; the text names it and the way out."""


class DataDirectoryInUse(UnusableDataDirectory):
    """Another broker has the directory; *pid* is its process, None when that could not be read."""

    def __init__(self, path: Path, pid: int | None) -> None:
        holder = "another process" if pid is None else f"the process {pid}"
        super().__init__(f"data directory {path} is in use by {holder}: stop it, or choose another --data-dir")
        self.pid = pid


class DataDirectory:
    """A data directory that this process has. Made by open()."""

    def __init__(self, path: Path, files: FileSystem, lock: int, cluster_id: str, *, clean: bool) -> None:
        self.path = path
        self.cluster_id = cluster_id
        self.clean = clean
        self.disk = DiskHealth()
        """Whether writes find room, for all logs together."""
        self._files = files
        self._lock = lock
        self._checkpoints = PartitionCheckpoints(path, files)

    @classmethod
    def open(cls, path: Path, *, files: FileSystem, node_id: int = 1) -> "DataDirectory":
        """
        Takes *path*, made when it is missing. The clean-shutdown mark is read and taken away.

        Raises DataDirectoryInUse, UnusableDataDirectory.
        """
        try:
            files.make_directory(path)
            lock = _take_lock(path)
        except (FileExistsError, NotADirectoryError) as error:
            raise UnusableDataDirectory(
                f"data directory {path} cannot be used: there is a file, not a directory; choose another --data-dir"
            ) from error
        except OSError as error:
            raise _unusable(path, error) from error
        try:
            cluster_id = _read_or_write_meta(path, files, node_id)
            clean = _take_clean_mark(path, files)
            return cls(path, files, lock, cluster_id, clean=clean)
        except OSError as error:
            os.close(lock)
            raise _unusable(path, error) from error
        except BaseException:
            os.close(lock)
            raise

    def recovery_points(self) -> Mapping[TopicPartition, int]:
        """Per partition, as read at open: the offset below which everything was synced."""
        return self._checkpoints.recovery_points

    def log_start_offsets(self) -> Mapping[TopicPartition, int]:
        """Per partition, as read at open."""
        return self._checkpoints.log_starts

    def clean_offsets(self) -> Mapping[TopicPartition, int]:
        """Per partition that was ever compacted, as read at open: the offset below which it is."""
        return self._checkpoints.clean_offsets

    def partition_directory(self, partition: TopicPartition) -> Path:
        """Where the log of *partition* is, or would be."""
        return self.path / str(partition)

    def partition_directories(self) -> Iterator[tuple[TopicPartition, Path]]:
        """The partitions that have a directory, sorted."""
        found = ((partition_in(name), self.path / name) for name in sorted(self._files.names(self.path)))
        return ((partition, directory) for partition, directory in found if partition is not None)

    def checkpoints_mention(self, partitions: Iterable[TopicPartition]) -> bool:
        """Whether one of *partitions* may be in the checkpoints: write them anew before it begins."""
        return self._checkpoints.mention(partitions)

    def take_checkpoints(
        self, logs: Mapping[TopicPartition, PartitionLog], keep: Iterable[TopicPartition] = ()
    ) -> CheckpointWrite:
        """
        What the checkpoints have to say of *logs*, and have said at the start of those to *keep*, which must be all
        there are; a worker may write it.
        """
        return self._checkpoints.take(logs, keep)

    def write_checkpoints(self, logs: Mapping[TopicPartition, PartitionLog]) -> None:
        """
        Writes the recovery points, log start offsets and clean offsets of *logs*, which must be all there are. Raises
        OSError.

        Once a minute, after delete_records(), before a partition begins that they mention, and before close().
        """
        self._checkpoints.take(logs).write()

    def close(self, *, clean: bool) -> None:
        """Gives the directory up. *clean*: every log was closed cleanly, so leave the mark. Raises OSError."""
        try:
            if clean:
                write_atomically(self._files, self.path / _CLEAN_MARK, b'{"version":0}\n')
        finally:
            os.close(self._lock)


def _take_lock(path: Path) -> int:
    descriptor = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
        os.close(descriptor)
        raise DataDirectoryInUse(path, int(text) if text.isdigit() else None) from None
    # For whoever is refused; a full disk may have no room for it.
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def _unusable(path: Path, error: OSError) -> UnusableDataDirectory:
    what = error.strerror or str(error)
    return UnusableDataDirectory(
        f"data directory {path} cannot be used: {what}; {way_out(error)}, or choose another --data-dir"
    )


def _read_or_write_meta(path: Path, files: FileSystem, node_id: int) -> str:
    """The cluster's id. Raises UnusableDataDirectory for a directory that is not ours, or of another format."""
    try:
        text = read_whole(files, path / _META).decode("utf-8", "replace")
    except FileNotFoundError:
        _refuse_partitions_of_others(path, files)
        return _write_meta(path, files, cluster_id=topic_id_text(new_topic_id()), node_id=node_id)
    pairs = (line.partition("=") for line in text.splitlines() if not line.startswith("#"))
    properties = {key.strip(): value.strip() for key, _, value in pairs}
    version = properties.get("version")
    if version != _META_VERSION:
        raise UnusableDataDirectory(
            f"{path / _META} has version {version}, this broker knows {_META_VERSION}: {_USE_ANOTHER}"
        )
    cluster_id = properties.get("cluster.id", "")
    if not cluster_id:
        raise UnusableDataDirectory(
            f"{path / _META} names no cluster.id: restore the file, or choose another --data-dir"
        )
    found = properties.get(_FORMAT)
    if found is None and _METADATA_LOG not in files.names(path):
        raise UnusableDataDirectory(
            f"data directory {path} was not written by this broker, but by Apache Kafka: nothing was changed;"
            " choose another --data-dir, and copy its topics over the network"
        )
    # Before there was the key, there was format 1.
    number = "1" if found is None else found
    if not number.isascii() or not number.isdigit() or int(number) < 1:
        raise UnusableDataDirectory(f"{path / _META} has {_FORMAT}={number}, which is none: restore the file")
    if int(number) > FORMAT_VERSION:
        raise UnusableDataDirectory(
            f"data directory {path} has format version {number}, this broker knows {FORMAT_VERSION}:"
            f" it was written by a newer one; {_USE_ANOTHER}"
        )
    return cluster_id


def _write_meta(path: Path, files: FileSystem, *, cluster_id: str, node_id: int) -> str:
    directory_id = urlsafe_b64encode(uuid4().bytes).rstrip(b"=").decode()
    lines = [f"version={_META_VERSION}", f"cluster.id={cluster_id}", f"node.id={node_id}"]
    lines += [f"directory.id={directory_id}", f"{_FORMAT}={FORMAT_VERSION}", ""]
    write_atomically(files, path / _META, "\n".join(lines).encode())
    # The directory's own name, too: topics will be acknowledged in it.
    files.sync_directory(path.parent)
    return cluster_id


def _refuse_partitions_of_others(path: Path, files: FileSystem) -> None:
    """A new data directory may have files in it, but nothing that would be taken for a partition or for metadata."""
    taken = [name for name in files.names(path) if partition_in(name) is not None or name == _METADATA_LOG]
    if taken:
        raise UnusableDataDirectory(
            f"data directory {path} has {min(taken)} in it, but no {_META}: restore that file from a backup,"
            " or choose another --data-dir"
        )


def _take_clean_mark(path: Path, files: FileSystem) -> bool:
    clean = _CLEAN_MARK in files.names(path)
    if clean:
        files.remove(path / _CLEAN_MARK)
        # It must not come back after a loss of power, when the logs have been written on.
        files.sync_directory(path)
    return clean
