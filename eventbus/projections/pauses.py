"""
Which projections are paused: their views answer, and are not brought up to date until they are resumed.

It is kept in the database, so that it holds for every process of the service, and over restarts.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from eventbus.database.dialects import insert_into
from eventbus.database.tables import paused_projections as _table
from eventbus.errors import EventBusError


@dataclass(frozen=True, slots=True)
class Pause:
    """Since when a projection is paused, and by whom."""

    projection: str
    paused_by: str
    paused_at: datetime


class ProjectionPaused(EventBusError):
    """A claim met a paused projection. The text says who has paused it, and the way out."""


def paused_words(pause: Pause) -> str:
    """Since when, by whom, and how it goes on."""
    since = pause.paused_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"paused since {since} by {pause.paused_by}; `eventbus projections resume {pause.projection}` lets it go on"


class Pauses:
    """The table of pauses. Every method is inside the caller's transaction."""

    async def find(self, connection: AsyncConnection, projection: str) -> Pause | None:
        """The projection's pause; None: it is not paused."""
        return (await self.every(connection, projection)).get(projection)

    async def every(self, connection: AsyncConnection, projection: str | None = None) -> dict[str, Pause]:
        """All pauses, by projection."""
        statement = select(_table.c.projection, _table.c.paused_by, _table.c.paused_at)
        if projection is not None:
            statement = statement.where(_table.c.projection == projection)
        return {name: Pause(name, by, at) for name, by, at in await connection.execute(statement)}

    async def add(self, connection: AsyncConnection, pause: Pause) -> bool:
        """False: it was paused already, and that stays as it is."""
        statement = insert_into(connection, _table).values(
            projection=pause.projection, paused_by=pause.paused_by, paused_at=pause.paused_at
        )
        added = await connection.execute(statement.on_conflict_do_nothing(index_elements=["projection"]))
        return added.rowcount == 1

    async def remove(self, connection: AsyncConnection, projection: str) -> bool:
        """False: it was not paused."""
        return (await connection.execute(delete(_table).where(_table.c.projection == projection))).rowcount == 1
