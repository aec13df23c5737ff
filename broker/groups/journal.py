"""
What is durable of groups: first the log, then memory, by the same step at run time and at replay.

Rewriting   The log is read whole at start, so it must not grow much beyond what it says. When it has several times as
            many records as there are live keys, all live keys are appended again, then what open transactions have
            staged, and what lies before them is discarded. A crash in between leaves both, and the newest value of
            every key is the same in both.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, assert_never

from broker.clock import Clock
from broker.errors import KafkaError
from broker.groups.consumer.stored import GroupEpochRecord, StoredConsumerGroup
from broker.groups.offset_log import LogRecord, OffsetLog, StagedRecord, Writer, WriterEnd
from broker.groups.offsets import CommittedOffsets
from broker.groups.records import CoordinatorRecord, GroupRecord, OffsetRecord, UnreadableRecord, decode, encode
from broker.groups.staged_offsets import StagedOffsets
from broker.groups.values import StoredGroup
from broker.records import Marker, MarkerKind

_REWRITE_FACTOR = 4
_REWRITE_SLACK = 10_000
_REWRITE_BATCH = 1_000


class LoadReport(NamedTuple):
    """What a replay found; `unreadable` records were passed over."""

    records: int
    groups: int
    offsets: int
    unreadable: int


class Journal:
    """The log of one coordinator, and what it says: the last stored state of every group and the committed offsets."""

    __slots__ = (
        "_clock",
        "_log",
        "_rewrite_slack",
        "_rewrite_slack_now",
        "consumer_groups",
        "groups",
        "offsets",
        "staged",
    )

    def __init__(self, log: OffsetLog, clock: Clock, *, rewrite_slack: int = _REWRITE_SLACK) -> None:
        self._log = log
        self._clock = clock
        self._rewrite_slack = rewrite_slack
        self._rewrite_slack_now = rewrite_slack
        self.groups: dict[str, StoredGroup] = {}
        self.consumer_groups: dict[str, StoredConsumerGroup] = {}
        self.offsets = CommittedOffsets()
        self.staged = StagedOffsets()

    def load(self) -> LoadReport:
        """Reads the log from its start. O(its length), which rewriting keeps near the number of live keys."""
        records = unreadable = 0
        for logged in self._log.replay():
            records += 1
            try:
                match logged:
                    case LogRecord():
                        record = decode(logged)
                        if record is not None:
                            self._apply(record)
                    case StagedRecord(writer, staged):
                        record = decode(staged)
                        if isinstance(record, OffsetRecord):
                            self._stage(writer, record)
                    case WriterEnd(producer_id, committed):
                        self._end(producer_id, committed=committed)
                    case _:
                        assert_never(logged)
            except UnreadableRecord:
                unreadable += 1
        self._rewrite_if_long()
        return LoadReport(records, len(self.groups) + len(self.consumer_groups), len(self.offsets), unreadable)

    def write(self, records: Sequence[CoordinatorRecord]) -> None:
        """Makes *records* durable, all or none, and true. Raises KafkaError; nothing has changed then."""
        if not records:
            return
        self._log.append([encode(record) for record in records], self._clock.now_ms())
        for record in records:
            self._apply(record)
        self._rewrite_if_long()

    def stage(self, writer: Writer, records: Sequence[OffsetRecord]) -> None:
        """Writes *records* in *writer*'s transaction, all or none. Raises KafkaError; nothing has changed then."""
        self._log.append([encode(record) for record in records], self._clock.now_ms(), writer)
        for record in records:
            self._stage(writer, record)

    def end(self, writer: Writer, marker: Marker) -> None:
        """Ends *writer*'s transaction: what it staged counts, or is dropped. Raises KafkaError; nothing then."""
        self._log.append_marker(writer, marker, self._clock.now_ms())
        self._end(writer.producer_id, committed=marker.kind is MarkerKind.COMMIT)
        self._rewrite_if_long()

    def _stage(self, writer: Writer, record: OffsetRecord) -> None:
        if record.committed is not None:
            self.staged.put(writer, record.group_id, record.partition, record.committed)

    def _end(self, producer_id: int, *, committed: bool) -> None:
        for each in self.staged.take(producer_id):
            if committed and each.offset is not None:
                self.staged.replaced(each.group_id, each.partition, each.position)
                self.offsets.put(each.group_id, each.partition, each.offset)

    def _apply(self, record: CoordinatorRecord) -> None:
        match record:
            case OffsetRecord(group_id, partition, committed):
                self.staged.replaced(group_id, partition)
                if committed is None:
                    self.offsets.remove(group_id, [partition])
                else:
                    self.offsets.put(group_id, partition, committed)
            case GroupRecord(group_id, group):
                if group is None:
                    self.groups.pop(group_id, None)
                else:
                    self.groups[group_id] = group
            case GroupEpochRecord(group_id, None):
                self.consumer_groups.pop(group_id, None)
            case _:
                self.consumer_groups.setdefault(record.group_id, StoredConsumerGroup()).apply(record)

    def _rewrite_if_long(self) -> None:
        length = self._log.end_offset - self._log.start_offset
        live = len(self.groups) + len(self.offsets) + sum(map(len, self.consumer_groups.values()))
        if length <= _REWRITE_FACTOR * live + self._rewrite_slack_now:
            return
        try:
            self._rewrite()
        except KafkaError:
            # The disk is full, perhaps. Nothing is lost; the next try comes when the log has grown by as much again.
            self._rewrite_slack_now = length + self._rewrite_slack
        else:
            self._rewrite_slack_now = self._rewrite_slack

    def _rewrite(self) -> None:
        begin = self._log.end_offset
        batch: list[CoordinatorRecord] = []
        for record in self._live():
            batch.append(record)
            if len(batch) == _REWRITE_BATCH:
                self._log.append([encode(each) for each in batch], self._clock.now_ms())
                batch.clear()
        if batch:
            self._log.append([encode(each) for each in batch], self._clock.now_ms())
        for writer, run in self.staged.in_order():
            staged = [encode(OffsetRecord(each.group_id, each.partition, each.offset)) for each in run]
            self._log.append(staged, self._clock.now_ms(), writer)
        self._log.discard_before(begin)

    def _live(self) -> Iterator[CoordinatorRecord]:
        for group_id, group in self.groups.items():
            yield GroupRecord(group_id, group)
        for group_id, consumer_group in self.consumer_groups.items():
            yield from consumer_group.records(group_id)
        for group_id in self.offsets.groups():
            for partition, committed in self.offsets.of(group_id).items():
                yield OffsetRecord(group_id, partition, committed)
