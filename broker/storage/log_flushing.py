"""
How a partition log comes to the disk: when an fsync is due, and what it moves.

The three steps of one are described in flushing.py. All calls on the log's thread, but for PendingFlush.run().
"""

from broker.storage.flushing import PendingFlush
from broker.storage.log_reading import ReadableLog


class FlushableLog(ReadableLog):
    """The syncing part of a `PartitionLog`."""

    @property
    def needs_flush(self) -> bool:
        """
        Whether an fsync is due: by flush.before.ack, flush.messages, flush.ms, or because a sealed segment
        is not synced (so that a recovery reads little more than the active one).
        """
        return self._health.offline is None and self._flushing.is_due(self.config, self._next_offset)

    def flush_deadline(self) -> float | None:
        """When flush.ms asks for an fsync, on the clock's monotonic hand; None while everything is synced."""
        return self._flushing.deadline(self.config)

    def flush(self) -> None:
        """Returns when everything that was appended survives a loss of power. Raises StorageError."""
        pending = self.flush_begin()
        pending.run()
        self.flush_complete(pending)

    def flush_begin(self) -> PendingFlush:
        """The fsync that is due. Every one that was begun must be completed. Raises StorageError."""
        # A second fsync succeeds where the first has failed, and says nothing about what that one was to write.
        self._health.check()
        try:
            pending = self._flushing.begin(self._next_offset)
        except OSError as error:
            raise self._health.failed(error) from error
        if self.config.flush_before_ack:
            self._reader.remember_end(self._next_offset)
        return pending

    def flush_complete(self, pending: PendingFlush) -> None:
        """Moves the recovery point and the high watermark. Raises StorageError when the fsync failed."""
        pending.release()
        if pending.error is not None:
            raise self._health.go_offline(f"an fsync failed ({pending.error})") from pending.error
        self._health.check()
        if self._flushing.complete(pending):
            self._high_watermark = max(self._high_watermark, pending.up_to)
