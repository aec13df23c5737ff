"""
Appends that were made before, told by the ids of their events: wholly, which is a repeat, or in part, which is none.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from eventbus.database.dialects import Statement, as_list
from eventbus.errors import DuplicateEventIds
from eventbus.store.streams import Append, Expect

_PLACES: Final = Statement(
    sqlite=text("SELECT id, stream, version FROM eventbus_events WHERE id IN (SELECT value FROM json_each(:ids))"),
    postgresql=text("SELECT id, stream, version FROM eventbus_events WHERE id = ANY(CAST(:ids AS text[]))"),
)

_Places = Mapping[str, tuple[str, int]]


def ids_of(appends: Sequence[Append]) -> list[str]:
    """The ids of all their events, in order."""
    return [event.envelope.id for append in appends for event in append.events]


async def repeats_among(
    connection: AsyncConnection, appends: Sequence[Append], *, refuses_parts: bool
) -> dict[str, int]:
    """
    Of those that have been appended already, the version of their last event, by stream.

    refuses_parts   raises DuplicateEventIds for one whose ids are there in part, or elsewhere, or given twice
    """
    ids = ids_of(appends)
    if not ids:
        return {}
    rows = await connection.execute(_PLACES.on(connection), {"ids": as_list(connection, ids)})
    places: _Places = {id: (stream, version) for id, stream, version in rows}
    repeats = {append.stream: version for append in appends if (version := _repeated(append, places)) is not None}
    if refuses_parts:
        _refuse_parts([append for append in appends if append.stream not in repeats], places)
    return repeats


def _repeated(append: Append, places: _Places) -> int | None:
    found = [places.get(event.envelope.id) for event in append.events]
    if not found or found[0] is None:
        return None
    _, first = found[0]
    expected = 0 if append.expected_version is Expect.NONE else append.expected_version
    at_its_place = not isinstance(expected, int) or first == expected + 1
    following = [(append.stream, version) for version in range(first, first + len(found))]
    return first + len(found) - 1 if at_its_place and found == following else None


def _refuse_parts(appends: Sequence[Append], places: _Places) -> None:
    given = Counter(ids_of(appends))
    for append in appends:
        taken: dict[str, tuple[str, int] | None] = {}
        for event in append.events:
            id = event.envelope.id
            if id in places:
                taken[id] = places[id]
            elif given[id] > 1:
                taken[id] = None
        if taken:
            raise DuplicateEventIds(append.stream, len(append.events), taken)
