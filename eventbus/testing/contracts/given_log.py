"""
A log that is given to a projection, record by record and gap by gap: what a rebuild asks of a transport, and what a
runner is fed by.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import cast
from uuid import uuid4

import anyio
import anyio.lowlevel

from eventbus.database import Database, LogPartition
from eventbus.messages import Envelope, Event
from eventbus.projections import AnyProjection, ProjectionRunner
from eventbus.projections.runner import ProjectionClaim
from eventbus.serialization.json import encode
from eventbus.testing.contracts.orders import TYPES
from eventbus.transport.port import (
    IncomingRecord,
    LogDescription,
    OffsetRange,
    PartitionBatch,
    TopicDescription,
    TopicPartition,
    Transport,
)


class OrdersLog:
    """One topic, `orders`. A gap stands for what is no record: the marker of a transaction."""

    def __init__(self, partitions: int = 1, cluster_id: str = "cluster") -> None:
        self.cluster_id = cluster_id
        self.topic_id = "topic-id"
        self.start = 0
        self.partitions: list[list[IncomingRecord | None]] = [[] for _ in range(partitions)]
        self._versions: dict[str, int] = {}

    @property
    def transport(self) -> Transport:
        return cast("Transport", self)

    def log(self, partition: int) -> LogPartition:
        return LogPartition(self.cluster_id, "orders", self.topic_id, partition)

    def append(
        self,
        event: Event,
        partition: int = 0,
        *,
        stream: str | None = None,
        version: int | None = None,
        id: str | None = None,
    ) -> str:
        """The record's id. An event of a stream gets the stream's next version unless *version* says another."""
        if stream is not None and version is None:
            version = self._versions[stream] = self._versions.get(stream, 0) + 1
        envelope = Envelope(
            id or str(uuid4()),
            type(event).message_name,
            1,
            "shop",
            datetime.now(UTC),
            stream=stream,
            stream_version=version,
        )
        self.append_raw(encode(event), envelope.headers(), partition)
        return envelope.id

    def append_raw(self, value: bytes, headers: Sequence[tuple[str, bytes]], partition: int = 0) -> None:
        records = self.partitions[partition]
        records.append(IncomingRecord("orders", partition, len(records), b"key", value, headers, 0))

    def append_gap(self, partition: int = 0) -> None:
        self.partitions[partition].append(None)

    def records(self, partition: int, first: int, end: int | None = None) -> list[IncomingRecord]:
        return [record for record in self.partitions[partition][first:end] if record is not None]

    async def describe(self, topics: Sequence[str]) -> LogDescription:
        ranges = tuple(OffsetRange(self.start, len(records)) for records in self.partitions)
        return LogDescription(self.cluster_id, {"orders": TopicDescription(self.topic_id, ranges)})

    def reader(self, offsets: Mapping[TopicPartition, int]) -> "OrdersReader":
        return OrdersReader(self, dict(offsets))


class OrdersReader:
    """Reads in small batches, the partitions in turn."""

    def __init__(self, log: OrdersLog, offsets: dict[TopicPartition, int]) -> None:
        self._log = log
        self._offsets = offsets

    async def read(self, *, records_max: int = 1000, seconds: float = 1.0) -> list[PartitionBatch]:
        await anyio.lowlevel.checkpoint()
        batches: list[PartitionBatch] = []
        for place, first in self._offsets.items():
            end = min(first + min(records_max, 7), len(self._log.partitions[place.partition]))
            if end > first:
                records = self._log.records(place.partition, first, end)
                batches.append(PartitionBatch(place.topic, place.partition, records, end))
                self._offsets[place] = end
        if not batches:
            await anyio.sleep(0.01)
        return batches

    async def aclose(self) -> None:
        pass


class Feeder:
    """Drives a runner as a consumer does, one partition after the other."""

    def __init__(self, log: OrdersLog, projection: type[AnyProjection], database: Database) -> None:
        self.runner = ProjectionRunner(projection, service="shop", database=database, types=TYPES)
        self._log = log
        self.claims: dict[int, ProjectionClaim] = {}

    async def claim(self, partition: int) -> ProjectionClaim:
        claim = await self.runner.claim(self._log.log(partition), self._log.start, len(self._log.partitions[partition]))
        self.claims[partition] = claim
        return claim

    async def feed(self, batch: int = 100, partitions: Sequence[int] | None = None) -> None:
        """Applies everything that is there."""
        for partition in range(len(self._log.partitions)) if partitions is None else partitions:
            claim = self.claims.get(partition) or await self.claim(partition)
            while claim.next_offset < (end := len(self._log.partitions[partition])):
                last = min(claim.next_offset + batch, end)
                await self.runner.apply(claim, self._log.records(partition, claim.next_offset, last), last)
