"""
The markers that end a transaction in its partitions, and in the groups whose offsets it commits.

Order, when a partition wants its bytes on the disk before they count (flush.before.ack): the decision is synced before
the first marker is written, and the markers before the end is noted. So a loss of power leaves no transaction committed
in one partition and aborted in another, and none open that nobody will end.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Protocol

from broker.clock import Clock
from broker.errors import ErrorCode, KafkaError
from broker.identifiers import TopicPartition
from broker.records import Marker, MarkerKind, build_marker
from broker.storage import AppendOrigin
from broker.topics import Catalog, FlushGroup, Partition
from broker.transactions.values import Producer

LOG = logging.getLogger("broker.transactions")

GROUP_OFFSETS_TOPIC = "__consumer_offsets"


class Participants(Protocol):
    """The partitions that take part in transactions."""

    def want_durability(self, partitions: Iterable[TopicPartition]) -> bool:
        """Whether a decision about *partitions* has to be on the disk before it is carried out."""
        ...

    def end(
        self,
        partitions: Iterable[TopicPartition],
        producer: Producer,
        marker: Marker,
        told: Callable[[frozenset[TopicPartition]], None],
    ) -> None:
        """
        Writes *marker* to each of *partitions* and calls *told* once, now or later, with those where that failed: the
        disk refused, and it has to be tried again. A partition that is gone counts as done.
        """
        ...

    def open_transactions(self) -> Iterator[tuple[TopicPartition, Producer]]:
        """Every transaction that some partition holds open, with the incarnation that wrote there."""
        ...


class GroupOffsets(Protocol):
    """The coordinator of groups, as far as it takes part in transactions."""

    def end_transaction(self, producer: Producer, marker: Marker) -> None:
        """Writes *marker* behind the offsets that the producer has staged, and commits or drops them. Raises
        KafkaError; nothing has changed then."""
        ...


class PartitionMarkers:
    """Implements Participants on the catalog."""

    def __init__(self, *, catalog: Catalog, flushes: FlushGroup, groups: GroupOffsets, clock: Clock) -> None:
        self._catalog = catalog
        self._flushes = flushes
        self._groups = groups
        self._clock = clock

    def want_durability(self, partitions: Iterable[TopicPartition]) -> bool:
        found = map(self._find, partitions)
        return any(
            partition is not None and partition.unopened is None and partition.log.config.flush_before_ack
            for partition in found
        )

    def end(
        self,
        partitions: Iterable[TopicPartition],
        producer: Producer,
        marker: Marker,
        told: Callable[[frozenset[TopicPartition]], None],
    ) -> None:
        failed: set[TopicPartition] = set()
        unsynced: list[tuple[TopicPartition, Partition, int]] = []
        for place in partitions:
            partition = self._find(place)
            if partition is None:
                continue
            try:
                if place.topic == GROUP_OFFSETS_TOPIC:
                    self._groups.end_transaction(producer, marker)
                else:
                    self._append(partition, producer, marker)
                if partition.log.config.flush_before_ack:
                    unsynced.append((place, partition, partition.log.next_offset - 1))
                elif partition.log.config.flushes:
                    self._flushes.schedule(partition)
            except KafkaError as refused:
                if refused.code is ErrorCode.INVALID_PRODUCER_EPOCH:
                    # A later incarnation has written there, so this transaction has been ended before.
                    LOG.warning("marker not needed partition=%s reason=%s", place, refused.message)
                    continue
                LOG.error("marker not written partition=%s reason=%s; it is tried again", place, refused)
                failed.add(place)
        if not unsynced:
            told(frozenset(failed))
            return
        left = len(unsynced)

        def synced(place: TopicPartition, error: ErrorCode) -> None:
            nonlocal left
            if error is ErrorCode.KAFKA_STORAGE_ERROR:
                failed.add(place)
            left -= 1
            if left == 0:
                told(frozenset(failed))

        for place, partition, offset in unsynced:
            self._flushes.wait(partition, offset, partial(synced, place))

    def open_transactions(self) -> Iterator[tuple[TopicPartition, Producer]]:
        for partition in self._catalog.partitions():
            for state in partition.log.active_producers():
                if state.transaction_start is not None:
                    place = TopicPartition(partition.topic, partition.index)
                    yield place, Producer(state.producer_id, state.producer_epoch)

    def _append(self, partition: Partition, producer: Producer, marker: Marker) -> None:
        batch = build_marker(
            marker,
            timestamp=self._clock.now_ms(),
            producer_id=producer.producer_id,
            producer_epoch=producer.producer_epoch,
        )
        partition.append(memoryview(batch), AppendOrigin.COORDINATOR)

    def _find(self, place: TopicPartition) -> Partition | None:
        topic = self._catalog.find(place.topic)
        if topic is None or place.partition >= len(topic.partitions):
            return None
        return topic.partitions[place.partition]


def marker_kind(*, committed: bool) -> MarkerKind:
    return MarkerKind.COMMIT if committed else MarkerKind.ABORT
