"""
Fills a generation from the event store: steps 2 and 3 of `store_scan.py`.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import anyio
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from eventbus.database.checkpoints import Checkpoints
from eventbus.database.engine import Database
from eventbus.database.tables import blocked_rows, events, outbox
from eventbus.domain.topics import EventTopics
from eventbus.errors import UndecodableMessage
from eventbus.projections.build import Build, ProjectedEvent
from eventbus.projections.definition import AnyProjection, EventFailed
from eventbus.projections.generations import Generation, Generations, RebuildRefused
from eventbus.projections.marks import LogView
from eventbus.projections.progress import Phase
from eventbus.projections.records import RecordDecoder
from eventbus.projections.store_scan import StoreScan
from eventbus.store.event_rows import Reading
from eventbus.store.streams import StoredEvent
from eventbus.transport.port import Transport

EVENTS_A_TRANSACTION = 1000
RELAY_POLL_SECONDS = 0.05


def check_store_holds(projection: type[AnyProjection], topics: EventTopics) -> None:
    """Raises RebuildRefused when the event store does not hold every event of the projection, with what is missing."""
    name = projection.projection_name
    foreign = sorted(set(projection.projection_topics) - topics.written())
    if foreign:
        raise RebuildRefused(
            f"projection {name!r} cannot be built from the event store: topic {foreign[0]!r} is not written by an "
            "aggregate of this service, so its events are in the log alone"
        )
    for event in projection.event_types():
        if topics.owner(event) is None:
            raise RebuildRefused(
                f"projection {name!r} cannot be built from the event store: {event.__name__} is recorded by no "
                "aggregate of this service, so it is in the log alone"
            )


class StoreFilling:
    """
    Reads the event store into one generation, from where `scan` says.

    skipped   ids of events that are passed over
    moved     called after each transaction, with the phase and what was read
    """

    def __init__(
        self,
        generation: Generation,
        build: Build,
        *,
        database: Database,
        transport: Transport,
        generations: Generations,
        decoder: RecordDecoder,
        skipped: frozenset[str],
        moved: Callable[[Phase, StoreScan], None],
    ) -> None:
        self._generation = generation
        self._build = build
        self._projection = build.projection
        self._database = database
        self._transport = transport
        self._generations = generations
        self._decoder = decoder
        self._skipped = skipped
        self._moved = moved
        self.scan = StoreScan.from_json(generation.store_scan or StoreScan().to_json())

    async def fill(self) -> StoreScan:
        """Reads to the end and finds the floor. Raises RebuildRefused, with stream and version, at a failing event."""
        if self.scan.after is None and not self.scan.total:
            self.scan = replace(self.scan, total=await self._count())
        while not self.scan.ended:
            found = await self._read()
            await self._apply(found)
            self._moved("reading the event store", self.scan)
        if self.scan.floor is None:
            await self._find_floor()
        return self.scan

    async def _count(self) -> int:
        async with self._database.reading() as connection:
            statement = select(func.count()).where(events.c.topic.in_(self._projection.projection_topics))
            return (await connection.execute(statement)).scalar_one()

    async def _read(self) -> list[StoredEvent]:
        topics = self._projection.projection_topics
        stream, version = self.scan.after or ("", 0)
        reading = Reading.of(
            f"WHERE topic IN ({', '.join('?' for _ in topics)}) AND (stream, version) > (?, ?) "
            "ORDER BY stream, version LIMIT ?",
            *topics,
            *(stream, version, EVENTS_A_TRANSACTION),
        )
        async with self._database.reading() as connection:
            return await reading.on(connection)

    async def _apply(self, found: Sequence[StoredEvent]) -> None:
        projected = [one for stored in found if (one := self._decode(stored)) is not None]
        last = found[-1].envelope if found else None
        scan = replace(
            self.scan,
            after=self.scan.after if last is None else (last.stream or "", last.stream_version or 0),
            read=self.scan.read + len(found),
            ended=len(found) < EVENTS_A_TRANSACTION,
        )
        try:
            async with self._database.transaction() as connection:
                await self._generations.scanned(connection, self._generation, scan.to_json())
                await self._build.apply(connection, projected)
        except EventFailed as failed:
            one, cause = projected[failed.index], failed.__cause__ or failed
            place = f"version {one.stream_version} of stream {one.stream[1] if one.stream else '?'}"
            raise self._refused(place, f"{failed.method}: {type(cause).__name__}: {cause}") from cause
        self.scan = scan

    def _decode(self, stored: StoredEvent) -> ProjectedEvent | None:
        envelope = stored.envelope
        if envelope.id in self._skipped:
            return None
        try:
            return self._decoder.decode_data(envelope, stored.data)
        except UndecodableMessage as error:
            raise self._refused(f"version {envelope.stream_version} of stream {envelope.stream}", str(error)) from error

    async def _find_floor(self) -> None:
        """Waits until the log has what was read, unless there is no live view that could be agreed with."""
        if not await self._is_alone():
            await self._relayed()
            floor = (await LogView.of(self._transport, self._projection)).ends()
        else:
            floor = {}
        scan = replace(self.scan, floor=floor)
        async with self._database.transaction() as connection:
            await self._generations.scanned(connection, self._generation, scan.to_json())
        self.scan = scan

    async def _is_alone(self) -> bool:
        name = self._projection.projection_name
        async with self._database.reading() as connection:
            live = await self._generations.live(connection, name)
            rows = [] if live is None else await Checkpoints().read(connection, name, live.generation)
        return (await LogView.of(self._transport, self._projection)).is_foreign_to(rows)

    async def _relayed(self) -> None:
        columns, topics = outbox.c, self._projection.projection_topics
        async with self._database.reading() as connection:
            last = await connection.scalar(select(func.max(columns.sequence)).where(columns.topic.in_(topics)))
        while last is not None and await self._waits(last):
            self._moved("waiting for the relay", self.scan)
            await anyio.sleep(RELAY_POLL_SECONDS)

    async def _waits(self, last: int) -> bool:
        """Whether a row up to *last* is still to be relayed. Raises RebuildRefused when the log refuses one of them."""
        columns, topics = outbox.c, self._projection.projection_topics
        async with self._database.reading() as connection:
            waiting = select(func.count()).where(columns.topic.in_(topics), columns.sequence <= last)
            if not (await connection.execute(waiting)).scalar_one():
                return False
            await self._refuse_blocked(connection, last)
            return True

    async def _refuse_blocked(self, connection: AsyncConnection, last: int) -> None:
        columns = blocked_rows.c
        statement = select(columns.event_id, columns.reason).where(
            columns.topic.in_(self._projection.projection_topics), columns.sequence <= last
        )
        blocked = (await connection.execute(statement.limit(1))).one_or_none()
        if blocked is not None:
            raise RebuildRefused(
                f"the rebuild of {self._projection.projection_name!r} waits for the relay, and the log refuses event "
                f"{blocked.event_id}: {blocked.reason}. See `eventbus outbox blocked`; then run it again, it goes on "
                "from here"
            )

    def _refused(self, place: str, reason: str) -> RebuildRefused:
        return RebuildRefused(
            f"the rebuild of {self._projection.projection_name!r} stopped at {place}: {reason}. The live view is as it "
            "was. Mend the code and run it again, it goes on from here; or pass over what the live view has among its "
            "dead letters, too: --skip-dead-letters"
        )
