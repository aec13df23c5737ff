"""
Keeps a projection's live generation up with the log: the Subscription that a Consumer drives.

A batch is one transaction: the checkpoint compared-and-set, the events that are new, the dead letters. When an event
fails, the transaction is rolled back and the batch is done in pieces, so that the failing event is alone in one and
its neighbours are not touched by it; it becomes a dead letter after its attempts, in the transaction that moves the
checkpoint past it.
"""

import logging
import random
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import anyio
from sqlalchemy.ext.asyncio import AsyncConnection

from eventbus.clock import Clock, SystemClock
from eventbus.database.checkpoints import Checkpoint, Checkpoints, LogPartition
from eventbus.database.dead_letters import DeadLetter, DeadLetters
from eventbus.database.engine import Database
from eventbus.database.inbox import Inbox
from eventbus.delivery.pace import Pace
from eventbus.errors import ForeignLog, UndecodableMessage
from eventbus.observability import EVENTS_DEAD_LETTERED, EVENTS_PROJECTED, EVENTS_REPEATED, EVENTS_RETRIED, Counters
from eventbus.projections.build import Build, ProjectedEvent
from eventbus.projections.definition import NO_EVENTS_FAULT, AnyProjection, EventFailed
from eventbus.projections.generations import Generations
from eventbus.projections.pauses import ProjectionPaused, paused_words
from eventbus.projections.records import RecordDecoder
from eventbus.serialization.types import MessageTypes
from eventbus.transport.port import IncomingRecord

_log = logging.getLogger(__name__)

SWITCH_POLL_SECONDS = 0.05
BACKOFF_SECONDS = 0.05

_BATCH_MIN: Final = 500
_BATCH_MAX: Final = 2000
VIEW_AHEAD_RECORDS: Final = 8000
"""For its consumer: of six partitions more than a thousand each, which makes a batch worth having."""


@dataclass(slots=True)
class ProjectionClaim:
    """One partition of one generation; `apply` moves the checkpoint on."""

    log: LogPartition
    build: Build
    checkpoint: Checkpoint
    start: int
    """Where a partition begins that has no checkpoint yet."""

    @property
    def next_offset(self) -> int:
        return self.start if self.checkpoint.next_offset is None else self.checkpoint.next_offset


@dataclass(slots=True)
class _Item:
    """
    A record of a batch: the projection's event in it, or why it is a dead letter, or neither. Not frozen, as each
    record has one; nobody changes it.
    """

    record: IncomingRecord
    event: ProjectedEvent | None
    letter: DeadLetter | None = None


@dataclass(frozen=True, slots=True)
class _Piece:
    items: Sequence[_Item]
    next_offset: int
    attempt: int = 1


