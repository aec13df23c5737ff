"""
Fills a generation that is being built from the log, all partitions at the same time, up to offsets that are given.

A batch over all partitions is one transaction: its effects and the partitions' checkpoints. So a rebuild that is
killed at any moment goes on from an exact place, and rows that several partitions touch are touched by one of them at a
time. While a batch is written, the next one is read and decoded. It is strict: the first event that fails stops it,
with its position.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import anyio
import anyio.lowlevel

from eventbus.database.checkpoints import Checkpoint, Checkpoints
from eventbus.database.engine import Database
from eventbus.errors import CheckpointFenced, DatabaseUnavailable, UndecodableMessage
from eventbus.projections.build import Build, ProjectedEvent
from eventbus.projections.definition import EventFailed
from eventbus.projections.generations import RebuildRefused
from eventbus.projections.records import RecordDecoder
from eventbus.transport.port import IncomingRecord, RecordReader, TopicPartition, Transport

RECORDS_A_TRANSACTION = 4000
RECORDS_AT_ONCE = 250
"""Decoded in a few milliseconds, without letting anything else run."""
DATABASE_ATTEMPTS = 5
DATABASE_BACKOFF_SECONDS = 1.0

Skipped = frozenset[tuple[str, int, int]]
"""Topic, partition and offset of records that are passed over."""


@dataclass(slots=True)
class _Part:
    """What one transaction applies: events, the records that they came in, and the checkpoints behind them."""

    records: list[IncomingRecord] = field(default_factory=list[IncomingRecord])
    events: list[ProjectedEvent] = field(default_factory=list[ProjectedEvent])
    moves: dict[TopicPartition, int] = field(default_factory=dict[TopicPartition, int])


class _NotKeptError(Exception):
    """Rolls a trial back."""


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
            await self._fill(reader, targets)
        finally:
            with anyio.CancelScope(shield=True):
                await reader.aclose()

    async def _fill(self, reader: RecordReader, targets: Mapping[TopicPartition, int]) -> None:
        """While a part is written, the next one is read and decoded."""
        reached = {partition: self.position(partition) for partition in targets}
        part = await self._next(reader, targets, reached)
        while part is not None:
            ahead: list[_Part | Exception | None] = []

            async def read_on(found: list[_Part | Exception | None] = ahead) -> None:
                try:
                    found.append(await self._next(reader, targets, reached))
                except Exception as error:
                    found.append(error)

            # Raised behind the group, which would wrap it.
            failure: Exception | None = None
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(read_on)
                try:
                    await self._apply(part)
                except Exception as error:
                    failure = error
                    tasks.cancel_scope.cancel()
            (following,) = [failure] if failure is not None else ahead
            if isinstance(following, Exception):
                raise following
            part = following

    async def _next(
        self, reader: RecordReader, targets: Mapping[TopicPartition, int], reached: dict[TopicPartition, int]
    ) -> "_Part | None":
        """What comes next, and moves `reached` behind it; None: all targets are reached."""
        while any(reached[partition] < target for partition, target in targets.items()):
            part = _Part()
            for batch in await reader.read(records_max=RECORDS_A_TRANSACTION):
                partition = TopicPartition(batch.topic, batch.partition)
                end = targets[partition]
                for count, record in enumerate(batch.records, start=1):
                    if record.offset < end and (event := self._decode(record)) is not None:
                        part.records.append(record)
                        part.events.append(event)
                    if count % RECORDS_AT_ONCE == 0:
                        await anyio.lowlevel.checkpoint()  # what is being written wants the loop, too
                if (next_offset := min(batch.next_offset, end)) > reached[partition]:
                    part.moves[partition] = reached[partition] = next_offset
            if part.moves:
                return part
        return None

    def _missing(self, targets: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        return {
            partition: self.position(partition)
            for partition, target in targets.items()
            if self.position(partition) < target
        }

    async def _apply(self, part: "_Part") -> None:
        for attempt in range(1, DATABASE_ATTEMPTS + 1):
            try:
                await self._commit(part.moves, part.events)
                break
            except DatabaseUnavailable:
                if attempt == DATABASE_ATTEMPTS:
                    raise
                await anyio.sleep(DATABASE_BACKOFF_SECONDS)
            except EventFailed as failed:
                cause = failed.__cause__ or failed
                raise self._refused(
                    part.records[failed.index], f"{failed.method}: {type(cause).__name__}: {cause}"
                ) from cause
            except CheckpointFenced as fenced:
                raise RebuildRefused(
                    f"the rebuild of {self._build.projection.projection_name!r} (generation "
                    f"{self._build.generation}) was "
                    "taken over by another process"
                ) from fenced
            except Exception as error:
                first = await self._first_refused(part.events)
                raise self._refused(part.records[first], f"{type(error).__name__}: {error}") from error
        self._moved()

    async def _commit(self, moves: Mapping[TopicPartition, int], events: Sequence[ProjectedEvent]) -> None:
        async with self._database.transaction() as connection:
            moved = {
                partition: await self._checkpoints.advance(connection, self._claimed[partition], next_offset)
                for partition, next_offset in sorted(moves.items())
            }
            await self._build.apply(connection, events)
        self._claimed |= moved

    async def _first_refused(self, events: Sequence[ProjectedEvent]) -> int:
        """The index of the event whose effects the database or its driver refuses: their errors name none."""
        applied, refused = 0, len(events)
        while refused - applied > 1:
            half = (applied + refused) // 2
            if await self._is_applicable(events[:half]):
                applied = half
            else:
                refused = half
        return refused - 1

    async def _is_applicable(self, events: Sequence[ProjectedEvent]) -> bool:
        try:
            async with self._database.transaction() as connection:
                await self._build.apply(connection, events)
                raise _NotKeptError
        except _NotKeptError:
            return True
        except DatabaseUnavailable:
            raise
        except Exception:
            return False

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
