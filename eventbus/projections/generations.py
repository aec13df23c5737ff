"""
The generations of each projection: which build of its tables is live, which is being made, which are kept.

    (first start) ──► live ──► old ──► dropped               kept until dropped
    (rebuild)     ──► building ──► built ──► switching ──► live
                          └──► abandoned ──► dropped         its rows differed, or it was begun anew
    (rollback)        old ──► returning ──► switching ──► live

building    a rebuild fills it; `holder` has the right to until `lease_expires_at`, then another may go on with it
built       it was filled and is to be switched to later; whoever switches fills the rest
switching   it is taking the live one's place: live runners wait, until the lease expires
returning   a kept one catches up with the live one; when its holder has died, it counts as old again
dropped     its tables are gone; the row stays, so that its number is never used again
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
from eventbus.projections.pauses import Pause, Pauses

GenerationState = Literal["building", "built", "switching", "live", "old", "returning", "abandoned", "dropped"]
Held = Literal["building", "switching", "returning"]
"""The states in which a holder works on a generation."""

_HELD: tuple[Held, ...] = ("building", "switching", "returning")


class RebuildRefused(EventBusError):
    """A rebuild cannot start, go on or switch. The text says why, and what to do; the live view is as it was."""


class LeaseHeld(RebuildRefused):
    """Another rebuild has the lease; it may be dead, then the lease runs out."""

    def __init__(self, projection: str, holder: str | None, expires_at: datetime, seconds: float) -> None:
        super().__init__(
            f"projection {projection!r} is being rebuilt or rolled back by {holder}: wait for it, or stop it and try "
            f"again in {seconds:.0f} s"
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
    """None: it has never been live."""
    store_scan: str | None = None
    """How far it has been built from the event store (see `store_scan.py`); None: from the log alone."""

    @property
    def was_live(self) -> bool:
        """Whether it is, or has been, what views read."""
        return self.switched_at is not None

    def is_held(self, now: datetime) -> bool:
        """Whether somebody works on it who, as far as is known, is alive."""
        expires_at = self.lease_expires_at
        return self.state in _HELD and expires_at is not None and expires_at > now and not has_ended(self.holder or "")


@dataclass(frozen=True, slots=True)
class Hold:
    """What a live runner finds when it claims: the live generation, and why it may have to wait."""

    live: Generation
    switching_seconds: float
    """How long a switch under way asks to wait for; 0: none is."""
    paused: Pause | None


class Generations:
    """The table of generations. Every method is inside the caller's transaction."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def every(
        self, connection: AsyncConnection, projection: str | None = None, *, dropped: bool = False
    ) -> list[Generation]:
        """All generations, of one projection or of all, by projection and number; dropped ones only when asked for."""
        statement = select(_table).order_by(_table.c.projection, _table.c.generation)
        if projection is not None:
            statement = statement.where(_table.c.projection == projection)
        if not dropped:
            statement = statement.where(_table.c.state != "dropped")
        return await _fetch(connection, statement)

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

    async def hold_live(self, connection: AsyncConnection, projection: type[AnyProjection]) -> Hold:
        """
        The live generation, which stays live and as paused as it is until the transaction ends.

        Raises SchemaOutdated when the live one is not of this code's version.
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
        switching = [row for row in rows if row.state == "switching" and row.is_held(now)]
        leases = [row.lease_expires_at for row in switching if row.lease_expires_at is not None]
        seconds = max([0.0, *((lease - now).total_seconds() for lease in leases)])
        return Hold(live, seconds, await Pauses().find(connection, name))

    async def lock_live(self, connection: AsyncConnection, projection: str) -> Generation | None:
        """The live generation; no runner claims it until the transaction ends, and those who are at it are done."""
        found = await _fetch(connection, _of(projection).where(_table.c.state == "live").with_for_update())
        return found[0] if found else None

    async def begin_building(
        self,
        connection: AsyncConnection,
        projection: type[AnyProjection],
        holder: str,
        lease_seconds: float,
        *,
        restart: bool = False,
        store_scan: str | None = None,
    ) -> tuple[Generation, bool]:
        """
        The generation to build, with the lease on it: the one that an earlier rebuild of the same code has left, unless
        *restart*, else a new one; True when it was left.

        With *store_scan* it is built from the event store, and one that was begun from the log is not gone on with.
        Raises LeaseHeld: another rebuild is under way; RebuildRefused: nothing is live yet.
        """
        rows = await self._free(connection, projection.projection_name)
        lease = self._clock.now() + timedelta(seconds=lease_seconds)
        left = next((row for row in rows if row.state in ("building", "built", "switching") and not row.was_live), None)
        if left is not None:
            same_code = (left.version, left.fingerprint) == (projection.projection_version, projection.fingerprint())
            same_source = store_scan is None or left.store_scan is not None
            if same_code and same_source and not restart:
                return await self._take(connection, left, "building", holder, lease), True
            await self.abandon(connection, left)
        number = 1 + max(row.generation for row in rows)
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
            store_scan,
        )
        await connection.execute(insert(_table).values({name: getattr(build, name) for name in Generation.__slots__}))
        return build, False

    async def begin_returning(
        self, connection: AsyncConnection, projection: str, number: int | None, holder: str, lease_seconds: float
    ) -> Generation:
        """
        A kept generation that was live before, with the lease on it; None: the one that was live last.

        Raises LeaseHeld; RebuildRefused when there is none, with those that are there.
        """
        rows = await self._free(connection, projection)
        kept = {row.generation: row for row in rows if row.was_live and row.state in ("old", "returning", "switching")}
        if number is None and kept:
            number = max(kept.values(), key=lambda row: (row.switched_at, row.generation)).generation
        chosen = kept.get(number or 0)
        if chosen is None:
            which = "no generation" if number is None else f"no generation {number}"
            shown = f"kept are {', '.join(map(str, sorted(kept)))}" if kept else "none is kept"
            raise RebuildRefused(
                f"projection {projection!r} has {which} that was live before and could be gone back to: {shown}"
            )
        lease = self._clock.now() + timedelta(seconds=lease_seconds)
        return await self._take(connection, chosen, "returning", holder, lease)

    async def _free(self, connection: AsyncConnection, projection: str) -> list[Generation]:
        """All generations, locked; nobody works on one. Raises LeaseHeld, RebuildRefused."""
        rows = await _fetch(connection, _of(projection).order_by(_table.c.generation).with_for_update())
        if not any(row.state == "live" for row in rows):
            raise RebuildRefused(
                f"projection {projection!r} has never been started here: start the service, it builds it from the log"
            )
        now = self._clock.now()
        for row in rows:
            if row.is_held(now) and row.lease_expires_at is not None:
                seconds = (row.lease_expires_at - now).total_seconds()
                raise LeaseHeld(projection, row.holder, row.lease_expires_at, seconds)
        return rows

    async def _take(
        self, connection: AsyncConnection, row: Generation, state: Held, holder: str, lease: datetime
    ) -> Generation:
        changes = {"state": state, "holder": holder, "lease_expires_at": lease}
        await connection.execute(update(_table).where(_is(row)).values(changes))
        return replace(row, state=state, holder=holder, lease_expires_at=lease)

    async def keep_built(self, connection: AsyncConnection, build: Generation) -> None:
        """The build is ready to be switched to, whenever somebody wants to."""
        changes = {"state": "built", "holder": None, "lease_expires_at": None}
        await connection.execute(update(_table).where(_is(build), _table.c.holder == build.holder).values(changes))

    async def scanned(self, connection: AsyncConnection, build: Generation, store_scan: str) -> None:
        """How far the event store has been read into *build*. Raises RebuildRefused when it was taken over."""
        mine = _is(build) & (_table.c.holder == build.holder)
        if (await connection.execute(update(_table).where(mine).values(store_scan=store_scan))).rowcount != 1:
            raise RebuildRefused(_taken_over(build))

    async def abandon(self, connection: AsyncConnection, build: Generation) -> None:
        """Ends a build that will not be finished; its tables stay to be looked at."""
        changes = {"state": "abandoned", "holder": None, "lease_expires_at": None}
        await connection.execute(update(_table).where(_is(build)).values(changes))

    async def renew(
        self,
        connection: AsyncConnection,
        build: Generation,
        state: Held,
        lease_seconds: float,
    ) -> None:
        """Keeps the lease, and says whether live runners have to wait. Raises RebuildRefused when it was taken over."""
        # Runners hold the live row while they claim: this waits for those claims, and later ones see what is said here.
        await self.lock_live(connection, build.projection)
        lease = self._clock.now() + timedelta(seconds=lease_seconds)
        result = await connection.execute(
            update(_table)
            .where(_is(build), _table.c.holder == build.holder, _table.c.state.in_(_HELD))
            .values(state=state, lease_expires_at=lease)
        )
        if result.rowcount != 1:
            raise RebuildRefused(_taken_over(build))

    async def give_up_lease(self, connection: AsyncConnection, build: Generation) -> None:
        """Leaves the build to whoever goes on with it, at once; nothing when it is not this holder's any more."""
        await connection.execute(
            update(_table)
            .where(_is(build), _table.c.holder == build.holder, _table.c.state.in_(_HELD))
            .values(state="old" if build.was_live else "building", holder=None, lease_expires_at=None)
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

    async def drop(self, connection: AsyncConnection, row: Generation) -> None:
        """The row's tables have been dropped."""
        changes = {"state": "dropped", "holder": None, "lease_expires_at": None}
        await connection.execute(update(_table).where(_is(row)).values(changes))


def check_version(projection: type[AnyProjection], *, live_version: int, generation: int) -> None:
    """Raises SchemaOutdated when the live tables are another version's than this code's."""
    name, version = projection.projection_name, projection.projection_version
    if live_version < version:
        raise SchemaOutdated(
            f"projection {name!r}: version {live_version} is live (generation {generation}), this code is version "
            f"{version}: build it beside the live one with `eventbus projections rebuild {name}`; until then the "
            "release that made the live one can go on with it"
        )
    if live_version > version:
        raise SchemaOutdated(
            f"projection {name!r}: version {live_version} is live (generation {generation}), this code is version "
            f"{version}: it is of the release before; run the newer one, or make this one's generation live again with "
            f"`eventbus projections rollback {name}`"
        )


def check_shape(projection: type[AnyProjection], live: Generation) -> None:
    """Raises SchemaOutdated when the live tables are not those of this code."""
    check_version(projection, live_version=live.version, generation=live.generation)
    if live.fingerprint != projection.fingerprint():
        raise SchemaOutdated(
            f"projection {live.projection!r}: its tables have changed, but version={live.version} has not: raise it to "
            f"{live.version + 1} in the class, then `eventbus projections rebuild {live.projection}`"
        )


def _taken_over(build: Generation) -> str:
    return f"the rebuild of {build.projection!r} (generation {build.generation}) was taken over by another process"


def _of(projection: str) -> Select[tuple[object, ...]]:
    return cast("Select[tuple[object, ...]]", select(_table).where(_table.c.projection == projection))


def _is(row: Generation) -> ColumnElement[bool]:
    return (_table.c.projection == row.projection) & (_table.c.generation == row.generation)


async def _fetch(connection: AsyncConnection, statement: Select[tuple[object, ...]]) -> list[Generation]:
    rows: Sequence[RowMapping] = (await connection.execute(statement)).mappings().all()
    return [Generation(**{name: row[name] for name in Generation.__slots__}) for row in rows]
