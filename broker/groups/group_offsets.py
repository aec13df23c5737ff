"""
The offsets of all groups: committed at once, or staged in a transaction and committed by its end.

Whether the committer may is the groups' to say, before they come here. All offsets of a request that are not refused
one by one are written together or not at all.
"""

from collections.abc import Sequence

from broker.clock import Clock
from broker.config import BrokerConfig
from broker.errors import ErrorCode, KafkaError
from broker.groups.consumer.state import ConsumerGroup
from broker.groups.consumer_protocol import CONSUMER
from broker.groups.journal import Journal
from broker.groups.offset_log import Writer
from broker.groups.records import OffsetRecord
from broker.groups.state import Group
from broker.groups.values import CommitRequest, CommittedOffset, FetchedOffsets
from broker.identifiers import TopicPartition
from broker.records import Marker


class GroupOffsets:
    """Commits, and what is done with them."""

    __slots__ = ("_clock", "_config", "_journal")

    def __init__(self, journal: Journal, clock: Clock, config: BrokerConfig) -> None:
        self._journal = journal
        self._clock = clock
        self._config = config

    def commit(self, request: CommitRequest) -> dict[TopicPartition, ErrorCode]:
        """The outcome for each partition."""
        outcome, records = self._records(request)
        try:
            self._journal.write(records)
        except KafkaError:
            return _refused(outcome, ErrorCode.COORDINATOR_NOT_AVAILABLE)
        return outcome

    def stage(self, request: CommitRequest, writer: Writer) -> dict[TopicPartition, ErrorCode]:
        """As commit(), but the offsets count when *writer*'s transaction is committed: end()."""
        outcome, records = self._records(request)
        if not records:
            return outcome
        try:
            self._journal.stage(writer, records)
        except KafkaError as refused:
            fenced = refused.code is ErrorCode.INVALID_PRODUCER_EPOCH
            return _refused(outcome, refused.code if fenced else ErrorCode.COORDINATOR_NOT_AVAILABLE)
        return outcome

    def end(self, writer: Writer, marker: Marker) -> None:
        """Commits or drops what *writer* has staged, in all groups. Raises KafkaError; nothing has changed then."""
        self._journal.end(writer, marker)

    def fetch(self, group_id: str, partitions: Sequence[TopicPartition] | None) -> FetchedOffsets:
        """What is committed for *partitions*, or for all that have a commit. A group that does not exist has none."""
        offsets, unstable = self._journal.offsets.of(group_id), self._journal.staged.of(group_id)
        if partitions is None:
            return FetchedOffsets(ErrorCode.NONE, dict(offsets), unstable)
        return FetchedOffsets(ErrorCode.NONE, {each: offsets[each] for each in partitions if each in offsets}, unstable)

    def delete(
        self, group: Group | ConsumerGroup, partitions: Sequence[TopicPartition]
    ) -> tuple[ErrorCode, dict[TopicPartition, ErrorCode]]:
        """Takes commits back, but not those that a member is using: GROUP_SUBSCRIBED_TO_TOPIC."""
        if isinstance(group, Group) and len(group) and group.protocol_type != CONSUMER:
            return ErrorCode.NON_EMPTY_GROUP, {}
        topics = group.subscribed_topics()
        used = {each for each in partitions if topics is None or each.topic in topics}
        free = [each for each in partitions if each not in used]
        committed = self._journal.offsets.of(group.id)
        if not self._write([OffsetRecord(group.id, each, None) for each in free if each in committed]):
            return ErrorCode.COORDINATOR_NOT_AVAILABLE, {}
        return ErrorCode.NONE, {
            **dict.fromkeys(used, ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC),
            **dict.fromkeys(free, ErrorCode.NONE),
        }

    def topic_deleted(self, topic: str) -> None:
        """Takes back every commit on *topic*: a topic created later under the same name has other records."""
        for group_id, partitions in self._journal.offsets.on_topic(topic).items():
            self._write([OffsetRecord(group_id, partition, None) for partition in partitions])
        self._write([OffsetRecord(*staged, None) for staged in self._journal.staged.on_topic(topic)])

    def tombstones(self, group_id: str) -> list[OffsetRecord]:
        """The records that take back all that a group has, staged offsets included."""
        committed, staged = self._journal.offsets.of(group_id), self._journal.staged.of(group_id)
        return [OffsetRecord(group_id, partition, None) for partition in (*committed, *(staged - committed.keys()))]

    def expired(self, group: Group | ConsumerGroup) -> tuple[list[OffsetRecord], bool]:
        """The records that take back what has had its time, and whether nothing is left then."""
        # What an open transaction is about to replace is in use.
        unstable = self._journal.staged.of(group.id)
        retention_ms = self._config.offsets_retention_minutes * 60_000
        had_their_time = [
            each
            for each in self._journal.offsets.expired(group, wall_ms=self._clock.now_ms(), retention_ms=retention_ms)
            if each not in unstable
        ]
        nothing_left = not unstable and len(had_their_time) == len(self._journal.offsets.of(group.id))
        return [OffsetRecord(group.id, partition, None) for partition in had_their_time], nothing_left

    def take_back(self, records: Sequence[OffsetRecord]) -> None:
        """Writes *records*; a log that refuses is tried again with the next search."""
        self._write(records)

    def _records(self, request: CommitRequest) -> tuple[dict[TopicPartition, ErrorCode], list[OffsetRecord]]:
        """The outcome for each partition, and the records of those that are not refused."""
        now_ms = self._clock.now_ms()
        outcome: dict[TopicPartition, ErrorCode] = {}
        records: list[OffsetRecord] = []
        for partition, wanted in request.offsets.items():
            if len(wanted.metadata.encode()) > self._config.offset_metadata_max_bytes:
                outcome[partition] = ErrorCode.OFFSET_METADATA_TOO_LARGE
                continue
            outcome[partition] = ErrorCode.NONE
            committed = CommittedOffset(wanted.offset, wanted.leader_epoch, wanted.metadata, now_ms)
            records.append(OffsetRecord(request.group_id, partition, committed))
        return outcome, records

    def _write(self, records: Sequence[OffsetRecord]) -> bool:
        try:
            self._journal.write(records)
        except KafkaError:
            return False
        return True


def _refused(outcome: dict[TopicPartition, ErrorCode], code: ErrorCode) -> dict[TopicPartition, ErrorCode]:
    """*outcome* when what was to be accepted could not be written."""
    return {partition: code if error is ErrorCode.NONE else error for partition, error in outcome.items()}
