"""
What goes into a group and what comes out of it: requests, results and descriptions, free of any wire version.

Ids are texts as clients send them: a *member id* is ours (client id and a UUID; "" when the member has none yet), an
*instance id* is the operator's and makes a member static (KIP-345). Metadata and assignments are the clients' own.

Named tuples, because there are many: a frozen dataclass takes half a millisecond of every start, a named tuple a tenth.
"""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import NamedTuple, TypeAlias

from broker.errors import ErrorCode
from broker.groups.consumer.values import ConsumerGroupState
from broker.identifiers import TopicPartition

NO_GENERATION = -1


class GroupState(Enum):
    """The five states of a classic group, by the names that tools print."""

    EMPTY = "Empty"
    PREPARING_REBALANCE = "PreparingRebalance"
    COMPLETING_REBALANCE = "CompletingRebalance"
    STABLE = "Stable"
    DEAD = "Dead"


class JoinRequest(NamedTuple):
    """A member wants to be in the next generation. Protocols are in the member's order of preference."""

    group_id: str
    session_timeout_ms: int
    protocol_type: str
    protocols: Sequence[tuple[str, bytes]]
    member_id: str = ""
    instance_id: str | None = None
    client_id: str = ""
    client_host: str = ""
    rebalance_timeout_ms: int = -1
    """-1 (JoinGroup v0 has none): the session timeout."""
    requires_known_member_id: bool = True
    """From JoinGroup v4 (KIP-394): a dynamic member without id is first given one, then asked to come again."""
    supports_skipping_assignment: bool = True
    """From JoinGroup v9 (KIP-814)."""


class JoinedMember(NamedTuple):
    """A member as the leader sees it: what it said of itself for the chosen protocol."""

    member_id: str
    instance_id: str | None
    metadata: bytes


class JoinResult(NamedTuple):
    """The generation that a member is in, or why it is in none. Only the leader is told the members."""

    error: ErrorCode = ErrorCode.NONE
    generation: int = NO_GENERATION
    protocol_type: str | None = None
    protocol: str | None = None
    leader: str = ""
    member_id: str = ""
    members: tuple[JoinedMember, ...] = ()
    skip_assignment: bool = False


class SyncRequest(NamedTuple):
    """A member asks for its assignment; the leader's request brings everybody's. A None is not checked (< v5)."""

    group_id: str
    member_id: str
    generation: int
    assignments: Mapping[str, bytes]
    instance_id: str | None = None
    protocol_type: str | None = None
    protocol: str | None = None


class SyncResult(NamedTuple):
    """A member's assignment in its generation."""

    error: ErrorCode = ErrorCode.NONE
    protocol_type: str | None = None
    protocol: str | None = None
    assignment: bytes = b""


class LeavingMember(NamedTuple):
    """By member id, or with "" by instance id (an operator removes a static member)."""

    member_id: str
    instance_id: str | None = None


class LeftMember(NamedTuple):
    """The outcome for one member of a LeaveGroup request."""

    member_id: str
    instance_id: str | None
    error: ErrorCode


class LeaveResult(NamedTuple):
    """`error` is the group's; with NONE each member has its own."""

    error: ErrorCode
    members: tuple[LeftMember, ...] = ()


class OffsetToCommit(NamedTuple):
    """Where a group wants to go on reading, what it knows of the leader epoch (-1: nothing), and a text of its own."""

    offset: int
    leader_epoch: int = -1
    metadata: str = ""


class CommittedOffset(NamedTuple):
    """A commit with the time at which it was made."""

    offset: int
    leader_epoch: int
    metadata: str
    commit_timestamp_ms: int


class CommitRequest(NamedTuple):
    """Offsets of a member of a generation; or, with generation -1 and no member id, of one that assigns itself."""

    group_id: str
    offsets: Mapping[TopicPartition, OffsetToCommit]
    member_id: str = ""
    instance_id: str | None = None
    generation: int = NO_GENERATION
    """In a consumer group: the member epoch."""
    knows_member_epochs: bool = False
    """From OffsetCommit v9; members of the consumer protocol must use it, because older answers cannot say why not."""


class FetchedOffsets(NamedTuple):
    """
    What is committed; a partition that was asked for and is absent has no commit. `unstable` are those for which an
    open transaction has staged another offset.
    """

    error: ErrorCode
    offsets: Mapping[TopicPartition, CommittedOffset]
    unstable: frozenset[TopicPartition] = frozenset()


class MemberDescription(NamedTuple):
    """One member; metadata and assignment are empty unless the group is Stable."""

    member_id: str
    instance_id: str | None
    client_id: str
    client_host: str
    metadata: bytes
    assignment: bytes


class GroupDescription(NamedTuple):
    """A group as DescribeGroups shows it; `protocol` is "" unless the group is Stable."""

    group_id: str
    state: GroupState
    protocol_type: str
    protocol: str
    members: tuple[MemberDescription, ...]


class GroupListing(NamedTuple):
    """A group as ListGroups shows it."""

    group_id: str
    protocol_type: str
    state: GroupState | ConsumerGroupState
    group_type: str = "classic"


class GroupCensus(NamedTuple):
    """Groups by (type, state); members and generations of all of them, summed up."""

    groups: Mapping[tuple[str, str], int]
    members: int
    generations: int


class StoredMember(NamedTuple):
    """What of a member outlives the broker."""

    member_id: str
    instance_id: str | None
    client_id: str
    client_host: str
    rebalance_timeout_ms: int
    session_timeout_ms: int
    subscription: bytes
    assignment: bytes


class StoredGroup(NamedTuple):
    """What of a group outlives the broker: a generation with its assignments, or the fact that it is Empty."""

    protocol_type: str
    generation: int
    protocol: str | None
    leader: str | None
    state_timestamp_ms: int
    members: tuple[StoredMember, ...]


class JoinAnswer(NamedTuple):
    """Decision: the join under *ticket* is answered. Exactly one comes for every ticket that is not dropped."""

    ticket: int
    result: JoinResult


class SyncAnswer(NamedTuple):
    """Decision: the sync under *ticket* is answered."""

    ticket: int
    result: SyncResult


class Store(NamedTuple):
    """Decision: the group as it is now goes to the log before the answers that follow are sent."""

    group: StoredGroup


Decision: TypeAlias = JoinAnswer | SyncAnswer | Store
