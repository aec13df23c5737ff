"""
One generation of one projection: its tables, and how events get into them once.

Besides the projection's tables a generation has `view_<projection>_<n>_streams`: per stream of a service the last
version that has been applied. The relay may publish an event twice, under a new offset, so the checkpoint cannot tell;
the stream version can. An event of no stream (published, not recorded) is told by its id, in the inbox.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from eventbus.database.inbox import Inbox
from eventbus.messages import Event
from eventbus.projections.definition import AnyProjection, EventFailed
from eventbus.projections.naming import inbox_consumer, table_name
from eventbus.projections.stream_versions import Stream, StreamVersions


@dataclass(slots=True)
class ProjectedEvent:
    """
    An event with what tells its repeats. Not frozen, because a frozen one costs 1 µs more; treat it as if it were.

    stream   of which service, and its name there; None: the event was published, and is of no stream
    """

    event: Event
    id: str
    stream: Stream | None
    stream_version: int


class Build:
    """Makes, fills and drops the tables of one generation. Every call is inside the caller's transaction."""

    def __init__(self, projection: type[AnyProjection], generation: int, inbox: Inbox) -> None:
        self.projection = projection
        self.generation = generation
        self.tables = projection.tables(generation)
        self._inbox = inbox
        self._write = projection.writer(generation, self.tables)
        self._inbox_consumer = inbox_consumer(projection.projection_name, generation)
        self._streams = StreamVersions(table_name(projection.projection_name, generation, "streams"))

    async def create(self, connection: AsyncConnection) -> None:
        """Makes the tables that are not there."""
        for table in (*self.tables, self._streams.table):
            await connection.run_sync(table.metadata.create_all)

    async def apply(self, connection: AsyncConnection, events: Sequence[ProjectedEvent]) -> int:
        """
        Applies the events that have not been applied before, in order, and remembers them; answers their number.

        Raises EventFailed, with the index in *events*; then the transaction has to be rolled back.
        """
        fresh = await self._fresh(connection, events)
        if not fresh:
            return 0
        try:
            await self._write(connection, [events[index].event for index in fresh])
        except EventFailed as failed:
            raise EventFailed(fresh[failed.index], failed.method) from failed.__cause__
        return len(fresh)

    async def _fresh(self, connection: AsyncConnection, events: Sequence[ProjectedEvent]) -> list[int]:
        """The indexes of the events that are new; they are remembered from now on."""
        streams = list(dict.fromkeys(projected.stream for projected in events if projected.stream is not None))
        known = await self._streams.read(connection, streams)
        ids = [projected.id for projected in events if projected.stream is None]
        admitted = await self._inbox.admit(connection, self._inbox_consumer, ids) if ids else set[str]()
        moved: dict[Stream, int] = {}
        fresh: list[int] = []
        for index, projected in enumerate(events):
            stream = projected.stream
            if stream is None:
                if projected.id in admitted:
                    admitted.discard(projected.id)
                    fresh.append(index)
            elif projected.stream_version > known.get(stream, 0):
                known[stream] = moved[stream] = projected.stream_version
                fresh.append(index)
        if moved:
            await self._streams.write(connection, moved)
        return fresh
