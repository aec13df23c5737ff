"""
The server's assignors: who is to have which partitions.

Both look at the members' subscriptions and the numbers of partitions only; racks do not matter on one broker. Both give
every partition of a subscribed topic to exactly one subscribed member, and the same input always gives the same answer.

uniform   evenly over all topics together, and as much as possible stays where the last target had it. With one
          subscription for all no two members differ by more than one partition. Of equals, who came first is served
          first
range     topic by topic, consecutive numbers to members in the order of their ids (instance ids first): partition n of
          two topics with the same number of partitions and subscribers is the same member's

Source  KIP-848; Kafka's UniformAssignor and RangeAssignor, whose promises these keep by algorithms of their own
"""

from collections.abc import Callable, Mapping
from heapq import heapify, heappop, heappush
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

from broker.groups.consumer.values import Partitions
from broker.identifiers import TopicId


class MemberSpec(NamedTuple):
    """One member as an assignor sees it; `target` is what it had in the assignment before."""

    instance_id: str | None
    topics: frozenset[TopicId]
    target: Partitions


Members: TypeAlias = Mapping[str, MemberSpec]
Counts: TypeAlias = Mapping[TopicId, int]
"""Topic → number of partitions; a topic that is not there has none."""
Assignor: TypeAlias = Callable[[Members, Counts], dict[str, Partitions]]

_Place: TypeAlias = tuple[TopicId, int]


def assign_range(members: Members, counts: Counts) -> dict[str, Partitions]:
    """See the module. A member without partitions has an empty assignment."""
    order = sorted(members, key=lambda each: (members[each].instance_id is None, members[each].instance_id or each))
    given: dict[str, dict[TopicId, frozenset[int]]] = {each: {} for each in members}
    for topic_id, count in counts.items():
        subscribers = [each for each in order if topic_id in members[each].topics]
        if not subscribers:
            continue
        share, more = divmod(count, len(subscribers))
        start = 0
        for number, member_id in enumerate(subscribers):
            end = start + share + (number < more)
            if end > start:
                given[member_id][topic_id] = frozenset(range(start, end))
            start = end
    return dict(given)


def assign_uniform(members: Members, counts: Counts) -> dict[str, Partitions]:
    """See the module. O(partitions · log members) with one subscription for all."""
    held: dict[str, set[_Place]] = {each: set() for each in members}
    taken: set[_Place] = set()
    for member_id, member in members.items():
        for topic_id, partitions in member.target.items():
            if topic_id in member.topics:
                still_there = {(topic_id, each) for each in partitions if each < counts.get(topic_id, 0)} - taken
                held[member_id] |= still_there
                taken |= still_there
    subscribed = frozenset[TopicId]().union(*(each.topics for each in members.values()))
    free = [
        (topic_id, partition)
        for topic_id in sorted(subscribed & counts.keys())
        for partition in range(counts[topic_id])
        if (topic_id, partition) not in taken
    ]
    if all(each.topics == subscribed for each in members.values()):
        _level(held, free)
    else:
        _place(held, free, members)
        _balance(held, members)
    return {member_id: _grouped(places) for member_id, places in held.items()}


def _level(held: dict[str, set[_Place]], free: list[_Place]) -> None:
    """Everybody may have everything: takes what is above the share, and gives what is free below it."""
    if not held:
        return
    share, more = divmod(len(free) + sum(map(len, held.values())), len(held))
    # Those who have most keep the one that is more: the fewest partitions move.
    quotas: dict[str, int] = {}
    for member_id in sorted(held, key=lambda each: -len(held[each])):
        quotas[member_id] = share + (more > 0)
        more -= more > 0
    for member_id, places in held.items():
        for place in sorted(places)[quotas[member_id] :]:
            places.remove(place)
            free.append(place)
    free.sort()
    supply = iter(free)
    # One each in turn, so that a topic's partitions are spread as well.
    hungry = [member_id for member_id in held if len(held[member_id]) < quotas[member_id]]
    while hungry:
        for member_id in hungry:
            held[member_id].add(next(supply))
        hungry = [member_id for member_id in hungry if len(held[member_id]) < quotas[member_id]]


def _place(held: dict[str, set[_Place]], free: list[_Place], members: Members) -> None:
    """Gives each free partition to whoever may have it and has least."""
    heaps: dict[TopicId, list[tuple[int, str]]] = {}
    for topic_id, partition in free:
        heap = heaps.get(topic_id)
        if heap is None:
            heap = [(len(held[each]), each) for each, member in members.items() if topic_id in member.topics]
            heapify(heap)
            heaps[topic_id] = heap
        if not heap:
            continue
        while heap[0][0] != len(held[heap[0][1]]):
            # It has been given something of another topic since.
            _, member_id = heappop(heap)
            heappush(heap, (len(held[member_id]), member_id))
        member_id = heappop(heap)[1]
        held[member_id].add((topic_id, partition))
        heappush(heap, (len(held[member_id]), member_id))


def _balance(held: dict[str, set[_Place]], members: Members) -> None:
    """
    Moves single partitions from who has more to who has at least two fewer and may have them, until there is none.

    Ends, because every move makes the sum of the squares of the loads smaller.
    """
    moved = True
    while moved:
        moved = False
        for giver in sorted(held, key=lambda each: (-len(held[each]), each)):
            for taker in sorted(held, key=lambda each: (len(held[each]), each)):
                surplus = (len(held[giver]) - len(held[taker])) // 2
                if surplus < 1:
                    break
                movable = [place for place in sorted(held[giver]) if place[0] in members[taker].topics][-surplus:]
                for place in movable:
                    held[giver].remove(place)
                    held[taker].add(place)
                moved = moved or bool(movable)


def _grouped(places: set[_Place]) -> Partitions:
    topics: dict[TopicId, set[int]] = {}
    for topic_id, partition in sorted(places):
        topics.setdefault(topic_id, set()).add(partition)
    return {topic_id: frozenset(partitions) for topic_id, partitions in topics.items()}


ASSIGNORS: Mapping[str, Assignor] = MappingProxyType({"uniform": assign_uniform, "range": assign_range})
