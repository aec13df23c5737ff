"""
The offsets that groups have committed, and which of them have had their time.

An offset stays until it is committed anew, deleted on request, or expired: nothing here makes one go back. Expiry
begins when nobody can be using the offset any more (Kafka's KIP-211):

    group without members              from the moment it became Empty
    group that never had members       from the commit (a consumer that assigns its partitions itself)
    group with consumers, partition    from the commit, once no member is subscribed to the topic; also when a consumer
                                       group (KIP-848) has no members: when they went is not written down
"""

from collections.abc import Iterable, Iterator, Mapping

from broker.groups.consumer.state import ConsumerGroup
from broker.groups.state import Group
from broker.groups.values import CommittedOffset, GroupState
from broker.identifiers import TopicPartition


class CommittedOffsets:
    """Group → partition → newest commit."""

    __slots__ = ("_by_group", "_count")

    def __init__(self) -> None:
        self._by_group: dict[str, dict[TopicPartition, CommittedOffset]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def of(self, group_id: str) -> Mapping[TopicPartition, CommittedOffset]:
        return self._by_group.get(group_id, {})

    def groups(self) -> Iterator[str]:
        return iter(self._by_group)

    def put(self, group_id: str, partition: TopicPartition, committed: CommittedOffset) -> None:
        offsets = self._by_group.setdefault(group_id, {})
        self._count += partition not in offsets
        offsets[partition] = committed

    def remove(self, group_id: str, partitions: Iterable[TopicPartition]) -> None:
        """Forgets *partitions*; those without a commit are passed over."""
        offsets = self._by_group.get(group_id)
        if offsets is None:
            return
        for partition in partitions:
            self._count -= offsets.pop(partition, None) is not None
        if not offsets:
            del self._by_group[group_id]

    def on_topic(self, topic: str) -> dict[str, list[TopicPartition]]:
        """Group → the partitions of *topic* that it has commits for."""
        found = {
            group_id: [partition for partition in offsets if partition.topic == topic]
            for group_id, offsets in self._by_group.items()
        }
        return {group_id: partitions for group_id, partitions in found.items() if partitions}

    def expired(self, group: Group | ConsumerGroup, *, wall_ms: int, retention_ms: int) -> list[TopicPartition]:
        """The partitions whose commits in *group* have had their time."""
        offsets = self.of(group.id)
        latest = wall_ms - retention_ms
        if isinstance(group, ConsumerGroup):
            used = group.subscribed_topics()
            return [each for each, at in offsets.items() if each.topic not in used and at.commit_timestamp_ms <= latest]
        if group.state is GroupState.EMPTY:
            if group.protocol_type:
                since = group.state_timestamp_ms
                return [each for each, at in offsets.items() if max(since, at.commit_timestamp_ms) <= latest]
            return [each for each, at in offsets.items() if at.commit_timestamp_ms <= latest]
        topics = group.subscribed_topics() if group.state is GroupState.STABLE else None
        if topics is None:
            return []
        return [each for each, at in offsets.items() if each.topic not in topics and at.commit_timestamp_ms <= latest]
