"""
Streams of events with optimistic concurrency: an append names the version that it was decided on.

Versions of a stream are 1, 2, 3 …; 0 is the version of a stream without events. There is no order between streams:
the log's offset is the global position (decision 1).

PostgreSQL   one statement compares and inserts. A conflict is its answer, not an error, so the transaction goes on.
             Rows of a concurrent transaction, which it cannot see, are met at the primary key: it waits, and inserts
             around them.
SQLite       the writer is alone: it compares and inserts in one hop to its thread.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from eventbus.database.batches import arrays, sqlite_values
from eventbus.database.dialects import Statement, as_list, is_sqlite
from eventbus.database.sqlite_engine import run_on_sqlite
from eventbus.database.tables import events
from eventbus.errors import ConcurrencyConflict
from eventbus.store.event_rows import INSERT_EVENTS, Reading, event_rows, reading_of_stream
from eventbus.store.repeats import ids_of, repeats_among
from eventbus.store.streams import Append, Appended, CategoryCursor, Expect, StoredEvent, in_words

# An append that any version will do for loses the race to another only so often.
_ATTEMPTS: Final = 20

# A subquery a stream, so that each is one look at the end of the primary key; a GROUP BY reads all of its versions.
_VERSIONS_ON_SQLITE: Final = (
    "SELECT value, coalesce((SELECT max(version) FROM eventbus_events WHERE stream = value), 0) FROM json_each(?)"
)
_VERSIONS: Final = Statement(
    sqlite=text(_VERSIONS_ON_SQLITE.replace("?", ":streams")),
    postgresql=text(
        "SELECT stream, coalesce((SELECT max(e.version) FROM eventbus_events e WHERE e.stream = given.stream), 0) "
        "FROM unnest(CAST(:streams AS text[])) AS given(stream)"
    ),
)
_IS_ANY_STORED: Final = "SELECT 1 FROM eventbus_events WHERE id IN (SELECT value FROM json_each(?)) LIMIT 1"
_DELETE_BEHIND: Final = "DELETE FROM eventbus_events WHERE stream = ? AND version > ?"
_DELETE: Final = text("DELETE FROM eventbus_events WHERE id = ANY(CAST(:ids AS text[]))")
_APPEND: Final = f"""
    WITH expected AS (
        SELECT given.stream, given.version AS expected,
               coalesce((SELECT max(e.version) FROM eventbus_events e WHERE e.stream = given.stream), 0) AS actual
        FROM unnest($1::text[], $2::bigint[]) AS given(stream, version)
    ), inserted AS (
        {INSERT_EVENTS.select_from_arrays(first_parameter=3)}
        WHERE NOT EXISTS (SELECT FROM expected WHERE expected <> actual)
        ON CONFLICT DO NOTHING
        RETURNING id
    )
    SELECT stream, expected, actual, (SELECT count(*) FROM inserted) AS inserted,
           CASE WHEN (SELECT count(*) FROM inserted) < cardinality($3::text[]) THEN ARRAY(SELECT id FROM inserted) END
           AS ids
    FROM expected
