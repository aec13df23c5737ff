"""
Copies one topic. The copy itself is the memory of how far it has come.

    1  what the target holds already is read, and its checksum taken
    2  the source is read from its start; as many records as the target holds are only compared, the others written
    3  what was written is read back and compared

So a copy that was killed goes on where it was, and one that is finished is compared once more. A target that holds
anything else is refused: what it holds is at every moment the beginning of what was to be written, in every partition.

Partitions   the same ones. With another number of them a key goes where murmur2 says, a record without a key to its old
             number modulo the new count; the old partitions are then read one after the other, so that the new ones
             are filled in the same order every time
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from eventbus.migration.checksum import RecordChecksum, topic_checksum
from eventbus.migration.log_plan import TopicPlan
from eventbus.migration.log_reading import read
from eventbus.migration.log_writing import CopyWriter
from eventbus.migration.logs import Log, MigrationRefused
from eventbus.migration.offsets import OffsetMap
from eventbus.transport.partitioning import partition_of
from eventbus.transport.port import IncomingRecord, OffsetRange, TopicPartition

_MESSAGE_BYTES: Final = "max.message.bytes"
_RECORD_BYTES_MIN: Final = 1_000_000
_RECORD_BYTES_MAX: Final = 1_000_000_000


class Progress(Protocol):
    """Who waits for the copy."""

    def advance(self, count: int) -> None:
        """So many more offsets, records or rows are done."""
        ...

    def say(self, text: str) -> None:
        """What is waited for."""
        ...


@dataclass(frozen=True, slots=True)
class CopiedTopic:
    """
    maps      by old partition
    counts    records, by new partition
    written   how many of them this run has written; the others were there
    """

    plan: TopicPlan
    topic_id: str
    maps: Mapping[int, OffsetMap]
    counts: Mapping[int, int]
    bytes: int
    written: int
    checksum: str

    @property
    def records(self) -> int:
        """In all."""
        return sum(self.counts.values())


class TopicCopy:
    """One topic of the plan. `run` blocks."""

    def __init__(self, source: Log, target: Log, plan: TopicPlan, progress: Progress) -> None:
        self._source, self._target, self._plan, self._progress = source, target, plan, progress
        self._found = {number: RecordChecksum() for number in range(plan.partitions)}
        self._wanted = {number: RecordChecksum() for number in range(plan.partitions)}
        self._maps = {number: OffsetMap(found.start, found.end) for number, found in plan.ranges.items()}

    def run(self) -> CopiedTopic:
        """Copies and compares. Raises MigrationRefused, with the partition that differs."""
        plan = self._plan
        if not plan.exists:
            self._target.cluster.create({plan.new_name: plan.request})
        self._read_target({number: OffsetRange(0, end) for number, end in plan.there.items()})
        written = self._copy()
        self._read_target(
            {number: OffsetRange(plan.there.get(number, 0), wanted.records) for number, wanted in self._wanted.items()}
        )
        for number, wanted in self._wanted.items():
            self._compare(number, wanted)
        return CopiedTopic(
            plan,
            self._target.cluster.topics([plan.new_name])[plan.new_name].topic_id,
            self._maps,
            {number: wanted.records for number, wanted in self._wanted.items()},
            sum(wanted.size for wanted in self._wanted.values()),
            written,
            topic_checksum(wanted.value() for wanted in self._wanted.values()),
        )

    def _read_target(self, ranges: Mapping[int, OffsetRange]) -> None:
        places = {TopicPartition(self._plan.new_name, number): found for number, found in ranges.items()}
        for records in read(self._target, places, self._progress.say):
            for record in records:
                found = self._found[record.partition]
                if record.offset != found.records:
                    raise MigrationRefused(
                        f"{self._name(record.partition)} has a gap at offset {found.records}, which a copy has not: "
                        "services have written to it, or it is another's; nothing was changed"
                    )
                found.add(record.timestamp_ms, record.key, record.value, record.headers)
            self._progress.advance(len(records))

    def _copy(self) -> int:
        plan, written = self._plan, 0
        limit = int(plan.old.effective.get(_MESSAGE_BYTES, _RECORD_BYTES_MIN))
        writer = CopyWriter(self._target, min(max(limit, _RECORD_BYTES_MIN), _RECORD_BYTES_MAX), self._progress.say)
        try:
            for numbers in self._parts():
                done = {number: plan.ranges[number].start for number in numbers}
                places = {TopicPartition(plan.name, number): plan.ranges[number] for number in numbers}
                for records in read(self._source, places, self._progress.say):
                    for record in records:
                        written += self._take(record, writer)
                    self._progress.advance(sum(self._passed(record, done) for record in records))
                self._progress.advance(sum(plan.ranges[number].end - at for number, at in done.items()))
            writer.flush()
        finally:
            writer.close()
        for number, there in plan.there.items():
            if there > self._wanted[number].records:
                raise MigrationRefused(
                    f"{self._name(number)} has {there} records, the source {self._wanted[number].records}: services "
                    "have written to it, or it is another's; nothing was changed"
                )
        return written

    def _passed(self, record: IncomingRecord, done: dict[int, int]) -> int:
        """The offsets up to this record that are new, the gap before it too."""
        passed = record.offset + 1 - done[record.partition]
        done[record.partition] = record.offset + 1
        return passed

    def _parts(self) -> Iterable[list[int]]:
        every = list(self._plan.ranges)
        return [[number] for number in every] if self._plan.is_repartitioned else [every]

    def _take(self, record: IncomingRecord, writer: CopyWriter) -> int:
        """Compares or writes the next record; how many were written."""
        plan = self._plan
        self._maps[record.partition].add(record.offset)
        number = record.partition
        if plan.is_repartitioned:
            number = partition_of(record.key, plan.partitions) if record.key else record.partition % plan.partitions
        wanted, there = self._wanted[number], plan.there.get(number, 0)
        wanted.add(record.timestamp_ms, record.key, record.value, record.headers)
        if wanted.records > there:
            writer.write(record, TopicPartition(plan.new_name, number))
            return 1
        if wanted.records == there:
            self._compare(number, wanted)
        return 0

    def _compare(self, number: int, wanted: RecordChecksum) -> None:
        found = self._found[number]
        if (found.records, found.value()) != (wanted.records, wanted.value()):
            raise MigrationRefused(
                f"{self._name(number)} does not hold what the source holds: {found.records} records with checksum "
                f"{found.value().hex()}, where {wanted.records} with {wanted.value().hex()} were to be; delete "
                "the topic and begin again"
            )

    def _name(self, number: int) -> str:
        return f"{self._target.name}: {self._plan.new_name}-{number}"
