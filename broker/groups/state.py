"""
The classic group protocol as a state machine: events and the time go in, decisions come out. No I/O, no clock.

    Empty ── first join ──> PreparingRebalance ── all joined, or time over ──> CompletingRebalance
      ^                       ^     │  ^                                          │         │
      │                       │     │  └── join, leave, expiry, sync timeout ─────┘         │ the leader's sync
      └─── nobody joined ─────┼─────┘                                                       v
                              └────────────── join, leave, expiry ────────────────────── Stable
    any ── deleted ──> Dead

- A generation begins when PreparingRebalance ends. Members that did not join by then are out; static ones stay in, and
  go when they do not sync either.
- The leader, and nobody else, brings the assignments; they are stored before anybody is told. So one generation has
  one assignment.
- A request that has to wait is parked under a ticket. Each ticket is answered exactly once. Whether anybody is still
  there to read the answer is nothing that the group knows: who has joined and was killed counts as joined, so that the
  others go on at once, and its session, which begins with the answer, ends it.
- Static members (KIP-345): a join under a known instance id takes the place of the member before, whose id is fenced
  from then on (FENCED_INSTANCE_ID). In a Stable group that is no rebalance, as long as protocol and topics stay.

Time    a Moment: monotonic seconds for what is waited for, wall milliseconds only for what is stored.
Source  Kafka 4.3's classic groups; KIP-345, KIP-394 (known member ids), KIP-814 (skipped assignment).
"""

from collections.abc import Sequence

from broker.errors import ErrorCode
from broker.groups.answers import Answers
from broker.groups.consumer_protocol import subscribed_topics
from broker.groups.generation import Generation
from broker.groups.member import Member
from broker.groups.moment import Moment
from broker.groups.rebalance import RebalanceTimers
from broker.groups.values import (
    NO_GENERATION,
    Decision,
    GroupState,
    JoinRequest,
    JoinResult,
    LeavingMember,
    LeftMember,
    StoredGroup,
    SyncRequest,
    SyncResult,
)