"""  # noqa: S608 (names of our own columns)


class EventStore:
    """The streams of a database. Every method works in the transaction of the connection that it is given."""

    async def load(self, connection: AsyncConnection, stream: str, *, after_version: int = 0) -> list[StoredEvent]:
        """The stream's events behind *after_version*, in order; none when there is no such stream."""
        return await reading_of_stream(stream, after_version).on(connection)

    async def read(
        self,
        connection: AsyncConnection,
        stream: str,
        *,
        from_version: int = 1,
        until: datetime | None = None,
        limit: int | None = None,
    ) -> list[StoredEvent]:
        """
        Forwards: from *from_version* on, at most *limit* events, those recorded until *until*. The version that a
        stream had at a time is that of the last of them.
        """
        conditions = "WHERE stream = ? AND version >= ?"
        if until is None:
            return await Reading.of(f"{conditions} ORDER BY version LIMIT ?", stream, from_version, _all(limit)).on(
                connection
            )
        return await Reading.of(
            f"{conditions} AND time <= ? ORDER BY version LIMIT ?", stream, from_version, until, _all(limit)
        ).on(connection)

    async def read_backwards(
        self, connection: AsyncConnection, stream: str, *, from_version: int | None = None, limit: int | None = None
    ) -> list[StoredEvent]:
        """Backwards: from *from_version* (None: the last event) to the first, at most *limit* events."""
        last = _VERSION_MAX if from_version is None else from_version
        return await Reading.of(
            "WHERE stream = ? AND version <= ? ORDER BY version DESC LIMIT ?", stream, last, _all(limit)
        ).on(connection)

    async def read_category(
        self,
        connection: AsyncConnection,
        category: str,
        *,
        after: CategoryCursor | None = None,
        until: datetime | None = None,
        limit: int = 1000,
    ) -> list[StoredEvent]:
        """
        A page of all streams of a category, by the time of recording; the next page begins
        `after=CategoryCursor.behind(page[-1])`.

        For looking at what there is and for repairs. What is to miss nothing reads the log: an event that commits late
        lies behind a cursor that has passed its time.
        """
        end = _TIME_MAX if until is None else until
        if after is None:
            return await Reading.of(
                "WHERE category = ? AND time <= ? ORDER BY time, id LIMIT ?", category, end, limit
            ).on(connection)
        return await Reading.of(
            "WHERE category = ? AND time <= ? AND (time, id) > (?, ?) ORDER BY time, id LIMIT ?",
            category,
            end,
            after.time,
            after.id,
            limit,
        ).on(connection)

    async def versions(self, connection: AsyncConnection, streams: Sequence[str]) -> dict[str, int]:
        """The version of each stream; 0 for one without events."""
        found = await connection.execute(_VERSIONS.on(connection), {"streams": as_list(connection, streams)})
        return dict(found.all())

    async def append(self, connection: AsyncConnection, appends: Sequence[Append]) -> list[Appended]:
        """
        Append all events of all streams, or none; what became of each. A stream may be named once.

        Events whose ids are in the stream already, one behind the other and (where a version is expected) at the very
        versions that they would get, are a repeat: answered like the first time, with nothing written.

        Raises ConcurrencyConflict, naming the first stream that is not as expected, whether it is ahead or behind;
        DuplicateEventIds where the versions are as expected, and ids are taken by what is no repeat. Nothing has been
        appended then, and the transaction can go on. ValueError for a stream that is named twice or gets no event.
        """
        _refuse_nonsense(appends)
        # Where any version will do, a repeat would not be noticed as a conflict.
        repeated = await repeats_among(connection, [one for one in appends if _is_open(one)], refuses_parts=True)
        for _ in range(_ATTEMPTS):
            to_write = [append for append in appends if append.stream not in repeated]
            if not to_write:
                break
            bases = await self._bases(connection, to_write)
            # Where another attempt may follow, what this one has inserted must not stay locked: others, who hold what
            # the next attempt wants, would wait for it. A savepoint lets go of it.
            attempt = await connection.begin_nested() if any(map(_is_open, to_write)) else None
            actual = await _compare_and_insert(connection, to_write, bases)
            if actual is None:
                if attempt is not None:
                    await attempt.rollback()
                repeated |= await repeats_among(connection, to_write, refuses_parts=True)
                continue
            moved = [append for append in to_write if actual.get(append.stream, 0) != bases[append.stream]]
            if not moved:
                if attempt is not None:
                    await attempt.commit()
                return [_appended(append, bases, repeated) for append in appends]
            if attempt is not None:
                await attempt.rollback()
            found = await repeats_among(connection, moved, refuses_parts=False)
            for append in moved:
                if append.stream not in found and not _is_open(append):
                    raise _conflict(append, actual.get(append.stream, 0))
            repeated |= found
        else:
            raise _conflict(appends[0], None)
        return [_appended(append, {}, repeated) for append in appends]

    async def _bases(self, connection: AsyncConnection, appends: Sequence[Append]) -> dict[str, int]:
        """The version that each append is to follow. Raises ConcurrencyConflict for a stream that is to exist."""
        to_find = [append.stream for append in appends if _is_open(append)]
        found = await self.versions(connection, to_find) if to_find else {}
        bases: dict[str, int] = {}
        for append in appends:
            expected = append.expected_version
            if isinstance(expected, int):
                bases[append.stream] = expected
            elif expected is Expect.NONE:
                bases[append.stream] = 0
            else:
                bases[append.stream] = found[append.stream]
                if expected is Expect.EXISTS and bases[append.stream] == 0:
                    raise _conflict(append, 0)
        return bases


