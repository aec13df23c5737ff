"""
Who is let into a group, and what may be kept there: names, sizes and numbers that strangers choose, against the limits
of the configuration. What is refused is told to the log as well (broker/limits.py).
"""

from collections.abc import Iterable

from broker.clock import Clock
from broker.config import BrokerConfig
from broker.errors import ErrorCode
from broker.groups.consumer.values import HeartbeatRequest, HeartbeatResult
from broker.groups.values import JoinRequest
from broker.limits import LimitLog, shortened


class Admission:
    """`exists` says whether there is such a group, `groups` how many there are."""

    __slots__ = ("_clock", "_config", "_limits")

    def __init__(self, config: BrokerConfig, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._limits = LimitLog()

    def refuse_join(self, request: JoinRequest, *, exists: bool, groups: int) -> ErrorCode | None:
        """A classic member's JoinGroup."""
        config = self._config
        if request.group_id == "" or not self.is_short(request.group_id):
            return ErrorCode.INVALID_GROUP_ID
        shortest, longest = config.group_min_session_timeout_ms, config.group_max_session_timeout_ms
        if not shortest <= request.session_timeout_ms <= longest:
            return ErrorCode.INVALID_SESSION_TIMEOUT
        names = (request.member_id, request.instance_id or "", request.client_id, request.protocol_type)
        if not all(map(self.is_short, names)):
            return ErrorCode.INVALID_REQUEST
        described = sum(len(name.encode()) + len(metadata) for name, metadata in request.protocols)
        if not self._may_describe(described, request.group_id):
            return ErrorCode.INVALID_REQUEST
        if not exists:
            if request.member_id != "":
                return ErrorCode.UNKNOWN_MEMBER_ID
            if self.are_too_many(groups, request.group_id):
                return ErrorCode.POLICY_VIOLATION
        return None

    def refuse_heartbeat(self, request: HeartbeatRequest, *, exists: bool, groups: int) -> HeartbeatResult | None:
        """A consumer's ConsumerGroupHeartbeat."""
        config = self._config
        names = (request.group_id, request.member_id, request.instance_id, request.rack_id, request.client_id)
        too_long = [name for name in names if name is not None and not self.is_short(name)]
        if too_long:
            return _invalid(
                f"a name of {len(too_long[0].encode())} bytes, allowed are {config.group_name_max_bytes} "
                "(group.name.max.bytes)"
            )
        described = _size(request.subscribed_names or ()) + _size((request.subscribed_regex or "",))
        if not self._may_describe(described, request.group_id):
            return _invalid(
                f"a subscription of {described} bytes, allowed are {config.group_member_metadata_max_bytes} "
                "(group.member.metadata.max.bytes)"
            )
        if request.member_epoch == 0 and not exists and self.are_too_many(groups, request.group_id):
            return HeartbeatResult(
                error=ErrorCode.POLICY_VIOLATION,
                message=f"there are {config.group_max_count} groups already (group.max.count)",
            )
        return None

    def is_short(self, name: str) -> bool:
        """By group.name.max.bytes."""
        # Most names are far from the limit: a character has four bytes at most.
        names_max = self._config.group_name_max_bytes
        if 4 * len(name) <= names_max or len(name.encode()) <= names_max:
            return True
        self._reached("group.name.max.bytes", names_max, f"name {shortened(name)}")
        return False

    def are_too_many(self, groups: int, group_id: str) -> bool:
        """Whether *group_id* would be one group too many."""
        if groups < self._config.group_max_count:
            return False
        self._reached("group.max.count", self._config.group_max_count, f"group {shortened(group_id)}")
        return True

    def note_classic(self, error: ErrorCode, group_id: str) -> None:
        """The answer to a JoinGroup."""
        if error is ErrorCode.GROUP_MAX_SIZE_REACHED:
            self._reached("group.max.size", self._config.group_max_size, f"a member of group {shortened(group_id)}")

    def note_consumer(self, error: ErrorCode, group_id: str) -> None:
        """The answer to a ConsumerGroupHeartbeat."""
        if error is ErrorCode.GROUP_MAX_SIZE_REACHED:
            size_max = self._config.group_consumer_max_size
            self._reached("group.consumer.max.size", size_max, f"a member of group {shortened(group_id)}")

    def _may_describe(self, size: int, group_id: str) -> bool:
        size_max = self._config.group_member_metadata_max_bytes
        if size <= size_max:
            return True
        who = f"{size} bytes of a member of group {shortened(group_id)}"
        self._reached("group.member.metadata.max.bytes", size_max, who)
        return False

    def _reached(self, key: str, limit: int, who: str) -> None:
        self._limits.reached(key, limit, who, self._clock.monotonic())


def _size(texts: Iterable[str]) -> int:
    return sum(len(text.encode()) for text in texts)


def _invalid(message: str) -> HeartbeatResult:
    return HeartbeatResult(error=ErrorCode.INVALID_REQUEST, message=message)
