"""
What goes into a group and what comes out of it: requests, results and descriptions, free of any wire version.

Ids are texts as clients send them: a *member id* is ours (client id and a UUID; "" when the member has none yet), an
*instance id* is the operator's and makes a member static (KIP-345). Metadata and assignments are the clients' own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

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


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinRequest:
    """A member wants to be in the next generation. Protocols are in the member's order of preference."""

    group_id: str
    member_id: str = ""
    instance_id: str | None = None
    client_id: str = ""
    client_host: str = ""
    session_timeout_ms: int
    rebalance_timeout_ms: int = -1
    """-1 (JoinGroup v0 has none): the session timeout."""
    protocol_type: str
    protocols: Sequence[tuple[str, bytes]]
    requires_known_member_id: bool = True
    """From JoinGroup v4 (KIP-394): a dynamic member without id is first given one, then asked to come again."""
    supports_skipping_assignment: bool = True
    """From JoinGroup v9 (KIP-814)."""


@dataclass(frozen=True, slots=True)
class JoinedMember:
    """A member as the leader sees it: what it said of itself for the chosen protocol."""

    member_id: str
    instance_id: str | None
    metadata: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinResult:
    """The generation that a member is in, or why it is in none. Only the leader is told the members."""

    error: ErrorCode = ErrorCode.NONE
    generation: int = NO_GENERATION
    protocol_type: str | None = None
    protocol: str | None = None
    leader: str = ""
    member_id: str = ""
    members: tuple[JoinedMember, ...] = ()
    skip_assignment: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncRequest:
    """A member asks for its assignment; the leader's request brings everybody's. A None is not checked (< v5)."""

    group_id: str
    member_id: str
    instance_id: str | None = None
    generation: int
    protocol_type: str | None = None
    protocol: str | None = None
    assignments: Mapping[str, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncResult:
    """A member's assignment in its generation."""

    error: ErrorCode = ErrorCode.NONE
    protocol_type: str | None = None
    protocol: str | None = None
    assignment: bytes = b""


@dataclass(frozen=True, slots=True)
class LeavingMember:
    """By member id, or with "" by instance id (an operator removes a static member)."""

    member_id: str
    instance_id: str | None = None


@dataclass(frozen=True, slots=True)
class LeftMember:
    """The outcome for one member of a LeaveGroup request."""

    member_id: str
    instance_id: str | None
    error: ErrorCode


@dataclass(frozen=True, slots=True)
class LeaveResult:
    """`error` is the group's; with NONE each member has its own."""

    error: ErrorCode
    members: tuple[LeftMember, ...] = ()


@dataclass(frozen=True, slots=True)
class OffsetToCommit:
    """Where a group wants to go on reading, what it knows of the leader epoch (-1: nothing), and a text of its own."""

    offset: int
    leader_epoch: int = -1
    metadata: str = ""


@dataclass(frozen=True, slots=True)
class CommittedOffset:
    """A commit with the time at which it was made."""

    offset: int
    leader_epoch: int
    metadata: str
    commit_timestamp_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitRequest:
    """Offsets of a member of a generation; or, with generation -1 and no member id, of one that assigns itself."""

    group_id: str
    member_id: str = ""
    instance_id: str | None = None
    generation: int = NO_GENERATION
    """In a consumer group: the member epoch."""
    knows_member_epochs: bool = False
    """From OffsetCommit v9; members of the consumer protocol must use it, because older answers cannot say why not."""
    offsets: Mapping[TopicPartition, OffsetToCommit]


@dataclass(frozen=True, slots=True)
class FetchedOffsets:
    """
    What is committed; a partition that was asked for and is absent has no commit. `unstable` are those for which an
    open transaction has staged another offset.
    """

    error: ErrorCode
    offsets: Mapping[TopicPartition, CommittedOffset]
    unstable: frozenset[TopicPartition] = frozenset()


@dataclass(frozen=True, slots=True)
class MemberDescription:
    """One member; metadata and assignment are empty unless the group is Stable."""

    member_id: str
    instance_id: str | None
    client_id: str
    client_host: str
    metadata: bytes
    assignment: bytes


@dataclass(frozen=True, slots=True)
class GroupDescription:
    """A group as DescribeGroups shows it; `protocol` is "" unless the group is Stable."""

    group_id: str
    state: GroupState
    protocol_type: str
    protocol: str
    members: tuple[MemberDescription, ...]


@dataclass(frozen=True, slots=True)
class GroupListing:
    """A group as ListGroups shows it."""

    group_id: str
    protocol_type: str
    state: GroupState | ConsumerGroupState
    group_type: str = "classic"


@dataclass(frozen=True, slots=True)
class GroupCensus:
    """Groups by (type, state); members and generations of all of them, summed up."""

    groups: Mapping[tuple[str, str], int]
    members: int
    generations: int


@dataclass(frozen=True, slots=True)
class StoredMember:
    """What of a member outlives the broker."""

    member_id: str
    instance_id: str | None
    client_id: str
    client_host: str
    rebalance_timeout_ms: int
    session_timeout_ms: int
    subscription: bytes
    assignment: bytes


@dataclass(frozen=True, slots=True)
class StoredGroup:
    """What of a group outlives the broker: a generation with its assignments, or the fact that it is Empty."""

    protocol_type: str
    generation: int
    protocol: str | None
    leader: str | None
    state_timestamp_ms: int
    members: tuple[StoredMember, ...]


@dataclass(frozen=True, slots=True)
class JoinAnswer:
    """Decision: the join under *ticket* is answered. Exactly one comes for every ticket that is not dropped."""

    ticket: int
    result: JoinResult


@dataclass(frozen=True, slots=True)
class SyncAnswer:
    """Decision: the sync under *ticket* is answered."""

    ticket: int
    result: SyncResult


@dataclass(frozen=True, slots=True)
class Store:
    """Decision: the group as it is now goes to the log before the answers that follow are sent."""

    group: StoredGroup


Decision: TypeAlias = JoinAnswer | SyncAnswer | Store
