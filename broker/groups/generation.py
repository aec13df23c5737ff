"""
What a classic group is, and what it tells: state, generation, protocol, members. Nothing of it changes here.
"""

from broker.errors import ErrorCode
from broker.groups.consumer_protocol import CONSUMER, subscribed_topics
from broker.groups.member import Member
from broker.groups.membership import Membership
from broker.groups.moment import Moment
from broker.groups.values import (
    NO_GENERATION,
    GroupDescription,
    GroupListing,
    GroupState,
    JoinRequest,
    JoinResult,
    StoredGroup,
    SyncRequest,
    SyncResult,
)


class Generation:
    """The members of a group in one of its generations; `Group` makes one follow the other."""

    __slots__ = (
        "_pending",
        "_who",
        "generation",
        "id",
        "protocol",
        "state",
        "state_timestamp_ms",
    )

    def __init__(self, group_id: str, at: Moment) -> None:
        self.id = group_id
        self.state: GroupState = GroupState.EMPTY
        self.generation: int = 0
        self.protocol: str | None = None
        self.state_timestamp_ms: int = at.wall_ms
        self._who = Membership()
        self._pending: dict[str, float] = {}
        """Member ids that were given, and until when they are waited for."""

    @property
    def protocol_type(self) -> str:
        """ "" until somebody has joined: such a group only keeps offsets."""
        return self._who.protocol_type or ""

    @property
    def is_idle(self) -> bool:
        """Nobody is in the group or on the way into it."""
        return self.state is GroupState.EMPTY and not self._pending

    def __len__(self) -> int:
        return len(self._who)

    def members(self) -> list[Member]:
        """In the order of their arrival."""
        return list(self._who.members.values())

    def refuse_staging(self, member_id: str, instance_id: str | None, generation: int) -> ErrorCode:
        """
        NONE when a transaction may stage offsets for such a committer. One that names no member (before KIP-447) is
        always heard; a rebalance under way is no reason to refuse, because the transaction fences.
        """
        if self.state is GroupState.DEAD:
            return ErrorCode.COORDINATOR_NOT_AVAILABLE
        if generation <= NO_GENERATION and (
            self.state is GroupState.EMPTY or (member_id == "" and instance_id is None)
        ):
            return ErrorCode.NONE
        return self._not_current(member_id, instance_id, generation) or ErrorCode.NONE

    def subscribed_topics(self) -> frozenset[str] | None:
        """The topics that the group's consumers are on; None when it cannot be told, and empty when there are none."""
        if not self._who:
            return frozenset()
        return self._who.subscribed_to(self.protocol)

    def described(self) -> GroupDescription:
        stable = self.protocol if self.state is GroupState.STABLE else None
        return GroupDescription(self.id, self.state, self.protocol_type, stable or "", self._who.described(stable))

    def listed(self) -> GroupListing:
        return GroupListing(self.id, self.protocol_type, self.state)

    def stored(self) -> StoredGroup:
        """Only to be asked of a group that is Stable or Empty."""
        return StoredGroup(
            self.protocol_type,
            self.generation,
            self.protocol,
            self._who.leader,
            self.state_timestamp_ms,
            self._who.stored(self.protocol),
        )

    # answers

    def _stays(self, member: Member, topics_before: frozenset[str] | None) -> bool:
        """Whether the assignments of a Stable group still hold after *member* has come back."""
        if self._who.elected_protocol() != self.protocol:
            return False
        # Kafka looks at the protocol only; a service that comes back with one more topic would get none of it.
        consumer = self.protocol_type == CONSUMER
        return not consumer or subscribed_topics(member.metadata(self.protocol)) == topics_before

    def _rejoined(self, member: Member, old_leader: str, request: JoinRequest) -> JoinResult:
        leads = member.id == self._who.leader
        skips = request.supports_skipping_assignment
        return JoinResult(
            generation=self.generation,
            protocol_type=self.protocol_type,
            protocol=self.protocol,
            # Who cannot be told to skip the assignment must not take itself for the leader: nobody would read it.
            leader=(self._who.leader or "") if skips else old_leader,
            member_id=member.id,
            members=self._who.joined(self.protocol) if leads and skips else (),
            skip_assignment=leads and skips,
        )

    def _joined(self, member: Member) -> JoinResult:
        return JoinResult(
            generation=self.generation,
            protocol_type=self.protocol_type,
            protocol=self.protocol,
            leader=self._who.leader or "",
            member_id=member.id,
            members=self._who.joined(self.protocol) if member.id == self._who.leader else (),
        )

    def _expiries(self) -> list[tuple[str, float]]:
        """(member id, monotonic seconds) of the members whose time is counted."""
        return [(each.id, when) for each in self._who.members.values() if (when := each.expires_at) is not None]

    def _not_current(self, member_id: str, instance_id: str | None, generation: int) -> ErrorCode | None:
        """Why a request does not come from a member of this generation; None when it does."""
        if self.state is GroupState.DEAD:
            return ErrorCode.COORDINATOR_NOT_AVAILABLE
        error = self._who.stranger(member_id, instance_id)
        if error is None and generation != self.generation:
            return ErrorCode.ILLEGAL_GENERATION
        return error

    def _other_protocol(self, request: SyncRequest) -> ErrorCode | None:
        other_type = request.protocol_type is not None and request.protocol_type != self.protocol_type
        other_name = request.protocol is not None and request.protocol != self.protocol
        return ErrorCode.INCONSISTENT_GROUP_PROTOCOL if other_type or other_name else None

    def _assigned(self, member: Member) -> SyncResult:
        return SyncResult(protocol_type=self.protocol_type, protocol=self.protocol, assignment=member.assignment)
