"""
Fills a generation that is being built from the log, partition by partition interleaved, up to offsets that are given.

A batch over all partitions is one transaction: its effects and the partitions' checkpoints. So a rebuild that is
killed at any moment goes on from an exact place. It is strict: the first event that fails stops it, with its position.
"""

from collections.abc import Callable, Mapping, Sequence

import anyio

from eventbus.database.checkpoints import Checkpoint, Checkpoints
from eventbus.database.engine import Database
from eventbus.errors import CheckpointFenced, DatabaseUnavailable, UndecodableMessage
from eventbus.projections.build import Build, ProjectedEvent
from eventbus.projections.definition import EventFailed
from eventbus.projections.generations import RebuildRefused
from eventbus.projections.records import RecordDecoder
from eventbus.transport.port import IncomingRecord, PartitionBatch, TopicPartition, Transport

RECORDS_A_TRANSACTION = 1000
DATABASE_ATTEMPTS = 5
DATABASE_BACKOFF_SECONDS = 1.0

Skipped = frozenset[tuple[str, int, int]]
"""Topic, partition and offset of records that are passed over."""


class Filling:
    """The checkpoints of a build, and what moves them on. `moved` is called after each transaction."""

    def __init__(
        self,
        build: Build,
        checkpoints: Mapping[TopicPartition, Checkpoint],
        *,
        database: Database,
        transport: Transport,
        decoder: RecordDecoder,
        skipped: Skipped,
        moved: Callable[[], None],
    ) -> None:
        self._build = build
        self._claimed = dict(checkpoints)
        self._database = database
        self._transport = transport
        self._decoder = decoder
        self._skipped = skipped
        self._moved = moved
        self._checkpoints = Checkpoints()

    @property
    def claimed(self) -> Mapping[TopicPartition, Checkpoint]:
        """The build's checkpoints as they are now."""
        return self._claimed

    def adopt(self, partition: TopicPartition, checkpoint: Checkpoint) -> None:
        """A partition that was not there when this began."""
        self._claimed[partition] = checkpoint

    def position(self, partition: TopicPartition) -> int:
        """The first offset that is not applied; a partition begins at 0, or it could not be rebuilt."""
        return self._claimed[partition].next_offset or 0

    async def fill(self, targets: Mapping[TopicPartition, int]) -> None:
        """Applies everything before *targets*. Raises RebuildRefused, with the place, at the first event that fails."""
        missing = self._missing(targets)
        if not missing:
            return
        reader = self._transport.reader(missing)
        try:
            while missing:
                batches = await reader.read(records_max=RECORDS_A_TRANSACTION)
                await self._apply([batch for batch in batches if (batch.topic, batch.partition) in missing], targets)
                missing = self._missing(targets)
        finally:
            with anyio.CancelScope(shield=True):
                await reader.aclose()

    def _missing(self, targets: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        return {
            partition: self.position(partition)
            for partition, target in targets.items()
            if self.position(partition) < target
        }

    async def _apply(self, batches: Sequence[PartitionBatch], targets: Mapping[TopicPartition, int]) -> None:
        moves: dict[TopicPartition, int] = {}
        records: list[IncomingRecord] = []
        events: list[ProjectedEvent] = []
        for batch in batches:
            partition = TopicPartition(batch.topic, batch.partition)
            end = targets[partition]
            for record in batch.records:
                if record.offset < end and (event := self._decode(record)) is not None:
                    records.append(record)
                    events.append(event)
            if (next_offset := min(batch.next_offset, end)) > self.position(partition):
                moves[partition] = next_offset
        if not moves:
            return
        for attempt in range(1, DATABASE_ATTEMPTS + 1):
            try:
                await self._commit(moves, events)
                break
            except DatabaseUnavailable:
                if attempt == DATABASE_ATTEMPTS:
                    raise
                await anyio.sleep(DATABASE_BACKOFF_SECONDS)
            except EventFailed as failed:
                cause = failed.__cause__ or failed
                raise self._refused(
                    records[failed.index], f"{failed.method}: {type(cause).__name__}: {cause}"
                ) from cause
            except CheckpointFenced as fenced:
                raise RebuildRefused(
                    f"the rebuild of {self._build.projection.projection_name!r} (generation "
                    f"{self._build.generation}) was "
                    "taken over by another process"
                ) from fenced
        self._moved()

    async def _commit(self, moves: Mapping[TopicPartition, int], events: Sequence[ProjectedEvent]) -> None:
        async with self._database.transaction() as connection:
            moved = {
                partition: await self._checkpoints.advance(connection, self._claimed[partition], next_offset)
                for partition, next_offset in sorted(moves.items())
            }
            await self._build.apply(connection, events)
        self._claimed |= moved

    def _decode(self, record: IncomingRecord) -> ProjectedEvent | None:
        if self._skipped and (record.topic, record.partition, record.offset) in self._skipped:
            return None
        try:
            return self._decoder.decode(record)
        except UndecodableMessage as error:
            raise self._refused(record, str(error)) from error

    def _refused(self, record: IncomingRecord, reason: str) -> RebuildRefused:
        name = self._build.projection.projection_name
        return RebuildRefused(
            f"the rebuild of {name!r} stopped at {record.topic}-{record.partition} offset {record.offset}: {reason}. "
            "The live view is as it was. Mend the code and run it again, it goes on from here; or pass over what the "
            "live view has among its dead letters, too: --skip-dead-letters"
        )
