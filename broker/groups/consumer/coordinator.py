"""
All consumer groups of this broker: what their state machines decide is stored first and answered then.

A log that refuses takes the decision back: the group is made anew from what is stored, with new sessions for its
members, and the member is told COORDINATOR_NOT_AVAILABLE, upon which it tries again.
"""

from collections.abc import Callable, Iterator, Sequence
from uuid import uuid4

from broker.errors import ErrorCode, KafkaError
from broker.groups.alarms import Alarms
from broker.groups.consumer.classic_members import ClassicMembers
from broker.groups.consumer.commits import refuse_commit, refuse_fetch
from broker.groups.consumer.migration import downgraded, upgraded
from broker.groups.consumer.requests import check_heartbeat
from broker.groups.consumer.settings import ConsumerGroupSettings
from broker.groups.consumer.state import ConsumerGroup
from broker.groups.consumer.stored import StoredConsumerGroup
from broker.groups.consumer.topics import Topics
from broker.groups.consumer.values import ConsumerGroupState, HeartbeatRequest, HeartbeatResult
from broker.groups.consumer_protocol import CONSUMER, MalformedConsumerProtocol
from broker.groups.journal import Journal
from broker.groups.moment import Moment
from broker.groups.records import CoordinatorRecord, GroupRecord
from broker.groups.state import Group
from broker.groups.values import (
    CommitRequest,
    JoinRequest,
    JoinResult,
    LeaveResult,
    LeavingMember,
    StoredGroup,
    SyncRequest,
    SyncResult,
)


def random_member_id(prefix: str) -> str:
    """
    Kafka's two forms: for a classic member the client's id (or the instance's), a dash, and a UUID; for one of the
    consumer protocol, whose *prefix* is "", a UUID.
    """
    return f"{prefix}-{uuid4()}" if prefix else str(uuid4())


