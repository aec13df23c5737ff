"""Partition logs on disk: segments, indexes, producer state, recovery. Plain calls on one thread."""

from broker.storage.append_validation import AppendOrigin
from broker.storage.compaction import Compaction, CompactionReport
from broker.storage.config import LogConfig
from broker.storage.data_directory import DataDirectory, DataDirectoryInUse, UnusableDataDirectory
from broker.storage.files import DiskFileSystem, FileSystem
from broker.storage.flushing import PendingFlush
from broker.storage.health import DiskHealth
from broker.storage.leader_epochs import EpochEndOffset
from broker.storage.log import Appended, PartitionLog
from broker.storage.partition_checkpoints import CheckpointWrite
from broker.storage.producer_state import ProducerState
from broker.storage.progress import OpeningProgress
from broker.storage.recovery import RecoveryReport
from broker.storage.retention import DeletedSegment
from broker.storage.slices import LogSlice
from broker.storage.timestamps import TimestampOffset
from broker.storage.transaction_index import AbortedTransaction

__all__ = [
    "AbortedTransaction",
    "AppendOrigin",
    "Appended",
    "CheckpointWrite",
    "Compaction",
    "CompactionReport",
    "DataDirectory",
    "DataDirectoryInUse",
    "DeletedSegment",
    "DiskFileSystem",
    "DiskHealth",
    "EpochEndOffset",
    "FileSystem",
    "LogConfig",
    "LogSlice",
    "OpeningProgress",
    "PartitionLog",
    "PendingFlush",
    "ProducerState",
    "RecoveryReport",
    "TimestampOffset",
    "UnusableDataDirectory",
]
