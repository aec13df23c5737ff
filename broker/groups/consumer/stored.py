"""
What of a consumer group outlives the broker, as records that each set or take away one part of it.

The state machine and the log's replay change the same structure by the same step, `apply`: what a restart finds is what
was there before.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias, TypeVar, assert_never

from broker.groups.consumer.values import (
    CurrentAssignment,
    GroupEpoch,
    MemberMetadata,
    Partitions,
    ResolvedRegex,
    TargetEpoch,
)

V = TypeVar("V")

FIRST_EPOCH = GroupEpoch(1, 0)
"""Of a group that nobody has joined yet, as in Kafka 4.3: its first members are in epoch 2."""


class GroupEpochRecord(NamedTuple):
    """The group epoch; None takes the group back."""

    group_id: str
    value: GroupEpoch | None


class MemberRecord(NamedTuple):
    """What a member has said of itself; None takes the member back."""

    group_id: str
    member_id: str
    value: MemberMetadata | None


class TargetEpochRecord(NamedTuple):
    """The epoch of the target assignment."""

    group_id: str
    value: TargetEpoch | None


class TargetRecord(NamedTuple):
    """What a member is to have in the end."""

    group_id: str
    member_id: str
    value: Partitions | None


class CurrentRecord(NamedTuple):
    """What a member has now."""

    group_id: str
    member_id: str
    value: CurrentAssignment | None


class RegexRecord(NamedTuple):
    """The topics that a regular expression stands for."""

    group_id: str
    regex: str
    value: ResolvedRegex | None


ConsumerGroupRecord: TypeAlias = (
    GroupEpochRecord | MemberRecord | TargetEpochRecord | TargetRecord | CurrentRecord | RegexRecord
)


@dataclass(slots=True)
class StoredConsumerGroup:
    """The sum of a group's records. `members`, in the order of their arrival, has the keys of `current`, too."""

    epoch: GroupEpoch = FIRST_EPOCH
    target_epoch: TargetEpoch = field(default_factory=lambda: TargetEpoch(0, 0))
    members: dict[str, MemberMetadata] = field(default_factory=dict[str, MemberMetadata])
    targets: dict[str, Partitions] = field(default_factory=dict[str, Partitions])
    current: dict[str, CurrentAssignment] = field(default_factory=dict[str, CurrentAssignment])
    regexes: dict[str, ResolvedRegex] = field(default_factory=dict[str, ResolvedRegex])

    def __len__(self) -> int:
        """How many records say the same."""
        return 2 + len(self.members) + len(self.targets) + len(self.current) + len(self.regexes)

    def copy(self) -> "StoredConsumerGroup":
        return StoredConsumerGroup(
            self.epoch,
            self.target_epoch,
            dict(self.members),
            dict(self.targets),
            dict(self.current),
            dict(self.regexes),
        )

    def apply(self, record: ConsumerGroupRecord) -> None:
        match record:
            case GroupEpochRecord(_, value):
                self.epoch = value or FIRST_EPOCH
            case TargetEpochRecord(_, value):
                self.target_epoch = value or TargetEpoch(0, 0)
            case MemberRecord(_, member_id, value):
                _put(self.members, member_id, value)
            case TargetRecord(_, member_id, value):
                _put(self.targets, member_id, value)
            case CurrentRecord(_, member_id, value):
                _put(self.current, member_id, value)
            case RegexRecord(_, regex, value):
                _put(self.regexes, regex, value)
            case _:
                assert_never(record)

    def records(self, group_id: str) -> Iterator[ConsumerGroupRecord]:
        """The fewest records that add up to this."""
        yield GroupEpochRecord(group_id, self.epoch)
        for member_id, metadata in self.members.items():
            yield MemberRecord(group_id, member_id, metadata)
        for regex, resolved in self.regexes.items():
            yield RegexRecord(group_id, regex, resolved)
        yield TargetEpochRecord(group_id, self.target_epoch)
        for member_id, target in self.targets.items():
            yield TargetRecord(group_id, member_id, target)
        for member_id, current in self.current.items():
            yield CurrentRecord(group_id, member_id, current)

    def tombstones(self, group_id: str) -> Iterator[ConsumerGroupRecord]:
        """The records that take all of this back; the group's own comes last."""
        for member_id in self.current:
            yield CurrentRecord(group_id, member_id, None)
        for member_id in self.targets:
            yield TargetRecord(group_id, member_id, None)
        yield TargetEpochRecord(group_id, None)
        for regex in self.regexes:
            yield RegexRecord(group_id, regex, None)
        for member_id in self.members:
            yield MemberRecord(group_id, member_id, None)
        yield GroupEpochRecord(group_id, None)


def _put(parts: dict[str, V], key: str, value: V | None) -> None:
    if value is None:
        parts.pop(key, None)
    else:
        parts[key] = value
