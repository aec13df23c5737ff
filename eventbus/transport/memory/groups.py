"""
A consumer group: who is in it, and which partitions each member has. Pure; `MemoryLog` calls it under its lock.

Rebalance   a change of members or topics sets every member's target: sticky, and as even as it can be. A member first
            gives up what it has beyond its target; what nobody has any more is then granted. Partitions that stay are
            not touched (as Kafka's cooperative protocols do it)
Instances   a member that joins with the instance id of another takes its place, and the other is stopped for good
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from eventbus.transport.memory.waiter import Waiter
from eventbus.transport.port import ConsumerStopped, TopicPartition


@dataclass(eq=False, slots=True)
class Member:
    """One consumer in a group; *owned* is what it may read now, *target* what it is to have."""

    topics: frozenset[str]
    instance_id: str | None
    waiter: Waiter
    owned: frozenset[TopicPartition] = frozenset()
    target: frozenset[TopicPartition] = frozenset()
    fenced: bool = False


@dataclass(slots=True)
class Group:
    """The members in the order in which they joined, and the offsets that they stored."""

    group_id: str
    members: list[Member] = field(default_factory=list[Member])
    offsets: dict[TopicPartition, int] = field(default_factory=dict[TopicPartition, int])

    def join(self, member: Member, partitions: Mapping[str, int]) -> None:
        """Adds *member*, and fences the one whose instance id it has."""
        for other in self.members:
            other.fenced = other.fenced or (member.instance_id is not None and other.instance_id == member.instance_id)
        self.members.append(member)
        self.rebalance(partitions)

    def leave(self, member: Member, partitions: Mapping[str, int]) -> None:
        """Takes *member* out; its partitions go to the others."""
        if member in self.members:
            self.members.remove(member)
            self.rebalance(partitions)

    def rebalance(self, partitions: Mapping[str, int]) -> None:
        """Sets the targets, for topics with these numbers of partitions."""
        # Who was fenced has lost its partitions, and a test that ended without closing its consumer is no member.
        self.members = [member for member in self.members if not (member.fenced or member.waiter.is_dead)]
        for member, target in zip(self.members, shares(self.members, partitions), strict=True):
            member.target = target

    def to_give_up(self, member: Member) -> frozenset[TopicPartition]:
        """What *member* has beyond its target. Raises ConsumerStopped when another has its instance id."""
        if member.fenced:
            raise ConsumerStopped(
                f"group {self.group_id!r}: another member has joined as instance {member.instance_id!r}; "
                f"give each process an EVENTBUS_INSTANCE_ID of its own, and start this one again"
            )
        return member.owned - member.target

    def grant(self, member: Member) -> bool:
        """Gives *member* what it is to have and nobody else still has; whether that was anything."""
        taken = frozenset[TopicPartition]().union(*(other.owned for other in self.members if other is not member))
        granted = member.target - member.owned - taken
        member.owned |= granted
        return bool(granted)


def shares(members: Sequence[Member], partitions: Mapping[str, int]) -> list[frozenset[TopicPartition]]:
    """
    The target of each member: every partition of a topic goes to one of those that want the topic, and stays where it
    is unless that makes a difference of two partitions or more.
    """
    targets: list[set[TopicPartition]] = [set() for _ in members]
    places = [TopicPartition(topic, number) for topic in sorted(partitions) for number in range(partitions[topic])]
    orphans: list[TopicPartition] = []
    for place in places:
        kept = next((at for at in _wanting(members, place) if place in members[at].target), None)
        if kept is None:
            orphans.append(place)
        else:
            targets[kept].add(place)
    # Only now is it known who has least: what is handed out before moves a partition that could have stayed.
    for place in orphans:
        if wanting := _wanting(members, place):
            targets[_least(wanting, targets)].add(place)
    moved = True
    while moved:
        moved = False
        for place in places:
            owner = next((at for at, target in enumerate(targets) if place in target), None)
            if owner is None:
                continue
            least = _least(_wanting(members, place), targets)
            if len(targets[owner]) - len(targets[least]) >= 2:
                targets[owner].remove(place)
                targets[least].add(place)
                moved = True
    return [frozenset(target) for target in targets]


def _wanting(members: Sequence[Member], place: TopicPartition) -> list[int]:
    return [at for at, member in enumerate(members) if place.topic in member.topics]


def _least(members: Iterable[int], targets: Sequence[set[TopicPartition]]) -> int:
    return min(members, key=lambda at: len(targets[at]))
