"""
Offsets that open transactions will commit: written, and not valid yet.

A producer stages offsets of a group inside its transaction (TxnOffsetCommit). The marker that ends the transaction
makes them the group's offsets, or drops them. Meanwhile they are *unstable*: a consumer that asks for stable offsets is
told to wait, and neither expiry nor the tidying of empty groups touches them.

The newest write wins: an offset that is committed, or taken back, directly while a transaction has one staged for the
same partition replaces that one.
"""

from collections.abc import Iterable, Iterator, Mapping

from broker.groups.offset_log import Writer
from broker.groups.values import CommittedOffset
from broker.identifiers import TopicPartition


class StagedOffsets:
    """Producer → group → partition → the offset staged last; None where a direct write has replaced it."""

    __slots__ = ("_by_producer", "_writers")

    def __init__(self) -> None:
        self._by_producer: dict[int, dict[str, dict[TopicPartition, CommittedOffset | None]]] = {}
        self._writers: dict[int, Writer] = {}

    def __len__(self) -> int:
        return sum(len(offsets) for groups in self._by_producer.values() for offsets in groups.values())

    def put(self, writer: Writer, group_id: str, partition: TopicPartition, staged: CommittedOffset) -> None:
        groups = self._by_producer.setdefault(writer.producer_id, {})
        groups.setdefault(group_id, {})[partition] = staged
        self._writers[writer.producer_id] = writer

    def replaced(self, group_id: str, partition: TopicPartition) -> None:
        """Notes a direct write for *partition*."""
        for groups in self._by_producer.values():
            offsets = groups.get(group_id)
            if offsets is not None and partition in offsets:
                offsets[partition] = None

    def take(self, producer_id: int) -> Iterator[tuple[str, TopicPartition, CommittedOffset]]:
        """Ends the producer's transaction and gives what it had staged."""
        self._writers.pop(producer_id, None)
        for group_id, offsets in self._by_producer.pop(producer_id, {}).items():
            for partition, staged in offsets.items():
                if staged is not None:
                    yield group_id, partition, staged

    def of(self, group_id: str) -> frozenset[TopicPartition]:
        """The partitions whose offsets are unstable in a group."""
        return frozenset(partition for groups in self._by_producer.values() for partition in groups.get(group_id, ()))

    def groups(self) -> frozenset[str]:
        """The groups that have something staged."""
        return frozenset(group_id for groups in self._by_producer.values() for group_id in groups)

    def on_topic(self, topic: str) -> Iterable[tuple[str, TopicPartition]]:
        """(group, partition) of everything staged for *topic*."""
        return {
            (group_id, partition)
            for groups in self._by_producer.values()
            for group_id, offsets in groups.items()
            for partition in offsets
            if partition.topic == topic
        }

    def by_writer(self) -> Iterator[tuple[Writer, Mapping[str, Mapping[TopicPartition, CommittedOffset | None]]]]:
        """Everything that is staged, for a rewriting of the log."""
        for producer_id, groups in self._by_producer.items():
            yield self._writers[producer_id], groups
