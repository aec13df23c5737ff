"""
The group coordinator: all groups of this broker, their clock, their log, and the requests that wait in them.

Order       Decisions are carried out in the order in which the state machine took them: what has to be stored is stored
            before the answers that rest on it leave. When the log refuses, those answers become
            COORDINATOR_NOT_AVAILABLE and the members try again: a full disk is a pause, not a lost assignment.
Restart     Groups come back Stable, with the generation and the assignments of before and new sessions for all members,
            so that a restart of the broker is no rebalance. A rebalance that was going on begins again.
Waiting     join and sync take a callback, called once, now or later, never after detach(owner).
Time        `next_deadline()` and `expire(now)`, in monotonic seconds; whoever has the event loop drives them.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import assert_never

from broker.clock import Clock
from broker.config import BrokerConfig
from broker.errors import ErrorCode, KafkaError
from broker.groups.alarms import Alarms
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
from broker.groups.journal import Journal, LoadReport
from broker.groups.moment import Moment
from broker.groups.offset_log import OffsetLog, Writer
from broker.groups.records import CoordinatorRecord, GroupRecord, OffsetRecord
from broker.groups.state import Group
from broker.groups.values import (
    NO_GENERATION,
    CommitRequest,
    CommittedOffset,
    Decision,
    FetchedOffsets,
    GroupDescription,
    GroupListing,
    GroupState,
    JoinAnswer,
    JoinRequest,
    JoinResult,
    LeaveResult,
    LeavingMember,
    Store,
    StoredGroup,
    SyncAnswer,
    SyncRequest,
    SyncResult,
)
from broker.groups.waiting import WaitingRequests
from broker.identifiers import TopicPartition
from broker.records import Marker


class GroupCoordinator:
    """Every group API but for the wire. One thread, plain calls."""

    __slots__ = (
        "_alarms",
        "_cleanup_at",
        "_clock",
        "_config",
        "_consumers",
        "_groups",
        "_journal",
        "_new_member_id",
        "_waiting",
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
        self._new_member_id = new_member_id
        self._journal = Journal(log, clock)
        self._groups: dict[str, Group] = {}
        self._waiting = WaitingRequests()
        self._alarms = Alarms()
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
        for group_id, stored in self._journal.groups.items():
            group = self._groups[group_id] = self._restore(group_id, stored, at)
            self._alarms.set(group_id, group.next_deadline())
        self._consumers.load(at)
        for group_id in {*self._journal.offsets.groups(), *self._journal.staged.groups()}:
            self._keep_offsets(group_id)
        return report

    # membership

    def join(self, request: JoinRequest, *, owner: Hashable, on_complete: Callable[[JoinResult], None]) -> None:
        error = self._refuse_join(request)
        if error is not None:
            on_complete(JoinResult(error=error, member_id=request.member_id))
            return
        at = self._moment()
        consumers = self._consumers.find(request.group_id)
        if consumers is not None:
            if len(consumers) > 0:
                on_complete(self._consumers.join(consumers, request, at))
                return
            if not self._consumers.remove(consumers, []):
                on_complete(JoinResult(error=ErrorCode.COORDINATOR_NOT_AVAILABLE, member_id=request.member_id))
                return
        group = self._groups.get(request.group_id)
        if group is None:
            group = self._groups[request.group_id] = self._begin(request.group_id, at)
        new_id = self._new_member_id(request.client_id if request.instance_id is None else request.instance_id)
        ticket = self._waiting.join(request.group_id, owner, on_complete)
        self._carry_out(group, group.join(request, new_id, ticket, at))
        self._tidy(group)

    def sync(self, request: SyncRequest, *, owner: Hashable, on_complete: Callable[[SyncResult], None]) -> None:
        group = self._groups.get(request.group_id)
        consumers = self._consumers.find(request.group_id)
        assigned = sum(map(len, request.assignments.values()))
        if request.group_id == "":
            on_complete(SyncResult(error=ErrorCode.INVALID_GROUP_ID))
        elif consumers is not None:
            on_complete(self._consumers.sync(consumers, request, self._moment()))
        elif group is None:
            on_complete(SyncResult(error=ErrorCode.UNKNOWN_MEMBER_ID))
        elif assigned > self._config.group_assignment_max_bytes:
            on_complete(SyncResult(error=ErrorCode.INVALID_REQUEST))
        else:
            ticket = self._waiting.sync(request.group_id, owner, on_complete)
            self._carry_out(group, group.sync(request, ticket, self._moment()))

    def heartbeat(self, group_id: str, member_id: str, instance_id: str | None, generation: int) -> ErrorCode:
        if group_id == "":
            return ErrorCode.INVALID_GROUP_ID
        consumers = self._consumers.find(group_id)
        if consumers is not None:
            return self._consumers.classic_heartbeat(consumers, member_id, instance_id, generation, self._moment())
        group = self._groups.get(group_id)
        if group is None:
            return ErrorCode.UNKNOWN_MEMBER_ID
        return group.heartbeat(member_id, instance_id, generation, self._moment())

    def leave(self, group_id: str, leaving: Sequence[LeavingMember]) -> LeaveResult:
        if group_id == "":
            return LeaveResult(ErrorCode.INVALID_GROUP_ID)
        consumers = self._consumers.find(group_id)
        if consumers is not None:
            return self._consumers.leave(consumers, leaving, self._moment())
        group = self._groups.get(group_id)
        if group is None:
            return LeaveResult(ErrorCode.UNKNOWN_MEMBER_ID)
        left, decisions = group.leave(leaving, self._moment())
        self._carry_out(group, decisions)
        self._tidy(group)
        return LeaveResult(ErrorCode.NONE, tuple(left))

    def consumer_heartbeat(self, request: HeartbeatRequest) -> HeartbeatResult:
        """ConsumerGroupHeartbeat: a member of the consumer protocol (KIP-848) joins, stays, reports or leaves."""
        refused = self._refuse_consumer(request)
        if refused is not None:
            return refused
        at = self._moment()
        classic = self._groups.get(request.group_id)
        result = self._consumers.heartbeat(request, classic, at)
        if classic is not None and self._consumers.find(request.group_id) is not None:
            # The consumer group has taken its place: whoever waits in the old one is sent there.
            del self._groups[request.group_id]
            self._carry_out(classic, classic.dissolve(at))
        return result

    def detach(self, owner: Hashable) -> int:
        """Drops what waits for *owner*, whose connection has closed; how many requests that were."""
        dropped = self._waiting.detach(owner)
        at = self._moment()
        for group_id, ticket in dropped:
            group = self._groups.get(group_id)
            if group is not None:
                group.drop(ticket, at)
                self._alarms.set(group_id, group.next_deadline())
        return len(dropped)

    # offsets

    def commit_offsets(self, request: CommitRequest) -> dict[TopicPartition, ErrorCode]:
        """The outcome for each partition; all that are not refused one by one are committed together or not at all."""
        error = self._refuse_commit(request)
        if error is not ErrorCode.NONE:
            return dict.fromkeys(request.offsets, error)
        outcome, records = self._offset_records(request)
        if not self._write(records):
            return _refused(outcome, ErrorCode.COORDINATOR_NOT_AVAILABLE)
        if records:
            self._keep_offsets(request.group_id)
        return outcome

    def commit_in_transaction(self, request: CommitRequest, writer: Writer) -> dict[TopicPartition, ErrorCode]:
        """As commit_offsets, but the offsets count when *writer*'s transaction is committed: end_transaction()."""
        error = self._refuse_staging(request)
        if error is not ErrorCode.NONE:
            return dict.fromkeys(request.offsets, error)
        outcome, records = self._offset_records(request)
        if not records:
            return outcome
        try:
            self._journal.stage(writer, records)
        except KafkaError as refused:
            fenced = refused.code is ErrorCode.INVALID_PRODUCER_EPOCH
            return _refused(outcome, refused.code if fenced else ErrorCode.COORDINATOR_NOT_AVAILABLE)
        self._keep_offsets(request.group_id)
        return outcome

    def end_transaction(self, writer: Writer, marker: Marker) -> None:
        """Commits or drops what *writer* has staged, in all groups. Raises KafkaError; nothing has changed then."""
        self._journal.end(writer, marker)

    def fetch_offsets(self, group_id: str, partitions: Sequence[TopicPartition] | None) -> FetchedOffsets:
        """What is committed for *partitions*, or for all that have a commit. A group that does not exist has none."""
        offsets, unstable = self._journal.offsets.of(group_id), self._journal.staged.of(group_id)
        if partitions is None:
            return FetchedOffsets(ErrorCode.NONE, dict(offsets), unstable)
        return FetchedOffsets(ErrorCode.NONE, {each: offsets[each] for each in partitions if each in offsets}, unstable)

    def refuse_fetch(self, group_id: str, member_id: str | None, member_epoch: int) -> ErrorCode:
        """NONE when the offsets may be told to who names itself so (OffsetFetch v9); most do not name themselves."""
        consumers = self._consumers.find(group_id)
        return ErrorCode.NONE if consumers is None else self._consumers.refuse_fetch(consumers, member_id, member_epoch)

    def delete_offsets(
        self, group_id: str, partitions: Sequence[TopicPartition]
    ) -> tuple[ErrorCode, dict[TopicPartition, ErrorCode]]:
        """Takes commits back, but not those that a member is using: GROUP_SUBSCRIBED_TO_TOPIC."""
        group = self._find(group_id)
        if group is None:
            return ErrorCode.GROUP_ID_NOT_FOUND, {}
        if isinstance(group, Group) and len(group) and group.protocol_type != CONSUMER:
            return ErrorCode.NON_EMPTY_GROUP, {}
        topics = group.subscribed_topics()
        used = [each for each in partitions if topics is None or each.topic in topics]
        free = [each for each in partitions if each not in set(used)]
        committed = self._journal.offsets.of(group_id)
        written = self._write([OffsetRecord(group_id, each, None) for each in free if each in committed])
        if not written:
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

    # administration

    def describe(self, group_id: str) -> GroupDescription | None:
        """A classic group; None for one that does not exist or is none."""
        group = self._groups.get(group_id)
        return None if group is None else group.described()

    def describe_consumer(self, group_id: str) -> ConsumerGroupDescription | None:
        """A consumer group; None for one that does not exist or is none."""
        group = self._consumers.find(group_id)
        return None if group is None else group.described()

    def list_groups(self) -> list[GroupListing]:
        consumers = [GroupListing(group.id, CONSUMER, group.state, "consumer") for group in self._consumers]
        return [*(group.listed() for group in self._groups.values()), *consumers]

    def delete(self, group_id: str) -> ErrorCode:
        """Deletes a group without members, and its offsets."""
        group = self._find(group_id)
        if group is None:
            return ErrorCode.GROUP_ID_NOT_FOUND
        if group.state not in (GroupState.EMPTY, ConsumerGroupState.EMPTY):
            return ErrorCode.NON_EMPTY_GROUP
        committed, staged = self._journal.offsets.of(group_id), self._journal.staged.of(group_id)
        offsets: list[CoordinatorRecord] = [
            OffsetRecord(group_id, partition, None) for partition in (*committed, *(staged - committed.keys()))
        ]
        return ErrorCode.NONE if self._remove(group, offsets) else ErrorCode.COORDINATOR_NOT_AVAILABLE

    # time

    def next_deadline(self) -> float:
        """When `expire` has something to do next, in monotonic seconds. May be earlier than needed."""
        alarm = self._alarms.next()
        return self._cleanup_at if alarm is None else min(alarm, self._cleanup_at)

    def expire(self, now: float) -> None:
        """Carries out what is due at *now*: sessions, ends of rebalances, offsets that have had their time."""
        at = Moment(now, self._clock.now_ms())
        for group_id in self._alarms.due(now):
            group = self._groups.get(group_id)
            if group is not None:
                self._carry_out(group, group.tick(at))
                self._tidy(group)
            self._consumers.tick(group_id, at)
        if self._cleanup_at <= now:
            self._clean_up(at)
            self._cleanup_at = self._next_cleanup()

    def stop(self) -> None:
        """Answers everything that waits; the members find their groups again when the broker is back."""
        self._waiting.refuse_all(ErrorCode.COORDINATOR_NOT_AVAILABLE)

    # inside

    def _moment(self) -> Moment:
        return Moment(self._clock.monotonic(), self._clock.now_ms())

    def _begin(self, group_id: str, at: Moment) -> Group:
        return Group(
            group_id,
            size_max=self._config.group_max_size,
            initial_delay_ms=self._config.group_initial_rebalance_delay_ms,
            at=at,
        )

    def _restore(self, group_id: str, stored: StoredGroup, at: Moment) -> Group:
        return Group.restored(
            group_id,
            stored,
            size_max=self._config.group_max_size,
            initial_delay_ms=self._config.group_initial_rebalance_delay_ms,
            at=at,
        )

    def _refuse_join(self, request: JoinRequest) -> ErrorCode | None:
        config = self._config
        shortest, longest = config.group_min_session_timeout_ms, config.group_max_session_timeout_ms
        described = sum(len(name.encode()) + len(metadata) for name, metadata in request.protocols)
        names = (request.member_id, request.instance_id or "", request.client_id, request.protocol_type)
        if request.group_id == "" or len(request.group_id.encode()) > config.group_name_max_bytes:
            return ErrorCode.INVALID_GROUP_ID
        if not shortest <= request.session_timeout_ms <= longest:
            return ErrorCode.INVALID_SESSION_TIMEOUT
        if any(len(name.encode()) > config.group_name_max_bytes for name in names):
            return ErrorCode.INVALID_REQUEST
        if described > config.group_member_metadata_max_bytes:
            return ErrorCode.INVALID_REQUEST
        if request.group_id not in self._groups and self._consumers.find(request.group_id) is None:
            if request.member_id != "":
                return ErrorCode.UNKNOWN_MEMBER_ID
            if self._are_too_many():
                return ErrorCode.POLICY_VIOLATION
        return None

    def _refuse_consumer(self, request: HeartbeatRequest) -> HeartbeatResult | None:
        names_max = self._config.group_name_max_bytes
        names = (request.group_id, request.member_id, request.instance_id, request.rack_id, request.client_id)
        longest = max((len(name.encode()) for name in names if name is not None), default=0)
        if longest > names_max:
            return HeartbeatResult(
                error=ErrorCode.INVALID_REQUEST,
                message=f"a name of {longest} bytes, allowed are {names_max} (group.name.max.bytes)",
            )
        known = request.group_id in self._groups or self._consumers.find(request.group_id) is not None
        if not known and request.member_epoch == 0 and self._are_too_many():
            return HeartbeatResult(
                error=ErrorCode.POLICY_VIOLATION,
                message=f"there are {self._config.group_max_count} groups already (group.max.count)",
            )
        return None

    def _find(self, group_id: str) -> Group | ConsumerGroup | None:
        consumers = self._consumers.find(group_id)
        return self._groups.get(group_id) if consumers is None else consumers

    def _are_too_many(self) -> bool:
        return len(self._groups) + len(self._consumers) >= self._config.group_max_count

    def _keep_offsets(self, group_id: str) -> None:
        """Makes a group that only keeps offsets, unless there is one."""
        if group_id not in self._groups and self._consumers.find(group_id) is None:
            self._groups[group_id] = self._begin(group_id, self._moment())

    def _become_classic(self, group_id: str, stored: StoredGroup) -> None:
        """The last member of the consumer protocol has gone: the classic ones go on among themselves."""
        at = self._moment()
        group = self._groups[group_id] = self._restore(group_id, stored, at)
        self._carry_out(group, group.rebalance(at))

    def _refuse_commit(self, request: CommitRequest) -> ErrorCode:
        consumers = self._consumers.find(request.group_id)
        if consumers is not None:
            return self._consumers.refuse_commit(consumers, request, transactional=False)
        group = self._groups.get(request.group_id)
        if group is not None:
            return group.refuse_commit(request.member_id, request.instance_id, request.generation, self._moment())
        if request.generation > NO_GENERATION:
            return ErrorCode.GROUP_ID_NOT_FOUND if request.knows_member_epochs else ErrorCode.ILLEGAL_GENERATION
        if len(request.group_id.encode()) > self._config.group_name_max_bytes:
            return ErrorCode.INVALID_GROUP_ID
        if self._are_too_many():
            return ErrorCode.POLICY_VIOLATION
        return ErrorCode.NONE

    def _refuse_staging(self, request: CommitRequest) -> ErrorCode:
        consumers = self._consumers.find(request.group_id)
        if consumers is not None:
            return self._consumers.refuse_commit(consumers, request, transactional=True)
        group = self._groups.get(request.group_id)
        if group is None:
            return self._refuse_commit(request)
        return group.refuse_staging(request.member_id, request.instance_id, request.generation)

    def _offset_records(self, request: CommitRequest) -> tuple[dict[TopicPartition, ErrorCode], list[OffsetRecord]]:
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

    def _carry_out(self, group: Group, decisions: list[Decision]) -> None:
        stored = True
        for decision in decisions:
            match decision:
                case Store(state):
                    stored = self._write([GroupRecord(group.id, state)]) and stored
                case JoinAnswer(ticket, result):
                    refused = JoinResult(error=ErrorCode.COORDINATOR_NOT_AVAILABLE, member_id=result.member_id)
                    self._waiting.answer(decision if stored else JoinAnswer(ticket, refused))
                case SyncAnswer(ticket):
                    refusal = SyncAnswer(ticket, SyncResult(error=ErrorCode.COORDINATOR_NOT_AVAILABLE))
                    self._waiting.answer(decision if stored else refusal)
                case _:
                    assert_never(decision)
        if not stored:
            self._carry_out(group, group.assignment_lost(self._moment()))
        self._alarms.set(group.id, group.next_deadline())

    def _write(self, records: Sequence[CoordinatorRecord]) -> bool:
        try:
            self._journal.write(records)
        except KafkaError:
            return False
        return True

    def _tidy(self, group: Group) -> None:
        """A group that nobody ever was in leaves no trace, so that strangers' mistyped names do not pile up."""
        nothing_kept = (
            group.id not in self._journal.groups
            and not self._journal.offsets.of(group.id)
            and not self._journal.staged.of(group.id)
        )
        if group.is_idle and nothing_kept and self._groups.get(group.id) is group:
            group.delete()
            del self._groups[group.id]

    def _remove(self, group: Group | ConsumerGroup, offsets: list[CoordinatorRecord]) -> bool:
        if isinstance(group, ConsumerGroup):
            return self._consumers.remove(group, offsets)
        stored: list[CoordinatorRecord] = [GroupRecord(group.id, None)] if group.id in self._journal.groups else []
        if not self._write([*offsets, *stored]):
            return False
        group.delete()
        del self._groups[group.id]
        return True

    def _clean_up(self, at: Moment) -> None:
        retention_ms = self._config.offsets_retention_minutes * 60_000
        for group in (*self._groups.values(), *self._consumers):
            # What an open transaction is about to replace is in use.
            unstable = self._journal.staged.of(group.id)
            expired = [
                each
                for each in self._journal.offsets.expired(group, wall_ms=at.wall_ms, retention_ms=retention_ms)
                if each not in unstable
            ]
            records: list[CoordinatorRecord] = [OffsetRecord(group.id, partition, None) for partition in expired]
            is_idle = len(group) == 0 if isinstance(group, ConsumerGroup) else group.is_idle
            if is_idle and not unstable and len(expired) == len(self._journal.offsets.of(group.id)):
                self._remove(group, records)
            else:
                self._write(records)

    def _next_cleanup(self) -> float:
        return self._clock.monotonic() + self._config.offsets_retention_check_interval_ms / 1000


def _refused(outcome: dict[TopicPartition, ErrorCode], code: ErrorCode) -> dict[TopicPartition, ErrorCode]:
    """*outcome* when what was to be accepted could not be written."""
    return {partition: code if error is ErrorCode.NONE else error for partition, error in outcome.items()}
