"""Consumer groups: who consumes together, in which generation, and where they go on reading."""

from broker.groups.coordinator import GroupCoordinator
from broker.groups.journal import LoadReport
from broker.groups.offset_log import LogRecord, OffsetLog, partition_for
from broker.groups.values import (
    NO_GENERATION,
    CommitRequest,
    CommittedOffset,
    FetchedOffsets,
    GroupDescription,
    GroupListing,
    GroupState,
    JoinedMember,
    JoinRequest,
    JoinResult,
    LeaveResult,
    LeavingMember,
    LeftMember,
    MemberDescription,
    OffsetToCommit,
    SyncRequest,
    SyncResult,
)

__all__ = [
    "NO_GENERATION",
    "CommitRequest",
    "CommittedOffset",
    "FetchedOffsets",
    "GroupCoordinator",
    "GroupDescription",
    "GroupListing",
    "GroupState",
    "JoinRequest",
    "JoinResult",
    "JoinedMember",
    "LeaveResult",
    "LeavingMember",
    "LeftMember",
    "LoadReport",
    "LogRecord",
    "MemberDescription",
    "OffsetLog",
    "OffsetToCommit",
    "SyncRequest",
    "SyncResult",
    "partition_for",
]
