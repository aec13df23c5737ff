"""
Given what has happened, when a projection is given events, then these are its rows: on real tables in memory.

    (await given_projection(OrderSummaries, placed).when(paid)).rows(summary)
    (await given_projection(OrderSummaries, placed).deliver_twice(paid)).rows(summary)

The projection's own writer is run, as a live view and a rebuild run it.
"""

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Self

from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncConnection

from eventbus.database import Database, Inbox
from eventbus.errors import DefinitionError
from eventbus.messages import Event
from eventbus.projections import AnyProjection, Build, Projection, Row, RowProjection
from eventbus.projections.build import ProjectedEvent
from eventbus.projections.definition import EventFailed
from eventbus.testing.memory_tables import Rows, memory_database, rows_of


class _Lost(Exception):
    """Stands for the end of a process between the last write and the commit."""


def given_projection(projection: type[AnyProjection], /, *events: Event) -> "GivenProjection":
    """
    A read model, and what it has been given before.

    events   applied, in this order; those that the projection has no method for are passed over
    """
    return GivenProjection(projection, events)


class GivenProjection:
    """A projection and its past."""

    def __init__(self, projection: type[AnyProjection], events: Sequence[Event]) -> None:
        self._projection = projection
        self._events = [event for event in events if type(event) in projection.event_types()]

    async def when(self, *events: Event) -> "Projected":
        """Its rows when it has been given *events*, too; raises DefinitionError for one that it has no method for."""
        return await self._delivered(events, is_twice=False)

    async def deliver_twice(self, *events: Event) -> "Projected":
        """
        The same, with each of *events* delivered again in both ways in which that can happen.

        First the process ends behind the projection's writes and before the commit: nothing of them is left, and the
        event is applied again. Then the log has it once more, under a new offset, and it is dropped. Raises
        AssertionError when the second time leads to other rows than the first: they depend on more than the events (the
        time, a random number, a count of calls), and a rebuild, which applies them again, would not agree with the live
        view. What a SQL projection does beside its tables, it has done twice, which the test has to look at.
        """
        return await self._delivered(events, is_twice=True)

    async def _delivered(self, events: Sequence[Event], *, is_twice: bool) -> "Projected":
        __tracebackhide__ = True
        for event in events:
            if type(event) not in self._projection.event_types():
                raise DefinitionError(f"{self._projection.__name__} has no method for {type(event).__name__}")
        async with memory_database() as database:
            build = Build(self._projection, 1, Inbox())
            async with database.transaction() as connection:
                await build.create(connection)
                found = await rows_of(connection, build)
            try:
                for number, event in enumerate(self._events):
                    found = await _applied(database, build, _projected(event, f"given-{number}"))
                for number, event in enumerate(events):
                    projected = _projected(event, f"when-{number}")
                    lost = await _lost(database, build, projected) if is_twice else None
                    found = await _applied(database, build, projected)
                    if lost is not None and lost != found:
                        raise AssertionError(
                            f"{type(event).__name__}, applied again after it was lost, led to other rows (- the first "
                            f"time, + the second): more than the events decides\n{_differences(lost, found)}"
                        )
                    if is_twice and found != (again := await _applied(database, build, projected)):
                        raise AssertionError(
                            f"{type(event).__name__} took effect again, although its id was the same (- once, + twice)"
                            f"\n{_differences(found, again)}"
                        )
            except AssertionError:
                raise
            except EventFailed as failed:
                cause = failed.__cause__
                return Projected(build, found, cause if isinstance(cause, Exception) else failed)
            except Exception as error:
                return Projected(build, found, error)
        return Projected(build, found, None)


class Projected:
    """What a projection's tables hold. An error that no `raises` expects goes on from `rows`."""

    def __init__(self, build: Build, tables: Sequence[Rows], error: Exception | None) -> None:
        self._build = build
        self._tables = tables
        self._error = error

    def rows(self, *rows: Row | Mapping[str, object], table: Table | None = None) -> Self:
        """
        Exactly *rows*, in any order: the projection's `Row`s, or for tables in SQL mappings of columns to values.

        table   which, as the projection declares it; not needed where it has one
        """
        __tracebackhide__ = True
        if self._error is not None:
            raise self._error
        left = self._found(table)
        missing: list[Row | Mapping[str, object]] = []
        for row in rows:
            if row in left:
                left.remove(row)
            else:
                missing.append(row)
        if missing or left:
            lines = [*(f"- {row!r}" for row in missing), *(f"+ {row!r}" for row in left)]
            raise AssertionError("other rows than expected (- expected, + found):\n" + "\n".join(lines))
        return self

    def raises(self, error: type[Exception], *, match: str | None = None) -> Self:
        """A method of the projection raised *error*, with *match* (a regular expression) in its text."""
        __tracebackhide__ = True
        if self._error is None:
            raise AssertionError(f"expected {error.__name__}, but every event was applied")
        if not isinstance(self._error, error):
            raise AssertionError(f"expected {error.__name__}, but it raised {self._error!r}") from self._error
        if match is not None and re.search(match, str(self._error)) is None:
            raise AssertionError(f"{self._error!r} does not have {match!r} in its text") from self._error
        return self

    def _found(self, declared: Table | None) -> list[Row | Mapping[str, object]]:
        projection, tables = self._build.projection, self._build.tables
        if issubclass(projection, RowProjection):
            row_type: type[Row] = projection.row_type
            return [row_type.model_validate(row) for row in self._tables[0]]
        if declared is None:
            if len(tables) > 1:
                raise TypeError(f"{projection.__name__} has {len(tables)} tables: say which one, rows(…, table=…)")
            return [*self._tables[0]]
        named = projection.at(tables).table(declared) if issubclass(projection, Projection) else None
        return [*next(rows for table, rows in zip(tables, self._tables, strict=True) if table is named)]


async def _applied(database: Database, build: Build, event: ProjectedEvent) -> tuple[Rows, ...]:
    async with database.transaction() as connection:
        return await _rows_after(connection, build, event)


async def _lost(database: Database, build: Build, event: ProjectedEvent) -> tuple[Rows, ...]:
    found: tuple[Rows, ...] = ()
    try:
        async with database.transaction() as connection:
            found = await _rows_after(connection, build, event)
            raise _Lost
    except _Lost:
        return found


async def _rows_after(connection: AsyncConnection, build: Build, event: ProjectedEvent) -> tuple[Rows, ...]:
    await build.apply(connection, [event])
    return await rows_of(connection, build)


def _projected(event: Event, id: str) -> ProjectedEvent:
    return ProjectedEvent(event, id, None, 0)


def _differences(one: Sequence[Rows], other: Sequence[Rows]) -> str:
    before, after = ([repr(row) for table in tables for row in table] for tables in (one, other))
    return "\n".join(line for line in difflib.ndiff(before, after) if line[:1] in "-+")
