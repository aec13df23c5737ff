"""
One generation of one projection: its tables, and how events get into them once.

Besides the projection's tables a generation has `view_<projection>_<n>_streams`: per stream of a service the last
version that has been applied. The relay may publish an event twice, under a new offset, so the checkpoint cannot tell;
the stream version can. An event of no stream (published, not recorded) is told by its id, in the inbox.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import BigInteger, Column, MetaData, Table, Text, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from eventbus.database.dialects import insert_into
from eventbus.database.inbox import Inbox
from eventbus.messages import Envelope, Event
from eventbus.projections.definition import AnyProjection, EventFailed
from eventbus.projections.naming import inbox_consumer, table_name

_STREAMS_A_QUERY = 10_000


@dataclass(frozen=True, slots=True)
class ProjectedEvent:
    """An event with what tells its repeats."""

    envelope: Envelope
    event: Event


class Build:
    """Makes, fills and drops the tables of one generation. Every call is inside the caller's transaction."""

    def __init__(self, projection: type[AnyProjection], generation: int, inbox: Inbox) -> None:
        self.projection = projection
        self.generation = generation
        self.tables = projection.tables(generation)
        self._inbox = inbox
        self._write = projection.writer(generation, self.tables)
        self._inbox_consumer = inbox_consumer(projection.projection_name, generation)
        self._streams = Table(
            table_name(projection.projection_name, generation, "streams"),
            MetaData(),
            Column("source", Text, primary_key=True),
            Column("stream", Text, primary_key=True),
            Column("version", BigInteger, nullable=False),
        )

    async def create(self, connection: AsyncConnection) -> None:
        """Makes the tables that are not there."""
        for table in (*self.tables, self._streams):
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
        known = await self._versions(connection, events)
        moved: dict[tuple[str, str], int] = {}
        admitted = await self._admitted(connection, events)
        fresh: list[int] = []
        for index, projected in enumerate(events):
            envelope = projected.envelope
            if envelope.stream is None or envelope.stream_version is None:
                if envelope.id in admitted:
                    admitted.discard(envelope.id)
                    fresh.append(index)
                continue
            stream = (envelope.source, envelope.stream)
            if envelope.stream_version > known.get(stream, 0):
                known[stream] = moved[stream] = envelope.stream_version
                fresh.append(index)
        if moved:
            await self._remember(connection, moved)
        return fresh

    async def _versions(
        self, connection: AsyncConnection, events: Sequence[ProjectedEvent]
    ) -> dict[tuple[str, str], int]:
        streams = list(
            {
                (projected.envelope.source, projected.envelope.stream): None
                for projected in events
                if projected.envelope.stream is not None and projected.envelope.stream_version is not None
            }
        )
        columns = self._streams.c
        versions: dict[tuple[str, str], int] = {}
        for first in range(0, len(streams), _STREAMS_A_QUERY):
            part = streams[first : first + _STREAMS_A_QUERY]
            matches = tuple_(columns["source"], columns["stream"]).in_(part)
            for source, stream, version in await connection.execute(select(self._streams).where(matches)):
                versions[source, stream] = version
        return versions

    async def _remember(self, connection: AsyncConnection, versions: dict[tuple[str, str], int]) -> None:
        statement = insert_into(connection, self._streams)
        statement = statement.on_conflict_do_update(
            index_elements=["source", "stream"], set_={"version": statement.excluded["version"]}
        )
        rows = [
            {"source": source, "stream": stream, "version": version} for (source, stream), version in versions.items()
        ]
        await connection.execute(statement, rows)

    async def _admitted(self, connection: AsyncConnection, events: Sequence[ProjectedEvent]) -> set[str]:
        ids = [
            projected.envelope.id
            for projected in events
            if projected.envelope.stream is None or projected.envelope.stream_version is None
        ]
        return await self._inbox.admit(connection, self._inbox_consumer, ids) if ids else set()
