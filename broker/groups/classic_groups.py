"""
All classic groups of this broker, and the requests that wait in them.

Order       Decisions are carried out in the order in which the state machine took them: what has to be stored is stored
            before the answers that rest on it leave. When the log refuses, those answers become
            COORDINATOR_NOT_AVAILABLE and the members try again: a full disk is a pause, not a lost assignment.
Restart     Groups come back Stable, with the generation and the assignments of before and new sessions for all members,
            so that a restart of the broker is no rebalance. A rebalance that was going on begins again.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import assert_never

from broker.config import BrokerConfig
from broker.errors import ErrorCode, KafkaError
from broker.groups.alarms import Alarms
from broker.groups.journal import Journal
from broker.groups.moment import Moment
from broker.groups.records import CoordinatorRecord, GroupRecord
from broker.groups.state import Group
from broker.groups.values import (
    Decision,
    JoinAnswer,
    JoinRequest,
    JoinResult,
    LeaveResult,
    LeavingMember,
    LeftMember,
    Store,
    StoredGroup,
    SyncAnswer,
    SyncRequest,
    SyncResult,
)
from broker.groups.waiting import WaitingRequests


class ClassicGroups:
    """The groups, and every request for one. join and sync take a callback: called once, never after detach(owner)."""

    __slots__ = ("_alarms", "_config", "_groups", "_journal", "_new_member_id", "_waiting")

    def __init__(
        self, *, journal: Journal, alarms: Alarms, config: BrokerConfig, new_member_id: Callable[[str], str]
    ) -> None:
        self._journal = journal
        self._alarms = alarms
        self._config = config
        self._new_member_id = new_member_id
        self._groups: dict[str, Group] = {}
        self._waiting = WaitingRequests()

    def load(self, at: Moment) -> None:
        """Makes the groups that the journal knows; their members' sessions begin now."""
        for group_id, stored in self._journal.groups.items():
            self._restore(group_id, stored, at)

    def __len__(self) -> int:
        return len(self._groups)

    def __iter__(self) -> Iterator[Group]:
        return iter(list(self._groups.values()))

    def find(self, group_id: str) -> Group | None:
        return self._groups.get(group_id)

    # requests

    def join(
        self, request: JoinRequest, *, owner: Hashable, on_complete: Callable[[JoinResult], None], at: Moment
    ) -> None:
        """Makes the group when it is not there."""
        group = self._groups.get(request.group_id)
        if group is None:
            group = self.begin(request.group_id, at)
        new_id = self._new_member_id(request.client_id if request.instance_id is None else request.instance_id)
        ticket = self._waiting.join(owner, on_complete)
        self._carry_out(group, group.join(request, new_id, ticket, at), at)
        self._tidy(group)

    def sync(
        self, request: SyncRequest, *, owner: Hashable, on_complete: Callable[[SyncResult], None], at: Moment
    ) -> None:
        group = self._groups.get(request.group_id)
        assigned = sum(map(len, request.assignments.values()))
        if group is None:
            on_complete(SyncResult(error=ErrorCode.UNKNOWN_MEMBER_ID))
        elif assigned > self._config.group_assignment_max_bytes:
            on_complete(SyncResult(error=ErrorCode.INVALID_REQUEST))
        else:
            ticket = self._waiting.sync(owner, on_complete)
            self._carry_out(group, group.sync(request, ticket, at), at)

    def heartbeat(
        self, group_id: str, member_id: str, instance_id: str | None, generation: int, at: Moment
    ) -> ErrorCode:
        group = self._groups.get(group_id)
        if group is None:
            return ErrorCode.UNKNOWN_MEMBER_ID
        return group.heartbeat(member_id, instance_id, generation, at)

    def leave(self, group_id: str, leaving: Sequence[LeavingMember], at: Moment) -> LeaveResult:
        group = self._groups.get(group_id)
        if group is None:
            unknown = ErrorCode.UNKNOWN_MEMBER_ID
            return LeaveResult(
                ErrorCode.NONE, tuple(LeftMember(each.member_id, each.instance_id, unknown) for each in leaving)
            )
        left, decisions = group.leave(leaving, at)
        self._carry_out(group, decisions, at)
        self._tidy(group)
        return LeaveResult(ErrorCode.NONE, tuple(left))

    def detach(self, owner: Hashable) -> int:
        """
        Nobody gets the answers that *owner*, whose connection has closed, waited for; how many requests that were.

        The groups go on as if it were there (see `broker.groups.state`).
        """
        return self._waiting.detach(owner)

    def stop(self) -> None:
        """Answers everything that waits; the members find their groups again when the broker is back."""
        self._waiting.refuse_all(ErrorCode.COORDINATOR_NOT_AVAILABLE)

    # lives of groups

    def begin(self, group_id: str, at: Moment) -> Group:
        """A new group, without members."""
        group = self._groups[group_id] = Group(
            group_id,
            size_max=self._config.group_max_size,
            initial_delay_ms=self._config.group_initial_rebalance_delay_ms,
            at=at,
        )
        return group

    def adopt(self, group_id: str, stored: StoredGroup, at: Moment, *, rebalances: bool) -> None:
        """Takes over the classic members of what was a consumer group; they join again when it *rebalances*."""
        group = self._restore(group_id, stored, at)
        if rebalances:
            self._carry_out(group, group.rebalance(at), at)

    def give_up(self, group_id: str, at: Moment) -> None:
        """A consumer group has taken the group's place: whoever waits in the old one is sent there."""
        group = self._groups.pop(group_id)
        self._carry_out(group, group.dissolve(at), at)

    def tick(self, group_id: str, at: Moment) -> None:
        """Carries out what is due in *group_id*; a group that is none of ours is passed over."""
        group = self._groups.get(group_id)
        if group is not None:
            self._carry_out(group, group.tick(at), at)
            self._tidy(group)

    def remove(self, group: Group, more: Sequence[CoordinatorRecord]) -> bool:
        """Takes an empty group back, and writes *more* with it; False when the log refuses."""
        stored: list[CoordinatorRecord] = [GroupRecord(group.id, None)] if group.id in self._journal.groups else []
        if not self._write([*more, *stored]):
            return False
        group.delete()
        del self._groups[group.id]
        return True

    # inside

    def _restore(self, group_id: str, stored: StoredGroup, at: Moment) -> Group:
        group = self._groups[group_id] = Group.restored(
            group_id,
            stored,
            size_max=self._config.group_max_size,
            initial_delay_ms=self._config.group_initial_rebalance_delay_ms,
            at=at,
        )
        self._alarms.set(group_id, group.next_deadline())
        return group

    def _carry_out(self, group: Group, decisions: list[Decision], at: Moment) -> None:
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
            self._carry_out(group, group.assignment_lost(at), at)
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
