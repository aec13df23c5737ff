"""
What an operator does to projections besides building them: pause, resume, and drop what was kept.

They work on the database alone, whether services run or not; a running one finds out within a second.
"""

from sqlalchemy import Table, delete, inspect
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.schema import DropTable, MetaData

from eventbus.clock import Clock
from eventbus.database.checkpoints import Checkpoints
from eventbus.database.engine import Database
from eventbus.database.tables import checkpoints, inbox
from eventbus.errors import InvalidConfiguration
from eventbus.projections.generations import Generation, Generations
from eventbus.projections.naming import inbox_consumer, table_name
from eventbus.projections.pauses import Pause, Pauses


class ProjectionAdministration:
    """The operator's view of a service's projections. Every method raises InvalidConfiguration for an unknown name."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._generations = Generations(clock)

    async def pause(self, projection: str, *, by: str) -> Pause | None:
        """
        Nothing more is applied to the live generation when this returns, by any process, until it is resumed.

        Answers the pause that was there already, None when this is it.
        """
        async with self._database.transaction() as connection:
            live = await self._generations.lock_live(connection, projection)
            if live is None:
                raise await self._unknown(connection, projection)
            pause = Pause(projection, by, self._clock.now())
            if not await Pauses().add(connection, pause):
                return await Pauses().find(connection, projection)
            # Fences the runners: their next transaction rolls back, and when they claim again they find the pause.
            for row in await Checkpoints().read(connection, projection, live.generation):
                await Checkpoints().claim(connection, projection, live.generation, row.log)
        return None

    async def resume(self, projection: str) -> bool:
        """False: it was not paused."""
        async with self._database.transaction() as connection:
            if await self._generations.lock_live(connection, projection) is None:
                raise await self._unknown(connection, projection)
            return await Pauses().remove(connection, projection)

    async def drop(self, projection: str, number: int, *, only_look: bool = False) -> list[str]:
        """
        Drops the tables and checkpoints of a generation that is not live and that nobody works on; the tables' names.

        With *only_look* nothing is dropped. Raises InvalidConfiguration, saying which state it is in, for any other.
        """
        async with self._database.transaction() as connection:
            live = await self._generations.lock_live(connection, projection)
            if live is None:
                raise await self._unknown(connection, projection)
            every = await self._generations.every(connection, dropped=True)
            rows = {row.generation: row for row in every if row.projection == projection and row.state != "dropped"}
            row = rows.get(number)
            if row is None:
                raise InvalidConfiguration(
                    f"projection {projection!r} has no generation {number}; it has {', '.join(map(str, rows))}."
                )
            if row.state == "live":
                raise InvalidConfiguration(
                    f"generation {number} of {projection!r} is live: views read it. Switch to another one first "
                    f"(`eventbus projections rebuild {projection}`, or `rollback`)."
                )
            if row.is_held(self._clock.now()):
                raise InvalidConfiguration(
                    f"generation {number} of {projection!r} is {row.state}, by {row.holder}: stop that first."
                )
            names = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
            owned = sorted(name for name in names if _owner(name, every) == (projection, number))
            if only_look:
                return owned
            for name in owned:
                await connection.execute(DropTable(Table(name, MetaData()), if_exists=True))
            of_generation = (checkpoints.c.consumer == projection) & (checkpoints.c.generation == number)
            await connection.execute(delete(checkpoints).where(of_generation))
            await connection.execute(delete(inbox).where(inbox.c.consumer == inbox_consumer(projection, number)))
            await self._generations.drop(connection, row)
        return owned

    async def _unknown(self, connection: AsyncConnection, projection: str) -> InvalidConfiguration:
        known = sorted({row.projection for row in await self._generations.every(connection)})
        return InvalidConfiguration(
            f"No projection {projection!r} was started here; there is {', '.join(known) or 'none'}."
        )


def _owner(table: str, rows: list[Generation]) -> tuple[str, int] | None:
    """
    Whose table it is. `view_orders_1_2_lines` may be of generation 2 of `orders_1` or of generation 1 of `orders`: the
    longest name that is known decides.
    """
    found: tuple[int, str, int] | None = None
    for row in rows:
        prefix = table_name(row.projection, row.generation)
        if (table == prefix or table.startswith(f"{prefix}_")) and (found is None or len(prefix) > found[0]):
            found = (len(prefix), row.projection, row.generation)
    return None if found is None else found[1:]
