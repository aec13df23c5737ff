"""Committed offsets and group metadata in `__consumer_offsets`."""

from collections.abc import Iterator, Sequence

from broker.groups import GroupCoordinator, LogEntry, LogRecord, StagedRecord, Writer, WriterEnd
from broker.records import Marker, MarkerKind, NewRecord, build_batch, build_marker, parse_marker
from broker.server.internal_topic import InternalTopic
from broker.topics import Background, Catalog, FlushGroup
from broker.transactions import GROUP_OFFSETS_TOPIC, Producer


class PartitionOffsetLog:
    """Implements the `OffsetLog` port of groups. With log.flush.before.ack its records are synced before the answer."""

    def __init__(
        self, catalog: Catalog, background: Background, flushes: FlushGroup, *, segment_bytes: int, partitions: int
    ) -> None:
        self._topic = InternalTopic(
            catalog,
            background,
            flushes,
            GROUP_OFFSETS_TOPIC,
            segment_bytes=segment_bytes,
            partitions=partitions,
            overrides={},
        )

    @property
    def start_offset(self) -> int:
        return self._topic.start_offset

    @property
    def end_offset(self) -> int:
        return self._topic.end_offset

    def append(self, records: Sequence[LogRecord], timestamp_ms: int, writer: Writer | None = None) -> int:
        """One batch, all or none; its base offset. Raises KafkaError."""
        new = [NewRecord(record.key, record.value) for record in records]
        if writer is None:
            return self._topic.append(build_batch(new, timestamp=timestamp_ms))
        batch = build_batch(
            new,
            timestamp=timestamp_ms,
            producer_id=writer.producer_id,
            producer_epoch=writer.producer_epoch,
            transactional=True,
        )
        return self._topic.append(batch)

    def append_marker(self, writer: Writer, marker: Marker, timestamp_ms: int) -> None:
        """Ends the writer's transaction here. Raises KafkaError."""
        batch = build_marker(
            marker, timestamp=timestamp_ms, producer_id=writer.producer_id, producer_epoch=writer.producer_epoch
        )
        self._topic.append(batch)

    def replay(self) -> Iterator[LogEntry]:
        """From the start to the end, batch by batch."""
        partition = self._topic.find()
        if partition is None:
            return
        for batch in partition.log.batches(partition.log.log_start_offset):
            header = batch.header
            if header.is_control:
                # Compaction may have left a header that only tells of its producer.
                for record in batch.records():
                    yield WriterEnd(header.producer_id, parse_marker(record).kind is MarkerKind.COMMIT)
                continue
            writer = Writer(header.producer_id, header.producer_epoch) if header.is_transactional else None
            for record in batch.records():
                if record.key is not None:
                    logged = LogRecord(record.key, record.value)
                    yield logged if writer is None else StagedRecord(writer, logged)

    def discard_before(self, offset: int) -> None:
        """Flushes, moves the log's start to *offset* and drops the segments before it."""
        self._topic.discard_before(offset)


class GroupTransactions:
    """Implements the `GroupOffsets` port of transactions: groups and transactions do not know each other."""

    def __init__(self, groups: GroupCoordinator) -> None:
        self._groups = groups

    def end_transaction(self, producer: Producer, marker: Marker) -> None:
        """Commits or drops the offsets that *producer* has staged. Raises KafkaError."""
        self._groups.end_transaction(Writer(*producer), marker)