class Group(Generation):
    """One group. Every event returns the decisions that it led to, in the order of their execution."""

    __slots__ = ("_answers", "_size_max", "_timers")

    def __init__(self, group_id: str, *, size_max: int, initial_delay_ms: int, at: Moment) -> None:
        super().__init__(group_id, at)
        self._size_max = size_max
        self._timers = RebalanceTimers(initial_delay_ms)
        self._answers = Answers()

    @classmethod
    def restored(
        cls, group_id: str, stored: StoredGroup, *, size_max: int, initial_delay_ms: int, at: Moment
    ) -> "Group":
        """A group as the log knows it: Stable with all its members, whose sessions begin now, or Empty."""
        group = cls(group_id, size_max=size_max, initial_delay_ms=initial_delay_ms, at=at)
        group.state_timestamp_ms = stored.state_timestamp_ms
        group.generation = stored.generation
        for member in stored.members:
            group._who.add(Member.restored(member, stored.protocol_type, stored.protocol, at.now), stored.protocol_type)
        group._who.protocol_type = stored.protocol_type or None
        if stored.members:
            group.state = GroupState.STABLE
            group.protocol = stored.protocol
            if stored.leader is not None and stored.leader in group._who:
                group._who.leader = stored.leader
        return group

    # events

    def join(self, request: JoinRequest, new_member_id: str, ticket: int, at: Moment) -> list[Decision]:
        """*new_member_id* is used when the member needs one."""
        known = request.member_id in self._who or request.instance_id in self._who.static
        waiting = 0 if request.member_id in self._pending else len(self._pending)
        names = [name for name, _ in request.protocols]
        if self.state is GroupState.DEAD:
            self._refuse_join(ticket, request, ErrorCode.COORDINATOR_NOT_AVAILABLE)
        elif not known and len(self._who) + waiting >= self._size_max:
            self._refuse_join(ticket, request, ErrorCode.GROUP_MAX_SIZE_REACHED)
        elif not request.protocol_type or not names or not self._who.supports(request.protocol_type, names):
            self._refuse_join(ticket, request, ErrorCode.INCONSISTENT_GROUP_PROTOCOL)
        elif request.member_id == "":
            self._join_new(request, new_member_id, ticket, at)
        elif request.member_id in self._pending and request.instance_id is None:
            self._add(request, request.member_id, ticket, at)
        elif error := self._who.stranger(request.member_id, request.instance_id):
            self._refuse_join(ticket, request, error)
        else:
            self._join_again(self._who[request.member_id], request, ticket, at)
        return self._answers.take()

    def sync(self, request: SyncRequest, ticket: int, at: Moment) -> list[Decision]:
        error = self._not_current(request.member_id, request.instance_id, request.generation)
        if error is None:
            error = self._other_protocol(request)
        if error is None and self.state is GroupState.PREPARING_REBALANCE:
            error = ErrorCode.REBALANCE_IN_PROGRESS
        if error is not None:
            self._answers.sync_at_once(ticket, SyncResult(error=error))
            return self._answers.take()
        member = self._who[request.member_id]
        member.heard(at.now)
        self._timers.synced(member.id)
        # As with join: a repeated sync answers the one before.
        self._answers.sync(member, SyncResult(error=ErrorCode.REBALANCE_IN_PROGRESS), at.now)
        if self.state is GroupState.STABLE:
            self._answers.sync_at_once(ticket, self._assigned(member))
            return self._answers.take()
        self._answers.park_sync(member, ticket)
        if member.id == self._who.leader:
            self._complete_sync(request, at)
        return self._answers.take()

    def heartbeat(self, member_id: str, instance_id: str | None, generation: int, at: Moment) -> ErrorCode:
        error = self._not_current(member_id, instance_id, generation)
        if error is not None:
            return error
        self._who[member_id].heard(at.now)
        if self.state is GroupState.PREPARING_REBALANCE:
            return ErrorCode.REBALANCE_IN_PROGRESS
        return ErrorCode.NONE

    def leave(self, leaving: Sequence[LeavingMember], at: Moment) -> tuple[list[LeftMember], list[Decision]]:
        """All of *leaving* go at once: one rebalance follows, not one for each."""
        left: list[LeftMember] = []
        gone = False
        for each in leaving:
            member_id = each.member_id
            if member_id == "" and each.instance_id is not None:
                member_id = self._who.static.get(each.instance_id, "")
            error = ErrorCode.NONE
            if member_id in self._pending:
                del self._pending[member_id]
            else:
                error = self._who.stranger(member_id, each.instance_id) or ErrorCode.NONE
                if error is ErrorCode.NONE:
                    self._remove(member_id, at)
            gone = gone or error is ErrorCode.NONE
            left.append(LeftMember(each.member_id, each.instance_id, error))
        if gone:
            self._somebody_left(at)
        return left, self._answers.take()

    def tick(self, at: Moment) -> list[Decision]:
        """Carries out whatever is due: sessions, promised ids, the ends of the two phases of a rebalance."""
        expired = [member_id for member_id, expires_at in self._expiries() if expires_at <= at.now]
        for member_id in expired:
            self._remove(member_id, at)
        forgotten = [member_id for member_id, deadline in self._pending.items() if deadline <= at.now]
        for member_id in forgotten:
            del self._pending[member_id]
        if expired or forgotten:
            self._somebody_left(at)
        if self.state is GroupState.PREPARING_REBALANCE:
            if self._timers.joining_is_over(at.now):
                self._complete_join(at)
        elif late := self._timers.take_late(at.now):
            for member_id in late:
                self._remove(member_id, at)
            self._prepare_rebalance(at)
        return self._answers.take()

    def assignment_lost(self, at: Moment) -> list[Decision]:
        """The assignments of this generation could not be stored: whoever was in it joins again."""
        if self.state is GroupState.STABLE:
            self._prepare_rebalance(at)
        return self._answers.take()

    def rebalance(self, at: Moment) -> list[Decision]:
        """All members of a Stable group join again."""
        self._prepare_rebalance(at)
        return self._answers.take()

    def dissolve(self, at: Moment) -> list[Decision]:
        """The group has become a consumer group: whoever waits in it is told to join again, and finds that one."""
        for member in self._who.members.values():
            self._answers.refuse(member, ErrorCode.REBALANCE_IN_PROGRESS, at.now)
        self.delete()
        return self._answers.take()

    def delete(self) -> None:
        """Dead groups answer COORDINATOR_NOT_AVAILABLE: the client looks again and finds, or begins, a new one."""
        self.state = GroupState.DEAD

    # questions

    def next_deadline(self) -> float | None:
        """When `tick` has something to do next, in monotonic seconds."""
        deadlines = [expires_at for _, expires_at in self._expiries()]
        deadlines.extend(self._pending.values())
        if self.state is GroupState.PREPARING_REBALANCE:
            deadlines.append(self._timers.joining_until())
        elif (syncing_until := self._timers.syncing_until()) is not None:
            deadlines.append(syncing_until)
        return min(deadlines, default=None)

    def refuse_commit(self, member_id: str, instance_id: str | None, generation: int, at: Moment) -> ErrorCode:
        """NONE when the offsets of such a committer count; a member's commit then also is a sign of life."""
        if self.state is GroupState.DEAD:
            return ErrorCode.COORDINATOR_NOT_AVAILABLE
        if generation <= NO_GENERATION and self.state is GroupState.EMPTY:
            return ErrorCode.NONE
        if generation <= NO_GENERATION and member_id == "" and instance_id is None:
            return ErrorCode.UNKNOWN_MEMBER_ID
        error = self._not_current(member_id, instance_id, generation)
        if error is not None:
            return error
        if self.state is GroupState.COMPLETING_REBALANCE:
            # It has joined, but has no assignment yet: whatever it commits is of the generation before.
            return ErrorCode.REBALANCE_IN_PROGRESS
        self._who[member_id].heard(at.now)
        return ErrorCode.NONE

    # joining

    def _join_new(self, request: JoinRequest, new_member_id: str, ticket: int, at: Moment) -> None:
        if request.instance_id is not None:
            before = self._who.static.get(request.instance_id)
            if before is None:
                self._add(request, new_member_id, ticket, at)
            else:
                self._replace(self._who[before], request, new_member_id, ticket, at)
        elif request.requires_known_member_id:
            # Without this, a client that gives up on a slow join and tries again would leave a member behind each time.
            self._pending[new_member_id] = at.now + request.session_timeout_ms / 1000
            result = JoinResult(error=ErrorCode.MEMBER_ID_REQUIRED, member_id=new_member_id)
            self._answers.join_at_once(ticket, result)
        else:
            self._add(request, new_member_id, ticket, at)

    def _add(self, request: JoinRequest, member_id: str, ticket: int, at: Moment) -> None:
        self._pending.pop(member_id, None)
        member = Member(member_id, request, at.now)
        self._who.add(member, request.protocol_type)
        self._timers.somebody_came()
        self._answers.park_join(member, ticket, at.now)
        self._rebalance_or_complete(at)

    def _join_again(self, member: Member, request: JoinRequest, ticket: int, at: Moment) -> None:
        same = list(member.protocols.items()) == list(dict(request.protocols).items())
        member.heard(at.now)
        if self.state is GroupState.COMPLETING_REBALANCE and same:
            # Its answer was lost on the way.
            self._answers.join_at_once(ticket, self._joined(member))
            return
        if self.state is GroupState.STABLE and same and member.id != self._who.leader:
            self._answers.join_at_once(ticket, self._joined(member))
            return
        # A leader that joins a Stable group again has seen something (partitions, topics) that needs a new assignment.
        self._who.update(member, request)
        self._answers.park_join(member, ticket, at.now)
        self._rebalance_or_complete(at)

    def _replace(self, member: Member, request: JoinRequest, new_id: str, ticket: int, at: Moment) -> None:
        """A static member has come back: it takes its own place, and whoever still uses its old id is fenced."""
        old_id, topics = member.id, subscribed_topics(member.metadata(self.protocol))
        old_leader = self._who.leader or ""
        self._answers.refuse(member, ErrorCode.FENCED_INSTANCE_ID, at.now)
        self._who.rename(member, new_id)
        self._who.update(member, request)
        member.heard(at.now)
        self._timers.renamed(old_id, new_id)
        if self.state is GroupState.STABLE and self._stays(member, topics):
            self._answers.store(self.stored())
            self._answers.join_at_once(ticket, self._rejoined(member, old_leader, request))
            return
        self._answers.park_join(member, ticket, at.now)
        self._rebalance_or_complete(at)

    # the phases of a rebalance

    def _rebalance_or_complete(self, at: Moment) -> None:
        if self.state is GroupState.PREPARING_REBALANCE:
            self._complete_join_if_all_are_there(at)
        else:
            self._prepare_rebalance(at)

    def _somebody_left(self, at: Moment) -> None:
        if self.state is not GroupState.EMPTY:
            self._rebalance_or_complete(at)

    def _prepare_rebalance(self, at: Moment) -> None:
        if self.state is GroupState.COMPLETING_REBALANCE:
            for member in self._who.members.values():
                self._answers.sync(member, SyncResult(error=ErrorCode.REBALANCE_IN_PROGRESS), at.now)
        timeout_s = self._who.rebalance_timeout_ms() / 1000
        self._timers.begin(at.now, timeout_s, first=self.state is GroupState.EMPTY)
        self.state = GroupState.PREPARING_REBALANCE
        self._complete_join_if_all_are_there(at)

    def _complete_join_if_all_are_there(self, at: Moment) -> None:
        everybody = all(each.join is not None for each in self._who.members.values())
        if not self._timers.is_delayed and not self._pending and everybody:
            self._complete_join(at)

    def _complete_join(self, at: Moment) -> None:
        absent = [each.id for each in self._who.members.values() if each.join is None and each.instance_id is None]
        for member_id in absent:
            self._remove(member_id, at)
        if not self._who:
            self._become_empty(at)
            return
        if all(each.join is None for each in self._who.members.values()):
            # Static members only, none of them back: their sessions decide.
            self._timers.begin_again(at.now, self._who.rebalance_timeout_ms() / 1000)
            return
        self._who.elect()
        self.generation += 1
        self.protocol = self._who.elected_protocol()
        self.state = GroupState.COMPLETING_REBALANCE
        self._timers.expect(self._who.members, at.now, self._who.rebalance_timeout_ms() / 1000)
        for member in self._who.members.values():
            member.assignment = b""
            self._answers.join(member, self._joined(member), at.now)

    def _become_empty(self, at: Moment) -> None:
        self.generation += 1
        self.protocol = None
        self.state = GroupState.EMPTY
        self.state_timestamp_ms = at.wall_ms
        self._answers.store(self.stored())

    def _complete_sync(self, request: SyncRequest, at: Moment) -> None:
        for member in self._who.members.values():
            member.assignment = request.assignments.get(member.id, b"")
        self.state = GroupState.STABLE
        self.state_timestamp_ms = at.wall_ms
        self._answers.store(self.stored())
        for member in self._who.members.values():
            self._answers.sync(member, self._assigned(member), at.now)

    # the small steps

    def _remove(self, member_id: str, at: Moment) -> None:
        member = self._who[member_id]
        self._answers.refuse(member, ErrorCode.UNKNOWN_MEMBER_ID, at.now)
        self._timers.synced(member_id)
        self._who.remove(member_id)

    def _refuse_join(self, ticket: int, request: JoinRequest, error: ErrorCode) -> None:
        self._answers.join_at_once(ticket, JoinResult(error=error, member_id=request.member_id))