class ConsumerGroups:
    """
    The groups, and every request for one.

    *on_downgrade* is given the classic group that one has become, and whether that has to rebalance.
    """

    __slots__ = ("_alarms", "_groups", "_journal", "_new_member_id", "_on_downgrade", "_settings", "_topics")

    def __init__(
        self,
        *,
        journal: Journal,
        alarms: Alarms,
        topics: Topics,
        settings: ConsumerGroupSettings,
        on_downgrade: Callable[[str, StoredGroup, bool], None],
        new_member_id: Callable[[str], str] = random_member_id,
    ) -> None:
        self._journal = journal
        self._alarms = alarms
        self._topics = topics
        self._settings = settings
        self._on_downgrade = on_downgrade
        self._new_member_id = new_member_id
        self._groups: dict[str, ConsumerGroup] = {}

    def load(self, at: Moment) -> None:
        """Makes the groups that the journal knows; their members' sessions begin now."""
        for group_id in self._journal.consumer_groups:
            self._restore(group_id, at)

    def __len__(self) -> int:
        return len(self._groups)

    def __iter__(self) -> Iterator[ConsumerGroup]:
        return iter(list(self._groups.values()))

    def find(self, group_id: str) -> ConsumerGroup | None:
        return self._groups.get(group_id)

    # members

    def heartbeat(self, request: HeartbeatRequest, classic: Group | None, at: Moment) -> HeartbeatResult:
        """
        *classic* is the classic group of that id, if there is one. When `find` finds a consumer group afterwards, that
        one has taken the classic group's place.
        """
        try:
            check_heartbeat(request, self._settings.assignors)
            group = self._groups.get(request.group_id)
            before: list[CoordinatorRecord] = []
            if group is None:
                group, before = self._begin(request, classic, at)
            result = group.heartbeat(request, self._new_member_id(""), at)
            self._store(group, before, at)
        except KafkaError as error:
            return HeartbeatResult(error=error.code, message=error.message or None)
        return result

    def join(self, group: ConsumerGroup, request: JoinRequest, at: Moment) -> JoinResult:
        """A classic member joins."""
        try:
            new_id = self._new_member_id(request.instance_id or request.client_id)
            result = ClassicMembers(group, self._topics).join(request, new_id, at)
            self._store(group, [], at, joins=True)
        except KafkaError as error:
            return JoinResult(error=error.code, member_id=request.member_id)
        return result

    def sync(self, group: ConsumerGroup, request: SyncRequest, at: Moment) -> SyncResult:
        """A classic member fetches its assignment."""
        try:
            return ClassicMembers(group, self._topics).sync(request, at)
        except KafkaError as error:
            return SyncResult(error=error.code)
        finally:
            self._alarms.set(group.id, group.next_deadline())

    def classic_heartbeat(
        self, group: ConsumerGroup, member_id: str, instance_id: str | None, generation: int, at: Moment
    ) -> ErrorCode:
        """A classic member is alive, and learns whether there is a step for it to take."""
        try:
            ClassicMembers(group, self._topics).heartbeat(member_id, instance_id, generation, at)
        except KafkaError as error:
            return error.code
        finally:
            self._alarms.set(group.id, group.next_deadline())
        return ErrorCode.NONE

    def leave(self, group: ConsumerGroup, leaving: Sequence[LeavingMember], at: Moment) -> LeaveResult:
        """Members leave by the classic request."""
        left = ClassicMembers(group, self._topics).leave(leaving, at)
        try:
            self._store(group, [], at)
        except KafkaError as error:
            return LeaveResult(error.code)
        return LeaveResult(ErrorCode.NONE, tuple(left))

    # offsets

    def refuse_commit(self, group: ConsumerGroup, request: CommitRequest, *, transactional: bool) -> ErrorCode:
        """NONE when the offsets of such a committer count."""
        return refuse_commit(group, request, self._topics, transactional=transactional)

    def refuse_fetch(self, group: ConsumerGroup, member_id: str | None, member_epoch: int) -> ErrorCode:
        """NONE when the group's offsets are to be told to such a member."""
        return refuse_fetch(group, member_id, member_epoch)

    # lives of groups

    def tick(self, group_id: str, at: Moment) -> None:
        """Fences members of *group_id* that are late; a group that is none of ours is passed over."""
        group = self._groups.get(group_id)
        if group is None:
            return
        group.tick(at)
        try:
            self._store(group, [], at)
        except KafkaError:
            # They have new sessions now; by their ends the log may take records again.
            return
        if self._groups.get(group_id) is group:
            self._alarms.set(group_id, group.next_deadline())

    def remove(self, group: ConsumerGroup, more: Sequence[CoordinatorRecord]) -> bool:
        """Takes an empty group back, and writes *more* with it; False when the log refuses."""
        try:
            self._journal.write([*more, *self._stored(group.id).tombstones(group.id)])
        except KafkaError:
            return False
        del self._groups[group.id]
        return True

    # inside

    def _begin(
        self, request: HeartbeatRequest, classic: Group | None, at: Moment
    ) -> tuple[ConsumerGroup, list[CoordinatorRecord]]:
        """A group for the member that joins, and the records that take *classic* away. Raises KafkaError."""
        if request.member_epoch != 0:
            raise KafkaError(ErrorCode.GROUP_ID_NOT_FOUND, f"Consumer group {request.group_id} not found.")
        if classic is None:
            return self._make(request.group_id, StoredConsumerGroup(), at), []
        gone: list[CoordinatorRecord] = []
        if request.group_id in self._journal.groups:
            gone.append(GroupRecord(request.group_id, None))
        if classic.is_idle:
            return self._make(request.group_id, StoredConsumerGroup(), at), gone
        too_many = len(classic) > self._settings.size_max
        if not self._settings.upgrades or classic.protocol_type != CONSUMER or too_many:
            raise KafkaError(ErrorCode.GROUP_ID_NOT_FOUND, f"Group {request.group_id} is not a consumer group.")
        try:
            stored = upgraded(classic, self._topics, at)
        except MalformedConsumerProtocol as error:
            raise KafkaError(
                ErrorCode.GROUP_ID_NOT_FOUND, f"Cannot upgrade classic group {request.group_id}: {error}."
            ) from error
        return self._make(request.group_id, stored, at), [*gone, *stored.records(request.group_id)]

    def _store(self, group: ConsumerGroup, before: list[CoordinatorRecord], at: Moment, *, joins: bool = False) -> None:
        """
        Makes durable what has changed; *joins*: because a classic member has joined. Raises KafkaError
        COORDINATOR_NOT_AVAILABLE; nothing has changed then.
        """
        changed = group.take_records()
        if not changed and not before:
            # The session has moved further away: the alarm that is set will find nothing due, and be set anew.
            return
        classic: StoredGroup | None = None
        records: list[CoordinatorRecord] = [*before, *changed]
        rebalances = True
        if changed and group.becomes_classic:
            # A member that has just joined has its answer, and in a Stable group all the others have theirs.
            rebalances = not joins or group.state is not ConsumerGroupState.STABLE
            classic = downgraded(group, self._topics, at)
            group.roster.clear()
            records += [*group.take_records(), GroupRecord(group.id, classic)]
        try:
            self._journal.write(records)
        except KafkaError as error:
            self._groups.pop(group.id, None)
            self._restore(group.id, at)
            raise KafkaError(ErrorCode.COORDINATOR_NOT_AVAILABLE, "The group's state could not be stored.") from error
        if classic is not None:
            self._groups.pop(group.id, None)
            self._on_downgrade(group.id, classic, rebalances)
            return
        self._groups[group.id] = group
        self._alarms.set(group.id, group.next_deadline())

    def _restore(self, group_id: str, at: Moment) -> None:
        """Makes a group from what is stored of it; nothing when nothing is."""
        if group_id in self._journal.consumer_groups:
            group = self._groups[group_id] = self._make(group_id, self._stored(group_id), at)
            self._alarms.set(group_id, group.next_deadline())

    def _stored(self, group_id: str) -> StoredConsumerGroup:
        return self._journal.consumer_groups.get(group_id, StoredConsumerGroup()).copy()

    def _make(self, group_id: str, stored: StoredConsumerGroup, at: Moment) -> ConsumerGroup:
        return ConsumerGroup(group_id, stored, topics=self._topics, settings=self._settings, at=at)
