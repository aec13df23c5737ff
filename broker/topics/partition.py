"""
One partition of a topic: its log, its leader epoch, and the readers that wait for more of it.

The high watermark is the log's: the end of the log on one node, and with flush.before.ack the end of what is on the
disk. When it moves, the parked fetches of the partition are woken; they are parked in the purgatory under the partition
itself as key.
"""

from broker.delayed import Purgatory
from broker.identifiers import TopicId
from broker.storage import Appended, AppendOrigin, PartitionLog
from broker.storage.errors import StorageError


class Partition:
    """
    Compared and hashed by identity: a topic that is deleted and created again has other partitions.

    One whose log could not be opened has the error in `unopened`, and whoever asks for its `log` gets it raised.
    """

    __slots__ = (
        "_parked",
        "appended_bytes",
        "appended_records",
        "deleted",
        "fetched_bytes",
        "index",
        "leader_epoch",
        "log",
        "topic",
        "topic_id",
        "unopened",
    )

    log: PartitionLog

    def __init__(
        self,
        topic: str,
        topic_id: TopicId,
        index: int,
        log: PartitionLog | StorageError,
        leader_epoch: int,
        parked: Purgatory,
    ) -> None:
        self.topic = topic
        self.topic_id = topic_id
        self.index = index
        self.unopened = log if isinstance(log, StorageError) else None
        if not isinstance(log, StorageError):
            self.log = log
        self.leader_epoch = leader_epoch
        self.deleted = False
        # Since the start, for metrics.
        self.appended_records = 0
        self.appended_bytes = 0
        self.fetched_bytes = 0
        self._parked = parked

    def __getattr__(self, name: str) -> PartitionLog:
        # Asked only for what is not there: a log that was not opened. So one that was costs no look at `unopened`.
        if name == "log" and self.unopened is not None:
            raise StorageError(self.unopened.path, self.unopened.reason)
        raise AttributeError(name)

    @property
    def offline(self) -> str | None:
        """Why it takes no appends until the broker starts again; None while it does."""
        return str(self.unopened.reason) if self.unopened is not None else self.log.offline

    def __repr__(self) -> str:
        return f"{self.topic}-{self.index}"

    def append(self, records: memoryview, origin: AppendOrigin = AppendOrigin.CLIENT) -> Appended:
        """
        Appends one batch; *records* is patched in place. Wakes the readers that wait for it.

        With flush.before.ack the caller must also wait for the flush (`FlushGroup.wait`). Errors: the StorageRefusal
        tree.
        """
        log = self.log
        appended = log.append(records, self.leader_epoch, origin)
        if not appended.duplicate:
            self.appended_records += appended.last_offset - appended.base_offset + 1
            self.appended_bytes += len(records)
        if not log.config.flush_before_ack:
            self._parked.wake(self)
        return appended

    def advanced(self) -> None:
        """The high watermark or the log's start has moved, or the partition is gone: whoever waits looks again."""
        self._parked.wake(self)
