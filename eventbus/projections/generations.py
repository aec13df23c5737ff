"""
The generations of each projection: which build of its tables is live, which is being made, which are kept.

    (first start) ──► live ──► old                 kept until dropped
    (rebuild)     ──► building ◄─► switching ──► live

building    a rebuild fills it; `holder` has the right to until `lease_expires_at`, then another may go on with it
switching   the rebuild is taking the live one's place: live runners wait, until the lease expires
The leases only decide who tries: what is safe is safe by the checkpoints' epochs, whatever the clocks say.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal, cast

from sqlalchemy import ColumnElement, RowMapping, Select, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from eventbus.clock import Clock
from eventbus.database.dialects import insert_into
from eventbus.database.tables import generations as _table
from eventbus.errors import EventBusError, SchemaOutdated
from eventbus.projections.definition import AnyProjection
from eventbus.projections.holder import has_ended

GenerationState = Literal["building", "switching", "live", "old"]


class RebuildRefused(EventBusError):
    """A rebuild cannot start, go on or switch. The text says why, and what to do; the live view is as it was."""


class LeaseHeld(RebuildRefused):
    """Another rebuild has the lease; it may be dead, then the lease runs out."""

    def __init__(self, projection: str, holder: str | None, expires_at: datetime, seconds: float) -> None:
        super().__init__(
            f"projection {projection!r} is being rebuilt by {holder}: wait for it, or stop it and try again "
            f"in {seconds:.0f} s"
        )
        self.expires_at = expires_at


@dataclass(frozen=True, slots=True)
class Generation:
    """One build of a projection's tables."""

    projection: str
    generation: int
    version: int
    """The code's `version=` that builds it."""
    fingerprint: str
    state: GenerationState
    holder: str | None
    lease_expires_at: datetime | None
    created_at: datetime
    switched_at: datetime | None


