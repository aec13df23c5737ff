"""What a classic group has decided and not handed out yet, and the tickets of the requests that it keeps waiting."""

from broker.errors import ErrorCode
from broker.groups.member import Member
from broker.groups.values import Decision, JoinAnswer, JoinResult, Store, StoredGroup, SyncAnswer, SyncResult


class Answers:
    """Decisions in their order. Every parked ticket is answered once."""

    __slots__ = ("_decisions",)

    def __init__(self) -> None:
        self._decisions: list[Decision] = []

    def store(self, group: StoredGroup) -> None:
        self._decisions.append(Store(group))

    def join_at_once(self, ticket: int, result: JoinResult) -> None:
        self._decisions.append(JoinAnswer(ticket, result))

    def sync_at_once(self, ticket: int, result: SyncResult) -> None:
        self._decisions.append(SyncAnswer(ticket, result))

    def park_join(self, member: Member, ticket: int, now: float) -> None:
        # A client that lost patience and asks again; its earlier request must not stay without an answer.
        self.join(member, JoinResult(error=ErrorCode.REBALANCE_IN_PROGRESS, member_id=member.id), now)
        member.join = ticket

    def park_sync(self, member: Member, ticket: int) -> None:
        member.sync = ticket

    def join(self, member: Member, result: JoinResult, now: float) -> None:
        """Answers the member's parked join, if it has one; its session begins anew."""
        if member.join is not None:
            self.join_at_once(member.join, result)
            member.join = None
            member.is_new = False
            member.heard(now)

    def sync(self, member: Member, result: SyncResult, now: float) -> None:
        """Answers the member's parked sync, if it has one; its session begins anew."""
        if member.sync is not None:
            self.sync_at_once(member.sync, result)
            member.sync = None
            member.heard(now)

    def refuse(self, member: Member, error: ErrorCode, now: float) -> None:
        """Answers whatever is parked for the member with *error*."""
        self.join(member, JoinResult(error=error, member_id=member.id), now)
        self.sync(member, SyncResult(error=error), now)

    def take(self) -> list[Decision]:
        """What has been decided since the last time."""
        decisions, self._decisions = self._decisions, []
        return decisions