_VERSION_MAX: Final = 2**63 - 1
_TIME_MAX: Final = datetime.fromisoformat("9999-12-31T00:00:00+00:00")


def _all(limit: int | None) -> int:
    return _VERSION_MAX if limit is None else limit


def _is_open(append: Append) -> bool:
    """Whether the version that it follows is to be found out."""
    return append.expected_version in {Expect.ANY, Expect.EXISTS}


def _conflict(append: Append, actual: int | None) -> ConcurrencyConflict:
    return ConcurrencyConflict(append.stream, in_words(append.expected_version), actual)


def _appended(append: Append, bases: Mapping[str, int], repeated: Mapping[str, int]) -> Appended:
    if append.stream in repeated:
        return Appended(append.stream, repeated[append.stream], is_repeat=True)
    return Appended(append.stream, bases[append.stream] + len(append.events))


def _refuse_nonsense(appends: Sequence[Append]) -> None:
    for append in appends:
        if not append.events:
            raise ValueError(f"an append of no events to stream {append.stream!r}")
    counts = Counter(append.stream for append in appends)
    if len(counts) != len(appends):
        stream, times = counts.most_common(1)[0]
        raise ValueError(f"stream {stream!r} is named {times} times in one append: join its events")


async def _compare_and_insert(
    connection: AsyncConnection, appends: Sequence[Append], bases: Mapping[str, int]
) -> Mapping[str, int] | None:
    """
    The versions that the streams had; nothing was inserted if one of them is not its base. None: nothing was inserted,
    as ids are taken.
    """
    # In one order, so that two transactions that append to the same streams wait for each other and never deadlock.
    ordered = sorted(appends, key=lambda append: append.stream)
    if is_sqlite(connection):
        return await run_on_sqlite(connection, lambda database: _insert_on_sqlite(database, ordered, bases))
    return await _insert_on_postgresql(connection, ordered, bases)


def _insert_on_sqlite(
    database: sqlite3.Connection, appends: Sequence[Append], bases: Mapping[str, int]
) -> Mapping[str, int] | None:
    streams = json.dumps([append.stream for append in appends])
    actual: dict[str, int] = dict(database.execute(_VERSIONS_ON_SQLITE, (streams,)))
    if any(actual[append.stream] != bases[append.stream] for append in appends):
        return actual
    try:
        rows = (row for append in appends for row in event_rows(append, bases[append.stream]))
        database.executemany(INSERT_EVENTS.sqlite, map(sqlite_values, rows))
    except sqlite3.IntegrityError:
        # Those before the one that was refused are in the transaction, and nobody else can have put any there.
        database.executemany(_DELETE_BEHIND, [(append.stream, bases[append.stream]) for append in appends])
        ids = ids_of(appends)
        if len(set(ids)) == len(ids) and database.execute(_IS_ANY_STORED, (json.dumps(ids),)).fetchone() is None:
            raise
        return None
    return actual


async def _insert_on_postgresql(
    connection: AsyncConnection, appends: Sequence[Append], bases: Mapping[str, int]
) -> Mapping[str, int] | None:
    """What a concurrent transaction has taken, and this one's snapshot did not show, is found by counting."""
    rows = [row for append in appends for row in event_rows(append, bases[append.stream])]
    streams = [append.stream for append in appends]
    found = (
        await connection.exec_driver_sql(_APPEND, (streams, [bases[stream] for stream in streams], *arrays(rows)))
    ).all()
    actual: dict[str, int] = {row.stream: row.actual for row in found}
    inserted: int = found[0].inserted
    if inserted == len(rows) or any(row.expected != row.actual for row in found):
        return actual
    # Some versions or ids are taken, and this statement has inserted around them: take its rows out again, and only
    # those: one that is there under the same id is another transaction's.
    await connection.execute(_DELETE, {"ids": found[0].ids})
    versions = select(events.c.stream, func.max(events.c.version)).where(events.c.stream.in_(streams))
    moved: dict[str, int] = dict((await connection.execute(versions.group_by(events.c.stream))).all())
    return None if all(moved.get(stream, 0) == bases[stream] for stream in streams) else moved
