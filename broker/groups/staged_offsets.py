"""
Offsets that open transactions will commit: written, and not valid yet.

A producer stages offsets of a group inside its transaction (TxnOffsetCommit). The marker that ends the transaction
makes them the group's offsets, or drops them. Meanwhile they are *unstable*: a consumer that asks for stable offsets is
told to wait, and neither expiry nor the tidying of empty groups touches them.

The newest write wins, by its place in the log and not by the end of its transaction: an offset that is committed, or
taken back, behind a staged one replaces that. So a slow transaction does not take a group back.
"""

from collections.abc import Iterator
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from broker.groups.offset_log import Writer
from broker.groups.values import CommittedOffset
from broker.identifiers import TopicPartition


class StagedOffset(NamedTuple):
    """One staged offset; `position` counts the writes. With `offset` None a later write has replaced it."""

    writer: Writer
    group_id: str
    partition: TopicPartition
    offset: CommittedOffset | None
    position: int


class StagedOffsets:
    """Producer → (group, partition) → the offset staged last."""

    __slots__ = ("_by_producer", "_position")

    def __init__(self) -> None:
        self._by_producer: dict[int, dict[tuple[str, TopicPartition], StagedOffset]] = {}
        self._position = 0

    def __len__(self) -> int:
        return sum(map(len, self._by_producer.values()))

    def put(self, writer: Writer, group_id: str, partition: TopicPartition, offset: CommittedOffset) -> None:
        self._position += 1
        staged = StagedOffset(writer, group_id, partition, offset, self._position)
        self._by_producer.setdefault(writer.producer_id, {})[group_id, partition] = staged

    def replaced(self, group_id: str, partition: TopicPartition, position: int | None = None) -> None:
        """Notes a write for *partition* at *position* (None: just now), which is newer than what was staged before."""
        key = group_id, partition
        for by_key in self._by_producer.values():
            staged = by_key.get(key)
            if staged is not None and (position is None or staged.position < position):
                by_key[key] = StagedOffset(staged.writer, group_id, partition, None, staged.position)

    def take(self, producer_id: int) -> list[StagedOffset]:
        """Ends the producer's transaction and gives what of it has not been replaced."""
        return [each for each in self._by_producer.pop(producer_id, {}).values() if each.offset is not None]

    def of(self, group_id: str) -> frozenset[TopicPartition]:
        """The partitions whose offsets are unstable in a group."""
        return frozenset(
            partition for by_key in self._by_producer.values() for group, partition in by_key if group == group_id
        )

    def groups(self) -> frozenset[str]:
        """The groups that have something staged."""
        return frozenset(group_id for by_key in self._by_producer.values() for group_id, _ in by_key)

    def on_topic(self, topic: str) -> frozenset[tuple[str, TopicPartition]]:
        """(group, partition) of everything staged for *topic*."""
        return frozenset(key for by_key in self._by_producer.values() for key in by_key if key[1].topic == topic)

    def in_order(self) -> Iterator[tuple[Writer, list[StagedOffset]]]:
        """What has not been replaced, in the order of its writing, each writer's runs together."""
        left = (each for by_key in self._by_producer.values() for each in by_key.values() if each.offset is not None)
        for writer, run in groupby(sorted(left, key=attrgetter("position")), key=attrgetter("writer")):
            yield writer, list(run)
