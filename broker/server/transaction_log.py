"""The state of transactional ids in `__transaction_state`."""

from collections.abc import Callable, Iterator, Sequence

from broker.errors import ErrorCode
from broker.records import NewRecord, Record, build_batch
from broker.server.internal_topic import InternalTopic
from broker.topics import Background, Catalog, FlushGroup

TOPIC = "__transaction_state"


class PartitionTransactionLog:
    """Implements the `TransactionLog` port of transactions."""

    def __init__(
        self, catalog: Catalog, background: Background, flushes: FlushGroup, *, segment_bytes: int, partitions: int
    ) -> None:
        self._topic = InternalTopic(
            catalog,
            background,
            flushes,
            TOPIC,
            segment_bytes=segment_bytes,
            partitions=partitions,
            # The decisions that have to be on the disk before they are acted on say so: when_durable().
            overrides={"flush.before.ack": "false"},
        )
        self._flushes = flushes

    @property
    def start_offset(self) -> int:
        return self._topic.start_offset

    @property
    def end_offset(self) -> int:
        return self._topic.end_offset

    @property
    def coordinator_epoch(self) -> int:
        partition = self._topic.find()
        return 0 if partition is None else partition.leader_epoch

    def append(self, records: Sequence[NewRecord], timestamp_ms: int) -> int:
        """One batch, all or none; its base offset. Raises KafkaError."""
        return self._topic.append(build_batch(records, timestamp=timestamp_ms))

    def replay(self) -> Iterator[Record]:
        """From the start to the end, batch by batch."""
        partition = self._topic.find()
        if partition is None:
            return
        for batch in partition.log.batches(partition.log.log_start_offset):
            yield from batch.records()

    def discard_before(self, offset: int) -> None:
        """Flushes, moves the log's start to *offset* and drops the segments before it."""
        self._topic.discard_before(offset)

    def when_durable(self, told: Callable[[ErrorCode], None]) -> None:
        """Calls *told* when everything that was appended is on the disk, with the next round of the flush group."""
        partition = self._topic.find()
        if partition is None or partition.log.recovery_point >= partition.log.next_offset:
            told(ErrorCode.NONE)
        else:
            self._flushes.synced(partition, told)
