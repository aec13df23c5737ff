"""
What goes into a consumer group (KIP-848) and what comes out of it, free of any wire version.

Epochs      the *group epoch* counts changes that ask for a new assignment, the *assignment epoch* says for which group
            epoch the target was reckoned, and a *member epoch* says up to which assignment epoch a member has come.
Partitions  topic id → partition numbers. `OwnedPartitions` also tells for each the member epoch in which it was given
            out (KIP-1251): a commit of that epoch or a later one is its owner's.

Named tuples: see broker/groups/values.py.
"""

from collections.abc import Mapping
from enum import Enum, IntEnum
from types import MappingProxyType
from typing import Final, NamedTuple, TypeAlias

from broker.errors import ErrorCode
from broker.identifiers import TopicId

LEAVE_EPOCH = -1
"""The member epoch of a member that goes for good."""
STATIC_LEAVE_EPOCH = -2
"""The member epoch of a static member that goes and means to come back within its session."""

Partitions: TypeAlias = Mapping[TopicId, frozenset[int]]
OwnedPartitions: TypeAlias = Mapping[TopicId, Mapping[int, int]]
NOTHING_OWNED: Final[OwnedPartitions] = MappingProxyType({})


class ConsumerGroupState(Enum):
    """The states of a consumer group, by the names that tools print."""

    EMPTY = "Empty"
    ASSIGNING = "Assigning"
    RECONCILING = "Reconciling"
    STABLE = "Stable"
    DEAD = "Dead"


class MemberState(IntEnum):
    """How far a member is on its way to its target; the numbers are Kafka's, in records."""

    STABLE = 0
    UNREVOKED_PARTITIONS = 1
    """It has to give partitions up, and has not said yet that it did."""
    UNRELEASED_PARTITIONS = 2
    """It is to get partitions that others have not given up yet."""


class HeartbeatRequest(NamedTuple):
    """A member joins (epoch 0), stays, reports or leaves (-1, -2). None: as it was told before."""

    group_id: str
    member_epoch: int
    member_id: str = ""
    instance_id: str | None = None
    rack_id: str | None = None
    client_id: str = ""
    client_host: str = ""
    rebalance_timeout_ms: int = -1
    subscribed_names: frozenset[str] | None = None
    subscribed_regex: str | None = None
    assignor: str | None = None
    owned: Partitions | None = None
    makes_member_id: bool = True
    """From ConsumerGroupHeartbeat v1 (KIP-1082) the client makes its member id itself."""

    @property
    def is_full(self) -> bool:
        """A member that has lost track sends everything, and is told everything."""
        subscribes = self.subscribed_names is not None or self.subscribed_regex is not None
        return self.member_epoch == 0 or (self.rebalance_timeout_ms != -1 and subscribes and self.owned is not None)


class HeartbeatResult(NamedTuple):
    """The epoch that the member is in; its assignment when it is to be told."""

    error: ErrorCode = ErrorCode.NONE
    message: str | None = None
    member_id: str | None = None
    member_epoch: int = 0
    heartbeat_interval_ms: int = 0
    assignment: Partitions | None = None


class ClassicProtocols(NamedTuple):
    """What a member that speaks the classic protocol inside a consumer group has said when it joined."""

    session_timeout_ms: int
    protocols: tuple[tuple[str, bytes], ...]


class MemberMetadata(NamedTuple):
    """What a member has said of itself. `classic` is None for one that speaks the consumer protocol."""

    instance_id: str | None = None
    rack_id: str | None = None
    client_id: str = ""
    client_host: str = ""
    subscribed_names: frozenset[str] = frozenset()
    subscribed_regex: str | None = None
    rebalance_timeout_ms: int = -1
    assignor: str | None = None
    classic: ClassicProtocols | None = None


class CurrentAssignment(NamedTuple):
    """What a member owns: `assigned` for good, `pending_revocation` until it says that it has let go."""

    member_epoch: int = 0
    previous_epoch: int = 0
    state: MemberState = MemberState.STABLE
    assigned: OwnedPartitions = NOTHING_OWNED
    pending_revocation: OwnedPartitions = NOTHING_OWNED


class GroupEpoch(NamedTuple):
    """The group epoch, and a hash of the subscribed topics with their partitions at that time."""

    epoch: int
    metadata_hash: int


class TargetEpoch(NamedTuple):
    """The group epoch that the target assignment is for, and when it was made."""

    epoch: int
    timestamp_ms: int


class ResolvedRegex(NamedTuple):
    """The topics that a regular expression stood for, as of the broker's topics at `timestamp_ms`."""

    topics: frozenset[str]
    version: int
    timestamp_ms: int


class ConsumerMemberDescription(NamedTuple):
    """One member as ConsumerGroupDescribe shows it."""

    member_id: str
    metadata: MemberMetadata
    member_epoch: int
    assigned: Partitions
    target: Partitions


class ConsumerGroupDescription(NamedTuple):
    """A consumer group as ConsumerGroupDescribe shows it."""

    group_id: str
    state: ConsumerGroupState
    group_epoch: int
    assignment_epoch: int
    assignor: str
    members: tuple[ConsumerMemberDescription, ...]


def numbers(owned: OwnedPartitions) -> Partitions:
    """*owned* without its epochs."""
    return {topic_id: frozenset(partitions) for topic_id, partitions in owned.items()}
