"""
Checkpoint files: small tables in text, replaced as a whole.

Layout
    0            version of the file
    2            number of rows
    orders 0 42  the rows: topic, partition, offset;
    orders 1 17  in a partition's leader-epoch-checkpoint: leader epoch, start offset
Durability  written to a .tmp file, synced, renamed
Source      Kafka's CheckpointFile; the files' names are Kafka's too
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from broker.errors import BrokerError
from broker.identifiers import TopicPartition
from broker.storage.files import FileSystem, read_whole, write_atomically

RECOVERY_POINTS = "recovery-point-offset-checkpoint"
LOG_START_OFFSETS = "log-start-offset-checkpoint"
CLEAN_OFFSETS = "cleaner-offset-checkpoint"

_VERSION = 0


class UnsoundCheckpoint(BrokerError):
    """A checkpoint file that is not one. What it said is found again by reading the logs."""


def write_rows(files: FileSystem, path: Path, rows: Iterable[tuple[str | int, ...]]) -> None:
    """Replaces the checkpoint at *path*. Raises OSError."""
    lines = [" ".join(str(cell) for cell in row) for row in rows]
    write_atomically(files, path, "\n".join([str(_VERSION), str(len(lines)), *lines, ""]).encode())


def read_rows(files: FileSystem, path: Path, columns: int) -> list[list[str]]:
    """The rows of the checkpoint at *path*; none when it is missing. Raises UnsoundCheckpoint."""
    try:
        lines = read_whole(files, path).decode().splitlines()
    except FileNotFoundError:
        return []
    except UnicodeDecodeError as error:
        raise UnsoundCheckpoint(f"{path}: not text ({error})") from error
    if len(lines) < 2 or lines[0] != str(_VERSION) or lines[1] != str(len(lines) - 2):
        raise UnsoundCheckpoint(
            f"{path}: expected version {_VERSION} and {max(len(lines) - 2, 0)} rows, got {lines[:2]}"
        )
    rows = [line.split(" ") for line in lines[2:]]
    if any(len(row) != columns for row in rows):
        raise UnsoundCheckpoint(f"{path}: a row without {columns} columns")
    return rows


def write_offsets(files: FileSystem, path: Path, offsets: Mapping[TopicPartition, int]) -> None:
    """Replaces a checkpoint of one offset a partition. Raises OSError."""
    write_rows(files, path, ((key.topic, key.partition, offset) for key, offset in sorted(offsets.items())))


def read_offsets(files: FileSystem, path: Path) -> dict[TopicPartition, int]:
    """The offset of each partition in the checkpoint at *path*. Raises UnsoundCheckpoint."""
    try:
        return {
            TopicPartition(topic, int(partition)): int(offset)
            for topic, partition, offset in read_rows(files, path, columns=3)
        }
    except ValueError as error:
        raise UnsoundCheckpoint(f"{path}: {error}") from error
