"""
The group coordinator: all groups of this broker, classic and of the consumer protocol, and their offsets.

A group is of one type at a time. Each request goes to the groups of its own type or, while a group with members moves
from one to the other, to the other type's: see consumer/migration.

Waiting     join and sync take a callback, called once, now or later, never after detach(owner).
Time        `next_deadline()` and `expire(now)`, in monotonic seconds; whoever has the event loop drives them.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Sequence

from broker.clock import Clock
from broker.config import BrokerConfig
from broker.errors import ErrorCode
from broker.groups.admission import Admission
from broker.groups.alarms import Alarms
from broker.groups.classic_groups import ClassicGroups
from broker.groups.consumer.coordinator import ConsumerGroups, random_member_id
from broker.groups.consumer.settings import ConsumerGroupSettings
from broker.groups.consumer.state import ConsumerGroup
from broker.groups.consumer.topics import NoTopics, Topics
from broker.groups.consumer.values import (
    ConsumerGroupDescription,
    ConsumerGroupState,
    HeartbeatRequest,
    HeartbeatResult,
)
from broker.groups.consumer_protocol import CONSUMER
from broker.groups.group_offsets import GroupOffsets
from broker.groups.journal import Journal, LoadReport
from broker.groups.moment import Moment
from broker.groups.offset_log import OffsetLog, Writer
from broker.groups.records import OffsetRecord
from broker.groups.state import Group
from broker.groups.values import (
    NO_GENERATION,
    CommitRequest,
    FetchedOffsets,
    GroupCensus,
    GroupDescription,
    GroupListing,
    GroupState,
    JoinRequest,
    JoinResult,
    LeaveResult,
    LeavingMember,
    StoredGroup,
    SyncRequest,
    SyncResult,
)
from broker.identifiers import TopicPartition
from broker.records import Marker


class GroupCoordinator:
    """Every group API but for the wire. One thread, plain calls."""

    __slots__ = (
        "_admission",
        "_alarms",
        "_classic",
        "_cleanup_at",
        "_clock",
        "_config",
        "_consumers",
        "_journal",
        "_offsets",
    )

    def __init__(
        self,
        *,
        log: OffsetLog,
        clock: Clock,
        config: BrokerConfig,
        topics: Topics | None = None,
        new_member_id: Callable[[str], str] = random_member_id,
    ) -> None:
        self._clock = clock
        self._config = config
        self._admission = Admission(config, clock)
        self._journal = Journal(log, clock)
        self._alarms = Alarms()
        self._offsets = GroupOffsets(self._journal, clock, config)
        self._classic = ClassicGroups(
            journal=self._journal, alarms=self._alarms, config=config, new_member_id=new_member_id
        )
        self._consumers = ConsumerGroups(
            journal=self._journal,
            alarms=self._alarms,
            topics=NoTopics() if topics is None else topics,
            settings=ConsumerGroupSettings.of(config),
            on_downgrade=self._become_classic,
            new_member_id=new_member_id,
        )
        self._cleanup_at = self._next_cleanup()

    def load(self) -> LoadReport:
        """Reads the log; to be called once, before anything else. Sessions of the members found begin now."""
        report = self._journal.load()
        at = self._moment()
        self._classic.load(at)
        self._consumers.load(at)
        for group_id in {*self._journal.offsets.groups(), *self._journal.staged.groups()}:
            self._keep_offsets(group_id)
        return report

    # membership

    def join(self, request: JoinRequest, *, owner: Hashable, on_complete: Callable[[JoinResult], None]) -> None:
        exists = self._find(request.group_id) is not None
        error = self._admission.refuse_join(request, exists=exists, groups=self._count())
        if error is not None:
            on_complete(JoinResult(error=error, member_id=request.member_id))
            return

        def joined(result: JoinResult) -> None:
            self._admission.note_classic(result.error, request.group_id)
            on_complete(result)

        at = self._moment()
        consumers = self._consumers.find(request.group_id)
        if consumers is not None and len(consumers) > 0:
            joined(self._consumers.join(consumers, request, at))
        elif consumers is not None and not self._consumers.remove(consumers, []):
            on_complete(JoinResult(error=ErrorCode.COORDINATOR_NOT_AVAILABLE, member_id=request.member_id))
        else:
            self._classic.join(request, owner=owner, on_complete=joined, at=at)

    def sync(self, request: SyncRequest, *, owner: Hashable, on_complete: Callable[[SyncResult], None]) -> None:
        consumers = self._consumers.find(request.group_id)
        if request.group_id == "":
            on_complete(SyncResult(error=ErrorCode.INVALID_GROUP_ID))
        elif consumers is not None:
            on_complete(self._consumers.sync(consumers, request, self._moment()))
        else:
            self._classic.sync(request, owner=owner, on_complete=on_complete, at=self._moment())

    def heartbeat(self, group_id: str, member_id: str, instance_id: str | None, generation: int) -> ErrorCode:
        if group_id == "":
            return ErrorCode.INVALID_GROUP_ID
        consumers = self._consumers.find(group_id)
        if consumers is not None:
            return self._consumers.classic_heartbeat(consumers, member_id, instance_id, generation, self._moment())
        return self._classic.heartbeat(group_id, member_id, instance_id, generation, self._moment())

    def leave(self, group_id: str, leaving: Sequence[LeavingMember]) -> LeaveResult:
        if group_id == "":
            return LeaveResult(ErrorCode.INVALID_GROUP_ID)
        consumers = self._consumers.find(group_id)
        if consumers is not None:
            return self._consumers.leave(consumers, leaving, self._moment())
        return self._classic.leave(group_id, leaving, self._moment())

    def consumer_heartbeat(self, request: HeartbeatRequest) -> HeartbeatResult:
        """ConsumerGroupHeartbeat: a member of the consumer protocol (KIP-848) joins, stays, reports or leaves."""
        exists = self._find(request.group_id) is not None
        refused = self._admission.refuse_heartbeat(request, exists=exists, groups=self._count())
        if refused is not None:
            return refused
        at = self._moment()
        classic = self._classic.find(request.group_id)
        result = self._consumers.heartbeat(request, classic, at)
        self._admission.note_consumer(result.error, request.group_id)
        if classic is not None and self._consumers.find(request.group_id) is not None:
            self._classic.give_up(request.group_id, at)
        return result

    def detach(self, owner: Hashable) -> int:
        """Drops what waits for *owner*, whose connection has closed; how many requests that were."""
        return self._classic.detach(owner)

    # offsets

    def commit_offsets(self, request: CommitRequest) -> dict[TopicPartition, ErrorCode]:
        """The outcome for each partition; all that are not refused one by one are committed together or not at all."""
        error = self._refuse_commit(request)
        if error is not ErrorCode.NONE:
            return dict.fromkeys(request.offsets, error)
        return self._kept(request.group_id, self._offsets.commit(request))

    def commit_in_transaction(self, request: CommitRequest, writer: Writer) -> dict[TopicPartition, ErrorCode]:
        """As commit_offsets, but the offsets count when *writer*'s transaction is committed: end_transaction()."""
        error = self._refuse_staging(request)
        if error is not ErrorCode.NONE:
            return dict.fromkeys(request.offsets, error)
        return self._kept(request.group_id, self._offsets.stage(request, writer))

    def end_transaction(self, writer: Writer, marker: Marker) -> None:
        """Commits or drops what *writer* has staged, in all groups. Raises KafkaError; nothing has changed then."""
        self._offsets.end(writer, marker)

    def fetch_offsets(self, group_id: str, partitions: Sequence[TopicPartition] | None) -> FetchedOffsets:
        """What is committed for *partitions*, or for all that have a commit. A group that does not exist has none."""
        return self._offsets.fetch(group_id, partitions)

    def refuse_fetch(self, group_id: str, member_id: str | None, member_epoch: int) -> ErrorCode:
        """NONE when the offsets may be told to who names itself so (OffsetFetch v9); most do not name themselves."""
        consumers = self._consumers.find(group_id)
        return ErrorCode.NONE if consumers is None else self._consumers.refuse_fetch(consumers, member_id, member_epoch)

    def delete_offsets(
        self, group_id: str, partitions: Sequence[TopicPartition]
    ) -> tuple[ErrorCode, dict[TopicPartition, ErrorCode]]:
        """Takes commits back, but not those that a member is using: GROUP_SUBSCRIBED_TO_TOPIC."""
        group = self._find(group_id)
        return (ErrorCode.GROUP_ID_NOT_FOUND, {}) if group is None else self._offsets.delete(group, partitions)

    def topic_deleted(self, topic: str) -> None:
        """Takes back every commit on *topic*: a topic created later under the same name has other records."""
        self._offsets.topic_deleted(topic)

    # administration

    def describe(self, group_id: str) -> GroupDescription | None:
        """A classic group; None for one that does not exist or is none."""
        group = self._classic.find(group_id)
        return None if group is None else group.described()

    def describe_consumer(self, group_id: str) -> ConsumerGroupDescription | None:
        """A consumer group; None for one that does not exist or is none."""
        group = self._consumers.find(group_id)
        return None if group is None else group.described()

    def list_groups(self) -> list[GroupListing]:
        consumers = [GroupListing(group.id, CONSUMER, group.state, "consumer") for group in self._consumers]
        return [*(group.listed() for group in self._classic), *consumers]

    def census(self) -> GroupCensus:
        """How many there are, for metrics."""
        groups = [*self._classic, *self._consumers]
        kinds = [*("classic" for _ in self._classic), *("consumer" for _ in self._consumers)]
        return GroupCensus(
            groups=Counter((kind, group.state.value) for kind, group in zip(kinds, groups, strict=True)),
            members=sum(len(group) for group in groups),
            generations=sum(group.generation for group in self._classic)
            + sum(group.roster.epoch.epoch for group in self._consumers),
        )

    def delete(self, group_id: str) -> ErrorCode:
        """Deletes a group without members, and its offsets."""
        group = self._find(group_id)
        if group is None:
            return ErrorCode.GROUP_ID_NOT_FOUND
        if group.state not in (GroupState.EMPTY, ConsumerGroupState.EMPTY):
            return ErrorCode.NON_EMPTY_GROUP
        removed = self._remove(group, self._offsets.tombstones(group_id))
        return ErrorCode.NONE if removed else ErrorCode.COORDINATOR_NOT_AVAILABLE

    # time

    def next_deadline(self) -> float:
        """When `expire` has something to do next, in monotonic seconds. May be earlier than needed."""
        alarm = self._alarms.next()
        return self._cleanup_at if alarm is None else min(alarm, self._cleanup_at)

    def expire(self, now: float) -> None:
        """Carries out what is due at *now*: sessions, ends of rebalances, offsets that have had their time."""
        at = Moment(now, self._clock.now_ms())
        for group_id in self._alarms.due(now):
            self._classic.tick(group_id, at)
            self._consumers.tick(group_id, at)
        if self._cleanup_at <= now:
            self._clean_up()
            self._cleanup_at = self._next_cleanup()

    def stop(self) -> None:
        """Answers everything that waits; the members find their groups again when the broker is back."""
        self._classic.stop()

    # who may

    def _refuse_commit(self, request: CommitRequest) -> ErrorCode:
        group = self._find(request.group_id)
        if isinstance(group, ConsumerGroup):
            return self._consumers.refuse_commit(group, request, transactional=False)
        if group is not None:
            return group.refuse_commit(request.member_id, request.instance_id, request.generation, self._moment())
        if request.generation > NO_GENERATION:
            return ErrorCode.GROUP_ID_NOT_FOUND if request.knows_member_epochs else ErrorCode.ILLEGAL_GENERATION
        if not self._admission.is_short(request.group_id):
            return ErrorCode.INVALID_GROUP_ID
        if self._admission.are_too_many(self._count(), request.group_id):
            return ErrorCode.POLICY_VIOLATION
        return ErrorCode.NONE

    def _refuse_staging(self, request: CommitRequest) -> ErrorCode:
        group = self._find(request.group_id)
        if isinstance(group, ConsumerGroup):
            return self._consumers.refuse_commit(group, request, transactional=True)
        if group is None:
            return self._refuse_commit(request)
        return group.refuse_staging(request.member_id, request.instance_id, request.generation)

    def _count(self) -> int:
        return len(self._classic) + len(self._consumers)

    # inside

    def _moment(self) -> Moment:
        return Moment(self._clock.monotonic(), self._clock.now_ms())

    def _find(self, group_id: str) -> Group | ConsumerGroup | None:
        consumers = self._consumers.find(group_id)
        return self._classic.find(group_id) if consumers is None else consumers

    def _kept(self, group_id: str, outcome: dict[TopicPartition, ErrorCode]) -> dict[TopicPartition, ErrorCode]:
        if ErrorCode.NONE in outcome.values():
            self._keep_offsets(group_id)
        return outcome

    def _keep_offsets(self, group_id: str) -> None:
        """Makes a group that only keeps offsets, unless there is one."""
        if self._find(group_id) is None:
            self._classic.begin(group_id, self._moment())

    def _become_classic(self, group_id: str, stored: StoredGroup, rebalances: bool) -> None:
        """The last member of the consumer protocol has gone: the classic ones go on among themselves."""
        self._classic.adopt(group_id, stored, self._moment(), rebalances=rebalances)

    def _remove(self, group: Group | ConsumerGroup, offsets: Sequence[OffsetRecord]) -> bool:
        if isinstance(group, ConsumerGroup):
            return self._consumers.remove(group, offsets)
        return self._classic.remove(group, offsets)

    def _clean_up(self) -> None:
        for group in (*self._classic, *self._consumers):
            expired, nothing_left = self._offsets.expired(group)
            is_idle = group.is_idle if isinstance(group, Group) else len(group) == 0
            if is_idle and nothing_left:
                self._remove(group, expired)
            else:
                self._offsets.take_back(expired)

    def _next_cleanup(self) -> float:
        return self._clock.monotonic() + self._config.offsets_retention_check_interval_ms / 1000