class ProjectionRunner:
    """
    The Subscription of one projection in one process; several processes share the partitions.

    Errors of `apply` beyond the port's: none; what the projection's own methods raise ends in the dead letters.
    """

    def __init__(
        self,
        projection: type[AnyProjection],
        *,
        service: str,
        database: Database,
        types: MessageTypes,
        counters: Counters | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._projection = projection
        # A group for each version: while two releases run, only the members of one of them can read.
        self._group_id = f"{service}.{projection.projection_name}.v{projection.projection_version}"
        self._database = database
        self._decoder = RecordDecoder(projection, types)
        self._counters = counters if counters is not None else Counters()
        self._clock = clock if clock is not None else SystemClock()
        self._generations = Generations(self._clock)
        self._checkpoints = Checkpoints()
        self._dead_letters = DeadLetters()
        self._builds: dict[int, Build] = {}
        self._pace = Pace()

    @property
    def name(self) -> str:
        return self._projection.projection_name

    @property
    def group_id(self) -> str:
        return self._group_id

    @property
    def topics(self) -> Sequence[str]:
        return self._projection.projection_topics

    def batch_size(self) -> int:
        """
        How many records are worth having at once: more where the view is quick to write, as each transaction costs
        some milliseconds; not so many that a stop would have to abandon the batch of a slow one.
        """
        return max(_BATCH_MIN, min(self._pace.size, _BATCH_MAX))

    async def claim(self, log: LogPartition, start: int, end: int) -> ProjectionClaim:
        """
        Takes the partition over, for the generation that is live; waits while a rebuild is switching.

        Raises ForeignLog; SchemaOutdated when the live generation is of another version than this code;
        ProjectionPaused.
        """
        while (checkpoint := await self._claim_live(log, start, end)) is None:  # noqa: ASYNC110
            await anyio.sleep(SWITCH_POLL_SECONDS)  # another process switches: there is no event to wait for
        build = self._builds.get(checkpoint.generation)
        if build is None:
            build = self._builds[checkpoint.generation] = Build(self._projection, checkpoint.generation, Inbox())
        if checkpoint.next_offset is None and start > 0:
            _log.warning(
                "%s: %s-%d begins at offset %d: what was before is gone, and not in this view",
                *(self.name, log.topic, log.partition, start),
            )
        return ProjectionClaim(log, build, checkpoint, start)

    async def apply(self, claim: ProjectionClaim, records: Sequence[IncomingRecord], next_offset: int) -> None:
        """The port's promise; a batch with a failing event is several transactions, in order."""
        pieces = [_Piece([self._item(record) for record in records if record.offset >= claim.next_offset], next_offset)]
        while pieces:
            piece = pieces.pop()
            try:
                await self._commit(claim, piece)
            except NO_EVENTS_FAULT:
                raise
            except Exception as error:
                pieces += reversed(await self._smaller(piece, error))

    async def release(self, claim: ProjectionClaim) -> None:
        """Nothing to do: whoever claims next fences this claim."""

    async def _claim_live(self, log: LogPartition, start: int, end: int) -> Checkpoint | None:
        """The live generation's checkpoint, claimed; None while a rebuild is switching."""
        async with self._database.transaction() as connection:
            hold = await self._generations.hold_live(connection, self._projection)
            if hold.paused is not None:
                raise ProjectionPaused(paused_words(hold.paused))
            if hold.switching_seconds > 0:
                return None
            checkpoint = await self._checkpoints.claim(connection, self.name, hold.live.generation, log)
            self._check(checkpoint, start, end)
            return checkpoint

    async def _commit(self, claim: ProjectionClaim, piece: _Piece) -> None:
        events = [item.event for item in piece.items if item.event is not None]
        letters = [item.letter for item in piece.items if item.letter is not None]
        if not events and not letters and piece.next_offset == claim.checkpoint.next_offset:
            return
        async with self._database.transaction() as connection:
            moved = await self._checkpoints.advance(connection, claim.checkpoint, piece.next_offset)
            applied = await self._write(connection, claim.build, events, letters)
        claim.checkpoint = moved
        self._counters.add(EVENTS_PROJECTED, applied, consumer=self.name)
        if repeated := len(events) - applied:
            self._counters.add(EVENTS_REPEATED, repeated, consumer=self.name)
        if letters:
            self._counters.add(EVENTS_DEAD_LETTERED, len(letters), consumer=self.name)

    async def _write(
        self,
        connection: AsyncConnection,
        build: Build,
        events: Sequence[ProjectedEvent],
        letters: Sequence[DeadLetter],
    ) -> int:
        applied = 0
        if events:
            begun = time.monotonic()
            applied = await build.apply(connection, events)
            self._pace.took(len(events), time.monotonic() - begun)
        if letters:
            await self._dead_letters.add(connection, letters)
        return applied

    async def _smaller(self, piece: _Piece, error: Exception) -> list[_Piece]:
        """What to do instead of *piece*, in order."""
        positions = [index for index, item in enumerate(piece.items) if item.event is not None]
        if len(positions) > 1:
            if isinstance(error, EventFailed):
                failed = positions[error.index]
                return _split(piece, failed, failed + 1)
            return _split(piece, positions[len(positions) // 2])
        if not positions:
            raise error
        if piece.attempt < self._projection.projection_attempts:
            self._counters.add(EVENTS_RETRIED, consumer=self.name)
            await self._clock.sleep(BACKOFF_SECONDS * 2**piece.attempt * random.uniform(0.5, 1))
            return [_Piece(piece.items, piece.next_offset, piece.attempt + 1)]
        items = [
            item if item.event is None else _Item(item.record, None, self._letter(item, error, piece.attempt))
            for item in piece.items
        ]
        return [_Piece(items, piece.next_offset)]

    def _item(self, record: IncomingRecord) -> _Item:
        try:
            return _Item(record, self._decoder.decode(record))
        except UndecodableMessage as error:
            return _Item(record, None, self._letter(_Item(record, None), error, 1))

    def _letter(self, item: _Item, error: Exception, attempts: int) -> DeadLetter:
        record = item.record
        headers = record.header_map
        cause = error.__cause__ if isinstance(error, EventFailed) and error.__cause__ is not None else error
        _log.error(
            "%s: the record at %s-%d offset %d is a dead letter: %s: %s",
            self.name,
            *(record.topic, record.partition, record.offset),
            *(type(cause).__name__, cause),
        )
        return DeadLetter(
            consumer=self.name,
            handler=error.method if isinstance(error, EventFailed) else None,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            message_id=_text(headers.get("ce_id")),
            type=_text(headers.get("ce_type")),
            key=record.key,
            value=record.value,
            headers=tuple(record.headers),
            error_class=f"{type(cause).__module__}.{type(cause).__qualname__}",
            error_message=str(cause),
            error_stack="".join(traceback.format_exception(cause)),
            attempts=attempts,
            failed_at=self._clock.now(),
        )

    def _check(self, checkpoint: Checkpoint, start: int, end: int) -> None:
        """Raises ForeignLog when the log does not hold the checkpoint's offset."""
        partition = f"{checkpoint.log.topic}-{checkpoint.log.partition}"
        next_offset = checkpoint.next_offset
        if next_offset is not None and next_offset < start:
            raise ForeignLog(
                f"projection {self.name!r}: its checkpoint in {partition} is {next_offset}, and the log there begins "
                f"at {start}: {start - next_offset} offsets were deleted before it read them. Restore the topic from a "
                "backup, or drop the projection's rows and accept the gap"
            )
        if next_offset is not None and next_offset > end:
            raise ForeignLog(
                f"projection {self.name!r}: its checkpoint in {partition} is {next_offset}, and the log there ends at "
                f"{end}: it has lost records, or is not the one that the rows came from. With the right log nothing "
                f"has to be done; otherwise `eventbus projections rebuild {self.name}` builds the rows from this one"
            )


def _split(piece: _Piece, *places: int) -> list[_Piece]:
    """The pieces between *places*, in order; each ends where the next one's first record is not yet applied."""
    cuts = [0, *places, len(piece.items)]
    parts = [piece.items[first:last] for first, last in pairwise(cuts) if first < last]
    ends = [part[-1].record.offset + 1 for part in parts[:-1]] + [piece.next_offset]
    return [_Piece(part, end) for part, end in zip(parts, ends, strict=True)]


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode(errors="replace")