class Generations:
    """The table of generations. Every method is inside the caller's transaction."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def every(self, connection: AsyncConnection, projection: str | None = None) -> list[Generation]:
        """All generations, of one projection or of all, by projection and number."""
        statement = select(_table).order_by(_table.c.projection, _table.c.generation)
        return await _fetch(
            connection, statement if projection is None else statement.where(_table.c.projection == projection)
        )

    async def live(self, connection: AsyncConnection, projection: str) -> Generation | None:
        """The one that views read; None before the first start."""
        found = await _fetch(connection, _of(projection).where(_table.c.state == "live"))
        return found[0] if found else None

    async def first(self, connection: AsyncConnection, projection: type[AnyProjection]) -> bool:
        """Makes generation 1 live when there is none at all; False: there is one."""
        now = self._clock.now()
        result = await connection.execute(
            insert_into(connection, _table)
            .values(
                projection=projection.projection_name,
                generation=1,
                version=projection.projection_version,
                fingerprint=projection.fingerprint(),
                state="live",
                created_at=now,
                switched_at=now,
            )
            .on_conflict_do_nothing(index_elements=["projection", "generation"])
        )
        return result.rowcount == 1

    async def hold_live(self, connection: AsyncConnection, projection: type[AnyProjection]) -> tuple[Generation, float]:
        """
        The live generation, which stays live until the transaction ends, and the seconds that a switch under way asks
        to wait for (0: none is). Raises SchemaOutdated when the live one is not of this code's version.
        """
        name = projection.projection_name
        statement = _of(name).where(_table.c.state.in_(["live", "switching"])).with_for_update(read=True)
        rows = await _fetch(connection, statement)
        if not any(row.state == "live" for row in rows):
            # PostgreSQL answers what was so when the statement began: a switch that it waited for can hide the new one.
            rows = await _fetch(connection, statement)
        live = next((row for row in rows if row.state == "live"), None)
        if live is None:
            raise SchemaOutdated(f"projection {name!r} has no tables here yet: start the service once, it makes them")
        check_shape(projection, live)
        now = self._clock.now()
        switching = [row for row in rows if row.state == "switching" and not has_ended(row.holder or "")]
        leases = [row.lease_expires_at for row in switching if row.lease_expires_at is not None]
        return live, max([0.0, *((lease - now).total_seconds() for lease in leases)])

    async def begin_building(
        self,
        connection: AsyncConnection,
        projection: type[AnyProjection],
        holder: str,
        lease_seconds: float,
        *,
        restart: bool = False,
    ) -> tuple[Generation, bool]:
        """
        The generation to build, with the lease on it: the one that an earlier rebuild of the same code has left, unless
        *restart*, else a new one; True when it was left.

        Raises LeaseHeld: another rebuild is under way; RebuildRefused: nothing is live yet.
        """
        name = projection.projection_name
        rows = await _fetch(connection, _of(name).order_by(_table.c.generation).with_for_update())
        if not any(row.state == "live" for row in rows):
            raise RebuildRefused(
                f"projection {name!r} has never been started here: start the service, it builds it from the log"
            )
        now = self._clock.now()
        lease = now + timedelta(seconds=lease_seconds)
        left = next((row for row in rows if row.state in ("building", "switching")), None)
        if left is not None:
            if left.lease_expires_at is not None and left.lease_expires_at > now and not has_ended(left.holder or ""):
                seconds = (left.lease_expires_at - now).total_seconds()
                raise LeaseHeld(name, left.holder, left.lease_expires_at, seconds)
            same_code = (left.version, left.fingerprint) == (projection.projection_version, projection.fingerprint())
            if same_code and not restart:
                taken = replace(left, state="building", holder=holder, lease_expires_at=lease)
                changes = {"state": "building", "holder": holder, "lease_expires_at": lease}
                await connection.execute(update(_table).where(_is(left)).values(changes))
                return taken, True
            await self.abandon(connection, left)
        number = max(row.generation for row in rows) + 1
        return await self._new(connection, projection, number, holder, lease), False

    async def abandon(self, connection: AsyncConnection, build: Generation) -> None:
        """Ends a build that will not be finished; its tables stay to be looked at."""
        changes = {"state": "old", "holder": None, "lease_expires_at": None}
        await connection.execute(update(_table).where(_is(build)).values(changes))

    async def renew(
        self,
        connection: AsyncConnection,
        build: Generation,
        state: Literal["building", "switching"],
        lease_seconds: float,
    ) -> None:
        """Keeps the lease, and says whether live runners have to wait. Raises RebuildRefused when it was taken over."""
        # Runners hold the live row while they claim: this waits for those claims, and later ones see what is said here.
        await _fetch(connection, _of(build.projection).where(_table.c.state == "live").with_for_update())
        lease = self._clock.now() + timedelta(seconds=lease_seconds)
        result = await connection.execute(
            update(_table)
            .where(_is(build), _table.c.holder == build.holder, _table.c.state.in_(["building", "switching"]))
            .values(state=state, lease_expires_at=lease)
        )
        if result.rowcount != 1:
            raise RebuildRefused(
                f"the rebuild of {build.projection!r} (generation {build.generation}) was taken over by another process"
            )

    async def give_up_lease(self, connection: AsyncConnection, build: Generation) -> None:
        """Leaves the build to whoever goes on with it, at once; nothing when it is not this holder's any more."""
        await connection.execute(
            update(_table)
            .where(_is(build), _table.c.holder == build.holder, _table.c.state.in_(["building", "switching"]))
            .values(state="building", holder=None, lease_expires_at=None)
        )

    async def switch(self, connection: AsyncConnection, build: Generation, live: Generation) -> None:
        """Makes *build* live and *live* old. Raises RebuildRefused when either is not what it was."""
        ended = await connection.execute(update(_table).where(_is(live), _table.c.state == "live").values(state="old"))
        begun = await connection.execute(
            update(_table)
            .where(_is(build), _table.c.state == "switching", _table.c.holder == build.holder)
            .values(state="live", holder=None, lease_expires_at=None, switched_at=self._clock.now())
        )
        if (ended.rowcount, begun.rowcount) != (1, 1):
            raise RebuildRefused(
                f"the rebuild of {build.projection!r} cannot switch: another process has changed its generations "
                "meanwhile"
            )

    async def _new(
        self, connection: AsyncConnection, projection: type[AnyProjection], number: int, holder: str, lease: datetime
    ) -> Generation:
        build = Generation(
            projection.projection_name,
            number,
            projection.projection_version,
            projection.fingerprint(),
            "building",
            holder,
            lease,
            self._clock.now(),
            None,
        )
        await connection.execute(insert(_table).values({name: getattr(build, name) for name in Generation.__slots__}))
        return build


def check_version(projection: type[AnyProjection], *, live_version: int, generation: int) -> None:
    """Raises SchemaOutdated when the live tables are another version's than this code's."""
    name = projection.projection_name
    if live_version != projection.projection_version:
        raise SchemaOutdated(
            f"projection {name!r}: version {live_version} is live (generation {generation}), this code is version "
            f"{projection.projection_version}: build it beside the live one with `eventbus projections rebuild "
            f"{name}`; until then the release that made the live one can go on with it"
        )


def check_shape(projection: type[AnyProjection], live: Generation) -> None:
    """Raises SchemaOutdated when the live tables are not those of this code."""
    check_version(projection, live_version=live.version, generation=live.generation)
    if live.fingerprint != projection.fingerprint():
        raise SchemaOutdated(
            f"projection {live.projection!r}: its tables have changed, but version={live.version} has not: raise it to "
            f"{live.version + 1} in the class, then `eventbus projections rebuild {live.projection}`"
        )


def _of(projection: str) -> Select[tuple[object, ...]]:
    return cast("Select[tuple[object, ...]]", select(_table).where(_table.c.projection == projection))


def _is(row: Generation) -> ColumnElement[bool]:
    return (_table.c.projection == row.projection) & (_table.c.generation == row.generation)


async def _fetch(connection: AsyncConnection, statement: Select[tuple[object, ...]]) -> list[Generation]:
    rows: Sequence[RowMapping] = (await connection.execute(statement)).mappings().all()
    return [Generation(**{name: row[name] for name in Generation.__slots__}) for row in rows]
